"""A world in motion: the road users at any time, for any number of cameras that film it.

Invariants: the world is stepped once, up to the latest time asked for; in between, states are interpolated between two steps.
Times may go back by KEEP_S, so that cameras of different frame rates can share one world.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from flowrt_sim.traffic.road_users import Pedestrian, Vehicle
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.traffic.world import STEP_S, World

KEEP_S = 5.0


@dataclass(frozen=True)
class State:
    """Position, heading and speed of one road user at one time."""

    x_m: float
    y_m: float
    heading_rad: float
    speed_ms: float
    stride: float
    braking: bool


Present = list[tuple[Vehicle | Pedestrian, State]]
"""The road users at one time, with their state; of the road user itself read only what never changes."""


class Motion:
    """Steps a simulation on demand; `each_step(world)` is called after every step."""

    def __init__(self, simulation: Simulation, each_step: Callable[[World], None] | None = None) -> None:
        self._simulation, self.world = simulation, simulation.world
        self._each_step = each_step
        self._times = [self.world.time_s]
        self._steps: list[Present] = [_present(self.world)]

    def run_until(self, time_s: float) -> None:
        """Step the world to the first step at or after a time."""
        while self.world.time_s < time_s - 1e-9:
            self._simulation.step()
            if self._each_step is not None:
                self._each_step(self.world)
            if self.world.time_s >= time_s - KEEP_S - 2 * STEP_S:
                self._times.append(self.world.time_s)
                self._steps.append(_present(self.world))
        old = bisect_left(self._times, self.world.time_s - KEEP_S) - 1
        if old > 0:
            del self._times[:old], self._steps[:old]

    def at(self, time_s: float) -> Present:
        """The road users at a time. Raises ValueError for a time that is too long ago."""
        self.run_until(time_s)
        index = bisect_left(self._times, time_s - 1e-9)
        if index == 0:
            if time_s < self._times[0] - 1e-9:
                raise ValueError(f"time {time_s} lies before {self._times[0]}, the earliest that is remembered")
            return self._steps[0]
        share = min(max(1.0 - (self._times[index] - time_s) / STEP_S, 0.0), 1.0)
        before = {actor.number: state for actor, state in self._steps[index - 1]}
        return [(actor, between(before.get(actor.number, state), state, share)) for actor, state in self._steps[index]]


def _present(world: World) -> Present:
    vehicles: Present = [
        (v, State(v.x, v.y, v.heading, v.speed, 0.0, v.acceleration < -0.7 or v.speed < 0.3)) for v in world.vehicles
    ]
    return vehicles + [(p, State(p.x, p.y, p.heading, p.speed, p.stride, False)) for p in world.pedestrians]


def between(a: State, b: State, share: float) -> State:
    """The state at `share` (0..1) between two."""
    turn = (b.heading_rad - a.heading_rad + np.pi) % (2 * np.pi) - np.pi
    return State(
        a.x_m + share * (b.x_m - a.x_m),
        a.y_m + share * (b.y_m - a.y_m),
        a.heading_rad + share * turn,
        a.speed_ms + share * (b.speed_ms - a.speed_ms),
        a.stride + share * (b.stride - a.stride),
        b.braking,
    )
