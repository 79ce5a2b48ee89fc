"""Priority: gaps for left turns, turns on red, room behind the crosswalk, clearing the box.

Each function answers one question of a driver about the other road users, from the world's look-ups.
"""

from __future__ import annotations

from flowrt_sim.street.layout import LEGS, OPPOSITE
from flowrt_sim.street.signals import GREEN, VEHICLE_GROUPS
from flowrt_sim.traffic.road_users import Vehicle
from flowrt_sim.traffic.world import World

EASY_BRAKE = 3.2
"""Deceleration up to which a driver stops at amber."""
GAP_S = 5.0
"""Time to the next opposing vehicle that a left turner wants."""


def in_bay(v: Vehicle) -> bool:
    hold = v.route.hold_s
    return hold > 0 and v.hold_s > 0 and hold - 7.0 < v.s - v.length / 2


def room_behind(world: World, v: Vehicle) -> bool:
    """Whether there will be room beyond the crosswalk of the approach, and beyond that of the exit."""
    way = v.route
    if v.to_line > 12:
        return True
    need = v.length + 1.5
    for other in world.lookups.by_leg[way.leg]:
        if other is v or other.route.lane != way.lane or other.to_line >= 0 or other.s < v.s:
            continue
        if (
            other.speed < 3.0
            and other.s - other.length - way.cross_in_s[1] < need
            and other.s < other.route.cross_out_s[0] + 3
        ):
            return False
    for other in world.lookups.outbound.get((way.exit, way.exit_lane), ()):
        if other.speed < 2.0 and not in_bay(other) and other.in_exit - other.length < 3.5 + need:
            return False
    return True


def cross_runner(world: World, v: Vehicle, since_s: float) -> bool:
    """Whether a vehicle from the crossing road is still in the box, or runs the red light towards it."""
    for leg in LEGS:
        if VEHICLE_GROUPS[leg] == VEHICLE_GROUPS[v.route.leg]:
            continue
        for other in world.lookups.by_leg[leg]:
            if other.mode == "run_red" and other.to_line <= 0 and other.in_exit < other.length:
                return True
            if since_s < 5.0 and 0 < other.to_line < 45 and other.mode == "run_red":
                return True
            inside = other.to_line <= 0 and other.s - other.length < other.route.cross_out_s[0] - 3
            if (
                not inside
                or other.mode in ("creep", "overshoot")
                or other.red_turn
                or other.s < other.route.cross_in_s[1]
            ):
                continue
            if (since_s < 5.0 and other.speed > 1.5) or other.route.kind in ("left", "u_turn"):
                return True
    return False


def gap_is_free(world: World, v: Vehicle) -> bool:
    """Whether a left or U-turn may begin: no opposing vehicle within GAP_S and no pedestrian on the exit crosswalk."""
    lookups, way = world.lookups, v.route
    if lookups.busy.get((way.exit, False)):
        return False
    if v.to_line > 0 and lookups.lights[way.leg][0] != GREEN:
        return True
    for other in lookups.by_leg[OPPOSITE[way.leg]]:
        if other.route.kind in ("left", "u_turn") and way.kind == "left":
            continue
        to_box = other.route.cross_in_s[1] - other.s
        if other.s - other.length > other.route.exit_s - 4.0:
            continue
        light = lookups.lights[other.route.leg][0]
        if light != GREEN and other.speed < 0.5 and other.mode != "run_red":
            continue
        stopping = other.to_line > 0 and light != GREEN
        if stopping and other.speed * other.speed < 2 * EASY_BRAKE * other.to_line and other.mode != "run_red":
            continue
        if other.to_line > 0.3 and other.speed < 0.3 and world.is_closed(other.route.exit, other.route.exit_lane):
            continue
        if to_box < 6.0 or to_box / max(other.speed, 2.5) < GAP_S:
            return False
    exit_queue = lookups.outbound.get((way.exit, way.exit_lane), ())
    if any(o.speed < 2.0 and not in_bay(o) and o.in_exit - o.length < v.length + 5 for o in exit_queue):
        return False
    return not lane_inflow(world, v, 3.5 if lookups.lights[way.leg][0] == GREEN else 1.5)


def lane_inflow(world: World, v: Vehicle, within_s: float) -> bool:
    """Whether another vehicle reaches the same exit lane soon from another road."""
    way = v.route
    for other in world.vehicles:
        if (
            other is v
            or other.route.exit != way.exit
            or other.route.exit_lane != way.exit_lane
            or other.route.leg == way.leg
        ):
            continue
        left = other.route.exit_s - other.s
        if left < -6.0 - other.length:
            continue
        light = world.lookups.lights[other.route.leg][0]
        if (
            other.to_line > 0
            and light != GREEN
            and other.mode != "run_red"
            and other.speed**2 < 2 * EASY_BRAKE * other.to_line
        ):
            continue
        if left / max(other.speed, 3.0) < within_s + 2.0 or (light == GREEN and v.to_line > 0 and left < 45.0):
            return True
    return False


def red_turn_is_free(world: World, v: Vehicle) -> bool:
    """Whether a right turn on red may begin after the full stop."""
    lookups, way = world.lookups, v.route
    if lookups.busy.get((way.leg, True)) or lookups.busy.get((way.exit, False)):
        return False
    for p in world.pedestrians:
        if p.leg in (way.leg, way.exit) and not p.crossing and p.speed > 0.3 and abs(p.side) < 13 and p.gate >= p.next:
            return False
        if p.leg == way.leg and p.crossing:
            return False
    if world.plan.next_change_s(VEHICLE_GROUPS[way.leg], world.time_s) - world.time_s < 3.0:
        return False
    return not lane_inflow(world, v, 6.0)
