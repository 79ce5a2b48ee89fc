"""Wiring: which runner hands its messages to which, and which of them several workers reach."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping

from flowrt.flow import FROM, Edge, Flow
from flowrt.node import Inference, Source
from flowrt.plan import Plan
from flowrt.runtime.runner import NodeRunner, Outgoing

Reached = Mapping[str, frozenset[str]]
"""Node name to the workers that bring it messages."""


def workers_reaching(flow: Flow) -> Reached:
    """A node is reached by the sources, and the inference nodes for what lies behind them, that carry messages into it."""
    reached: dict[str, frozenset[str]] = {}
    behind: dict[str, frozenset[str]] = {}
    for name in flow.order():
        spec = flow.nodes[name]
        reached[name] = frozenset().union(*(behind[edge.source] for edge in spec.edges))
        carries = isinstance(spec.settings, Source | Inference)
        behind[name] = frozenset({name}) if carries else reached[name]
    return reached


def wire(flow: Flow, runners: Mapping[str, NodeRunner], reached: Reached) -> None:
    """Connect the runners as the flow says, with a lock where several workers meet. The graph must be paused."""
    for name, runner in runners.items():
        several = len(reached[name]) > 1
        if several != (runner.lock is not None):
            runner.lock = threading.Lock() if several else None
    _connect(runners.items(), flow, runners)
    # Where the way of a message forks, runners call each other; the limit of nested calls must leave room for all of them.
    sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + 4 * len(flow.nodes)))


def rewire(
    plan: Plan, old: Mapping[str, NodeRunner], new: Mapping[str, NodeRunner], leaving: Iterable[NodeRunner]
) -> None:
    """Connect the runners as the plan's new flow says. The graph must be paused.

    Leaving runners may still have messages under way: they keep their old edges, into runners that now have a lock.
    """
    before, after = workers_reaching(plan.old), workers_reaching(plan.new)
    left = {id(runner) for runner in leaving}
    names_before = {change.name: change.was for change in plan.changes if change.kind != "removed"}
    reached: dict[str, frozenset[str]] = {}
    leaving_workers: dict[str, frozenset[str]] = {}
    for name in plan.new.order():  # what a leaving worker carries into a node goes on along its new edges
        workers = {f"{was} (leaving)" for was in before.get(names_before[name], ()) if id(old[was]) in left}
        for edge in plan.new.nodes[name].edges:
            if not isinstance(plan.new.nodes[edge.source].settings, Inference):
                workers |= leaving_workers[edge.source]
        leaving_workers[name] = frozenset(workers)
        reached[name] = after[name] | leaving_workers[name]
    wire(plan.new, new, reached)
    last = [(name, runner) for name, runner in old.items() if id(runner) in left]
    for name, runner in last:
        if len(before[name]) > 1 and runner.lock is None:
            runner.lock = threading.Lock()
    _connect(last, plan.old, old)


def _connect(runners: Iterable[tuple[str, NodeRunner]], flow: Flow, targets: Mapping[str, NodeRunner]) -> None:
    leaving: dict[str, list[Edge]] = {name: [] for name in flow.nodes}
    for edge in flow.edges:
        leaving[edge.source].append(edge)
    for name, runner in runners:
        runner.connect(_outgoing(edge, flow, targets[edge.target]) for edge in leaving[name])


def _outgoing(edge: Edge, flow: Flow, target: NodeRunner) -> Outgoing:
    shared = target.lock is not None
    direct = target if target.direct and edge.field == FROM and not shared else None
    return Outgoing(edge, flow.arriving[edge], target.entrance(edge.field, shared=shared, source=edge.source), direct)
