"""What really happened: violations and counts measured from the exact world, by the definitions of the field.

The referee looks only at motion, geometry and signal states, never at what a driver intended: an incident that came to
nothing is no violation, and an accident of the simulation that was one is counted.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from math import atan2, pi, radians

from flowrt_sim.referee.conflicts import Conflict, Conflicts
from flowrt_sim.referee.definitions import Definitions, Violation
from flowrt_sim.street.layout import BANNED_TURNS, LANE_END_M, OUTWARD, nearest_leg
from flowrt_sim.street.signals import AMBER, CROSSWALK_GROUPS, RED, VEHICLE_GROUPS
from flowrt_sim.traffic.road_users import Pedestrian, Vehicle
from flowrt_sim.traffic.world import STEP_S, World

WALKING_MS = 0.5
"""A slower pedestrian stands, and is not about to step onto anything."""


@dataclass
class _Memory:
    """What the referee remembers of one vehicle. `reported` holds the violations that last, so that each is reported once."""

    to_line: float | None = None
    rest_since_s: float = -1.0
    full_stop: bool = False
    wrong_since_s: float = -1.0
    wrong_from: tuple[float, float] = (0.0, 0.0)
    section: list[tuple[float, float]] = field(default_factory=list)
    section_of: str = ""
    fast_since_s: float = -1.0
    still_since_s: float = -1.0
    on_crosswalk_since_s: float = -1.0
    amber: tuple[float, float] | None = None
    reported: set[str] = field(default_factory=set)
    entered: set[bool] = field(default_factory=set)
    crossed_line_s: float = -1.0
    turned: bool = False


class Referee:
    """Watches a world: call `watch` after every step, read `violations` and `counts`.

    `counts` maps (leg, lane, turn, class) to the vehicles that crossed the stop line.
    """

    def __init__(self, world: World, definitions: Definitions | None = None, near_misses: bool = True) -> None:
        self.world, self.definitions = world, definitions or Definitions()
        self.violations: list[Violation] = []
        self.counts: Counter[tuple[str, str, str, str]] = Counter()
        self._conflicts = Conflicts(self.definitions) if near_misses else None
        self._vehicles: dict[int, _Memory] = {}
        self._pedestrians: dict[int, tuple[float, bool]] = {}
        self._open: dict[tuple[int, str], int] = {}

    def watch(self) -> None:
        """Measure the present state of the world."""
        world = self.world
        lights = {leg: world.plan.state(group, world.time_s) for leg, group in VEHICLE_GROUPS.items()}
        for v in world.vehicles:
            memory = self._vehicles.get(v.number)
            if memory is None:
                memory = self._vehicles[v.number] = _Memory()
            self._red_light(v, memory, lights[v.route.leg][0])
            self._amber(v, memory, lights[v.route.leg])
            self._on_crosswalk(v, memory, lights[v.route.leg][0])
            self._turn(v, memory)
            self._yield(v, memory)
            self._in_place(v, memory)
        for p in world.pedestrians:
            self._jaywalking(p)
        if self._conflicts is not None and world.steps % 2 == 0:
            for conflict in self._conflicts.watch(world.time_s, world.vehicles, world.pedestrians):
                self._near_miss(conflict)
        if world.steps % 1200 == 0:
            self._forget()

    def _forget(self) -> None:
        present = {each.number for each in self.world.road_users}
        self._vehicles = {n: m for n, m in self._vehicles.items() if n in present}
        self._pedestrians = {n: m for n, m in self._pedestrians.items() if n in present}
        self._open = {key: i for key, i in self._open.items() if key[0] in present}

    def _report(self, rule: str, actor: Vehicle | Pedestrian, leg: str, lane: str, start_s: float, value: float, *,
                time_s: float | None = None, other: int = -1, detail: str = "") -> None:  # fmt: skip
        now = self.world.time_s if time_s is None else time_s
        kind, front = (actor.kind, actor.front()) if isinstance(actor, Vehicle) else ("pedestrian", (actor.x, actor.y))
        self._open[actor.number, rule + leg] = len(self.violations)
        self.violations.append(
            Violation(rule, actor.number, kind, leg, lane, now, start_s, now, (actor.x, actor.y), front, value, other, detail)
        )  # fmt: skip

    def _extend(self, number: int, key: str) -> None:
        """Move the end of a violation that lasts to now."""
        index = self._open.get((number, key))
        if index is not None:
            self.violations[index] = replace(self.violations[index], end_s=self.world.time_s)

    def _red_light(self, v: Vehicle, memory: _Memory, state: str) -> None:
        """The front crosses the stop line after red onset plus grace; not a right turn after a full stop at the line."""
        now, definitions, line = self.world.time_s, self.definitions, v.to_line
        before, memory.to_line = memory.to_line, line
        if not (
            state == RED and 0 < line < definitions.full_stop_within_m and v.speed * 3.6 < definitions.rest_below_kmh
        ):
            memory.rest_since_s = -1.0
        elif memory.rest_since_s < 0:
            memory.rest_since_s = now
        elif now - memory.rest_since_s >= definitions.full_stop_s:
            memory.full_stop = True
        if before is None or before <= 0 or line > 0:
            return
        share = before / (before - line) if before > line else 1.0
        crossed_s = memory.crossed_line_s = now - STEP_S * (1 - share)
        turn, lane = _turn_name(v.route.kind), f"in_{v.route.lane}"
        self.counts[v.route.leg, lane, turn, v.kind] += 1
        state, since_s = self.world.plan.state(VEHICLE_GROUPS[v.route.leg], crossed_s)
        late_s = crossed_s - since_s
        if state != RED or late_s <= definitions.red_grace_s or (turn == "right" and memory.full_stop):
            return
        detail = "creeping" if v.speed < 3.0 else "fast"
        self._report("red_light", v, v.route.leg, lane, crossed_s, late_s, time_s=crossed_s, detail=detail)

    def _amber(self, v: Vehicle, memory: _Memory, light: tuple[str, float]) -> None:
        """Faster than at amber onset by the factor, still ahead of the stop line."""
        (state, since_s), definitions = light, self.definitions
        if state != AMBER:
            if state != RED:
                memory.amber = None
            return
        if memory.amber is None or abs(memory.amber[0] - since_s) > STEP_S:  # `since_s` is exact only to rounding
            at_onset = self.world.time_s - since_s <= 2 * STEP_S
            near = 0 < v.to_line < definitions.amber_within_m
            counts = at_onset and near and v.speed * 3.6 >= definitions.amber_least_kmh
            memory.amber = (since_s, v.speed if counts else -1.0)
            memory.reported.discard("amber")
        onset = memory.amber[1]
        if "amber" in memory.reported:
            if v.to_line > 0:
                self._extend(v.number, "amber_acceleration" + v.route.leg)
        elif onset > 0 and v.to_line > 0 and v.speed > definitions.amber_factor * onset:
            memory.reported.add("amber")
            self._report("amber_acceleration", v, v.route.leg, f"in_{v.route.lane}", since_s, v.speed / onset)

    def _on_crosswalk(self, v: Vehicle, memory: _Memory, state: str) -> None:
        """At rest on the crosswalk of its approach while that approach has red."""
        way, overlap = v.route, self.definitions.crosswalk_overlap_m
        on_it = v.s > way.cross_in_s[0] + overlap and v.s - v.length < way.cross_in_s[1] - overlap
        if not on_it or state != RED or v.speed * 3.6 > self.definitions.rest_below_kmh:
            memory.on_crosswalk_since_s = -1.0
            memory.reported.discard("crosswalk")
            return
        if memory.on_crosswalk_since_s < 0:
            memory.on_crosswalk_since_s = self.world.time_s
        rest_s = self.world.time_s - memory.on_crosswalk_since_s
        if "crosswalk" in memory.reported:
            self._extend(v.number, "stopped_on_crosswalk" + way.leg)
        elif rest_s >= self.definitions.crosswalk_s:
            memory.reported.add("crosswalk")
            self._report("stopped_on_crosswalk", v, way.leg, "crosswalk", memory.on_crosswalk_since_s, rest_s)

    def _turn(self, v: Vehicle, memory: _Memory) -> None:
        """A completed turn that is banned, when the front passes the exit line."""
        way = v.route
        if memory.turned or v.s < (way.cross_out_s[1] + 2.0 if way.exit == way.leg else way.cross_out_s[0] - 0.5):
            return
        memory.turned = True
        if (way.leg, way.exit) in BANNED_TURNS:
            start_s, detail = max(memory.crossed_line_s, 0.0), f"{way.leg} to {way.exit}"
            self._report("illegal_turn", v, way.leg, f"in_{way.lane}", start_s, 1.0, detail=detail)

    def _yield(self, v: Vehicle, memory: _Memory) -> None:
        """Entering a half of a crosswalk while a pedestrian is on it or about to step onto it."""
        way = v.route
        for inbound, (start, end) in ((True, way.cross_in_s), (False, way.cross_out_s)):
            if inbound in memory.entered or v.s < start:
                continue
            memory.entered.add(inbound)
            if v.s > end or v.speed * 3.6 < self.definitions.yield_least_kmh:
                continue
            leg, zone = (way.leg, "conflict_in") if inbound else (way.exit, "conflict_out")
            pedestrian = self._in_the_way(leg, inbound)
            if pedestrian is not None:
                kmh = v.speed * 3.6
                self._report("failure_to_yield", v, leg, zone, self.world.time_s, kmh, other=pedestrian.number)

    def _in_the_way(self, leg: str, inbound: bool) -> Pedestrian | None:
        layout = self.world.layout
        low, high = (0.0, layout.in_edge_m) if inbound else (layout.out_edge_m, 0.0)
        near, far = layout.crosswalk_m
        for p in self.world.pedestrians:
            if p.leg != leg or not near < p.out < far:
                continue
            soon = p.side + self.definitions.yield_about_to_s * p.side_speed
            if low <= p.side <= high or (abs(p.side_speed) > WALKING_MS and low <= soon <= high):
                return p
        return None

    def _in_place(self, v: Vehicle, memory: _Memory) -> None:
        """Rules that need only the place: wrong way, speeding, stopping where it is forbidden."""
        leg, out, side = nearest_leg(v.x, v.y)
        layout, now = self.world.layout, self.world.time_s
        in_lane = layout.stop_line_m < out < LANE_END_M and layout.out_edge_m < side < layout.in_edge_m
        lane = f"{'in' if side > 0 else 'out'}_{int(abs(side) / layout.lane_width_m) + 1}"
        self._wrong_way(v, memory, leg, lane, in_lane, side > 0)
        self._speeding(v, memory, leg, lane, out, in_lane)
        near, far = layout.bay_m
        in_bay = near < out < far and layout.out_edge_m - layout.bay_width_m < side < layout.out_edge_m
        if not in_bay or v.speed * 3.6 > self.definitions.stopped_below_kmh:
            memory.still_since_s = -1.0
            memory.reported.discard("stopped")
        elif memory.still_since_s < 0:
            memory.still_since_s = now
        elif "stopped" in memory.reported:
            self._extend(v.number, "stopped" + leg)
        elif now - memory.still_since_s >= self.definitions.stopped_s:
            memory.reported.add("stopped")
            self._report("stopped", v, leg, "no_stopping", memory.still_since_s, now - memory.still_since_s)

    def _wrong_way(self, v: Vehicle, memory: _Memory, leg: str, lane: str, in_lane: bool, inbound: bool) -> None:
        ux, uy = OUTWARD[leg]
        lawful = atan2(-uy, -ux) if inbound else atan2(uy, ux)
        angle = abs((v.heading - lawful + pi) % (2 * pi) - pi)
        if not in_lane or angle < radians(self.definitions.wrong_way_angle_deg):
            memory.wrong_since_s = -1.0
            memory.reported.discard("wrong way")
            return
        if memory.wrong_since_s < 0:
            memory.wrong_since_s, memory.wrong_from = self.world.time_s, (v.x, v.y)
        lasts_s = self.world.time_s - memory.wrong_since_s
        way_m = abs(v.x - memory.wrong_from[0]) + abs(v.y - memory.wrong_from[1])
        if "wrong way" in memory.reported:
            self._extend(v.number, "wrong_way" + leg)
        elif lasts_s >= self.definitions.wrong_way_s and way_m >= self.definitions.wrong_way_m:
            memory.reported.add("wrong way")
            self._report("wrong_way", v, leg, lane, memory.wrong_since_s, angle * 180 / pi)

    def _speeding(self, v: Vehicle, memory: _Memory, leg: str, lane: str, out: float, in_lane: bool) -> None:
        """The median speed over any section of that length within an inbound or outbound lane, for more than a moment."""
        now, key = self.world.time_s, leg + lane[:-2]
        if not in_lane or memory.section_of != key:
            memory.section.clear()
            memory.fast_since_s = -1.0
        if not in_lane:
            return
        memory.section_of = key
        memory.section.append((out, v.speed))
        begin = len(memory.section) - 1
        while begin >= 0 and abs(out - memory.section[begin][0]) < self.definitions.speeding_section_m:
            begin -= 1
        if begin < 0:
            return
        del memory.section[:begin]
        speeds = sorted(speed for _, speed in memory.section)
        median_kmh = speeds[len(speeds) // 2] * 3.6
        if median_kmh <= self.world.layout.limit_kmh + self.definitions.speeding_tolerance_kmh:
            memory.fast_since_s = -1.0
            return
        if memory.fast_since_s < 0:
            memory.fast_since_s = now
        if now - memory.fast_since_s < self.definitions.speeding_s:
            return
        if "fast" + key in memory.reported:
            self._extend(v.number, "speeding" + leg)
            return
        memory.reported.add("fast" + key)
        self._report("speeding", v, leg, _lane_of(v, leg), now - (len(speeds) - 1) * STEP_S, median_kmh)

    def _jaywalking(self, p: Pedestrian) -> None:
        """On the carriageway outside a crosswalk, or on one having entered it against Don't Walk.

        Within `kerb_m` of the kerb a pedestrian has not entered yet: one that waits there through Walk and goes on after it
        has entered late.
        """
        layout, now, kerb_m = self.world.layout, self.world.time_s, self.definitions.kerb_m
        if not p.leg:
            return
        on_road = layout.out_edge_m + kerb_m < p.side < layout.in_edge_m - kerb_m and p.out > layout.crosswalk_m[0] - 4
        if not on_road:
            self._pedestrians.pop(p.number, None)
            return
        margin = self.definitions.crosswalk_margin_m
        on_crosswalk = layout.crosswalk_m[0] - margin < p.out < layout.crosswalk_m[1] + margin
        if p.number not in self._pedestrians:
            red = self.world.plan.state(CROSSWALK_GROUPS[p.leg], now)[0] == RED
            self._pedestrians[p.number] = (now, not on_crosswalk or red)
        since_s, offends = self._pedestrians[p.number]
        if not offends:
            return
        if (p.number, "jaywalking" + p.leg) in self._open:
            self._extend(p.number, "jaywalking" + p.leg)
        elif now - since_s >= self.definitions.jaywalking_s:
            zone, detail = (
                ("crosswalk", "against don't walk") if on_crosswalk else ("carriageway", "outside a crosswalk")
            )
            self._report("jaywalking", p, p.leg, zone, since_s, now - since_s, detail=detail)

    def _near_miss(self, conflict: Conflict) -> None:
        """A pair that came within the time to collision, or the post-encroachment time."""
        by_pet = conflict.pet_s <= self.definitions.pet_s
        if not by_pet and conflict.ttc_s > self.definitions.ttc_s:
            return
        kinds = {v.number: v.kind for v in self.world.vehicles}
        self.violations.append(
            Violation(
                rule="near_miss", actor=conflict.actor, kind=kinds.get(conflict.actor, "pedestrian"),
                leg=nearest_leg(*conflict.ground_m)[0], lane="",
                time_s=conflict.time_s, start_s=conflict.start_s, end_s=conflict.time_s,
                ground_m=conflict.ground_m, front_m=conflict.ground_m,
                value=conflict.pet_s if by_pet else conflict.ttc_s, other=conflict.other, detail="pet" if by_pet else "ttc",
            )
        )  # fmt: skip


def _turn_name(kind: str) -> str:
    return "through" if kind == "wrong_way" else kind.removeprefix("bay_")


def _lane_of(v: Vehicle, leg: str) -> str:
    return f"in_{v.route.lane}" if leg == v.route.leg and v.to_line > -20 else f"out_{v.route.exit_lane}"
