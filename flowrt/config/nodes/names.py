"""Names of nodes in `from` and in settings: what they mean, also within and outside of repeated blocks."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable
from collections.abc import Mapping as ReadOnly
from typing import Any

from flowrt.config.nodes.config import EdgeReference, NodeConfig, Selection
from flowrt.config.report import Report
from flowrt.config.yaml import UNKNOWN, Mapping, Scalar, Sequence, Yaml, describe, join
from flowrt.diagnostics import Mark
from flowrt.flow import FROM

ALL = "all"
TYPES = "types"
_WRITE = "write a name, a list of names, name.port, all, or {types: [PORT]}"


class Names:
    """The nodes of a flow by name.

    made_of: a node's key in a repeated block to the full names of all that were made of it.
    """

    def __init__(self, nodes: Collection[str], made_of: ReadOnly[str, list[str]], report: Report) -> None:
        self.nodes = nodes
        self.made_of = made_of
        self.report = report

    def meant(self, name: str, scope: ReadOnly[str, str]) -> list[str]:
        """The full names that a name stands for, of several nodes outside of the block that they are written in."""
        source, dot, port = name.partition(".")
        if source in scope:
            found = [scope[source]]
        elif source in self.nodes:
            found = [source]
        else:
            found = self.made_of.get(source, [source])
        return [f"{each}{dot}{port}" for each in found]

    def read_from(self, config: NodeConfig, written: Yaml | None) -> None:
        """Fill in what `from` says: edges to nodes, and selections."""
        if written is None:
            return
        path = join(config.path, FROM)
        if isinstance(written, Sequence):
            for index, item in enumerate(written.items):
                self._read_one(config, item, join(path, index))
        else:
            self._read_one(config, written, path)
        seen: set[tuple[str, str]] = set()
        for edge_ref in config.edge_refs:
            if (edge_ref.source, edge_ref.port) in seen:
                self.report.add(edge_ref.mark, edge_ref.path, f"'{edge_ref.source}' appears twice", "remove one")
            seen.add((edge_ref.source, edge_ref.port))

    def _read_one(self, config: NodeConfig, node: Yaml, path: str) -> None:
        if isinstance(node, Scalar) and node.value is UNKNOWN:
            return
        if isinstance(node, Mapping) and list(node.items) == [TYPES]:
            config.selections.append(self._types(node.items[TYPES], node.mark, join(path, TYPES)))
        elif isinstance(node, Scalar) and isinstance(node.value, str) and node.value:
            if node.value == ALL and not any(ALL in each for each in (config.scope, self.nodes, self.made_of)):
                config.selections.append(Selection(ports=None, mark=node.mark, path=path))
                return
            for name in self.meant(node.value, config.scope):
                source, _, port = name.partition(".")
                config.edge_refs.append(EdgeReference(source=source, port=port, field=FROM, mark=node.mark, path=path))
        else:
            self.report.add(node.mark, path, f"expected the name of a node, found {describe(node)}", _WRITE)

    def _types(self, written: Yaml, mark: Mark, path: str) -> Selection:
        items = written.items if isinstance(written, Sequence) else [written]
        ports: list[tuple[str, Mark, str]] = []
        for index, item in enumerate(items):
            if isinstance(item, Scalar) and isinstance(item.value, str) and item.value:
                ports.append((item.value, item.mark, join(path, index) if isinstance(written, Sequence) else path))
            elif not (isinstance(item, Scalar) and item.value is UNKNOWN):
                message = f"expected the name of a port, found {describe(item)}"
                self.report.add(item.mark, path, message, "write {types: [PORT, PORT]}")
        return Selection(ports=tuple(ports), mark=mark, path=path)

    def complete(self, config: NodeConfig, extras: ReadOnly[str, ReadOnly[str, Any]]) -> None:
        """Put full names into the settings that name nodes. extras: what the settings say beyond their types."""
        node = config.node
        if not isinstance(node, Mapping) or not (config.scope or self.made_of):
            return
        for field in (field for field, extra in extras.items() if extra.get("kind") in ("side_input", "node")):
            written = node.items.get(field)
            if isinstance(written, Scalar):
                node.items[field] = self._one(written, config, join(config.path, field))
            elif isinstance(written, Sequence):
                full = Sequence(written.mark)
                full.items = [each for item in written.items for each in self._several(item, config)]
                node.items[field] = full

    def _one(self, leaf: Scalar, config: NodeConfig, path: str) -> Scalar:
        full = list(self._several(leaf, config))
        if len(full) == 1 and isinstance(full[0], Scalar):
            return full[0]
        names = ", ".join(str(each.value) for each in full if isinstance(each, Scalar))
        self.report.add(leaf.mark, path, f"'{leaf.value}' stands for several nodes: {names}", "name one of them")
        return Scalar(UNKNOWN, leaf.mark)

    def _several(self, item: Yaml, config: NodeConfig) -> Iterable[Yaml]:
        if not isinstance(item, Scalar) or not isinstance(item.value, str):
            yield item
            return
        for name in self.meant(item.value, config.scope):
            leaf = copy.copy(item)
            leaf.value = name
            yield leaf
