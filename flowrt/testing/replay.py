"""Recording a flow and running it again: under virtual time, with recorded messages in the place of the nodes that made them.

What lies upstream of a recorded node is cut out: no camera is opened, no model is loaded. Outboxes are never opened; what
reaches them is returned. As messages come in the order in which they once travelled, the events are those of the recorded run.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec

from flowrt.catalog import NodeType, ports_of
from flowrt.clock import VirtualClock
from flowrt.contract import Contract
from flowrt.diagnostics import FlowError, did_you_mean
from flowrt.flow import Edge, Flow, NodeSpec
from flowrt.message import Message, Tick
from flowrt.node import Source, Transform
from flowrt.runtime import Runtime, StartFailed
from flowrt.runtime.virtual import run
from flowrt.testing.recording import Header, Recording, Writer, recorded_types
from flowrt.testing.replay_cache import ReplayCache

Arrival = tuple[str, Message]
"""An outbox's name, and what reached it."""
TAP = "record "
"""Begins the name of the node that records another."""


class Given(Source):
    """Messages made beforehand, in the place of a node."""

    messages: Any = ()

    def produce(self) -> Iterator[Message]:
        for message in self.messages:
            if self.context.stopping.is_set():
                return
            yield message


class Tap(Transform):
    """Hands on what one node makes, with its name, to a function."""

    node: str = ""
    take: Any = None

    def process(self, message: Message) -> None:
        self.take(self.node, message)


def rehearse(
    flow: Flow,
    *,
    until_s: float | None = None,
    stream: Iterable[Arrival] = (),
    start_s: float | None = None,
    kind: type[Message] | tuple[type[Message], ...] = Message,
) -> list[Arrival]:
    """Run a flow under virtual time and return what reached its outboxes: (outbox, message), in order.

    until_s, start_s: when virtual time ends and begins (with the first message, unless given otherwise); stream: as in
    `flowrt.runtime.virtual.run`; kind: what is returned of what arrives, all else is let go (tracks hold their pictures).
    Raises FlowError where a node can't be opened or a source fails.
    """
    arrived: list[Arrival] = []

    def record(name: str, message: Message) -> None:
        if isinstance(message, kind):
            arrived.append((name, message))

    with tempfile.TemporaryDirectory() as data:
        runtime = Runtime(
            flow,
            contract=Contract.of_flow(flow.folder),
            clock=VirtualClock(start_s),
            data=Path(data),
            threads=False,
            record=record,
        )
        try:
            runtime.start()
        except StartFailed as error:
            raise FlowError([flow.diagnostic(error.node, str(error))]) from error
        try:
            run(runtime, until_s=until_s, stream=stream)
            for name, runner in runtime.runners.items():
                if isinstance(runner.node, Source) and runner.errors:
                    message = f"'{name}' failed, so the results are not complete: {runner.last_error}"
                    raise FlowError([flow.diagnostic(name, message)])
        finally:
            runtime.stop()
    return arrived


def substitute(flow: Flow, given: Mapping[str, Iterable[Message]], without: Collection[str] = ()) -> Flow:
    """The flow with messages in the place of nodes, without those named and what lies upstream of the nodes replaced."""
    gone = upstream(flow, given) | (set(without) - set(given))
    nodes: dict[str, NodeSpec] = {}
    for name, spec in flow.nodes.items():
        if name in given:
            nodes[name] = msgspec.structs.replace(spec, settings=Given(messages=given[name]), edges=())
        elif name not in gone:
            nodes[name] = spec
    while True:  # a node whose every source is gone goes as well
        for name, spec in nodes.items():
            edges = tuple(edge for edge in spec.edges if edge.source in nodes)
            nodes[name] = msgspec.structs.replace(spec, edges=edges)
        idle = {name for name, spec in nodes.items() if not spec.edges and flow.nodes[name].edges and name not in given}
        if not idle:
            return msgspec.structs.replace(flow, nodes=nodes)
        nodes = {name: spec for name, spec in nodes.items() if name not in idle}


def tapped(flow: Flow, names: Iterable[str], take: Callable[[str, Message], None]) -> Flow:
    """The flow with `take(node, message)` called for all that the named nodes make, pictures excepted."""
    nodes, arriving = dict(flow.nodes), dict(flow.arriving)
    for name in names:
        edge = Edge(name, TAP + name)
        arriving[edge] = _recordable(flow, name)
        kind = NodeType(name="record", cls=Tap, ports=ports_of(Tap), origin="builtin", file=__file__, code="")
        nodes[edge.target] = NodeSpec(name=edge.target, type=kind, settings=Tap(node=name, take=take), edges=(edge,))
    return msgspec.structs.replace(flow, nodes=nodes, arriving=arriving)


def usual_nodes(flow: Flow) -> list[str]:
    """What is worth recording: of each message type that says so, the nodes that make it of something else (the tracker, not the
    nodes that only add to its tracks)."""
    makers: dict[type[Message], set[str]] = {}
    for name, spec in flow.nodes.items():
        for kind in spec.type.ports.outputs:
            if kind.recorded:
                makers.setdefault(kind, set()).add(name)
    first = {name for names in makers.values() for name in names if not upstream(flow, [name]) & names}
    return [name for name in flow.nodes if name in first]


def recorder(flow: Flow, names: Collection[str], file: Path) -> tuple[Flow, Writer]:
    """The flow with a tap on the named nodes (the usual ones, where none are named), and the file that it writes.

    Raises FlowError for nodes that can't be recorded and for a file that holds something else.
    """
    names = list(names) or usual_nodes(flow)
    types = recorded_types()
    for name in names:
        if name not in flow.nodes:
            raise _diagnostic(flow, f"there is no node '{name}' to record", did_you_mean(name, flow.nodes))
        if not _recordable(flow, name):
            raise FlowError([flow.diagnostic(name, f"'{name}' makes nothing that can be recorded", "pictures can't")])
        for kind in _recordable(flow, name):
            if kind is not Message and types.get(kind.port) is not kind:
                message = f"'{name}' makes '{kind.port}' messages ({kind.__name__}), which a recording can't give back"
                hint = "a type of a nodes/ folder changes with each edit: put it into an installed package, under a port of its own"
                raise FlowError([flow.diagnostic(name, message, hint)])
    if not names:
        raise _diagnostic(flow, "there is nothing to record", "name nodes with --node, such as one that gives tracks")
    header = Header(
        flow=flow.name,
        site=flow.site,
        nodes={name: flow.nodes[name].type.name for name in names},
    )
    writer = Writer(file, header)
    return tapped(flow, names, writer.write), writer


def replay(
    recording: Recording, flow: Flow, kind: type[Message] = Message, *, kept: ReplayCache | None = None
) -> list[Arrival]:
    """Run a flow over a recording; what of that kind reached its outboxes, in order.

    kind: events alone, say; a week's tracks don't fit into memory. kept: the results of an earlier replay, of which those
    that nothing has changed about are used again, and beside which the new ones are kept.
    Sources that were not recorded stay silent, timers excepted. Raises FlowError where the flow lacks a recorded node.
    """
    for name in recording.header.nodes:
        if name not in flow.nodes:
            hint = did_you_mean(name, flow.nodes) or "give the flow that was recorded, or one with the same names"
            raise _diagnostic(flow, f"the flow has no node '{name}', which was recorded", hint)
    sources = [(name, spec.type.ports.outputs) for name, spec in flow.nodes.items() if spec.type.role == "source"]
    silent = [name for name, outputs in sources if Tick not in outputs]
    nothing: tuple[Message, ...] = ()
    flow = substitute(flow, dict.fromkeys(recording.header.nodes, nothing), without=silent)
    stream = iter(recording)
    first = next(stream, None)
    if first is None:
        return []
    if kept is not None:
        flow = kept.applied_to(flow, recording.header.nodes)
    arrived = rehearse(flow, stream=chain([first], stream), start_s=first[1].time_s, kind=kind)
    if kept is not None:
        kept.done()
    return arrived


def upstream(flow: Flow, names: Iterable[str]) -> set[str]:
    """Every node that a message can come from on its way to one of these, these excepted."""
    names = set(names)
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        for edge in flow.nodes[waiting.pop()].edges:
            if edge.source not in found:
                found.add(edge.source)
                waiting.append(edge.source)
    return found - names


def _recordable(flow: Flow, name: str) -> tuple[type[Message], ...]:
    spec = flow.nodes[name]
    kinds = spec.type.ports.outputs
    if spec.type.ports.passes:
        kinds = tuple(dict.fromkeys([*kinds, *(kind for edge in spec.edges for kind in flow.arriving[edge])]))
    return tuple(kind for kind in kinds if not kind.replaceable)


def _diagnostic(flow: Flow, message: str, hint: str = "") -> FlowError:
    return FlowError([flow.diagnostic("", message, hint)])
