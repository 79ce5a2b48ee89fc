"""What a flow's shape says about its run: who carries messages where, which nodes stand in a row, who asks for the moment of capture."""

from __future__ import annotations

from flowrt.flow import FROM, Edge, Flow
from flowrt.node import Inference, Outbox, Source


def workers_reaching(flow: Flow) -> dict[str, frozenset[str]]:
    """Node name to the workers that bring it messages: sources, and inference nodes for what lies behind them."""
    reached: dict[str, frozenset[str]] = {}
    own: dict[str, frozenset[str]] = {}
    for name in flow.order():
        spec = flow.nodes[name]
        reached[name] = frozenset().union(*(own[edge.source] for edge in spec.edges)) if spec.edges else frozenset()
        drives = isinstance(spec.settings, Source | Inference)
        own[name] = frozenset({name}) if drives else reached[name]
    return reached


def chains(flow: Flow, reached: dict[str, frozenset[str]]) -> dict[str, list[str]]:
    """Node name to the nodes that a message goes through after it, each fed only by the one before, which feeds nothing else.

    A node within such a row has no row of its own: what does not go straight on enters it by itself.
    """
    targets: dict[str, list[Edge]] = {name: [] for name in flow.nodes}
    for edge in flow.edges:
        targets[edge.source].append(edge)
    next_: dict[str, str] = {}
    for name, ways in targets.items():
        settings = flow.nodes[name].settings
        alone = isinstance(settings, Source) or (not isinstance(settings, Inference) and len(reached[name]) == 1)
        if not alone or len(ways) != 1 or ways[0].field != FROM:
            continue
        spec = flow.nodes[ways[0].target]
        if len(spec.edges) == 1 and len(reached[spec.name]) == 1 and not isinstance(spec.settings, Source | Inference):
            next_[name] = spec.name
    inside = set(next_.values())
    found: dict[str, list[str]] = {}
    for name in flow.nodes:
        found[name] = []
        at = name
        while name not in inside and at in next_:
            at = next_[at]
            found[name].append(at)
    return found


def asking(flow: Flow) -> set[str]:
    """Nodes behind which, or in which, somebody asks when a message was captured: sinks that journal, and inference."""
    found: set[str] = set()
    for name in reversed(flow.order()):
        if isinstance(flow.nodes[name].settings, Outbox | Inference):
            found.add(name)
        if name in found:
            found.update(edge.source for edge in flow.nodes[name].edges)
    return found
