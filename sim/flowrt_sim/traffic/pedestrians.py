"""Pedestrians: where they walk, when they step off the kerb, and how they keep clear of vehicles."""

from __future__ import annotations

from math import atan2, copysign, cos, hypot, sin, sqrt

import numpy as np

from flowrt_sim.street.layout import CLOCKWISE, LEGS, OPPOSITE, Layout, to_leg
from flowrt_sim.street.signals import CROSSWALK_GROUPS, GREEN, RED, VEHICLE_GROUPS
from flowrt_sim.traffic.road_users import Pedestrian, Vehicle, pedestrian_look
from flowrt_sim.traffic.world import World

KERB_M = 1.1
"""How far from the edge of the kerb pedestrians wait."""
REACTION_S = 1.2
"""A pedestrian that stopped for a vehicle walks on this long after the vehicle is out of the way."""
PATIENCE_S = 6.0
"""Held up for this long, a pedestrian walks round a standing vehicle: its driver may be waiting for that pedestrian."""
STEP_OFF_S = 5.0
"""Pedestrians start only in the first seconds of Walk, so that all are over before traffic starts."""


def spawn_pedestrian(
    world: World, leg: str | None = None, mode: str = "", out_m: float | None = None, inbound: bool | None = None
) -> Pedestrian:
    """A new pedestrian that crosses a leg at its crosswalk, or elsewhere at `out_m`, starting on the given side."""
    rng, layout = world.rng, world.layout
    leg = leg or LEGS[int(rng.integers(4))]
    inbound = bool(rng.random() < 0.5) if inbound is None else inbound
    shape, colours = pedestrian_look(rng)
    pace = float(rng.uniform(1.15, 1.6))
    shift = float(rng.uniform(-0.7, 0.9))
    near, far = layout.crosswalk_m
    cross = out_m if out_m is not None else float(rng.uniform(near + 0.6, far - 0.5))
    edge_in, edge_out = layout.in_edge_m, layout.out_edge_m
    if out_m is not None and layout.bay_m[0] - 4 < cross < layout.bay_m[1] + 4:
        edge_out -= layout.bay_width_m
    kerb_in = _point(world, leg, cross, edge_in + KERB_M + float(rng.uniform(0, 0.5)))
    kerb_out = _point(world, leg, cross, edge_out - KERB_M - float(rng.uniform(0, 0.5)))
    away = float(rng.uniform(28, 60)) + (cross if out_m is not None else 0)
    if out_m is None and rng.random() < 0.5:
        other = CLOCKWISE[OPPOSITE[leg]] if inbound else CLOCKWISE[leg]
        approach = _sidewalk(layout, other, not inbound, away, 16.0, shift)
    else:
        approach = _sidewalk(layout, leg, inbound, away, cross + 1.5, shift)
    goal = _sidewalk(layout, leg, not inbound, cross + 1.5, away + 5, shift)
    kerbs = [kerb_in, kerb_out] if inbound else [kerb_out, kerb_in]
    points = [*approach, *kerbs, *goal]
    if mode:
        points, approach = points[len(approach) - 1 :], approach[-1:]
    pedestrian = Pedestrian(world.new_number(), shape, colours, points, pace, leg, len(approach), mode=mode)
    pedestrian.out, pedestrian.side = to_leg(leg, pedestrian.x, pedestrian.y)
    return pedestrian


def _point(world: World, leg: str, out: float, side: float) -> tuple[float, float]:
    x, y = world.layout.world(leg, [(out, side)])[0]
    return float(x), float(y)


def _sidewalk(
    layout: Layout, leg: str, inbound: bool, start: float, end: float, shift: float
) -> list[tuple[float, float]]:
    """Points along a leg's sidewalk between two distances from the middle, around the bay on the outbound side."""
    offset = layout.sidewalk_width_m * 0.5 + shift
    if inbound:
        outs = [(start, layout.in_edge_m + offset), (end, layout.in_edge_m + offset)]
        return [(float(p[0]), float(p[1])) for p in layout.world(leg, outs)]
    plain, wide = layout.out_edge_m - offset, layout.out_edge_m - offset - layout.bay_width_m
    near, far = layout.bay_m
    bends = [(near - 5, plain), (near - 1.5, wide), (far + 1.5, wide), (far + 5, plain)]
    low, high = min(start, end), max(start, end)
    outs = [(start, _side(bends, start)), *[b for b in (bends if start < end else bends[::-1]) if low < b[0] < high]]
    outs.append((end, _side(bends, end)))
    return [(float(p[0]), float(p[1])) for p in layout.world(leg, outs)]


def _side(bends: list[tuple[float, float]], out: float) -> float:
    return float(np.interp(out, [b[0] for b in bends], [b[1] for b in bends]))


def step_pedestrians(world: World, step_s: float) -> None:
    """Move all pedestrians by one step; those at their goal leave."""
    world.pedestrians = [p for p in world.pedestrians if _step(world, p, step_s)]


def _step(world: World, p: Pedestrian, step_s: float) -> bool:
    at_gate = p.next == p.gate + 1 and not p.crossing
    if at_gate:
        if not _may_cross(world, p):
            p.speed, p.side_speed = 0.0, 0.0
            if p.waiting_since_s < 0:
                p.waiting_since_s = world.time_s
            if p.patience_s and world.time_s - p.waiting_since_s > p.patience_s:
                _turn_back(p)
            return True
        p.crossing = True
    target = p.points[p.next]
    pace = p.pace * (p.hurry if p.crossing else 1.0)
    if p.crossing:
        target = _around(world, p, target)
        held_by = _held_by(world, p, target)
        if held_by is not None:
            p.held_s += step_s
            if p.held_s > PATIENCE_S and held_by.speed < 0.1:
                target = _round_vehicle(p, held_by, target)
                held_by = _held_by(world, p, target, room_m=0.3)
        if held_by is not None:
            p.let_pass_s = world.time_s
        if world.time_s - p.let_pass_s < REACTION_S:
            pace = 0.0
    dx, dy = target[0] - p.x, target[1] - p.y
    left = hypot(dx, dy)
    move = min(pace * step_s, left)
    if left > 1e-6 and move > 0:
        p.heading = atan2(dy, dx)
        p.x += dx / left * move
        p.y += dy / left * move
    p.speed = pace
    p.stride += 5.2 * move / max(0.75 * p.shape.height_m / 1.7, 0.3)
    old_side = p.side
    p.out, p.side = to_leg(p.leg, p.x, p.y)
    p.side_speed = (p.side - old_side) / step_s
    if hypot(p.points[p.next][0] - p.x, p.points[p.next][1] - p.y) < 0.15 + (0.9 if p.crossing else 0.0):
        p.crossing, p.held_s = False, 0.0
        p.next += 1
    return p.next < len(p.points)


def _turn_back(p: Pedestrian) -> None:
    """Give up crossing and walk back the way the pedestrian came."""
    back = p.points[: p.gate][::-1] or [p.points[0]]
    far = back[-1]
    p.points = [(p.x, p.y), *back, (far[0] + 0.01, far[1])]
    p.gate, p.next, p.waiting_since_s, p.patience_s = -9, 1, -1.0, 0.0


def _around(world: World, p: Pedestrian, target: tuple[float, float]) -> tuple[float, float]:
    """On a crosswalk, pass in front of or behind a vehicle that stands on it."""
    if p.mode in ("jaywalk_mid", "dash"):
        return target
    target_out, target_side = to_leg(p.leg, *target)
    out = target_out
    for v in world.lookups.by_leg.get(p.leg, ()):
        front = world.layout.stop_line_m + v.to_line
        lane_side = world.layout.lane_side_m(v.route.lane, True)
        if v.speed > 1.5 or abs(p.side - lane_side) > 4.5:
            continue
        if 10.9 < front < 15.0:
            out = min(out, front - 0.75)
        elif front <= 10.9 and 10.0 < front + v.length < 13.6:
            out = max(out, front + v.length + 0.7)
    if abs(out - target_out) < 1e-6 and abs(p.out - out) < 0.4:
        return target
    ahead = p.side + (-1.6 if target_side < p.side else 1.6)
    if abs(ahead) > abs(target_side):
        return target
    return _point(world, p.leg, out, ahead)


def _round_vehicle(p: Pedestrian, v: Vehicle, target: tuple[float, float]) -> tuple[float, float]:
    """The next corner on the way to `target` round a vehicle: past its front or its rear, whichever is nearer."""
    along, across = _seen_from(v, p.x, p.y)
    end = copysign(v.length / 2 + 0.65, along)
    beyond = abs(along) > v.length / 2 + 0.4
    side = copysign(v.width / 2 + 0.65, _seen_from(v, *target)[1] if beyond else across)
    return (v.x + end * cos(v.heading) - side * sin(v.heading), v.y + end * sin(v.heading) + side * cos(v.heading))


def _seen_from(v: Vehicle, x: float, y: float) -> tuple[float, float]:
    """(ahead of its middle, to its left) of a place, in metres."""
    return (
        (x - v.x) * cos(v.heading) + (y - v.y) * sin(v.heading),
        -(x - v.x) * sin(v.heading) + (y - v.y) * cos(v.heading),
    )


def _held_by(world: World, p: Pedestrian, target: tuple[float, float], room_m: float = 0.5) -> Vehicle | None:
    """The vehicle that is, or in a moment will be, where the next step leads."""
    if p.mode == "dash":
        return None
    dx, dy = target[0] - p.x, target[1] - p.y
    left = max(hypot(dx, dy), 1e-6)
    for ahead in (0.7, 1.4):
        x, y = p.x + dx / left * ahead, p.y + dy / left * ahead
        for v in world.vehicles:
            if abs(v.x - x) > 9 or abs(v.y - y) > 9 or (v.careless and p.mode == "step_out"):
                continue
            soon = room_m + 1.1 * v.speed
            along, across = _seen_from(v, x, y)
            if -v.length / 2 - room_m < along < v.length / 2 + soon and abs(across) < v.width / 2 + 0.9 * room_m:
                here, beside = _seen_from(v, p.x, p.y)
                if v.speed > 0.5 and here > v.length / 2 and abs(beside) < v.width / 2 + 0.3:
                    continue
                return v
    return None


def _may_cross(world: World, p: Pedestrian) -> bool:
    if p.mode == "linger":
        return False
    state, since = world.plan.state(CROSSWALK_GROUPS[p.leg], world.time_s)
    if p.mode in ("dash", "step_out"):
        driver = _dash(world, p) if p.mode == "dash" else _step_out(world, p) if state == GREEN else None
        if driver is not None:
            driver.careless = True
        return driver is not None
    if p.mode in ("jaywalk", "jaywalk_mid"):
        if p.mode == "jaywalk":
            left = world.plan.next_change_s(CROSSWALK_GROUPS[p.leg], world.time_s) - world.time_s
            if state != RED or left < 14.0 / (p.pace * p.hurry) + 1.0 or world.time_s - since < 1.0:
                return False
        return _gap(world, p)
    if state != GREEN or world.time_s - since > STEP_OFF_S or world.time_s - since < 0.4 + 0.1 * (p.number % 9):
        return False
    if any(_is_fast(p, v) for v in world.vehicles):
        p.let_pass_s = world.time_s
    return world.time_s - p.let_pass_s >= REACTION_S


def _is_fast(p: Pedestrian, v: Vehicle) -> bool:
    """Whether a vehicle is on the crosswalk, or will not stop before it."""
    for inbound, leg, (start, end) in (
        (True, v.route.leg, v.route.cross_in_s),
        (False, v.route.exit, v.route.cross_out_s),
    ):
        if leg != p.leg or v.s - v.length > end + 0.5:
            continue
        ahead = start - v.s
        if ahead < 0 and v.speed > 0.5 and inbound == (p.side > 0):
            return True
        if (
            0 <= ahead < 3.5 * v.speed
            and v.speed > 2.2
            and (v.mode == "run_red" or v.careless or ahead < v.speed * v.speed / 6.0 + 3)
        ):
            return True
    return False


def _near_times(world: World, p: Pedestrian, v: Vehicle) -> list[tuple[bool, float, float]]:
    """(inbound, metres to the pedestrian's line, lane middle) of a vehicle on the pedestrian's leg; negative metres are past it."""
    layout, ways = world.layout, []
    if v.route.leg == p.leg:
        out = layout.stop_line_m + v.to_line
        ways.append((True, out - p.out, layout.lane_side_m(v.route.lane, True)))
    if v.route.exit == p.leg:
        out = layout.crosswalk_m[0] + v.in_exit
        ways.append((False, p.out - out, layout.lane_side_m(v.route.exit_lane, False)))
    return ways


def _gap(world: World, p: Pedestrian) -> bool:
    """Whether the whole road can be crossed before, between and behind the vehicles that are coming."""
    return all(_clear_of(world, p, v, 2.4) for v in world.vehicles)


def _clear_of(
    world: World, p: Pedestrian, v: Vehicle, margin_s: float, faster: float = 2.0, slower: float = 0.5
) -> bool:
    """Whether a pedestrian that starts now and a vehicle miss each other by at least `margin_s`.

    The vehicle may get faster by so many m/s, or as slow as that share of its speed.
    """
    pace = p.pace * p.hurry
    for inbound, ahead, side in _near_times(world, p, v):
        half = v.width / 2 + 0.7
        ends = sorted(((p.side - side - half) / pace, (p.side - side + half) / pace), key=abs)
        enter, leave = abs(ends[0]), abs(ends[1])
        if -v.length - 3.0 < ahead < 1.5:
            return False
        if ahead <= 0:
            continue
        before_line = v.to_line > 0.3 and (not inbound or p.out < world.layout.stop_line_m) and v.mode != "run_red"
        if before_line and v.speed**2 < 5.0 * v.to_line:
            group = VEHICLE_GROUPS[v.route.leg]
            waits_s = world.plan.next_change_s(group, world.time_s) - world.time_s
            if world.plan.state(group, world.time_s)[0] == RED and waits_s > leave - 1.0:
                continue
        soonest = ahead / (v.speed + faster)
        latest = (ahead + v.length) / max(slower * v.speed, 0.1)
        if soonest < leave + margin_s and latest > enter - margin_s:
            return False
    return True


def _dash(world: World, p: Pedestrian) -> Vehicle | None:
    """The vehicle in the kerb lane just in front of which the pedestrian runs over the road if it starts now."""
    pace, layout = p.pace * p.hurry, world.layout
    chosen = None
    for v in world.vehicles:
        for inbound, ahead, side in _near_times(world, p, v):
            leave = (p.side - side + v.width / 2 + 0.35) / pace
            eta = ahead / max(v.speed, 1.0)
            good = inbound and v.route.lane == layout.lanes_in and v.speed > 7.5 and abs(v.acceleration) < 0.6
            if good and 0.3 < eta - leave < 0.55 and v.kind != "bicycle" and v.to_line > 6:
                chosen = v
            elif not _clear_of(world, p, v, 1.2, faster=0.7, slower=0.8):
                return None
    return chosen


def _step_out(world: World, p: Pedestrian) -> Vehicle | None:
    """The right turner that passes just behind the pedestrian if it starts now."""
    layout, pace = world.layout, p.pace * p.hurry
    chosen = None
    for v in world.vehicles:
        way = v.route
        if way.exit == p.leg and way.kind == "right" and v.kind != "bicycle" and v.to_line < 0 and not v.red_turn:
            side = layout.lane_side_m(way.exit_lane, False)
            leaves_s = (side + v.width / 2 + 0.25 - p.side) / pace
            if 0.1 < _time_to(v, p.out - layout.crosswalk_m[0] - v.in_exit) - leaves_s < 0.4:
                chosen = v
                continue
        if _is_fast(p, v):
            return None
    return chosen


def _time_to(v: Vehicle, ahead: float) -> float:
    """Seconds for a distance, speeding up to the speed of the turn, on average half as fast as at first."""
    last, gain = max(v.route.turn_speed_ms, v.speed), v.style.acceleration / 2
    run_up_m = (last**2 - v.speed**2) / (2 * gain)
    if ahead > run_up_m:
        return (last - v.speed) / gain + (ahead - run_up_m) / last
    return (sqrt(v.speed**2 + 2 * gain * max(ahead, 0.0)) - v.speed) / gain
