"""Settings that need not be said again: an inherited one has the value that the nodes upstream have, where that is only one.

Where none of them has one, a name of a section's entry means the only entry, and a second input the only node whose messages fit: the
only one fed by the same sources, else the only one of the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as ReadOnly
from functools import cached_property
from typing import Any

from flowrt.catalog import NodeType, struct_fields
from flowrt.config.nodes.config import NodeConfig
from flowrt.config.report import Report
from flowrt.config.yaml import UNKNOWN, Mapping, Scalar
from flowrt.flow import FROM, accepted_outputs

SIDE_INPUT = "side_input"
Extras = ReadOnly[str, ReadOnly[str, Any]]


class Inheritance:
    """Completes configs from the sources on. sections: the entries of each section by name."""

    def __init__(
        self,
        configs: ReadOnly[str, NodeConfig],
        sections: ReadOnly[str, ReadOnly[str, Any]],
        extras: Callable[[NodeType], Extras],
        report: Report,
    ) -> None:
        self.configs = configs
        self.sections = sections
        self.report = report
        self._extras = extras
        self._upstream = {name: self._fed_by(config) for name, config in configs.items()}

    def _fed_by(self, config: NodeConfig) -> list[str]:
        return [each.source for each in config.edge_refs if each.field == FROM and each.source in self.configs]

    def order(self) -> Iterator[NodeConfig]:
        """Every config, each behind those that feed it; where they form a circle, as in the file."""
        done: set[str] = set()
        for name in self.configs:
            waiting = [(name, iter(self._upstream[name]))]
            entered = {name}
            while waiting and name not in done:
                current, rest = waiting[-1]
                further = next((each for each in rest if each not in done and each not in entered), None)
                if further is not None:
                    entered.add(further)
                    waiting.append((further, iter(self._upstream[further])))
                    continue
                waiting.pop()
                done.add(current)
                yield self.configs[current]

    def complete(self, config: NodeConfig) -> None:
        """Give a node the inherited settings that it does not say itself."""
        node = config.node
        if config.type is None or not isinstance(node, Mapping):
            return
        for field, extra in self._extras(config.type).items():
            if field in node.items or extra.get("renamed_from") in node.items or not self._may(field, extra):
                continue
            value = self._value(config, config.type, field, extra)
            if value is not None:
                node.items[field] = Scalar(value, config.mark)
                node.keys[field] = config.mark

    def _may(self, field: str, extra: ReadOnly[str, Any]) -> bool:
        """Whether a setting is completed: an inherited one, and one that names an entry of the section of its name."""
        return bool(extra.get("inherited")) or (extra.get("kind") == field and field in self.sections)

    def _value(self, config: NodeConfig, kind: NodeType, field: str, extra: ReadOnly[str, Any]) -> Any:
        """The inherited value; UNKNOWN where it was reported that there is none; None where there is nothing to inherit."""
        named = self._named_upstream(config, field, extra["kind"]) if extra.get("inherited") else {}
        if named:
            if len(named) == 1:
                return next(iter(named))
            return self._ambiguous(config, kind, field, [f"{value} ({node})" for value, node in named.items()], named)
        if extra["kind"] in self.sections:
            entries = self.sections[extra["kind"]]
            return next(iter(entries)) if len(entries) == 1 else None
        if extra["kind"] != SIDE_INPUT:
            return None
        fitting = self._fitting(config, kind, field)
        if len(fitting) > 1:
            return self._ambiguous(config, kind, field, fitting, fitting)
        return fitting[0] if fitting else None

    def _ambiguous(
        self, config: NodeConfig, kind: NodeType, field: str, shown: list[str], names: ReadOnly[str, str] | list[str]
    ) -> Any:
        if not any(each.encode_name == field and each.required for each in struct_fields(kind.cls)):
            return None
        message = f"'{kind.name}' needs the setting '{field}', and there are several: {', '.join(shown)}"
        self.report.add(config.mark, config.path, message, f"add `{field}: {next(iter(names))}`, or another of them")
        return UNKNOWN

    def _named_upstream(self, config: NodeConfig, field: str, kind: str) -> dict[Any, str]:
        """The values of the nearest nodes upstream that have the setting, and one node that has each."""
        found: dict[Any, str] = {}
        seen: set[str] = set()
        waiting = [*reversed(self._upstream[config.name])]
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            source = self.configs[name]
            value = self._own(source, field, kind)
            if value is None:
                waiting += reversed(self._upstream[name])
            elif value is UNKNOWN or not self._exists(value, kind):
                found.setdefault(UNKNOWN, name)  # reported where it is written
            else:
                found.setdefault(value, name)
        return {UNKNOWN: found[UNKNOWN]} if UNKNOWN in found else found

    def _own(self, config: NodeConfig, field: str, kind: str) -> Any:
        """The value of a node's own setting of that name and kind; None where it has none."""
        if config.type is None or not isinstance(config.node, Mapping):
            return None
        written = config.node.items.get(field)
        if self._extras(config.type).get(field, {}).get("kind") != kind or not isinstance(written, Scalar):
            return None
        return written.value or None

    def _exists(self, value: Any, kind: str) -> bool:
        known = self.sections.get(kind, self.configs)
        return str(value).partition(".")[0] in known

    def _fitting(self, config: NodeConfig, kind: NodeType, field: str) -> list[str]:
        """The nodes whose own messages the second input accepts."""
        accepted = kind.ports.side_inputs.get(field, ())
        fitting = [
            name
            for name, other in self.configs.items()
            if other.type is not None and name != config.name and accepted_outputs(other.type.ports.outputs, accepted)
        ]
        if len(fitting) < 2:
            return fitting
        own = self._roots[config.name]
        return [name for name in fitting if self._roots[name] & own] or fitting

    @cached_property
    def _roots(self) -> dict[str, frozenset[str]]:
        """By node, the sources that feed it by way of `from`."""
        roots: dict[str, frozenset[str]] = {}
        for config in self.order():
            feeding = [roots.get(name, frozenset()) for name in self._upstream[config.name]]
            roots[config.name] = frozenset().union(*feeding) if feeding else frozenset({config.name})
        return roots
