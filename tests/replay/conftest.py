"""The shipped flow, and a recording of a run of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import PROJECT

from flowrt.config import load
from flowrt.flow import Flow
from flowrt.testing.replay import Arrival, recorder, rehearse
from flowrt_scoring.simulated import Faults, on_simulation
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.uri import parse

FLOW = PROJECT / "flows" / "intersection.yaml"
SEED, SECONDS = 3, 45.0


@pytest.fixture(scope="package")
def flow() -> Flow:
    return load(FLOW)


@pytest.fixture(scope="package")
def recorded(flow: Flow, tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Arrival], Path]:
    """What reached the outboxes of a run with true boxes, tracked by the flow's tracker, and its recording."""
    path = tmp_path_factory.mktemp("recording") / "run.recording"
    running, writer = recorder(flow, [], path)
    world = parse(f"sim://four-way?seed={SEED}&duration_s={SECONDS:g}")
    motion = Motion(Simulation(world.seed, world.scenario, world.rate))
    arrivals = rehearse(on_simulation(running, world, motion, boxes="truth", faults=Faults()))
    writer.close()
    return arrivals, path
