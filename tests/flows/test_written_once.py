"""The shipped flows say each thing once, and are what they were when everything was written out (`before/`)."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from flowrt import Event
from flowrt.catalog import Catalog
from flowrt.config import load
from flowrt.flow import Edge, Flow
from flowrt.testing.replay import rehearse
from flowrt_scoring.score import world_of
from flowrt_scoring.simulated import Faults, on_simulation
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.traffic.simulation import Simulation

FLOWS = Path(__file__).parent.parent.parent / "flows"
BEFORE = Path(__file__).parent / "before"
SIDES = {"n": "north", "e": "east", "s": "south", "w": "west"}


def now(name: str) -> str:
    """The present name of a node of the old four-cameras.yaml."""
    side = re.fullmatch(r"([nesw])_(\w+)", name)
    return f"{SIDES[side[1]]}_{side[2]}" if side else name


@pytest.mark.parametrize(("file", "lines"), [("four-cameras.yaml", 60), ("intersection.yaml", 30)])
def test_they_are_short(file: str, lines: int) -> None:
    assert len((FLOWS / file).read_text().splitlines()) <= lines


def test_four_cameras_are_the_nodes_settings_and_edges_that_they_were() -> None:
    catalog = Catalog(FLOWS)
    old, new = load(BEFORE / "four-cameras.yaml", catalog=catalog), load(FLOWS / "four-cameras.yaml", catalog=catalog)
    assert sorted(map(now, old.nodes)) == sorted(new.nodes)
    for name, spec in old.nodes.items():
        other = new.nodes[now(name)]
        assert (spec.type.name, spec.settings, spec.entries) == (other.type.name, other.settings, other.entries)
    renamed = {Edge(source=now(e.source), target=now(e.target), field=e.field, port=e.port) for e in old.edges}
    assert renamed == {*new.edges}


def test_one_approach_has_the_settings_that_it_had() -> None:
    catalog = Catalog(FLOWS)
    old, new = load(BEFORE / "intersection.yaml", catalog=catalog), load(FLOWS / "intersection.yaml", catalog=catalog)
    assert old.nodes.keys() - new.nodes.keys() == {"to_totals"}
    for name, spec in new.nodes.items():
        assert (spec.type.name, spec.settings, spec.entries) == (
            old.nodes[name].type.name, old.nodes[name].settings, old.nodes[name].entries
        )  # fmt: skip


def events(flow: Flow) -> dict[str, str]:
    """What reached the sinks within half a minute of simulated traffic, by id: sink and port."""
    world = replace(world_of(flow, seed=402, duration_s=30), scenario="mixed")
    simulation = Simulation(world.seed, world.scenario, world.rate)
    running = on_simulation(flow, world, Motion(simulation), boxes="truth", faults=Faults())
    arrived = rehearse(running, until_s=world.duration_s, kind=(Event,))
    found = [(message.id, f"{sink} {message.port}") for sink, message in arrived if isinstance(message, Event)]
    return {f"{number} {at}": at for number, at in found}


@pytest.mark.slow
def test_four_cameras_report_the_same_events() -> None:
    catalog = Catalog(FLOWS)
    old, new = (events(load(folder / "four-cameras.yaml", catalog=catalog)) for folder in (BEFORE, FLOWS))
    assert old == new
    assert {at.split()[1] for at in old.values()} >= {"violations", "zone_events", "traffic_flow"}
    assert len(old) > 50
