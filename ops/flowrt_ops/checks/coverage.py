"""Coverage of a flow by the dashboards: which panels stay empty with it, and which of its outputs no panel shows.

A panel has data when the messages of its measurement reach an `influx_out`. Some fields need more: speeds are known only
behind a `speed` node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from flowrt.contract import Contract
from flowrt.flow import Flow
from flowrt.message import Message
from flowrt_ops.checks.queries import PlacedQuery, queries_of

DATABASE = "influx_out"
NEEDS = {
    ("traffic_flow", "average_speed"): "speed",
    ("traffic_flow", "speed_p85_kmh"): "speed",
    ("traffic_flow", "density_veh_km"): "speed",
    ("violation_events", "speed"): "speed",
}
"""(measurement, field) to the fact that a node upstream has to provide."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A panel without data, and why."""

    dashboard: str
    panel: str
    why: str


class Unseen(msgspec.Struct, frozen=True, kw_only=True):
    """An output of the flow that no panel shows. nodes: the ones that produce it."""

    nodes: tuple[str, ...]
    what: str


class Coverage(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a comparison. panels: how many there are in all."""

    panels: int
    gaps: tuple[Gap, ...]
    unseen: tuple[Unseen, ...]


def compare(flow: Flow, contract: Contract, dashboards: Sequence[Mapping[str, Any]]) -> Coverage:
    """Compare the dashboards with the flow."""
    written = _written(flow, contract)
    provided = frozenset().union(*(spec.settings.provides for spec in flow.nodes.values()))
    queries = [query for dashboard in dashboards for query in queries_of(dashboard) if query.where == "panel"]
    by_panel: dict[tuple[str, str], list[PlacedQuery]] = {}
    for query in queries:
        by_panel.setdefault((query.dashboard, query.name), []).append(query)
    gaps = []
    for (dashboard, panel), own in by_panel.items():
        reasons = [_missing(query, flow, contract, written, provided) for query in own]
        if all(reasons):  # a panel with one of its queries answered is not empty
            gaps.append(Gap(dashboard=dashboard, panel=panel, why=reasons[0]))
    return Coverage(panels=len(by_panel), gaps=tuple(gaps), unseen=tuple(_unseen(contract, written, queries)))


def _written(flow: Flow, contract: Contract) -> dict[str, list[str]]:
    """Measurement to the nodes whose messages become its points."""
    written: dict[str, list[str]] = {}
    for edge, kinds in flow.arriving.items():
        if flow.nodes[edge.target].type.name != DATABASE:
            continue
        for kind in kinds:
            for name in _measurements(contract, kind):
                written.setdefault(name, []).append(edge.source)
    return written


def _measurements(contract: Contract, kind: type[Message]) -> list[str]:
    try:
        return [spec.measurement for spec in contract.measurements_of(kind)]
    except KeyError:
        return []


def _missing(
    query: PlacedQuery, flow: Flow, contract: Contract, written: Mapping[str, list[str]], provided: frozenset[str]
) -> str:
    """Why a query returns nothing; empty where it returns data."""
    for name in query.measurements:
        if name not in written:
            return _why_not(name, flow, contract)
        shown = {field for field in contract.measurements[name].fields if field in query.names}
        needs = {NEEDS[name, field] for field in shown if (name, field) in NEEDS}
        filtered = {field for field in shown if (name, field) not in NEEDS}
        if needs and not filtered and not needs & provided:
            return f"no node measures the {next(iter(needs))}: put one before the node that produces '{name}'"
    return ""


def _why_not(measurement: str, flow: Flow, contract: Contract) -> str:
    message = contract.measurements[measurement].message
    sinks = [name for name, spec in flow.nodes.items() if spec.type.name == DATABASE]
    if not sinks:
        return f"no `{DATABASE}` node writes to the database"
    producers = [
        name
        for name, spec in flow.nodes.items()
        if any(measurement in _measurements(contract, kind) for kind in spec.type.ports.outputs)
    ]
    if producers:
        return f"'{producers[0]}' produces {message}, but is not an input of '{sinks[0]}'"
    return f"no node of the flow produces {message}, so '{measurement}' is never written"


def _unseen(contract: Contract, written: Mapping[str, list[str]], queries: Iterable[PlacedQuery]) -> Iterable[Unseen]:
    shown: dict[str, set[str]] = {}
    for query in queries:
        for name in query.measurements:
            shown.setdefault(name, set()).update(query.names)
    for name, nodes in written.items():
        producers = tuple(dict.fromkeys(nodes))
        if name not in shown:
            yield Unseen(nodes=producers, what=f"measurement '{name}'")
            continue
        fields = sorted(set(contract.measurements[name].fields) - shown[name])
        if fields:
            yield Unseen(nodes=producers, what=f"{', '.join(fields)} of '{name}'")
