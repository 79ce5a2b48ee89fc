"""Steps a world: incidents, arrivals, driving and walking in fixed steps of 0.05 s, from a seed, without a clock.

Invariant: worlds of the same seed, scenario and rate go through the same states. A violation happens through an intention
that `incidents` sets, or by accident of the traffic; `referee` measures what really was one.
"""

from __future__ import annotations

import numpy as np

from flowrt_sim.street.layout import Layout
from flowrt_sim.street.signals import SignalPlan
from flowrt_sim.traffic.arrivals import Arrivals
from flowrt_sim.traffic.driving import drive
from flowrt_sim.traffic.incidents import Director
from flowrt_sim.traffic.pedestrians import step_pedestrians
from flowrt_sim.traffic.road_users import Vehicle
from flowrt_sim.traffic.world import STEP_S, World, look_up

STUCK_S = 75.0
"""A vehicle that stands in the box for longer than a cycle is removed."""


class Simulation:
    """Owns a `world` and moves it on. Raises KeyError for an unknown scenario."""

    def __init__(self, seed: int = 7, scenario: str = "mixed", rate: float = 1.0, layout: Layout | None = None) -> None:
        plan = SignalPlan(offset_s=float(np.random.default_rng((seed, 2)).uniform(0, 61)))
        self.world = World(seed, rate, layout or Layout(), plan, np.random.default_rng((seed, 1)))
        self.director = Director(self.world, scenario, np.random.default_rng((seed, 4)))
        self._arrivals = Arrivals(self.world)

    def step(self) -> None:
        """Move on by STEP_S."""
        world = self.world
        world.steps += 1
        world.time_s = world.steps * STEP_S
        self.director.step()
        self._arrivals.step()
        world.lookups = look_up(world)
        chosen = [drive(world, vehicle) for vehicle in world.vehicles]
        for vehicle, acceleration in zip(world.vehicles, chosen, strict=True):
            _move(vehicle, acceleration, world.time_s)
        world.vehicles = [
            v for v in world.vehicles if v.s - v.length < v.route.length_m - 1 and not _is_stuck(v, world.time_s)
        ]
        step_pedestrians(world, STEP_S)

    def run_until(self, time_s: float) -> None:
        """Step until `time_s` is reached."""
        while self.world.time_s < time_s - 1e-9:
            self.step()


def _is_stuck(v: Vehicle, time_s: float) -> bool:
    """Whether a vehicle has blocked the box for longer than a cycle."""
    return v.to_line < -2 and v.in_exit < 0 and 0 < v.stopped_since_s < time_s - STUCK_S


def _move(vehicle: Vehicle, wanted: float, time_s: float) -> None:
    """Move a vehicle by one step with the acceleration that its driver wants, within limits of jerk."""
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
            vehicle.stopped_since_s = time_s
    elif speed > 0.6:
        vehicle.stopped_since_s = -1.0
    if before < vehicle.route.stop_s <= vehicle.s and vehicle.mode == "amber_acceleration":
        vehicle.mode, vehicle.desired_speed = "", min(vehicle.desired_speed, 13.0)
    vehicle.place()
