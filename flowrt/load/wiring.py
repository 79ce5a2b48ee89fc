"""The graph: every name leads somewhere, there is no way round in a circle, and on every edge the message types meet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping as ReadOnly

from flowrt.catalog import Catalog, NodeType, NodeTypeError
from flowrt.document import Mapping, Sequence
from flowrt.flow import FROM, Edge, meeting
from flowrt.load.drafts import Draft, Wire
from flowrt.load.report import Report, place
from flowrt.messages import Fault, Message
from flowrt.node import Outbox, Source

Types = tuple[type[Message], ...]


class Wiring:
    """Checks the edges of a flow's drafts, and finds the message types that travel on each."""

    def __init__(self, drafts: ReadOnly[str, Draft], catalog: Catalog, report: Report) -> None:
        self.drafts = drafts
        self.catalog = catalog
        self.report = report
        self.arriving: dict[Edge, Types] = {}
        self._outputs: dict[str, Types] = {}
        self._facts: dict[str, frozenset[str]] = {}

    def check(self) -> None:
        """Report everything wrong, and fill `arriving`."""
        feeds = self._feeds()
        for draft in self.drafts.values():
            self._check_from(draft)
            self._check_was(draft)
        order, unsettled = _sorted(feeds)
        if unsettled:
            self._cycles(feeds)
        for name in order:
            self._settle(self.drafts[name])
        self._unused()

    def edge(self, wire: Wire, target: str) -> Edge:
        """The edge that a wire stands for."""
        return Edge(source=wire.source, target=target, field=wire.field, port=wire.port)

    def _feeds(self) -> dict[str, list[str]]:
        """Node to the nodes that it feeds."""
        feeds: dict[str, list[str]] = {name: [] for name in self.drafts}
        for draft in self.drafts.values():
            for wire in draft.wires:
                if wire.source in feeds:
                    feeds[wire.source].append(draft.name)
                else:
                    hint = self.report.suggest(wire.source, self.drafts)
                    self.report.add(wire.mark, wire.path, f"there is no node '{wire.source}'", hint)
        return feeds

    def _check_from(self, draft: Draft) -> None:
        """Sources have no `from`, and everything else has."""
        if draft.type is None or not isinstance(draft.node, Mapping):
            return
        wires = [wire for wire in draft.wires if wire.field == FROM]
        if issubclass(draft.type.cls, Source):
            if wires:
                message = f"'{draft.type.name}' is a source and takes no `from`"
                self.report.add(wires[0].mark, wires[0].path, message, "remove it")
        elif not wires and FROM not in draft.node.items:
            takes = said(draft.type.ports.inputs)
            self.report.add(
                draft.mark, draft.path, f"node '{draft.name}' has no `from`", f"'{draft.type.name}' takes {takes}"
            )
        elif isinstance(written := draft.node.items.get(FROM), Sequence) and not written.items:
            self.report.add(written.mark, f"{draft.path}.{FROM}", "`from` is empty", "name at least one node")

    def _check_was(self, draft: Draft) -> None:
        if draft.was and draft.was in self.drafts:
            path = f"{draft.path}.was"
            mark = place(draft.node, ("was",), draft.mark)
            message = (
                f"'{draft.was}' is still a node of this flow" if draft.was != draft.name else "the name has not changed"
            )
            self.report.add(mark, path, message, "`was` is for a node that got a new name: remove it")

    def _cycles(self, feeds: dict[str, list[str]]) -> None:
        """Report one circle for every knot of nodes that feed each other."""
        import networkx as nx  # only a flow with a circle waits for it

        graph: nx.DiGraph[str] = nx.DiGraph(
            [(source, target) for source, targets in feeds.items() for target in targets]
        )
        position = {name: i for i, name in enumerate(self.drafts)}
        for knot in nx.strongly_connected_components(graph):
            first = min(knot, key=position.__getitem__)
            if len(knot) == 1 and not graph.has_edge(first, first):
                continue
            way = (
                [first] if graph.has_edge(first, first) else [a for a, _ in nx.find_cycle(graph.subgraph(knot), first)]
            )
            source, target = way[-1], way[0]
            wire = next(w for w in self.drafts[target].wires if w.source == source)
            circle = " -> ".join([*way, way[0]])
            message = f"'{target}' feeds itself" if len(way) == 1 else f"the nodes go round in a circle: {circle}"
            self.report.add(wire.mark, wire.path, message, "a flow runs one way: take one of these edges out")

    def _settle(self, draft: Draft) -> None:
        """Find what arrives at a node and what leaves it; everything before it is settled."""
        if draft.type is None:
            return
        passed: dict[type[Message], None] = {}
        for wire in draft.wires:
            source = self.drafts.get(wire.source)
            if source is None or source.type is None or wire.source not in self._outputs:
                continue
            types = self._travelling(wire, source, draft, draft.type)
            if types:
                self.arriving[self.edge(wire, draft.name)] = types
                if wire.field == FROM:
                    passed |= dict.fromkeys(types)
                    self._check_facts(wire, draft, draft.type)
        before = [self._facts.get(w.source, frozenset()) for w in draft.wires if w.field == FROM]
        self._facts[draft.name] = frozenset().union(draft.type.cls.provides, *before)
        if draft.type.ports.passes:
            if not passed:
                return  # nothing known arrives, so nothing can be said of what it feeds
            self._outputs[draft.name] = tuple(dict.fromkeys([*passed, *draft.type.ports.outputs]))
        else:
            self._outputs[draft.name] = draft.type.ports.outputs

    def _travelling(self, wire: Wire, source: Draft, target: Draft, kind: NodeType) -> Types:
        outputs = self._outputs[source.name]
        if wire.port == Fault.port or takes_faults(kind):
            outputs = (*outputs, Fault)  # every node may fail, and says so to those who ask
        accepted = kind.ports.inputs if wire.field == FROM else kind.ports.feeds.get(wire.field, ())
        if wire.field == FROM and issubclass(kind.cls, Source):
            return ()
        assert source.type is not None
        ports = list(dict.fromkeys(out.port for out in outputs))
        if wire.port and wire.port not in ports:
            message = f"'{wire.source}' ({source.type.name}) has no port '{wire.port}'"
            self.report.add(wire.mark, wire.path, message, self.report.suggest(wire.port, ports))
            return ()
        types = meeting(outputs, accepted, wire.port)
        if not types:
            port = [out for out in outputs if not wire.port or out.port == wire.port]
            gives = said(tuple(port)) if port else "nothing"
            takes = f"'{kind.name}' takes {said(accepted)}" + ("" if wire.field == FROM else f" as '{wire.field}'")
            message = f"'{wire.source}' ({source.type.name}) gives {gives}, but {takes}"
            others = meeting(outputs, accepted)
            hint = f"write {wire.source}.{others[0].port}" if others else self._between(tuple(port), accepted)
            self.report.add(wire.mark, wire.path, message, hint)
        return types

    def _check_facts(self, wire: Wire, draft: Draft, kind: NodeType) -> None:
        for fact in sorted(kind.cls.requires - self._facts.get(wire.source, frozenset())):
            givers = [each.name for each in self._usable_types() if fact in each.cls.provides]
            hint = f"put a '{givers[0]}' node between" if givers else "no known node type gives it"
            message = f"'{kind.name}' needs {fact}, which nothing before '{wire.source}' gives"
            if givers and draft.name != wire.source:
                message = (
                    f"'{kind.name}' needs {fact}, and there is no '{givers[0]}' node on the way through '{wire.source}'"
                )
            self.report.add(wire.mark, wire.path, message, hint)

    def _between(self, outputs: Types, accepted: Types) -> str:
        """Which node types lead from what is given to what is wanted: the shortest way through the catalogue."""
        kinds = [
            kind for kind in self._usable_types() if kind.ports.inputs and kind.ports.outputs and not kind.ports.passes
        ]
        ways: list[tuple[Types, tuple[str, ...]]] = [(outputs, ())]
        seen: set[str] = set()
        for _ in range(3):
            further: list[tuple[Types, tuple[str, ...]]] = []
            for given, way in ways:
                for kind in kinds:
                    if kind.name in seen or not meeting(given, kind.ports.inputs):
                        continue
                    seen.add(kind.name)
                    if meeting(kind.ports.outputs, accepted):
                        names = " and ".join(f"'{name}'" for name in (*way, kind.name))
                        return f"put {names} between them" if way else f"put a {names} node between them"
                    further.append((kind.ports.outputs, (*way, kind.name)))
            ways = further
        givers = [kind.name for kind in self._usable_types() if meeting(kind.ports.outputs, accepted)]
        if givers and len(givers) <= 8:
            return f"name a node of type {' or '.join(givers)}"
        return "`flowrt nodes TYPE` shows what a type takes and gives"

    def _usable_types(self) -> Iterator[NodeType]:
        for name in self.catalog.names():
            try:
                yield self.catalog.get(name)
            except NodeTypeError:
                continue  # it matters only to a flow that uses it

    def _unused(self) -> None:
        """Warn of results that go nowhere; in a flow with errors the missing reader may be one of them."""
        if self.report.failed:
            return
        used = {wire.source for draft in self.drafts.values() for wire in draft.wires}
        for draft in self.drafts.values():
            if draft.type is None or draft.name in used or issubclass(draft.type.cls, Outbox):
                continue
            if draft.type.ports.outputs:
                message = f"nobody takes what '{draft.name}' gives ({said(draft.type.ports.outputs)})"
                hint = f"name it in another node's `from`, or remove it: `from: {draft.name}`"
                self.report.add(draft.mark, draft.path, message, hint, severity="warning")


def takes_faults(kind: NodeType) -> bool:
    """Whether a node is there for the faults of others, and for nothing else."""
    return bool(kind.ports.inputs) and all(issubclass(each, Fault) for each in kind.ports.inputs)


def said(types: Types) -> str:
    """Message types by their ports: `frames or camera_status`."""
    names = list(dict.fromkeys("any message" if each is Message else each.port for each in types))
    return " or ".join(names) if names else "nothing"


def _sorted(feeds: dict[str, list[str]]) -> tuple[list[str], set[str]]:
    """Names in an order in which each stands behind all that feed it, and those that lie in or behind a circle.

    The algorithm is A. B. Kahn's (1962).
    """
    waits_for = Counter(target for targets in feeds.values() for target in targets)
    order = [name for name in feeds if not waits_for[name]]
    for name in order:  # grows while it is walked
        for target in feeds[name]:
            waits_for[target] -= 1
            if not waits_for[target]:
                order.append(target)
    return order, feeds.keys() - order
