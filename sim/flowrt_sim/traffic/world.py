"""The state of the simulated world, and look-ups over it: data that the modules of `traffic` read and write.

`simulation` steps it; nothing here decides what a road user does.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowrt_sim.street.layout import LEGS, Layout
from flowrt_sim.street.signals import VEHICLE_GROUPS, SignalPlan
from flowrt_sim.traffic.road_users import Pedestrian, Vehicle

STEP_S = 0.05
BOX_M = 25.0
"""Vehicles whose middle is nearer than this to the middle of the box, along both axes, are obstacles with a shape."""


class Blockage(NamedTuple):
    """An obstruction in an exit lane, `out_m` from the middle of the box, behind which traffic queues."""

    leg: str
    lane: int
    out_m: float
    until_s: float


@dataclass
class Lookups:
    """Road users by place, built once per step by `look_up`.

    `inbound` and `outbound` hold the vehicles of each (leg, lane), the foremost first; `by_leg` the vehicles that came from
    a leg. `discs` (N, 5) are obstacles in the box, as x, y, radius, speed, heading, and `owners` (N,) whose they are.
    `overlooked` are the pedestrians that careless drivers do not see. `busy` says which half of which crosswalk, by (leg,
    inbound), is occupied. `on_road` holds the pedestrians on a carriageway away from its crosswalk, `lights` the state of
    each leg's signal and since when.
    """

    inbound: dict[tuple[str, int], list[Vehicle]] = field(default_factory=dict)
    outbound: dict[tuple[str, int], list[Vehicle]] = field(default_factory=dict)
    by_leg: dict[str, list[Vehicle]] = field(default_factory=dict)
    discs: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros((0, 5)))
    owners: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    overlooked: list[int] = field(default_factory=list)
    busy: dict[tuple[str, bool], bool] = field(default_factory=dict)
    on_road: dict[str, list[Pedestrian]] = field(default_factory=dict)
    lights: dict[str, tuple[str, float]] = field(default_factory=dict)


@dataclass(eq=False)
class World:
    """A signalised four-way intersection and its road users at `time_s`.

    `rate` scales the traffic: 1.0 is about 230 vehicles per hour and lane. `closed_until_s` says until when an outbound
    lane is used in the wrong direction.
    """

    seed: int
    rate: float
    layout: Layout
    plan: SignalPlan
    rng: np.random.Generator
    time_s: float = 0.0
    steps: int = 0
    vehicles: list[Vehicle] = field(default_factory=list)
    pedestrians: list[Pedestrian] = field(default_factory=list)
    closed_until_s: dict[tuple[str, int], float] = field(default_factory=dict)
    blockages: list[Blockage] = field(default_factory=list)
    lookups: Lookups = field(default_factory=Lookups)
    last_number: int = 0

    @property
    def road_users(self) -> list[Vehicle | Pedestrian]:
        """Vehicles, then pedestrians."""
        return [*self.vehicles, *self.pedestrians]

    def new_number(self) -> int:
        """A road user's number, never used again."""
        self.last_number += 1
        return self.last_number

    def is_closed(self, leg: str, lane: int) -> bool:
        """Whether a vehicle uses an outbound lane of a leg in the wrong direction."""
        return self.closed_until_s.get((leg, lane), -1.0) > self.time_s


def look_up(world: World) -> Lookups:
    """The look-ups of the present state."""
    found = Lookups(by_leg={leg: [] for leg in LEGS})
    discs: list[tuple[float, float, float, float, float]] = []
    owners: list[int] = []
    for v in world.vehicles:
        way = v.route
        if v.s - v.length < way.cross_in_s[1] + 2.0:
            found.inbound.setdefault((way.leg, way.lane), []).append(v)
        if v.s >= way.exit_s:
            found.outbound.setdefault((way.exit, way.exit_lane), []).append(v)
        found.by_leg[way.leg].append(v)
        if abs(v.x) < BOX_M and abs(v.y) < BOX_M:
            _add_discs(v, discs, owners)
    for queue in found.inbound.values():
        queue.sort(key=lambda v: v.to_line)
    for queue in found.outbound.values():
        queue.sort(key=lambda v: -v.in_exit)
    found.overlooked = [p.number for p in world.pedestrians if p.mode == "step_out"]
    for p in world.pedestrians:
        if p.crossing and p.mode not in ("dash", "jaywalk_mid"):
            discs.append((p.x, p.y, 0.3, p.speed, p.heading))
            owners.append(p.number)
    found.discs = np.array(discs).reshape(-1, 5)
    found.owners = np.array(owners, dtype=np.int64)
    found.lights = {leg: world.plan.state(group, world.time_s) for leg, group in VEHICLE_GROUPS.items()}
    _place_pedestrians(world, found)
    return found


def _place_pedestrians(world: World, found: Lookups) -> None:
    layout = world.layout
    found.on_road = {leg: [] for leg in LEGS}
    near, far = layout.crosswalk_m
    for p in world.pedestrians:
        if not p.leg or not (layout.out_edge_m - 1.6 < p.side < layout.in_edge_m + 1.6):
            continue
        if not p.crossing and p.speed < 0.3:
            continue
        if p.mode == "jaywalk_mid" or p.mode == "dash":
            found.on_road[p.leg].append(p)
            continue
        if not near - 0.8 < p.out < far + 0.8:
            continue
        for inbound in (True, False):
            low, high = (0.0, layout.in_edge_m) if inbound else (layout.out_edge_m, 0.0)
            below = 3.2 if p.side_speed > 0.1 else 1.9
            above = 3.2 if p.side_speed < -0.1 else 1.9
            if low - below < p.side < high + above:
                found.busy[p.leg, inbound] = True


def _add_discs(v: Vehicle, discs: list[tuple[float, float, float, float, float]], owners: list[int]) -> None:
    radius = v.width / 2
    count = max(int(v.length / (1.5 * radius)), 1)
    c, s = np.cos(v.heading), np.sin(v.heading)
    reach = v.length / 2 - radius * 0.8
    for i in range(count):
        offset = reach * (2 * i / (count - 1) - 1) if count > 1 else 0.0
        discs.append((v.x + offset * c, v.y + offset * s, radius, v.speed, v.heading))
        owners.append(v.number)
