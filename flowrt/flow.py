"""A flow: the checked, frozen graph that a flow file describes. Nothing here runs.

Two files that differ only in comments, order or formatting give flows between which `Plan` sees no change.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec

from flowrt.addresses import without_passwords
from flowrt.catalog import NodeType
from flowrt.diagnostics import Diagnostic, Mark
from flowrt.message import Message
from flowrt.node import Node, setting
from flowrt.secrets import mask

if TYPE_CHECKING:
    import networkx as nx

FROM = "from"
MAX_BACKOFF_S = 60.0
"""A source that failed is started again after so long at the latest."""


class Edge(msgspec.Struct, frozen=True, order=True):
    """source's messages go to target; `field` is `from` or the name of a side input.

    port: only messages of this port (`name.port` in the file); empty for all that the target accepts.
    """

    source: str
    target: str
    field: str = FROM
    port: str = ""


class Restart(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a source that failed for good is started again: at most `max` times within `window_s`."""

    max: Annotated[int, setting("How often within the window; 0 for never.", ge=0)] = 5
    window_s: Annotated[float, setting("The window.", gt=0)] = 60.0
    backoff_s: Annotated[
        float, setting("Wait before the first restart; doubles, up to a minute.", ge=0, le=MAX_BACKOFF_S)
    ] = 1.0


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One node of a flow.

    settings: an unopened node that holds the settings. entries: setting to the section and entry that it names.
    renamed_from: the node's former name, for a rename that keeps its state. reads: fingerprints of the files that the node reads as
    it opens. mark: where the node is in its file, for errors; an edit that only moves a node changes nothing else.
    """

    name: str
    type: NodeType
    settings: Node
    edges: tuple[Edge, ...] = ()
    entries: dict[str, tuple[str, str]] = {}
    renamed_from: str = ""
    restart: Restart = Restart()
    reads: dict[Path, str] = {}
    mark: Mark = Mark("")

    def instance(self) -> Node:
        """A new node with these settings and no memory."""
        return msgspec.structs.replace(self.settings)


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A checked flow. arriving: per edge, the message types that travel on it.

    sections: of each section of the file besides `nodes` and `services`, its entries by name (`sections["scene"]["north"]`).
    files: everything the flow was read from (flow file, includes, `${file:…}`, models, `nodes/`), for the watcher.
    secrets: resolved secret values, to be masked wherever text leaves the program.
    """

    name: str
    site: str
    path: Path
    nodes: dict[str, NodeSpec]
    arriving: dict[Edge, tuple[type[Message], ...]]
    sections: dict[str, dict[str, Any]] = {}
    services: dict[str, Any] = {}
    files: tuple[Path, ...] = ()
    secrets: frozenset[str] = frozenset()

    @property
    def folder(self) -> Path:
        """Where relative paths start."""
        return self.path.parent

    @property
    def edges(self) -> list[Edge]:
        """Every edge."""
        return [edge for node in self.nodes.values() for edge in node.edges]

    def diagnostic(self, node: str, message: str, hint: str = "") -> Diagnostic:
        """A problem of a node, at its place in the file; of the flow file as such where the flow has no such node."""
        spec = self.nodes.get(node)
        place = spec.mark if spec is not None and spec.mark.file else Mark(str(self.path))
        shown = mask(without_passwords(message), self.secrets)
        return Diagnostic.at(place, f"nodes.{node}" if node else "", shown, hint)

    def graph(self) -> nx.DiGraph[str]:
        """The nodes and edges as a networkx graph; each edge carries its `Edge`s as `edges`."""
        return graph_of(self.nodes, self.edges)

    def order(self) -> list[str]:
        """Node names, each after everything that feeds it; ties as in the file.

        The algorithm is A. B. Kahn's (1962). networkx has it too, but a run would wait for its import before its first picture.
        """
        names = list(self.nodes)
        position = {name: i for i, name in enumerate(names)}
        feeds: dict[str, list[int]] = {name: [] for name in names}
        waits_for = [0] * len(names)
        for name, spec in self.nodes.items():
            for source in {edge.source for edge in spec.edges}:
                feeds[source].append(position[name])
                waits_for[position[name]] += 1
        ready = [i for i, count in enumerate(waits_for) if not count]  # sorted, hence a heap
        order = []
        while ready:
            name = names[heapq.heappop(ready)]
            order.append(name)
            for target in feeds[name]:
                waits_for[target] -= 1
                if not waits_for[target]:
                    heapq.heappush(ready, target)
        return order

    def entries_of(self, name: str) -> dict[str, Any]:
        """By setting, the section entries that a node's settings name."""
        return {field: self.sections[section][entry] for field, (section, entry) in self.nodes[name].entries.items()}


def graph_of(names: Iterable[str], edges: Iterable[Edge]) -> nx.DiGraph[str]:
    """A networkx graph of nodes and the edges between them; each of its edges carries its `Edge`s as `edges`."""
    import networkx as nx  # a tenth of a second, for which neither `flowrt check` nor the first picture waits

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(names)
    for edge in edges:
        if graph.has_edge(edge.source, edge.target):
            graph.edges[edge.source, edge.target]["edges"].append(edge)
        else:
            graph.add_edge(edge.source, edge.target, edges=[edge])
    return graph


def accepted_outputs(
    outputs: Iterable[type[Message]], accepted: Iterable[type[Message]], port: str = ""
) -> tuple[type[Message], ...]:
    """The output types that an input accepts (an input takes subtypes as well), filtered by port name."""
    wanted = tuple(accepted)
    return tuple(out for out in outputs if issubclass(out, wanted) and (not port or out.port == port))
