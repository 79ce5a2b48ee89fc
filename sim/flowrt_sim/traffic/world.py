"""The moving world: vehicles and people in fixed steps of 0.05 s, from a seed, without any clock.

Invariants: a world of the same seed and scenario goes through exactly the same states, whoever steps it. Drivers follow
the intelligent driver model towards the nearest of: the vehicle ahead, a signal, traffic with priority, people on foot,
anything that stands on their path. What the law calls a violation happens only through intentions set by `acts.py`;
what really was one is measured by `truth.py`.
"""

from __future__ import annotations

import numpy as np

from flowrt_sim.street.layout import LEGS, Layout
from flowrt_sim.street.route import Route, route
from flowrt_sim.street.signals import SignalPlan
from flowrt_sim.traffic.driving import Traffic, drive
from flowrt_sim.traffic.pedestrians import spawn_walker, step_walkers
from flowrt_sim.traffic.road_users import Vehicle, Walker, new_vehicle

STEP_S = 0.05
STUCK_S = 75.0
"""A vehicle that stands in the box for so long is removed."""
BANNED_TURNS = (
    ("north", "north"), ("east", "east"), ("south", "south"), ("west", "west"), ("east", "south"), ("west", "north"),
)  # fmt: skip
"""Entry and exit legs of turns that are not allowed: all U-turns, and left turns from east and west."""

KINDS = ("car", "van", "truck", "bus", "motorcycle", "bicycle")
SHARES_INNER = (0.68, 0.12, 0.06, 0.03, 0.11, 0.0)
SHARES_OUTER = (0.58, 0.12, 0.08, 0.06, 0.08, 0.08)


class World:
    """A signalised four-way intersection with its traffic.

    `rate` scales the traffic (1.0: about 230 vehicles per hour and lane), `scenario` names what the director makes
    happen. Read `time_s`, `vehicles`, `walkers`, `plan`; call `step` to go on by STEP_S.
    """

    def __init__(self, seed: int = 7, scenario: str = "mixed", rate: float = 1.0, layout: Layout | None = None) -> None:
        from flowrt_sim.traffic.incidents import Director  # the director needs the world's type

        self.seed, self.scenario, self.rate = seed, scenario, rate
        self.layout = layout or Layout()
        self.rng = np.random.default_rng((seed, 1))
        self.plan = SignalPlan(offset_s=float(np.random.default_rng((seed, 2)).uniform(0, 61)))
        self.time_s = 0.0
        self.steps = 0
        self.vehicles: list[Vehicle] = []
        self.walkers: list[Walker] = []
        self.closed_until_s: dict[tuple[str, int], float] = {}
        self.blocked: list[tuple[str, int, float, float]] = []
        self._numbers = 0
        self._next_s = {(leg, lane): self._headway() * 0.5 for leg in LEGS for lane in (1, 2)}
        self._next_walker_s = self._walker_wait() * 0.3
        self.traffic = Traffic(self)
        self.director = Director(self, np.random.default_rng((seed, 4)))

    @property
    def actors(self) -> list[Vehicle | Walker]:
        """Everybody: vehicles, then people."""
        return [*self.vehicles, *self.walkers]

    def number(self) -> int:
        """A new actor number, never used again."""
        self._numbers += 1
        return self._numbers

    def step(self) -> None:
        """Go on by one step."""
        self.steps += 1
        self.time_s = self.steps * STEP_S
        self.director.step()
        self._spawn()
        self.traffic.refresh()
        accelerations = [drive(self, vehicle) for vehicle in self.vehicles]
        for vehicle, wanted in zip(self.vehicles, accelerations, strict=True):
            self._move(vehicle, wanted)
        self.vehicles = [v for v in self.vehicles if v.s - v.length < v.route.length_m - 1 and not self._hopeless(v)]
        step_walkers(self, STEP_S)

    def is_closed(self, leg: str, lane: int) -> bool:
        """Whether somebody is driving the wrong way in an outbound lane of a leg."""
        return self.closed_until_s.get((leg, lane), -1.0) > self.time_s

    def run_until(self, time_s: float) -> None:
        """Step until `time_s` is reached."""
        while self.time_s < time_s - 1e-9:
            self.step()

    def _hopeless(self, v: Vehicle) -> bool:
        """Whether a vehicle has blocked the box for over a cycle; it is taken out, as simulators of traffic usually do."""
        return v.to_line < -2 and v.in_exit < 0 and 0 < v.stopped_since_s < self.time_s - STUCK_S

    def _move(self, vehicle: Vehicle, wanted: float) -> None:
        jerk = 12.0 * STEP_S
        vehicle.acceleration = max(
            min(wanted, vehicle.acceleration + jerk), min(vehicle.acceleration - 2.5 * jerk, wanted + 8)
        )
        if wanted < -6.5:
            vehicle.acceleration = wanted
        speed = max(vehicle.speed + vehicle.acceleration * STEP_S, 0.0)
        before = vehicle.s
        vehicle.s += (vehicle.speed + speed) / 2 * STEP_S
        vehicle.speed = speed
        if speed < 0.15:
            if vehicle.stopped_since_s < 0:
                vehicle.stopped_since_s = self.time_s
        elif speed > 0.6:
            vehicle.stopped_since_s = -1.0
        if before < vehicle.route.stop_s <= vehicle.s:
            vehicle.passed_s = self.time_s
            if vehicle.mode == "amber_acceleration":
                vehicle.mode, vehicle.speed_wish = "", min(vehicle.speed_wish, 13.0)
        vehicle.place()

    def _headway(self) -> float:
        return float(2.2 + self.rng.exponential(13.5 / max(self.rate, 0.05)))

    def _walker_wait(self) -> float:
        return float(self.rng.exponential(9.0 / max(self.rate, 0.05)))

    def _spawn(self) -> None:
        for (leg, lane), due in self._next_s.items():
            if self.time_s < due:
                continue
            kind = str(self.rng.choice(KINDS, p=SHARES_INNER if lane == 1 else SHARES_OUTER))
            way = self._turn(leg, lane, kind)
            if self.add_vehicle(kind, route(self.layout, leg, lane, way)) is not None:
                self._next_s[leg, lane] = self.time_s + self._headway()
            else:
                self._next_s[leg, lane] = self.time_s + 1.0
        if self.time_s >= self._next_walker_s:
            self.walkers.append(spawn_walker(self))
            self._next_walker_s = self.time_s + self._walker_wait()

    def _turn(self, leg: str, lane: int, kind: str) -> str:
        chance = float(self.rng.random())
        if kind in ("truck", "bus"):
            return "through"
        if lane == 1:
            return "left" if leg in ("north", "south") and chance < 0.14 else "through"
        return "right" if chance < 0.30 else "through"

    def add_vehicle(self, kind: str, way: Route, wish: float | None = None) -> Vehicle | None:
        """Let a vehicle enter at the start of a route; None when there is no room."""
        vehicle = new_vehicle(self._numbers + 1, kind, way, self.rng, 0.0, wish)
        ahead = [v for v in self.vehicles if v.route.leg == way.leg and v.route.lane == way.lane and v.s < way.stop_s]
        speed = vehicle.speed_wish
        if ahead:
            last = min(ahead, key=lambda v: v.s - v.length)
            gap = last.s - last.length - vehicle.s
            if gap < 6.0 + 0.8 * last.speed:
                return None
            room = max(gap - 8.0, 0.0)
            speed = min(speed, float(np.sqrt(last.speed**2 + 2 * 1.6 * room)), gap / 1.4)
        vehicle.speed = speed
        vehicle.may_turn_on_red = way.kind == "right" and bool(self.rng.random() < 0.6)
        self.number()
        self.vehicles.append(vehicle)
        return vehicle

    def distance_in(self, leg: str, x: float, y: float) -> tuple[float, float]:
        """A world point as (out, side) of a leg."""
        place = self.layout.leg_of(leg, np.array([[x, y]]))[0]
        return float(place[0]), float(place[1])
