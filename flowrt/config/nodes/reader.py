"""The entries of `nodes` read: types and edges first, then, from the sources on, the settings."""

from __future__ import annotations

import re
from collections.abc import Callable
from collections.abc import Mapping as ReadOnly
from functools import cached_property
from typing import Any

import msgspec

from flowrt.catalog import Catalog, NodeType, NodeTypeError, setting_extras
from flowrt.config.document.documents import Documents, Entry
from flowrt.config.nodes.config import COMMON, FORMERLY, NAME, RENAMED_FROM, EdgeReference, NodeConfig
from flowrt.config.nodes.inheritance import Inheritance
from flowrt.config.nodes.names import Names
from flowrt.config.nodes.selection import select
from flowrt.config.report import Report
from flowrt.config.values import INVALID, Reference, SettingsReader
from flowrt.config.yaml import UNKNOWN, Mapping, Scalar, Yaml, describe, join, shorten
from flowrt.flow import FROM, Restart
from flowrt.message import Message
from flowrt.node import Source
from flowrt.system.threads import from_keyboard

LISTED = "`flowrt nodes` lists them"


def read_nodes(
    documents: Documents,
    catalog: Catalog,
    sections: ReadOnly[str, ReadOnly[str, Any]],
    delivers: Callable[[NodeType, type[Message]], bool],
    report: Report,
) -> dict[str, NodeConfig]:
    """Every node's config. delivers: whether a sink can do anything with a message type."""
    names = Names(documents.nodes, documents.made_of, report)
    reader = NodeConfigReader(catalog, sections, names, report)
    configs = {name: reader.read(name, entry) for name, entry in documents.nodes.items()}
    select(configs, delivers, report)
    inheritance = Inheritance(configs, sections, reader.extras, report)
    for config in inheritance.order():
        inheritance.complete(config)
        reader.read_settings(config)
    return configs


class NodeConfigReader:
    """Reads the entries of `nodes`. sections: the entries of each section by name."""

    def __init__(
        self, catalog: Catalog, sections: ReadOnly[str, ReadOnly[str, Any]], names: Names, report: Report
    ) -> None:
        self.catalog = catalog
        self.sections = sections
        self.names = names
        self.report = report
        self._broken: dict[str, NodeTypeError] = {}
        self._extras: dict[str, dict[str, dict[str, Any]]] = {}

    def read(self, name: str, entry: Entry) -> NodeConfig:
        """The config of one entry, without its settings."""
        node, mark = entry.node, entry.mark
        config = NodeConfig(name=name, mark=mark, path=join("nodes", name), node=node, scope=entry.scope)
        if not NAME.fullmatch(name):
            hint = f"names are small letters, digits and _: {_tidy(name)}"
            self.report.add(mark, config.path, f"'{shorten(name)}' is no name for a node", hint)
        if not isinstance(node, Mapping):
            if not (isinstance(node, Scalar) and node.value is UNKNOWN):
                message = f"expected a mapping, found {describe(node)}"
                self.report.add(node.mark if node.mark.line else mark, config.path, message, "write {type: …, from: …}")
            return config
        config.node = node = (
            node.copy()
        )  # what is completed here is not written in the file, where an alias may share it
        config.type = self._type(node, config)
        self.names.read_from(config, node.items.get(FROM))
        config.renamed_from = self._renamed_from(node, config)
        if config.type is not None:
            self.names.complete(config, self.extras(config.type))
        return config

    def read_settings(self, config: NodeConfig) -> None:
        """Fill in the settings, and the edges that they name."""
        if config.type is not None and isinstance(config.node, Mapping):
            self._settings(config.node, config, config.type)

    def extras(self, kind: NodeType) -> dict[str, dict[str, Any]]:
        """What the settings of a type say beyond their types, looked up once."""
        if kind.name not in self._extras:
            self._extras[kind.name] = setting_extras(kind.cls)
        return self._extras[kind.name]

    def _type(self, node: Mapping, config: NodeConfig) -> NodeType | None:
        written = node.items.get("type")
        path = join(config.path, "type")
        if written is None:
            self.report.add(config.mark, config.path, f"node '{config.name}' has no type", f"add `type: …`; {LISTED}")
            return None
        if not isinstance(written, Scalar) or not isinstance(written.value, str):
            if not (isinstance(written, Scalar) and written.value is UNKNOWN):
                self.report.add(
                    written.mark, path, f"expected the name of a node type, found {describe(written)}", LISTED
                )
            return None
        name = written.value
        if name not in self.catalog:
            near = self.report.suggest(name, self.catalog.names())
            hint = near if near.startswith("did") else LISTED
            self.report.add(written.mark, path, f"unknown node type '{shorten(name)}'", hint)
            return None
        try:
            if name in self._broken:
                raise self._broken[name]
            return self.catalog.get(name)
        except NodeTypeError as error:
            self._broken[name] = error
            hint = f"see {error.file}:{error.line}" if error.line else "mend the module"
            self.report.add(written.mark, path, f"node type '{name}' can't be used: {shorten(str(error), 200)}", hint)
            return None

    def _renamed_from(self, node: Mapping, config: NodeConfig) -> str:
        key = next((key for key in (RENAMED_FROM, *FORMERLY) if key in node.items), "")
        if not key:
            return ""
        path = join(config.path, key)
        if key in FORMERLY:
            message, hint = f"`{key}` is now called `{FORMERLY[key]}`", f"write `{FORMERLY[key]}: …`"
            self.report.add(node.key(key), path, message, hint, severity="warning")
        written = node.items[key]
        if not isinstance(written, Scalar) or not isinstance(written.value, str) or not NAME.fullmatch(written.value):
            message = f"expected the node's former name, found {describe(written)}"
            self.report.add(written.mark, path, message, "`renamed_from: old_name` keeps its state over a rename")
            return ""
        return written.value

    def _settings(self, node: Mapping, config: NodeConfig, kind: NodeType) -> None:
        values = SettingsReader(self.report)
        before = self._errors()
        if (restart := node.items.get("restart")) is not None:
            config.restart = self._restart(restart, node, config, kind)
        given = values.fields(node, kind.cls, config.path, f"'{kind.name}'", config.mark, COMMON, self._hints)
        config.references = values.references
        for reference in values.references:
            if reference.kind == "side_input":
                source, _, port = reference.name.partition(".")
                config.edge_refs.append(
                    EdgeReference(
                        source=source, port=port, field=reference.field, mark=reference.mark, path=reference.path
                    )
                )
        if given is INVALID or self._errors() > before:
            return
        try:
            config.settings = msgspec.convert(given, kind.cls)
        except BaseException as error:  # a type's own __post_init__ may raise anything
            if from_keyboard(error):
                raise
            self.report.add(config.mark, config.path, f"'{kind.name}': {shorten(str(error), 200)}")
            return
        self._defaults(config, kind, given)

    def _errors(self) -> int:
        return sum(diagnostic.severity == "error" for diagnostic in self.report.diagnostics)

    @cached_property
    def _hints(self) -> dict[str, str]:
        """What to say of settings that are missing and name something."""
        return {key: f"add `{key}: …`; {self.report.suggest('', entries)}" for key, entries in self.sections.items()}

    def _restart(self, written: Yaml, node: Mapping, config: NodeConfig, kind: NodeType) -> Restart:
        path = join(config.path, "restart")
        if not issubclass(kind.cls, Source):
            message = f"'{kind.name}' is no source, and only sources are restarted"
            self.report.add(node.key("restart"), path, message, "remove it")
            return Restart()
        restart = SettingsReader(self.report).struct(written, Restart, path, "'restart'", node.key("restart"))
        return restart if isinstance(restart, Restart) else Restart()

    def _defaults(self, config: NodeConfig, kind: NodeType, given: dict[str, Any]) -> None:
        """Names in defaults are references too; they are reported at the node's name."""
        for field, extra in self.extras(kind).items():
            value = getattr(config.settings, field)
            if extra.get("kind") and field not in given and isinstance(value, str) and value:
                path = join(config.path, field)
                config.references.append(Reference(extra["kind"], value, config.mark, path, field))
                if extra["kind"] == "side_input":
                    source, _, port = value.partition(".")
                    config.edge_refs.append(
                        EdgeReference(source=source, port=port, field=field, mark=config.mark, path=path)
                    )


def _tidy(name: str) -> str:
    """A legal name made of an illegal one."""
    tidy = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return tidy if NAME.fullmatch(tidy) else f"node_{tidy}".rstrip("_")
