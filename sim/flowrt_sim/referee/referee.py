"""What really happened: violations and counts measured from the exact world, by the definitions of the field.

The referee looks only at motion, geometry and signal states, never at what a driver was told to do, so an act that came
to nothing is no violation and an accident of the simulation that was one is counted. Every default below is part of the
definition; a rule is judged fairly only with the same values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import atan2, pi

from flowrt_sim.referee.conflicts import Conflict, Conflicts
from flowrt_sim.street.layout import BANNED_TURNS, OUTWARD, nearest_leg
from flowrt_sim.street.signals import AMBER, CROSSWALK_GROUPS, RED, VEHICLE_GROUPS
from flowrt_sim.traffic.road_users import Pedestrian, Vehicle
from flowrt_sim.traffic.world import STEP_S, World

RULES = (
    "red_light", "wrong_way", "speeding", "illegal_turn", "stopped", "stopped_on_crosswalk", "amber_acceleration",
    "jaywalking", "failure_to_yield", "near_miss",
)  # fmt: skip


@dataclass(frozen=True)
class Definitions:
    """The numbers in the definitions of the violations, in the units of their names."""

    red_grace_s: float = 0.3
    wrong_way_angle_deg: float = 120.0
    wrong_way_s: float = 1.0
    wrong_way_m: float = 5.0
    speeding_tolerance_kmh: float = 5.0
    speeding_section_m: float = 20.0
    speeding_s: float = 0.3
    stopped_below_kmh: float = 5.0
    stopped_s: float = 10.0
    crosswalk_below_kmh: float = 1.5
    crosswalk_s: float = 2.0
    crosswalk_overlap_m: float = 1.0
    amber_factor: float = 1.2
    amber_least_kmh: float = 15.0
    amber_within_m: float = 60.0
    jaywalking_s: float = 1.5
    kerb_m: float = 0.4
    crosswalk_margin_m: float = 1.0
    yield_reach_m: float = 1.0
    yield_approach_ms: float = 0.5
    yield_least_kmh: float = 3.6
    ttc_s: float = 1.5
    pet_s: float = 1.0
    lane_reach_m: float = 72.0


@dataclass(frozen=True)
class Violation:
    """One violation: rule, who (and whom it concerned), where, and when.

    `time_s` is when the definition was fulfilled, `start_s` when the behaviour began, `end_s` when it ended (or the last
    time seen so far). `leg` is the leg whose camera sees it; `ground_m` the middle of the footprint and `front_m` the
    middle of the front edge at `time_s`. `value` is the measured quantity: km/h, s, or a factor.
    """

    rule: str
    actor: int
    kind: str
    leg: str
    lane: str
    time_s: float
    start_s: float
    end_s: float
    ground_m: tuple[float, float]
    front_m: tuple[float, float]
    value: float
    other: int = -1
    detail: str = ""


@dataclass
class _Memory:
    """What the referee remembers of one vehicle."""

    line: float | None = None
    full_stop: bool = False
    wrong_since: float = -1.0
    wrong_from: tuple[float, float] = (0.0, 0.0)
    section: list[tuple[float, float]] = field(default_factory=list)
    section_of: str = ""
    fast_since: float = -1.0
    still_since: float = -1.0
    cross_since: float = -1.0
    amber: tuple[float, float] | None = None
    said: set[str] = field(default_factory=set)
    entered: set[bool] = field(default_factory=set)
    line_s: float = -1.0
    counted: bool = False
    turned: bool = False


class Referee:
    """Watches a world: call `watch` after every step, read `violations`, `counts`, `conflicts`.

    `counts` maps (leg, lane, turn, class) to vehicles that crossed the stop line.
    """

    def __init__(self, world: World, definitions: Definitions | None = None, near_misses: bool = True) -> None:
        self.world, self.rules = world, definitions or Definitions()
        self.violations: list[Violation] = []
        self.counts: Counter[tuple[str, str, str, str]] = Counter()
        self.near_misses = Conflicts(self.rules.ttc_s, self.rules.pet_s) if near_misses else None
        self._vehicles: dict[int, _Memory] = {}
        self._pedestrians: dict[int, tuple[float, bool]] = {}
        self._open: dict[tuple[int, str], int] = {}
        self._amber_since: dict[str, float] = {}

    def watch(self) -> None:
        """Measure the present state of the world."""
        world = self.world
        lights = {leg: world.plan.state(group, world.time_s) for leg, group in VEHICLE_GROUPS.items()}
        for v in world.vehicles:
            memory = self._vehicles.get(v.number)
            if memory is None:
                memory = self._vehicles[v.number] = _Memory()
            self._red_light(v, memory, lights[v.route.leg])
            self._amber(v, memory, lights[v.route.leg])
            self._on_crosswalk(v, memory, lights[v.route.leg][0])
            self._turn(v, memory)
            self._yield(v, memory)
            self._places(v, memory)
        for p in world.pedestrians:
            self._jaywalking(p)
        if self.near_misses is not None and world.steps % 2 == 0:
            for conflict in self.near_misses.watch(world.time_s, world.vehicles, world.pedestrians):
                self._near_miss(conflict)
        if world.steps % 1200 == 0:
            self._forget()

    def _forget(self) -> None:
        alive = {a.number for a in self.world.road_users}
        self._vehicles = {n: m for n, m in self._vehicles.items() if n in alive}
        self._pedestrians = {n: m for n, m in self._pedestrians.items() if n in alive}
        self._open = {key: i for key, i in self._open.items() if key[0] in alive}

    def _say(self, rule: str, v: Vehicle, leg: str, lane: str, start_s: float, value: float, *, time_s: float | None = None,
             other: int = -1, detail: str = "") -> None:  # fmt: skip
        now = self.world.time_s if time_s is None else time_s
        front = v.front()
        self._open[v.number, rule + leg] = len(self.violations)
        self.violations.append(
            Violation(rule, v.number, v.kind, leg, lane, now, start_s, now, (v.x, v.y), front, value, other, detail)
        )

    def _extend(self, number: int, key: str) -> None:
        """Move the end of a violation that goes on to now."""
        index = self._open.get((number, key))
        if index is not None:
            old = self.violations[index]
            self.violations[index] = Violation(**{**old.__dict__, "end_s": self.world.time_s})

    def _red_light(self, v: Vehicle, memory: _Memory, light: tuple[str, float]) -> None:
        """The front crosses the stop line after red onset plus grace; not a right turn after a full stop at the line."""
        line = v.to_line
        before, memory.line = memory.line, line
        state, since = light
        if state == RED and 0 < line < 5 and v.speed < 0.2:
            memory.full_stop = True
        if before is None or before <= 0 or line > 0:
            return
        share = before / (before - line) if before > line else 1.0
        crossed = self.world.time_s - STEP_S * (1 - share)
        memory.line_s = crossed
        self.counts[v.route.leg, f"in_{v.route.lane}", _turn_name(v.route.kind), v.kind] += 1
        state, since = self.world.plan.state(VEHICLE_GROUPS[v.route.leg], crossed)
        if state != RED or crossed - since <= self.rules.red_grace_s:
            return
        if _turn_name(v.route.kind) == "right" and memory.full_stop:
            return
        detail = "creeping" if v.speed < 3.0 else "fast"
        self._say(
            "red_light", v, v.route.leg, f"in_{v.route.lane}", crossed, crossed - since, time_s=crossed, detail=detail
        )

    def _amber(self, v: Vehicle, memory: _Memory, light: tuple[str, float]) -> None:
        """Faster than at amber onset by the factor, still ahead of the stop line."""
        state, since = light
        if state != AMBER:
            if state != RED:
                memory.amber = None
            return
        if memory.amber is None or abs(memory.amber[0] - since) > STEP_S:  # `since` is exact only to rounding
            fresh = self.world.time_s - since <= 2 * STEP_S
            counts = fresh and 0 < v.to_line < self.rules.amber_within_m and v.speed * 3.6 >= self.rules.amber_least_kmh
            memory.amber = (since, v.speed if counts else -1.0)
            memory.said.discard("amber")
        onset = memory.amber[1]
        if onset > 0 and v.to_line > 0 and "amber" not in memory.said and v.speed > self.rules.amber_factor * onset:
            memory.said.add("amber")
            self._say("amber_acceleration", v, v.route.leg, f"in_{v.route.lane}", since, v.speed / onset)
        elif "amber" in memory.said and v.to_line > 0:
            self._extend(v.number, "amber_acceleration" + v.route.leg)

    def _on_crosswalk(self, v: Vehicle, memory: _Memory, state: str) -> None:
        """At rest on the own approach's crosswalk while that approach has red."""
        way, overlap = v.route, self.rules.crosswalk_overlap_m
        on_it = v.s > way.cross_in_s[0] + overlap and v.s - v.length < way.cross_in_s[1] - overlap
        if not on_it or state != RED or v.speed * 3.6 > self.rules.crosswalk_below_kmh:
            memory.cross_since = -1.0
            memory.said.discard("cross")
            return
        if memory.cross_since < 0:
            memory.cross_since = self.world.time_s
        still = self.world.time_s - memory.cross_since
        if still >= self.rules.crosswalk_s and "cross" not in memory.said:
            memory.said.add("cross")
            self._say("stopped_on_crosswalk", v, way.leg, "crosswalk", memory.cross_since, still)
        elif "cross" in memory.said:
            self._extend(v.number, "stopped_on_crosswalk" + way.leg)

    def _turn(self, v: Vehicle, memory: _Memory) -> None:
        """A completed turn that is banned, when the front passes the exit line."""
        way = v.route
        if memory.turned or v.s < (way.cross_out_s[1] + 2.0 if way.exit == way.leg else way.cross_out_s[0] - 0.5):
            return
        memory.turned = True
        if (way.leg, way.exit) in BANNED_TURNS:
            detail = f"{way.leg} to {way.exit}"
            self._say("illegal_turn", v, way.leg, f"in_{way.lane}", max(memory.line_s, 0.0), 1.0, detail=detail)

    def _yield(self, v: Vehicle, memory: _Memory) -> None:
        """Entering a half of a crosswalk while someone is on it or about to step on it."""
        way = v.route
        for inbound, (start, end) in ((True, way.cross_in_s), (False, way.cross_out_s)):
            if inbound in memory.entered or v.s < start:
                continue
            memory.entered.add(inbound)
            if v.s > end or v.speed * 3.6 < self.rules.yield_least_kmh:
                continue
            leg = way.leg if inbound else way.exit
            found = self._someone(leg, inbound)
            if found is not None:
                zone = "conflict_in" if inbound else "conflict_out"
                self._say("failure_to_yield", v, leg, zone, self.world.time_s, v.speed * 3.6, other=found.number)

    def _someone(self, leg: str, inbound: bool) -> Pedestrian | None:
        layout, reach = self.world.layout, self.rules.yield_reach_m
        low, high = (0.0, layout.in_edge_m) if inbound else (layout.out_edge_m, 0.0)
        near, far = layout.crosswalk_m
        for p in self.world.pedestrians:
            if p.leg != leg or not near - 0.5 < p.out < far + 0.5 or not low - reach < p.side < high + reach:
                continue
            towards = p.side_speed if p.side < low else -p.side_speed
            if low <= p.side <= high or towards > self.rules.yield_approach_ms:
                return p
        return None

    def _places(self, v: Vehicle, memory: _Memory) -> None:
        """Rules that need only the place: wrong way, speeding, stopping where it is forbidden."""
        leg, out, side = nearest_leg(v.x, v.y)
        layout, now = self.world.layout, self.world.time_s
        in_lane = layout.stop_line_m < out < self.rules.lane_reach_m and layout.out_edge_m < side < layout.in_edge_m
        lane = f"{'in' if side > 0 else 'out'}_{int(abs(side) / layout.lane_width_m) + 1}"
        self._wrong_way(v, memory, leg, lane, in_lane, side > 0)
        self._speeding(v, memory, leg, lane, out, in_lane)
        near, far = layout.bay_m
        in_bay = near < out < far and layout.out_edge_m - layout.bay_width_m < side < layout.out_edge_m
        if not in_bay or v.speed * 3.6 > self.rules.stopped_below_kmh:
            memory.still_since = -1.0
            memory.said.discard("stopped")
        elif memory.still_since < 0:
            memory.still_since = now
        elif "stopped" in memory.said:
            self._extend(v.number, "stopped" + leg)
        elif now - memory.still_since >= self.rules.stopped_s:
            memory.said.add("stopped")
            self._say("stopped", v, leg, "no_stopping", memory.still_since, now - memory.still_since)

    def _wrong_way(self, v: Vehicle, memory: _Memory, leg: str, lane: str, in_lane: bool, inbound: bool) -> None:
        ux, uy = OUTWARD[leg]
        along = atan2(-uy, -ux) if inbound else atan2(uy, ux)
        angle = abs((v.heading - along + pi) % (2 * pi) - pi)
        if not in_lane or angle < self.rules.wrong_way_angle_deg * pi / 180:
            memory.wrong_since = -1.0
            memory.said.discard("wrong")
            return
        if memory.wrong_since < 0:
            memory.wrong_since, memory.wrong_from = self.world.time_s, (v.x, v.y)
        way = abs(v.x - memory.wrong_from[0]) + abs(v.y - memory.wrong_from[1])
        if "wrong" in memory.said:
            self._extend(v.number, "wrong_way" + leg)
        elif self.world.time_s - memory.wrong_since >= self.rules.wrong_way_s and way >= self.rules.wrong_way_m:
            memory.said.add("wrong")
            self._say("wrong_way", v, leg, lane, memory.wrong_since, angle * 180 / pi)

    def _speeding(self, v: Vehicle, memory: _Memory, leg: str, lane: str, out: float, in_lane: bool) -> None:
        """The median speed over any section of that length within an inbound or outbound lane, for more than a moment."""
        key = leg + lane[:-2]
        if not in_lane or memory.section_of != key:
            memory.section.clear()
            memory.fast_since = -1.0
        if not in_lane:
            return
        memory.section_of = key
        memory.section.append((out, v.speed))
        begin = len(memory.section) - 1
        while begin >= 0 and abs(out - memory.section[begin][0]) < self.rules.speeding_section_m:
            begin -= 1
        if begin < 0:
            return
        del memory.section[:begin]
        speeds = sorted(speed for _, speed in memory.section)
        median = speeds[len(speeds) // 2] * 3.6
        if median <= self.world.layout.limit_kmh + self.rules.speeding_tolerance_kmh:
            memory.fast_since = -1.0
            return
        if memory.fast_since < 0:
            memory.fast_since = self.world.time_s
        if self.world.time_s - memory.fast_since < self.rules.speeding_s:
            return
        if "fast" + key in memory.said:
            self._extend(v.number, "speeding" + leg)
            return
        memory.said.add("fast" + key)
        start_s = self.world.time_s - (len(speeds) - 1) * STEP_S
        self._say("speeding", v, leg, _lane_of(v, leg), start_s, median)

    def _jaywalking(self, p: Pedestrian) -> None:
        """On the carriageway outside a crosswalk, or on one having entered it against don't walk.

        Within `kerb_m` of the kerb nobody has entered yet: who waits there through walk, and goes on after it, entered late.
        """
        layout, kerb_m, now = self.world.layout, self.rules.kerb_m, self.world.time_s
        if not p.leg:
            return
        on_road = layout.out_edge_m + kerb_m < p.side < layout.in_edge_m - kerb_m and p.out > layout.crosswalk_m[0] - 4
        if not on_road:
            self._pedestrians.pop(p.number, None)
            return
        margin = self.rules.crosswalk_margin_m
        on_crosswalk = layout.crosswalk_m[0] - margin < p.out < layout.crosswalk_m[1] + margin
        if p.number not in self._pedestrians:
            red = self.world.plan.state(CROSSWALK_GROUPS[p.leg], now)[0] == RED
            self._pedestrians[p.number] = (now, not on_crosswalk or red)
        since, wrong = self._pedestrians[p.number]
        if not wrong:
            return
        key = (p.number, "jaywalking" + p.leg)
        if key in self._open:
            self._extend(*key)
        elif now - since >= self.rules.jaywalking_s:
            self._open[key] = len(self.violations)
            zone, detail = (
                ("crosswalk", "against don't walk") if on_crosswalk else ("carriageway", "outside a crosswalk")
            )
            place = (p.x, p.y)
            self.violations.append(
                Violation(
                    "jaywalking",
                    p.number,
                    "pedestrian",
                    p.leg,
                    zone,
                    now,
                    since,
                    now,
                    place,
                    place,
                    now - since,
                    -1,
                    detail,
                )
            )

    def _near_miss(self, found: Conflict) -> None:
        """A pair that came within the time to collision, or the post-encroachment time."""
        if found.pet_s > self.rules.pet_s and found.ttc_s > self.rules.ttc_s:
            return
        leg = nearest_leg(*found.ground_m)[0]
        kinds = {v.number: v.kind for v in self.world.vehicles}
        by_pet = found.pet_s <= self.rules.pet_s
        self.violations.append(
            Violation(
                "near_miss",
                found.actor,
                kinds.get(found.actor, "pedestrian"),
                leg,
                "",
                found.time_s,
                found.start_s,
                found.time_s,
                found.ground_m,
                found.ground_m,
                found.pet_s if by_pet else found.ttc_s,
                found.other,
                "pet" if by_pet else "ttc",
            )
        )


def _turn_name(kind: str) -> str:
    return "through" if kind == "wrong_way" else kind.removeprefix("bay_")


def _lane_of(v: Vehicle, where: str) -> str:
    return f"in_{v.route.lane}" if where == v.route.leg and v.to_line > -20 else f"out_{v.route.exit_lane}"
