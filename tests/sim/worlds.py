"""What the tests of the simulator share: running a scenario under the referee, and footprints."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowrt_sim.referee.definitions import Violation
from flowrt_sim.referee.referee import Referee
from flowrt_sim.street.route import Route
from flowrt_sim.traffic.arrivals import enter
from flowrt_sim.traffic.road_users import Vehicle
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.traffic.world import World


@dataclass(frozen=True)
class Run:
    """A finished run: its world and referee, and how often each incident was begun."""

    world: World
    referee: Referee
    incidents: Counter[str]

    def of(self, rule: str) -> list[Violation]:
        """The violations of one rule."""
        return [v for v in self.referee.violations if v.rule == rule]


def run(scenario: str, seed: int, seconds: float, rate: float = 1.0) -> Run:
    """Run a scenario from an empty road."""
    simulation = Simulation(seed, scenario, rate)
    world = simulation.world
    referee = Referee(world)
    while world.time_s < seconds:
        simulation.step()
        referee.watch()
    return Run(world, referee, simulation.director.begun)


def entered(world: World, kind: str, way: Route) -> Vehicle:
    """A vehicle at the start of a route, which has room for it."""
    vehicle = enter(world, kind, way)
    assert vehicle is not None, "the start of the route is occupied"
    return vehicle


def footprint(v: Vehicle, shrink_m: float = 0.05) -> npt.NDArray[np.float32]:
    """Corners (4, 2) of a vehicle on the ground, a little smaller than it is."""
    c, s = np.cos(v.heading), np.sin(v.heading)
    length, width = v.length / 2 - shrink_m, v.width / 2 - shrink_m
    signs = ((1, 1), (1, -1), (-1, -1), (-1, 1))
    return np.array(
        [(v.x + c * a * length - s * b * width, v.y + s * a * length + c * b * width) for a, b in signs], np.float32
    )
