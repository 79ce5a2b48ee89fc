"""Arrivals: when a vehicle or a pedestrian enters the world, of which class and with which route.

Headways are exponential beyond a least one. A vehicle that finds no room tries again a second later.
"""

from __future__ import annotations

import numpy as np

from flowrt_sim.street.layout import LEGS
from flowrt_sim.street.route import Route, route
from flowrt_sim.traffic.pedestrians import spawn_pedestrian
from flowrt_sim.traffic.road_users import Vehicle, new_vehicle
from flowrt_sim.traffic.world import World

CLASSES = ("car", "van", "truck", "bus", "motorcycle", "bicycle")
INNER_LANE_SHARES = (0.68, 0.12, 0.06, 0.03, 0.11, 0.0)
OUTER_LANE_SHARES = (0.58, 0.12, 0.08, 0.06, 0.08, 0.08)


class Arrivals:
    """Brings the traffic of a world; call `step` once per step of the world."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._next_vehicle_s = {(leg, lane): self._vehicle_headway() * 0.5 for leg in LEGS for lane in (1, 2)}
        self._next_pedestrian_s = self._pedestrian_headway() * 0.3

    def step(self) -> None:
        """Let in what is due."""
        world = self._world
        for (leg, lane), due in self._next_vehicle_s.items():
            if world.time_s < due:
                continue
            kind = str(world.rng.choice(CLASSES, p=INNER_LANE_SHARES if lane == 1 else OUTER_LANE_SHARES))
            entered = enter(world, kind, route(world.layout, leg, lane, self._turn(leg, lane, kind)))
            wait_s = 1.0 if entered is None else self._vehicle_headway()
            self._next_vehicle_s[leg, lane] = world.time_s + wait_s
        if world.time_s >= self._next_pedestrian_s:
            world.pedestrians.append(spawn_pedestrian(world))
            self._next_pedestrian_s = world.time_s + self._pedestrian_headway()

    def _vehicle_headway(self) -> float:
        return float(2.2 + self._world.rng.exponential(13.5 / max(self._world.rate, 0.05)))

    def _pedestrian_headway(self) -> float:
        return float(self._world.rng.exponential(9.0 / max(self._world.rate, 0.05)))

    def _turn(self, leg: str, lane: int, kind: str) -> str:
        chance = float(self._world.rng.random())
        if kind in ("truck", "bus"):
            return "through"
        if lane == 1:
            return "left" if leg in ("north", "south") and chance < 0.14 else "through"
        return "right" if chance < 0.30 else "through"


def enter(world: World, kind: str, way: Route, desired_speed: float | None = None) -> Vehicle | None:
    """Let a vehicle enter at the start of a route; None when there is no room."""
    vehicle = new_vehicle(world.last_number + 1, kind, way, world.rng, desired_speed)
    ahead = [v for v in world.vehicles if v.route.leg == way.leg and v.route.lane == way.lane and v.s < way.stop_s]
    speed = vehicle.desired_speed
    if ahead:
        last = min(ahead, key=lambda v: v.s - v.length)
        gap = last.s - last.length - vehicle.s
        if gap < 6.0 + 0.8 * last.speed:
            return None
        room = max(gap - 8.0, 0.0)
        speed = min(speed, float(np.sqrt(last.speed**2 + 2 * 1.6 * room)), gap / 1.4)
    vehicle.speed = speed
    vehicle.may_turn_on_red = way.kind == "right" and bool(world.rng.random() < 0.6)
    world.last_number = vehicle.number
    world.vehicles.append(vehicle)
    return vehicle
