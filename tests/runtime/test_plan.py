"""The plan is pure: for random graphs, what it says and what applying it does are one."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt.catalog import Catalog
from flowrt.clock import VirtualClock
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.flow import Edge, Flow, NodeSpec
from flowrt.plan import KINDS, Plan
from flowrt.runtime import Runtime
from flowrt.runtime.reload import apply
from tests.runtime.node_types import write_nodes

NAMES = "abcdefgh"
CHOICES = {
    "relay": {"label": ["x", "y"], "place": ["x", "y"]},
    "total": {"factor": [1.0, 2.0], "carry": [True, False]},
    "think": {"brain": ["x", "y"], "takes_s": [0.0]},
    "letters": {},
    "keep": {},
}
SOURCES = {"numbers": {"n": [3, 4], "fail_at": [-1]}}
SINKS = ("letters", "keep")


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    folder = tmp_path_factory.mktemp("plan")
    write_nodes(folder)
    return Catalog(folder)


@st.composite
def shapes(draw: st.DrawFn) -> list[tuple[str, str, dict[str, object], tuple[str, ...]]]:
    """(name, type, settings, fed by) of a random graph: each node hears only of those before it."""
    names = draw(st.permutations(NAMES))[: draw(st.integers(1, len(NAMES)))]
    shape: list[tuple[str, str, dict[str, object], tuple[str, ...]]] = []
    feeders: list[str] = []
    for i, name in enumerate(names):
        source = i == 0 or draw(st.integers(0, 4)) == 0
        kinds = SOURCES if source else CHOICES
        kind = draw(st.sampled_from(sorted(kinds)))
        chosen = {field: draw(st.sampled_from(values)) for field, values in kinds[kind].items()}
        fed = () if source else tuple(draw(st.lists(st.sampled_from(feeders), min_size=1, max_size=3, unique=True)))
        shape.append((name, kind, chosen, fed))
        if kind not in SINKS:
            feeders.append(name)
    return shape


def flow_of(catalog: Catalog, shape: list[tuple[str, str, dict[str, object], tuple[str, ...]]]) -> Flow:
    nodes = {}
    arriving = {}
    for name, kind, chosen, fed in shape:
        edges = tuple(Edge(source, name) for source in fed)
        node_type = catalog.get(kind)
        nodes[name] = NodeSpec(name=name, type=node_type, settings=msgspec.convert(chosen, node_type.cls), edges=edges)
        from flowrt import Record

        arriving |= dict.fromkeys(edges, (Record,))
    return Flow(name="random", site="s", path=Path("random.yaml"), nodes=nodes, arriving=arriving)


def runtime_of(flow: Flow) -> Runtime:
    return Runtime(
        flow,
        contract=Contract.load(),
        clock=VirtualClock(),
        data=Path(),
        threads=False,
        record=lambda name, message: None,
    )


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(old=shapes(), new=shapes())
def test_applying_the_plan_gives_exactly_the_new_graph(catalog: Catalog, old: object, new: object) -> None:
    logging.getLogger("flowrt").setLevel(logging.CRITICAL)
    before, after = flow_of(catalog, old), flow_of(catalog, new)  # type: ignore[arg-type]
    plan = Plan.between(before, after)
    names = plan.names()
    assert sorted(name for kind in KINDS if kind != "removed" for name in names[kind]) == sorted(after.nodes)
    assert set(names["removed"]) == set(before.nodes) - set(after.nodes)
    runtime = runtime_of(before)
    runtime.start()
    nodes = {name: runner.node for name, runner in runtime.runners.items()}
    facts = apply(runtime, plan)
    assert facts["ledger"]["balanced"]
    running, wanted = runtime.graph(), after.graph()
    assert set(running) == set(wanted)
    assert {(a, b, tuple(sorted(d["edges"]))) for a, b, d in running.edges(data=True)} == {
        (a, b, tuple(sorted(d["edges"]))) for a, b, d in wanted.edges(data=True)
    }
    for name, runner in runtime.runners.items():
        assert runner.node == after.nodes[name].settings
        assert type(runner.node) is after.nodes[name].type.cls
        restarted = name in names["replaced"] or name in names["added"]
        assert (runner.node is not nodes.get(name)) == restarted
    runtime.stop()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shape=shapes(), data=st.data())
def test_order_means_nothing(
    catalog: Catalog, shape: list[tuple[str, str, dict[str, object], tuple[str, ...]]], data: st.DataObject
) -> None:
    flow = flow_of(catalog, shape)
    shuffled = flow_of(catalog, data.draw(st.permutations(shape)))
    assert Plan.between(flow, shuffled).empty
    assert set(Plan.between(flow, shuffled).names()["kept"]) == set(flow.nodes)


def test_fault_21_an_edited_service_replaces_the_nodes_that_connect_to_it(tmp_path: Path) -> None:
    """Also where the node's setting only has its default, and where the address comes from the environment."""
    text = """flow: a
services:
  mqtt: {url: "mqtt://one:1883"}
  backup: {kind: mqtt, url: "mqtt://two:1883"}
nodes:
  health: {type: health_probe}
  out: {type: mqtt_out, from: health}
  other: {type: mqtt_out, from: health, service: backup}
  points: {type: influx_out, from: health}
"""
    path = tmp_path / "flow.yaml"

    def flow(text: str, **environment: str) -> Flow:
        path.write_text(text)
        return load(path, environment=environment)

    def replaced(new: Flow) -> list[str]:
        return sorted(change.name for change in Plan.between(flow(text), new).of("replaced"))

    assert replaced(flow(text)) == []
    assert replaced(flow(text.replace("one:", "three:"))) == ["health", "out"]
    assert replaced(flow(text.replace("two:", "three:"))) == ["other"]
    assert replaced(flow(text, INFLUX_URL="http://db:8086")) == ["health", "points"]
