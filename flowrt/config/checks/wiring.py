"""The graph: every name leads somewhere, there are no cycles, and each edge carries message types that its target accepts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from collections.abc import Mapping as ReadOnly

from flowrt.catalog import Catalog, NodeType, NodeTypeError
from flowrt.config.nodes import RENAMED_FROM, EdgeReference, NodeConfig
from flowrt.config.report import Report, place
from flowrt.config.yaml import Mapping, Sequence, shorten
from flowrt.flow import FROM, Edge, accepted_outputs
from flowrt.message import Fault, Message
from flowrt.node import Outbox, Source

Types = tuple[type[Message], ...]


class Wiring:
    """Checks the edges of a flow's configs, and finds the message types that travel on each."""

    def __init__(
        self,
        configs: ReadOnly[str, NodeConfig],
        catalog: Catalog,
        report: Report,
        *,
        keys: Collection[str] = (),
        complete: bool = True,
    ) -> None:
        """keys: of nodes in repeated blocks. complete: no node is missing because of something that was reported already."""
        self.keys = keys
        self.complete = complete
        self.configs = configs
        self.catalog = catalog
        self.report = report
        self.arriving: dict[Edge, Types] = {}
        self._outputs: dict[str, Types] = {}
        self._facts: dict[str, frozenset[str]] = {}

    def check(self) -> None:
        """Report everything wrong, and fill `arriving`."""
        successors = self._successors()
        for config in self.configs.values():
            self._check_from(config)
            self._check_rename(config)
        order, unsettled = _sorted(successors)
        if unsettled:
            self._cycles(successors)
        for name in order:
            self._resolve(self.configs[name])
        self._unused()

    def edge(self, edge_ref: EdgeReference, target: str) -> Edge:
        """The edge that an edge reference stands for."""
        return Edge(source=edge_ref.source, target=target, field=edge_ref.field, port=edge_ref.port)

    def _successors(self) -> dict[str, list[str]]:
        """Node to the nodes that it feeds."""
        successors: dict[str, list[str]] = {name: [] for name in self.configs}
        for config in self.configs.values():
            for edge_ref in config.edge_refs:
                if edge_ref.source in successors:
                    successors[edge_ref.source].append(config.name)
                elif self.complete:
                    hint = self.report.suggest(edge_ref.source, [*config.scope, *self.keys, *self.configs])
                    self.report.add(
                        edge_ref.mark, edge_ref.path, f"there is no node '{shorten(edge_ref.source)}'", hint
                    )
        return successors

    def _check_from(self, config: NodeConfig) -> None:
        """Sources have no `from`, and everything else has."""
        if config.type is None or not isinstance(config.node, Mapping):
            return
        edge_refs = [edge_ref for edge_ref in config.edge_refs if edge_ref.field == FROM]
        if issubclass(config.type.cls, Source):
            if edge_refs:
                message = f"'{config.type.name}' is a source and has no `from`"
                self.report.add(edge_refs[0].mark, edge_refs[0].path, message, "remove it")
        elif not edge_refs and FROM not in config.node.items:
            accepts = port_names(config.type.ports.inputs)
            self.report.add(
                config.mark,
                config.path,
                f"node '{config.name}' has no `from`",
                f"'{config.type.name}' accepts {accepts}",
            )
        elif isinstance(written := config.node.items.get(FROM), Sequence) and not written.items:
            self.report.add(written.mark, f"{config.path}.{FROM}", "`from` is empty", "name at least one node")

    def _check_rename(self, config: NodeConfig) -> None:
        former = config.renamed_from
        if former and former in self.configs:
            mark = place(config.node, (RENAMED_FROM,), place(config.node, ("was",), config.mark))
            message = (
                f"'{former}' is still a node of this flow" if former != config.name else "the name has not changed"
            )
            hint = "`renamed_from` is for a node that got a new name: remove it"
            self.report.add(mark, f"{config.path}.{RENAMED_FROM}", message, hint)

    def _cycles(self, successors: dict[str, list[str]]) -> None:
        """Report one cycle for each group of nodes that feed each other."""
        import networkx as nx  # only a flow with a circle waits for it

        graph: nx.DiGraph[str] = nx.DiGraph(
            [(source, target) for source, targets in successors.items() for target in targets]
        )
        position = {name: i for i, name in enumerate(self.configs)}
        for group in nx.strongly_connected_components(graph):
            first = min(group, key=position.__getitem__)
            if len(group) == 1 and not graph.has_edge(first, first):
                continue
            way = (
                [first] if graph.has_edge(first, first) else [a for a, _ in nx.find_cycle(graph.subgraph(group), first)]
            )
            source, target = way[-1], way[0]
            edge_ref = next(w for w in self.configs[target].edge_refs if w.source == source)
            circle = " -> ".join([*way, way[0]])
            message = f"'{target}' feeds itself" if len(way) == 1 else f"the nodes form a cycle: {circle}"
            self.report.add(edge_ref.mark, edge_ref.path, message, "remove one of these edges")

    def _resolve(self, config: NodeConfig) -> None:
        """Find what arrives at a node and what leaves it; everything before it is settled."""
        if config.type is None:
            return
        passed: dict[type[Message], None] = {}
        for edge_ref in config.edge_refs:
            source = self.configs.get(edge_ref.source)
            if source is None or source.type is None or edge_ref.source not in self._outputs:
                continue
            types = self._travelling(edge_ref, source, config, config.type)
            if types:
                self.arriving[self.edge(edge_ref, config.name)] = types
                if edge_ref.field == FROM:
                    passed |= dict.fromkeys(types)
                    self._check_facts(edge_ref, config, config.type)
        before = [self._facts.get(w.source, frozenset()) for w in config.edge_refs if w.field == FROM]
        self._facts[config.name] = frozenset().union(config.type.cls.provides, *before)
        if config.type.ports.passes:
            if not passed:
                return  # nothing known arrives, so its targets can't be checked
            self._outputs[config.name] = tuple(dict.fromkeys([*passed, *config.type.ports.outputs]))
        else:
            self._outputs[config.name] = config.type.ports.outputs

    def _travelling(self, edge_ref: EdgeReference, source: NodeConfig, target: NodeConfig, kind: NodeType) -> Types:
        outputs = self._outputs[source.name]
        if edge_ref.port == Fault.port or accepts_only_faults(kind):
            outputs = (*outputs, Fault)  # every node may fail, for nodes that subscribe to faults
        accepted = kind.ports.inputs if edge_ref.field == FROM else kind.ports.side_inputs.get(edge_ref.field, ())
        if edge_ref.field == FROM and issubclass(kind.cls, Source):
            return ()
        assert source.type is not None
        ports = list(dict.fromkeys(out.port for out in outputs))
        if edge_ref.port and edge_ref.port not in ports:
            message = f"'{edge_ref.source}' ({source.type.name}) has no port '{edge_ref.port}'"
            self.report.add(edge_ref.mark, edge_ref.path, message, self.report.suggest(edge_ref.port, ports))
            return ()
        types = accepted_outputs(outputs, accepted, edge_ref.port)
        if not types:
            port = [out for out in outputs if not edge_ref.port or out.port == edge_ref.port]
            outputs_named = port_names(tuple(port)) if port else "nothing"
            accepts = f"'{kind.name}' accepts {port_names(accepted)}" + (
                "" if edge_ref.field == FROM else f" as '{edge_ref.field}'"
            )
            message = f"'{edge_ref.source}' ({source.type.name}) outputs {outputs_named}, but {accepts}"
            others = accepted_outputs(outputs, accepted)
            hint = f"write {edge_ref.source}.{others[0].port}" if others else self._between(tuple(port), accepted)
            self.report.add(edge_ref.mark, edge_ref.path, message, hint)
        return types

    def _check_facts(self, edge_ref: EdgeReference, config: NodeConfig, kind: NodeType) -> None:
        for fact in sorted(kind.cls.requires - self._facts.get(edge_ref.source, frozenset())):
            givers = [each.name for each in self._usable_types() if fact in each.cls.provides]
            hint = f"put a '{givers[0]}' node between" if givers else "no known node type provides it"
            message = f"'{kind.name}' needs {fact}, which no node before '{edge_ref.source}' provides"
            if givers and config.name != edge_ref.source:
                message = f"'{kind.name}' needs {fact}, and there is no '{givers[0]}' node on the way through '{edge_ref.source}'"
            self.report.add(edge_ref.mark, edge_ref.path, message, hint)

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
                    if kind.name in seen or not accepted_outputs(given, kind.ports.inputs):
                        continue
                    seen.add(kind.name)
                    if accepted_outputs(kind.ports.outputs, accepted):
                        names = " and ".join(f"'{name}'" for name in (*way, kind.name))
                        return f"put {names} between them" if way else f"put a {names} node between them"
                    further.append((kind.ports.outputs, (*way, kind.name)))
            ways = further
        givers = [kind.name for kind in self._usable_types() if accepted_outputs(kind.ports.outputs, accepted)]
        if givers and len(givers) <= 8:
            return f"name a node of type {' or '.join(givers)}"
        return "`flowrt nodes TYPE` shows what a type accepts and outputs"

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
        used = {edge_ref.source for config in self.configs.values() for edge_ref in config.edge_refs}
        for config in self.configs.values():
            if config.type is None or config.name in used or issubclass(config.type.cls, Outbox):
                continue
            if config.type.ports.outputs:
                message = f"the output of '{config.name}' ({port_names(config.type.ports.outputs)}) is not used"
                hint = f"name it in another node's `from`, or remove it: `from: {config.name}`"
                self.report.add(config.mark, config.path, message, hint, severity="warning")


def accepts_only_faults(kind: NodeType) -> bool:
    """Whether a node accepts nothing but faults."""
    return bool(kind.ports.inputs) and all(issubclass(each, Fault) for each in kind.ports.inputs)


def port_names(types: Types) -> str:
    """Message types by their ports: `frames or camera_status`."""
    names = list(dict.fromkeys("any message" if each is Message else each.port for each in types))
    return " or ".join(names) if names else "nothing"


def _sorted(successors: dict[str, list[str]]) -> tuple[list[str], set[str]]:
    """Names in an order in which each stands behind all that feed it, and those that lie in or behind a circle.

    The algorithm is A. B. Kahn's (1962).
    """
    waits_for = Counter(target for targets in successors.values() for target in targets)
    order = [name for name in successors if not waits_for[name]]
    for name in order:  # grows while it is walked
        for target in successors[name]:
            waits_for[target] -= 1
            if not waits_for[target]:
                order.append(target)
    return order, successors.keys() - order
