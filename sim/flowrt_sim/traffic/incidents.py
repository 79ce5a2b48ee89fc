"""Incidents: what makes drivers and pedestrians commit the violations that rules look for, and lawful look-alikes.

Each incident comes due at random times with a mean interval and then waits for a situation in which it can happen without
a crash. A scenario chooses the incidents and their intervals. The referee never reads anything from here.

A new incident is a name in `scenarios` and a method of the director that begins it, entered in `_begin`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from math import sqrt

import numpy as np

from flowrt_sim.scenarios import SCENARIOS
from flowrt_sim.street.layout import LEGS
from flowrt_sim.street.route import ENTRY_M, route
from flowrt_sim.street.signals import AMBER, CROSSWALK_GROUPS, GREEN, RED, VEHICLE_GROUPS
from flowrt_sim.traffic.arrivals import enter
from flowrt_sim.traffic.pedestrians import spawn_pedestrian
from flowrt_sim.traffic.road_users import Pedestrian, Vehicle
from flowrt_sim.traffic.world import Blockage, World

CAR_M = 4.6
"""A vehicle enters with its rear at the edge of the world, so its front is a vehicle's length nearer to the line."""
AT_AMBER = ("red_light", "past_line_at_red", "amber_acceleration", "stopped_on_crosswalk", "hard_stop")
"""Incidents that begin at the onset of amber, with a vehicle that enters for them or that happens to come."""


class Director:
    """Decides in each step which of the due incidents begin, and counts them in `begun`. Raises KeyError for an unknown scenario."""

    def __init__(self, world: World, scenario: str, rng: np.random.Generator) -> None:
        self.world, self.rng = world, rng
        self.every_s = SCENARIOS[scenario]
        self.begun: Counter[str] = Counter()
        self.due_s = {incident: float(rng.exponential(every)) for incident, every in self.every_s.items()}
        self._amber = dict.fromkeys(LEGS, False)
        self._prepared_s: dict[tuple[str, str], float] = {}
        self._careless: list[tuple[Vehicle, float]] = []
        self._begin: dict[str, Callable[[], bool]] = {
            "red_light_creep": self._red_light_creep,
            "wrong_way": self._wrong_way,
            "speeding": self._speeding,
            "illegal_turn": self._illegal_turn,
            "stopped": self._stopped,
            "jaywalking": self._jaywalking,
            "jaywalking_midblock": self._jaywalking_midblock,
            "failure_to_yield": self._failure_to_yield,
            "near_miss": self._near_miss,
            "near_miss_turning": self._near_miss_turning,
            "right_on_red": self._right_on_red,
            "spill_back": self._spill_back,
            "waiting_pedestrian": self._waiting_pedestrian,
            "short_stop": self._short_stop,
        }

    def step(self) -> None:
        """Begin what is due and possible."""
        world, now = self.world, self.world.time_s
        self._careless = [(v, until) for v, until in self._careless if self._is_careless(v, until)]
        for leg in LEGS:
            amber = world.plan.state(VEHICLE_GROUPS[leg], now)[0] == AMBER
            if amber and not self._amber[leg]:
                self._at_amber(leg)
            self._amber[leg] = amber
        if world.steps % 5:
            return
        for incident, due in self.due_s.items():
            if now < due:
                continue
            if incident in AT_AMBER:
                self._prepare(incident)
            elif self._begin[incident]():
                self._done(incident)

    def _done(self, incident: str) -> None:
        self.begun[incident] += 1
        self.due_s[incident] = self.world.time_s + float(self.rng.exponential(self.every_s[incident]))

    def _due(self, incident: str) -> bool:
        return self.world.time_s >= self.due_s.get(incident, float("inf"))

    @staticmethod
    def _is_careless(v: Vehicle, until_s: float) -> bool:
        """Whether a careless driver has not come so far along its route yet."""
        if v.s < until_s:
            return True
        v.careless = False
        return False

    def _pick(self) -> list[str]:
        """The legs in a random order."""
        return [LEGS[int(i)] for i in self.rng.permutation(4)]

    def _at_amber(self, leg: str) -> None:
        """Let the first driver of each lane that would stop begin an incident instead."""
        lookups, amber = self.world.lookups, self.world.plan.amber_s
        for lane in (1, 2):
            queue = [v for v in lookups.inbound.get((leg, lane), ()) if v.to_line > 0]
            if queue and self._accelerate(queue[0], amber):
                continue
            for v in queue:
                if v.speed**2 >= 2 * 3.2 * max(v.to_line - 0.4, 0.01):
                    continue
                self._tempt(v, amber)
                break

    def _prepare(self, incident: str) -> None:
        """Let a vehicle enter that meets the next amber at the right place for an incident; see `_tempt`."""
        world, amber = self.world, self.world.plan.amber_s
        after_s, at_m = {
            "red_light": (amber + 1.25, 0.0),
            "past_line_at_red": (amber - 0.55, 0.0),
            "amber_acceleration": (0.0, 19.0),
            "stopped_on_crosswalk": (0.0, 22.5),
            "hard_stop": (0.0, 24.0),
        }[incident]
        for leg in self._pick():
            state, _ = world.plan.state(VEHICLE_GROUPS[leg], world.time_s)
            onset = world.plan.next_change_s(VEHICLE_GROUPS[leg], world.time_s) - world.time_s
            if state != GREEN or self._prepared_s.get((incident, leg), -99.0) > world.time_s - 20:
                continue
            speed = (ENTRY_M - world.layout.stop_line_m - CAR_M - at_m) / max(onset + after_s, 0.1)
            lane = int(self.rng.integers(1, 3))
            if not 11.2 < speed < 13.2 or not self._empty(leg, lane, onset + after_s):
                continue
            if enter(
                world, str(self.rng.choice(["car", "car", "van"])), route(world.layout, leg, lane, "through"), speed
            ):
                self._prepared_s[incident, leg] = world.time_s
                return

    def _empty(self, leg: str, lane: int, arrival_s: float) -> bool:
        """Whether all vehicles ahead in a lane will have passed the line well before a new one arrives."""
        for v in self.world.lookups.inbound.get((leg, lane), ()):
            if v.in_exit < 0 and (v.speed < 7 or v.route.kind != "through" or v.to_line / v.speed + 2.4 > arrival_s):
                return False
        return self.world.closed_until_s.get((leg, lane), -1.0) < self.world.time_s

    def _tempt(self, v: Vehicle, amber: float) -> None:
        line, speed = v.to_line, max(v.speed, 0.1)
        if (
            v.kind == "bicycle"
            or v.route.kind != "through"
            or v.mode
            or speed < 5
            or self.world.is_closed(v.route.exit, v.route.exit_lane)
        ):
            return
        late = line / speed - amber
        if self._due("red_light") and 0.75 < late < 1.9 and speed > 8:
            v.mode = "run_red"
            self._done("red_light")
        elif self._due("past_line_at_red") and -0.9 < late < -0.25:
            v.mode = "run_red"
            self._done("past_line_at_red")
        elif self._due("stopped_on_crosswalk") and self._overshoot(v, amber):
            self._done("stopped_on_crosswalk")
        elif self._due("hard_stop") and speed > 8 and speed**2 / 9.5 < line - 0.7:
            v.mode, v.stop_at_s = "hard_stop", v.route.stop_s - 0.7
            self._done("hard_stop")

    def _accelerate(self, v: Vehicle, amber: float) -> bool:
        """Speed up, and pass the line before red."""
        line, speed = v.to_line, v.speed
        free = (
            v.kind in ("car", "motorcycle", "van")
            and v.route.kind == "through"
            and not v.mode
            and not self.world.is_closed(v.route.exit, v.route.exit_lane)
        )
        if not self._due("amber_acceleration") or not free or not (13 < line < 23 and 6.5 < speed < 13.4):
            return False
        if line / (speed * 1.15) > amber - 0.3:
            return False
        v.mode, v.desired_speed = "amber_acceleration", speed * 1.38
        self._done("amber_acceleration")
        return True

    def _overshoot(self, v: Vehicle, amber: float) -> bool:
        """Pass the line at amber but come to rest with the front on the crosswalk."""
        beyond = float(self.rng.uniform(3.4, 4.0))
        braking = v.speed**2 / (2 * (v.to_line + beyond))
        if not 1.0 < braking < 3.4:
            return False
        at_line = sqrt(v.speed**2 - 2 * braking * v.to_line)
        if (v.speed - at_line) / braking > amber - 0.5:
            return False
        v.mode, v.stop_at_s = "overshoot", v.route.stop_s + beyond
        return True

    def _red_light_creep(self) -> bool:
        """Roll slowly over the line while waiting at red; sometimes onto the crosswalk."""
        world = self.world
        for leg in self._pick():
            group = VEHICLE_GROUPS[leg]
            state, since = world.plan.state(group, world.time_s)
            left = world.plan.next_change_s(group, world.time_s) - world.time_s
            if state != RED or left < 9 or world.time_s - since < 5:
                continue
            for lane in (1, 2):
                queue = [v for v in world.lookups.inbound.get((leg, lane), ()) if v.to_line > 0]
                if not queue:
                    continue
                v = queue[0]
                if v.speed > 0.1 or v.to_line > 3 or v.route.kind != "through" or v.mode or v.kind == "bicycle":
                    continue
                far = self.rng.random() < 0.35 and not world.lookups.busy.get((leg, True))
                v.mode = "creep"
                v.stop_at_s = v.route.stop_s + (3.7 if far else float(self.rng.uniform(1.1, 1.5)))
                v.stopped_since_s = -1.0
                return True
        return False

    def _wrong_way(self) -> bool:
        """Overtake in the opposing lane of an approach while no vehicle comes, with room to come back behind the queue."""
        world = self.world
        for leg in self._pick():
            queue = world.lookups.inbound.get((leg, 1), [])
            if any(v.to_line + v.length > 10 for v in queue):
                continue
            if any(v.in_exit < 62 or v.speed < 8 for v in world.lookups.outbound.get((leg, 1), ())):
                continue
            bound = [v for v in world.vehicles if v.route.exit == leg and v.route.exit_lane == 1 and v.in_exit < 0]
            coming = any(v.speed**2 > 5.0 * v.to_line or v.mode for v in bound)
            if coming or any(p.leg == leg and p.mode for p in world.pedestrians):
                continue
            kind = str(self.rng.choice(["car", "motorcycle", "van"]))
            if enter(world, kind, route(world.layout, leg, 1, "wrong_way"), float(self.rng.uniform(9.5, 12.0))):
                world.closed_until_s[leg, 1] = world.time_s + 13.0
                return True
        return False

    def _speeding(self) -> bool:
        """Enter an empty lane, fast, so as to meet a green light."""
        world = self.world
        for leg in self._pick():
            for lane in (1, 2):
                speed = float(self.rng.uniform(18.5, 23.0))
                arrival = 116.0 / speed
                state = world.plan.state(VEHICLE_GROUPS[leg], world.time_s + arrival)
                if state[0] != GREEN or world.time_s + arrival - state[1] < 4.0:
                    continue
                if world.plan.state(VEHICLE_GROUPS[leg], world.time_s + arrival + 1.5)[0] != GREEN:
                    continue
                if not self._empty(leg, lane, arrival):
                    continue
                kind = str(self.rng.choice(["car", "car", "motorcycle", "van"]))
                way = route(world.layout, leg, lane, "through")
                if enter(world, kind, way, speed):
                    return True
        return False

    def _spawn_turn(self, leg: str, lane: int, way: str, kinds: list[str]) -> Vehicle | None:
        world = self.world
        queue = world.lookups.inbound.get((leg, lane), ())
        if len(queue) > 5:
            return None
        return enter(world, str(self.rng.choice(kinds)), route(world.layout, leg, lane, way))

    def _illegal_turn(self) -> bool:
        for leg in self._pick():
            way = "left" if leg in ("east", "west") and self.rng.random() < 0.5 else "u_turn"
            if self._spawn_turn(leg, 1, way, ["car", "motorcycle"]) is not None:
                return True
        return False

    def _bay(self, hold_s: float) -> bool:
        world = self.world
        for leg in self._pick():
            way = route(world.layout, leg, 2, "bay_right" if self.rng.random() < 0.3 else "bay_through")
            if any(v.hold_s > 0 and v.route.exit == way.exit for v in world.vehicles):
                continue
            v = self._spawn_turn(leg, 2, way.kind, ["car", "car", "van"])
            if v is not None:
                v.hold_s = hold_s
                return True
        return False

    def _stopped(self) -> bool:
        return self._bay(float(self.rng.uniform(17, 28)))

    def _short_stop(self) -> bool:
        return self._bay(float(self.rng.uniform(1.5, 3.0)))

    def _quiet_legs(self) -> list[str]:
        """The legs without a pedestrian of an incident, in a random order."""
        acting = {p.leg for p in self.world.pedestrians if p.mode}
        return [leg for leg in self._pick() if leg not in acting]

    def _jaywalking(self) -> bool:
        """Cross at the crosswalk against Don't Walk, in a gap."""
        for leg in self._quiet_legs():
            if self.world.plan.state(CROSSWALK_GROUPS[leg], self.world.time_s)[0] == RED:
                return self._send(spawn_pedestrian(self.world, leg, "jaywalk"), hurry=1.25, patience_s=45.0)
        return False

    def _jaywalking_midblock(self) -> bool:
        """Cross the road away from the crosswalk, in a gap."""
        for leg in self._quiet_legs():
            if not self.world.is_closed(leg, 1):
                out_m = float(self.rng.uniform(24, 42))
                return self._send(spawn_pedestrian(self.world, leg, "jaywalk_mid", out_m), hurry=1.25, patience_s=60.0)
        return False

    def _near_miss(self) -> bool:
        """A pedestrian runs over the road just in front of a vehicle of the kerb lane."""
        for leg in self._quiet_legs():
            if not self.world.is_closed(leg, 1):
                pedestrian = spawn_pedestrian(self.world, leg, "dash", float(self.rng.uniform(26, 40)), True)
                pedestrian.pace = 1.4
                return self._send(pedestrian, hurry=2.1, patience_s=90.0)
        return False

    def _near_miss_turning(self) -> bool:
        """A pedestrian steps off at Walk, and a vehicle that turns right passes just behind."""
        for leg in self._quiet_legs():
            return self._send(spawn_pedestrian(self.world, leg, "step_out", inbound=False), hurry=1.2, patience_s=90.0)
        return False

    def _waiting_pedestrian(self) -> bool:
        """A pedestrian stands at the kerb for a while and goes back."""
        pedestrian = spawn_pedestrian(self.world, LEGS[int(self.rng.integers(4))], "linger")
        return self._send(pedestrian, hurry=1.0, patience_s=float(self.rng.uniform(8, 20)))

    def _send(self, pedestrian: Pedestrian, hurry: float, patience_s: float) -> bool:
        pedestrian.hurry, pedestrian.patience_s = hurry, patience_s
        self.world.pedestrians.append(pedestrian)
        return True

    def _failure_to_yield(self) -> bool:
        """A right turner drives on although a pedestrian is on the crosswalk, passing clear of it."""
        layout = self.world.layout
        for v in self.world.vehicles:
            way = v.route
            ahead = way.cross_out_s[0] - v.s
            if way.kind != "right" or v.to_line > -1 or not 1.0 < ahead < 6.0 or v.speed < 1.0 or v.red_turn:
                continue
            speed = max(v.speed, 3.2)
            arrive, leave = ahead / speed, (ahead + v.length + 3.5) / speed
            lane, half = layout.lane_side_m(way.exit_lane, False), v.width / 2 + 1.3
            pedestrians = [p for p in self.world.pedestrians if p.leg == way.exit and p.crossing and 9.5 < p.out < 15]
            clear = all(
                (p.side + p.side_speed * arrive - lane) * (p.side + p.side_speed * leave - lane) > 0
                and min(abs(p.side + p.side_speed * t - lane) for t in (arrive, leave)) > half
                for p in pedestrians
            )
            on_half = any(layout.out_edge_m + 0.3 < p.side + p.side_speed * arrive < -0.3 for p in pedestrians)
            if clear and on_half:
                v.careless = True
                self._careless.append((v, way.cross_out_s[1] + v.length))
                return True
        return False

    def _spill_back(self) -> bool:
        """Traffic stands behind a blockage further down an exit."""
        leg = LEGS[int(self.rng.integers(4))]
        lane = int(self.rng.integers(1, 3))
        self.world.blockages = [b for b in self.world.blockages if b.until_s > self.world.time_s]
        out_m, lasts_s = float(self.rng.uniform(45, 60)), float(self.rng.uniform(20, 35))
        self.world.blockages.append(Blockage(leg, lane, out_m, self.world.time_s + lasts_s))
        return True

    def _right_on_red(self) -> bool:
        """A right turner that turns after a full stop."""
        for leg in self._pick():
            v = self._spawn_turn(leg, 2, "right", ["car", "van", "motorcycle"])
            if v is not None:
                v.may_turn_on_red = True
                return True
        return False
