"""How drivers decide: car following, signals, priority, pedestrians, and obstacles on the path.

The acceleration is the least of the intelligent driver model's answers to each of these (Treiber, Hennecke and Helbing
2000), from the look-ups of the present step.
"""

from __future__ import annotations

from math import cos, inf, pi, sqrt

import numpy as np

from flowrt_sim.street.route import SPACING_M
from flowrt_sim.street.signals import AMBER, GREEN, RED
from flowrt_sim.traffic.priority import EASY_BRAKE, cross_runner, gap_is_free, in_bay, red_turn_is_free, room_behind
from flowrt_sim.traffic.road_users import Vehicle
from flowrt_sim.traffic.world import World

HARDEST_BRAKING = 8.5
SIGHT_M = 26.0
"""Obstacles on the path are heeded at least this far ahead."""


def follow(v: Vehicle, gap: float, leader_speed: float, hard: bool = True) -> float:
    """The intelligent driver model's interaction with a leader at `gap` metres (only its braking part)."""
    style = v.style
    gap = max(gap, 0.05)
    closing = v.speed - leader_speed
    desired_gap = style.gap_m + max(
        v.speed * style.headway_s + v.speed * closing / (2 * sqrt(style.acceleration * style.braking)), 0.0
    )
    wanted = style.acceleration * (1 - (v.speed / max(v.desired_speed, 0.1)) ** 4 - (desired_gap / gap) ** 2)
    if closing > 0:
        needed = closing * closing / (2 * max(gap - 1.0, 0.1))
        if needed > style.braking * 1.6:
            wanted = min(wanted, -needed * 1.15)
    return max(wanted, -HARDEST_BRAKING if hard else -4.5)


def halt(v: Vehicle, distance: float, late: bool = False) -> float:
    """Acceleration to come to rest with the front at `distance` metres: with the style's braking, or `late` and hard."""
    if distance <= 0.25:
        return -HARDEST_BRAKING if v.speed > 0.3 else -2.0
    needed = v.speed * v.speed / (2 * distance)
    if late and v.speed > 3.0 and needed < 4.8:
        return inf
    if needed < 0.6 * v.style.braking:
        return inf if needed < 0.4 * v.style.braking or (v.speed < 0.8 and distance > 1.5) else -needed * 0.9
    return max(-needed * 1.03, -HARDEST_BRAKING)


def drive(world: World, v: Vehicle) -> float:
    """The acceleration that a driver chooses now."""
    way, style = v.route, v.style
    desired = v.desired_speed
    if v.amber_speed >= 0 and v.to_line > 0 and v.mode != "amber_acceleration":
        desired = min(desired, max(v.amber_speed, 1.5))
    limit = _turn_limit(v, desired)
    free = style.acceleration * (1 - (v.speed / max(limit, 0.3)) ** 4)
    if v.mode == "amber_acceleration" and v.to_line > -8 and v.speed < desired:
        free = 3.6
    best = max(free, -2.6 if v.speed < limit + 4 else -3.5)
    best = min(best, _leaders(world, v), _crossers(world, v))
    if v.to_line > -0.3 or way.kind in ("left", "u_turn") or v.s < way.cross_out_s[1]:
        best = min(best, _junction(world, v))
    if v.to_line < 52:
        best = min(best, _in_the_way(world, v))
    best = min(best, _holds(world, v))
    return max(best, -HARDEST_BRAKING)


def _turn_limit(v: Vehicle, desired: float) -> float:
    start, end = v.route.turn_s
    if end <= 0 or v.s - v.length * 0.5 > end:
        return desired
    speed = v.route.turn_speed_ms
    ahead = start - v.s
    return min(desired, speed if ahead <= 0 else sqrt(speed * speed + 2 * 1.9 * ahead))


def _leaders(world: World, v: Vehicle) -> float:
    """The vehicle ahead in the inbound lane or in the exit lane."""
    best, lookups, way = inf, world.lookups, v.route
    if v.to_line > -8:
        ahead = None
        for other in lookups.inbound.get((way.leg, way.lane), ()):
            if other is v:
                break
            if other.route.kind != "wrong_way" or other.s > other.route.stop_s - 30 or other.s < 40:
                ahead = other
        if ahead is not None:
            best = follow(v, v.to_line - ahead.to_line - ahead.length, ahead.speed)
    if v.in_exit > -8:
        near = inf
        for other in lookups.outbound.get((way.exit, way.exit_lane), ()):
            gap = other.in_exit - other.length - v.in_exit
            if other is v or other.in_exit <= v.in_exit or in_bay(other) != in_bay(v):
                continue
            if gap < near:
                near = gap
                best = min(best, follow(v, gap, other.speed))
    for leg, lane, out, until in world.blockages:
        if way.exit == leg and way.exit_lane == lane and world.time_s < until:
            gap = out - world.layout.crosswalk_m[0] - v.in_exit
            if gap > 0 and v.in_exit > -8:
                best = min(best, follow(v, gap, 0.0))
    return best


def _crossers(world: World, v: Vehicle) -> float:
    """Pedestrians on the carriageway away from the crosswalks."""
    best, layout = inf, world.layout
    for leg in (v.route.leg, v.route.exit):
        for p in world.lookups.on_road[leg]:
            inbound = leg == v.route.leg and v.to_line > -5
            if leg == v.route.leg and leg != v.route.exit and not inbound:
                continue
            lane = v.route.lane if inbound else v.route.exit_lane
            side = layout.lane_side_m(lane, inbound)
            soon = p.side + p.side_speed * (1.2 if p.mode == "dash" else 2.2)
            low, high = min(p.side, soon), max(p.side, soon)
            if high < side - 1.7 or low > side + 1.7:
                continue
            at = (
                v.route.stop_s + layout.stop_line_m - p.out
                if inbound
                else v.route.exit_s + p.out - layout.crosswalk_m[0]
            )
            gap = at - v.s - 0.9
            if gap > -0.5 and not (p.mode == "dash" and v.careless):
                best = min(best, follow(v, gap, 0.0))
    return best


def _junction(world: World, v: Vehicle) -> float:
    """Signals, room behind the crosswalk, pedestrians on crosswalks, traffic with priority."""
    lookups, way = world.lookups, v.route
    state, since = lookups.lights[way.leg]
    best, line = inf, v.to_line
    if line > 0:
        if state != AMBER:
            v.amber_speed = -1.0
        elif v.amber_speed < 0:
            v.amber_speed = v.speed
        if _must_stop(world, v, state):
            rest = line - 0.9 if v.stop_at_s < 0 else v.stop_at_s - v.s
            best = min(best, halt(v, rest, late=v.mode == "hard_stop"))
            if v.stop_at_s < 0:
                best = min(best, follow(v, rest + v.style.gap_m - 0.3, 0.0, hard=False))
    elif v.stop_at_s > 0 and v.mode in ("overshoot", "creep"):
        best = min(best, halt(v, v.stop_at_s - v.s))
        green_s = world.time_s - since
        if state == GREEN and green_s > 1.0 and not cross_runner(world, v, green_s):
            v.mode, v.stop_at_s = "", -1.0
    for inbound, (start, _end) in ((True, way.cross_in_s), (False, way.cross_out_s)):
        if v.s < start and start - v.s < 32 and not v.careless:
            leg = way.leg if inbound else way.exit
            if lookups.busy.get((leg, inbound)):
                rest = start - 0.7 - v.s if not inbound or line < 0.4 else line - 0.5
                if rest > 0 and v.speed * v.speed / (2 * max(rest, 0.1)) < 6.5:
                    best = min(best, halt(v, rest))
    wait = way.wait_s if way.kind == "left" else max(way.wait_s, way.cross_in_s[1] + min(v.length, 4.5) - 0.3)
    waits = way.kind in ("left", "u_turn") and way.stop_s - 25 < v.s < wait + 0.6
    if waits and not gap_is_free(world, v):
        best = min(best, halt(v, wait - v.s))
    return best


def _must_stop(world: World, v: Vehicle, state: str) -> bool:
    """Whether the driver has to stop at the line now."""
    way, line, lookups = v.route, v.to_line, world.lookups
    if v.mode == "run_red" and v.speed < 6.0 and line > 1.0:
        v.mode = ""
    if v.mode == "run_red" or v.mode == "creep":
        return False
    if v.mode in ("overshoot", "hard_stop"):
        if state == GREEN:
            v.mode, v.stop_at_s = "", -1.0
        return state != GREEN
    closed = world.is_closed(way.exit, way.exit_lane) and way.kind != "wrong_way"
    if closed and v.speed * v.speed < 2 * 4.0 * line:
        return True
    if state == GREEN:
        since = world.time_s - lookups.lights[way.leg][1]
        return not room_behind(world, v) or (since < 20.0 and line < 30 and cross_runner(world, v, since))
    if v.red_turn:
        return False
    if (
        state == RED
        and v.may_turn_on_red
        and v.stopped_since_s >= 0
        and line < 3.0
        and world.time_s - v.stopped_since_s > 1.2
    ) and red_turn_is_free(world, v):
        v.red_turn = True
        return False
    return (v.mode == "amber_acceleration" and state == RED) or (
        v.speed * v.speed < 2 * EASY_BRAKE * max(line - 0.4, 0.01) and (v.mode != "amber_acceleration")
    )


def _in_the_way(world: World, v: Vehicle) -> float:
    """Obstacles on the path within sight, inside the box: their discs against points of the path."""
    lookups, way = world.lookups, v.route
    sight = max(SIGHT_M, 8 + 0.12 * v.speed * v.speed)
    if len(lookups.discs) == 0 or v.to_line > sight - 8 or v.in_exit > 12:
        return inf
    first = int(v.s / SPACING_M)
    look = int(min(sight, 8 + 2.2 * v.speed) / SPACING_M)
    path = way.points_m[first : first + look : 2]
    if len(path) == 0:
        return inf
    heeded = lookups.owners != v.number
    if v.careless:
        heeded &= ~np.isin(lookups.owners, lookups.overlooked)
    discs = lookups.discs[heeded]
    if len(discs) == 0:
        return inf
    dx = path[:, 0, None] - discs[None, :, 0]
    dy = path[:, 1, None] - discs[None, :, 1]
    hit = dx * dx + dy * dy < (discs[:, 2] + v.width / 2 + 0.25) ** 2
    rows = hit.argmax(axis=0)
    best = inf
    for index in np.flatnonzero(hit[rows, np.arange(len(discs))]):
        _, _, _, speed, heading = discs[index]
        turn = abs((heading - v.heading + pi) % (2 * pi) - pi)
        along = max(cos(turn), 0.0) * speed
        gap = rows[index] * 2 * SPACING_M - 0.3
        if v.to_line > 0.5 and turn > 0.8:
            gap = min(gap, max(v.to_line + 1.2, 0.3)) if gap > v.to_line else gap
        best = min(best, follow(v, float(gap), float(along)))
    return best


def _holds(world: World, v: Vehicle) -> float:
    """A planned stop in the bay, which ends when the lane is free."""
    hold = v.route.hold_s
    if hold <= 0 or v.hold_s <= 0 or v.s > hold + 3:
        return inf
    if v.hold_until_s < 0:
        if hold - v.s < 0.7 and v.speed < 0.3:
            v.hold_until_s = world.time_s + v.hold_s
    elif world.time_s >= v.hold_until_s:
        behind = world.lookups.outbound.get((v.route.exit, v.route.exit_lane), ())
        if not any(
            o is not v and not in_bay(o) and -4 - o.speed * 2.7 < o.in_exit - v.in_exit < v.length + 5 for o in behind
        ):
            v.hold_s = 0.0
            return inf
    return halt(v, hold - v.s)
