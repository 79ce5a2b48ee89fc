"""Names in settings have to exist: entries of sections and their parts, names that nodes publish, services, files, nodes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from flowrt.config.document.documents import Documents
from flowrt.config.nodes import NodeConfig
from flowrt.config.report import Report
from flowrt.config.sections import Use, sections
from flowrt.config.values import Reference
from flowrt.config.yaml import shorten
from flowrt.message import Message
from flowrt.system.threads import from_keyboard


class References:
    """Looks up what settings name.

    entries: by section and name, None where an entry could not be read. files: what was found on disk.
    """

    def __init__(
        self,
        configs: Mapping[str, NodeConfig],
        entries: Mapping[str, Mapping[str, Any]],
        services: Mapping[str, Any],
        folder: Path,
        report: Report,
    ) -> None:
        self.configs = configs
        self.entries = entries
        self._section_of = {part: key for key, section in sections().items() for part in section.parts}
        self.services = services
        self.folder = folder
        self.report = report
        self.files: list[Path] = []

    def check(self, config: NodeConfig) -> None:
        """Report every name of one node that leads nowhere."""
        for reference in config.references:
            if reference.kind in self.entries:
                self._known(reference, reference.kind, self.entries[reference.kind])
            elif reference.kind == "service":
                self._known(reference, "service", self.services)
            elif reference.kind == "node":
                self._known(reference, "node", self.configs)
            elif reference.kind in self._section_of:
                self._in_entry(reference, self._section_of[reference.kind], config)
            elif reference.kind == "file":
                self._file(reference)

    def check_files(self, references: Iterable[Reference]) -> None:
        """The files that services name."""
        for reference in references:
            if reference.kind == "file":
                self._file(reference)

    def _known(self, reference: Reference, what: str, known: Mapping[str, Any]) -> None:
        if reference.name not in known:
            message = f"there is no {what} '{shorten(reference.name)}'"
            self.report.add(reference.mark, reference.path, message, self.report.suggest(reference.name, known))

    def _in_entry(self, reference: Reference, key: str, config: NodeConfig) -> None:
        """A part of the entry that the node's setting `key` names, or of the flow's only entry."""
        entries = self.entries[key]
        name = next((r.name for r in config.references if r.kind == key and r.field == key), "")
        if not name:
            if config.settings is None:
                return  # that the setting is missing was reported already
            if len(entries) != 1:
                hint = (
                    f"add `{key}: …`; {self.report.suggest('', entries)}" if entries else f"declare one under `{key}`"
                )
                message = f"{reference.kind} '{reference.name}' of which {key}?"
                self.report.add(reference.mark, reference.path, message, hint)
                return
            name = next(iter(entries))
        entry = entries.get(name)
        if entry is None:
            return  # unknown or unreadable, and reported as such
        section = sections()[key]
        known = section.names(entry, reference.kind)
        if reference.name in known:
            return
        hint = self.report.suggest(reference.name, known)
        other = next((part for part in section.parts if reference.name in section.names(entry, part)), "")
        if other:
            hint = f"it is a {other}, and a {reference.kind} is wanted; {hint}"
        message = f"{key} '{name}' has no {reference.kind} '{reference.name}'"
        self.report.add(reference.mark, reference.path, message, hint)

    def _file(self, reference: Reference) -> None:
        if "://" in reference.name:
            return
        try:
            path = (self.folder / reference.name).resolve()
            found = path.exists()
        except (OSError, ValueError):
            found, path = False, self.folder / "?"
        if found:
            self.files.append(path)
            return
        siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        near = self.report.suggest(path.name, siblings)
        hint = near if near.startswith("did") else f"looked for {path}"
        self.report.add(reference.mark, reference.path, f"the file '{reference.name}' does not exist", hint)


def published_names(configs: Collection[NodeConfig], report: Report) -> dict[str, frozenset[str]]:
    """By kind, the names that the flow's nodes publish; empty where one of them does not say."""
    kinds = {kind: message for section in sections().values() for kind, (message, _) in section.published.items()}
    return {kind: _published(kind, message, configs, report) for kind, message in kinds.items()}


def _published(kind: str, message: type[Message], configs: Iterable[NodeConfig], report: Report) -> frozenset[str]:
    """The names of one kind, which nodes publish that make messages of one type."""
    names: set[str] = set()
    for config in configs:
        if config.type is None:
            return frozenset()
        if not any(issubclass(each, message) for each in config.type.ports.outputs) or config.type.ports.passes:
            continue
        if config.settings is None:
            return frozenset()
        try:
            declared = set(config.settings.published(kind))
        except BaseException as error:  # a third party's code; its fault is a finding, not a crash
            if from_keyboard(error):
                raise
            text = f"'{config.type.name}'.published() failed: {type(error).__name__}: {error}"
            report.add(config.mark, config.path, text)
            return frozenset()
        if not declared:
            return frozenset()
        names |= declared
    return frozenset(names)


def check_published(
    published: Mapping[str, frozenset[str]],
    entries: Mapping[str, Mapping[str, Any]],
    documents: Documents,
    configs: Mapping[str, NodeConfig],
    report: Report,
) -> None:
    """Report names that no node publishes. A kind is not checked where a node does not declare its names."""
    uses = [
        use
        for key, section in sections().items()
        for name, entry in entries[key].items()
        for use in section.uses(entry, documents.sections[key][name].node, f"{key}.{name}")
    ]
    for config in configs.values():
        uses += [Use(r.kind, r.name, r.path, r.mark) for r in config.references if r.kind in published]
    descriptions = {kind: text for section in sections().values() for kind, (_, text) in section.published.items()}
    for use in uses:
        names = published[use.kind]
        if names and use.name not in names:
            message = f"no node publishes the {descriptions[use.kind]} '{use.name}'"
            report.add(use.mark, use.path, message, report.suggest(use.name, names))
