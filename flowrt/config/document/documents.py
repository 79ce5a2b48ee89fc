"""The documents of a flow: its file and what that includes, filled from the environment and laid together.

Included files give sections and services, nothing else. Problems point into the file that they are in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping as ReadOnly
from pathlib import Path
from typing import NamedTuple

from flowrt.config.cache import LoadCache
from flowrt.config.document.for_each import FOR_EACH, expand
from flowrt.config.document.substitution import Substitution
from flowrt.config.report import Report
from flowrt.config.sections import sections
from flowrt.config.yaml import (
    UNKNOWN,
    Mapping,
    Scalar,
    Sequence,
    Unreadable,
    Yaml,
    compose,
    describe,
    join,
    parse,
    read_text,
    shorten,
)
from flowrt.diagnostics import Diagnostic, Mark

MAX_INCLUDES = 100


def _allowed(included: bool) -> tuple[str, ...]:
    """The top-level keys of a flow file, or of an included one."""
    return (
        ("include", *sections(), "services")
        if included
        else ("flow", "site", "include", *sections(), "services", "nodes")
    )


class Entry(NamedTuple):
    """One named entry of a block, and where its name stands. scope: of a node, what names mean in its repeated block."""

    node: Yaml
    mark: Mark
    scope: ReadOnly[str, str] = {}


class Documents:
    """What the documents say, block by block.

    files: everything read. complete: no node is missing because its repeated block is broken. made_of: a node's key in a repeated block to the full names of all that were made of it.
    """

    def __init__(
        self,
        path: Path,
        overrides: ReadOnly[str, str],
        environment: ReadOnly[str, str],
        cache: LoadCache,
        report: Report,
    ) -> None:
        self.report = report
        self._cache = cache
        self.sections: dict[str, dict[str, Entry]] = {key: {} for key in sections()}
        self.services: dict[str, Entry] = {}
        self.nodes: dict[str, Entry] = {}
        self.made_of: dict[str, list[str]] = {}
        self.complete = True
        self._scopes: dict[str, dict[str, str]] = {}
        self.files: list[Path] = []
        self._folders: dict[str, Path] = {}
        self._fill = Substitution(environment, self._folders, report)
        self._open: list[str] = []  # the way of includes to the document being read
        self._read_already: set[str] = set()
        name = str(path)
        self.file_mark = Mark(name, 0, 0)
        self.root = self._read(path, name)
        if self.root is not None:
            self._nodes(self.root)
            self._override(overrides)

    @property
    def all_files(self) -> list[Path]:
        """Every file that was read, those of `${file:…}` too."""
        return [*self.files, *self._fill.files]

    def text(self, key: str) -> Scalar | None:
        """A top-level scalar of the flow file."""
        node = self.root.items.get(key) if self.root else None
        if node is None or (isinstance(node, Scalar) and (isinstance(node.value, str) or node.value is UNKNOWN)):
            return node
        self.report.add(node.mark, key, f"expected a string, found {describe(node)}", "write it in quotes")
        return None

    def _read(self, path: Path, name: str, *, included: bool = False) -> Mapping | None:
        self.files.append(path.absolute())
        resolved = os.path.realpath(path)  # other than `resolve`, no error where links go round in a circle
        self._read_already.add(resolved)
        self._folders[name] = path.parent
        root = self._document(path, name, included)
        if root is None:
            return None
        self._open.append(resolved)
        for key in root.items:
            if key not in _allowed(included) and not key.startswith("x-"):
                self._unknown_key(key, root, included)
        self._include(root, path, name)
        for key, entries in self.sections.items():
            self._block(root, key, entries)
        self._block(root, "services", self.services)
        self._open.pop()
        return root

    def _document(self, path: Path, name: str, included: bool) -> Mapping | None:
        """A document with everything from outside filled in."""
        if included:  # a reload reads again what did not change, sections above all
            try:
                text = self._text(path, name)
                if (known := self._cache.document(name, text, lambda: _included_text(text, name))) is not None:
                    return known
            except Unreadable:
                pass  # reported below
        try:
            root = parse(self._text(path, name), name, self.report.diagnostics)
        except Unreadable as error:
            self.report.diagnostics.append(error.diagnostic)
            return None
        if root is not None:
            if not included and "nodes" in root.items:
                expansion = expand(root.items["nodes"], "nodes", self.report)
                root.items["nodes"], self._scopes, self.made_of, self.complete = expansion
            self._fill.fill(root)
        return root

    def _text(self, path: Path, name: str) -> str:
        """The text of a file, or a draft of it. Raises Unreadable."""
        draft = self._cache.drafts.get(os.path.realpath(path))
        return read_text(path, name) if draft is None else draft

    def _unknown_key(self, key: str, root: Mapping, included: bool) -> None:
        if included and key in _allowed(False):
            allowed = " and ".join(f"`{each}`" for each in _allowed(True)[1:])
            self.report.add(root.key(key), key, f"'{key}' in an included file", f"included files give {allowed}")
        else:
            hint = self.report.suggest(key, _allowed(included))
            if key == FOR_EACH:
                hint = "it stands in `nodes:`, below a name of its own: `approach: {for_each: …, nodes: …}`"
            self.report.add(root.key(key), shorten(key), f"unknown key '{shorten(key)}'", hint)

    def _include(self, root: Mapping, path: Path, name: str) -> None:
        written = root.items.get("include")
        if written is None:
            return
        items = written.items if isinstance(written, Sequence) else [written]
        for index, item in enumerate(items):
            where = join("include", index) if isinstance(written, Sequence) else "include"
            if not isinstance(item, Scalar) or not isinstance(item.value, str) or not item.value:
                if not (isinstance(item, Scalar) and item.value is UNKNOWN):
                    self.report.add(item.mark, where, f"expected a file, found {describe(item)}", "name a YAML file")
                continue
            self._included(item, path, name, where)

    def _included(self, item: Scalar, path: Path, name: str, where: str) -> None:
        file = path.parent / item.value
        resolved = os.path.realpath(file) if "\0" not in item.value else None
        if resolved is None or len(self.files) > MAX_INCLUDES:
            self.report.add(item.mark, where, f"more than {MAX_INCLUDES} included files", "put them together")
        elif resolved in self._open:
            way = " -> ".join(Path(each).name for each in [*self._open, resolved])
            self.report.add(item.mark, where, f"the files include each other: {way}", "remove one of these includes")
        elif file.suffix.lower() not in (".yaml", ".yml") and file.exists():
            self.report.add(
                item.mark, where, "an included file that is not a YAML file", "its name ends with .yaml or .yml"
            )
        elif not file.is_file():
            siblings = [each.name for each in file.parent.iterdir() if each.is_file()] if file.parent.is_dir() else []
            near = self.report.suggest(file.name, siblings)
            hint = near if near.startswith("did") else f"looked for {file}"
            self.report.add(item.mark, where, f"the file '{item.value}' does not exist", hint)
        elif resolved not in self._read_already:  # the same file on two ways is read once
            self._read(file, os.path.normpath(os.path.join(os.path.dirname(name), item.value)), included=True)  # noqa: PTH118, PTH120

    def _block(self, root: Mapping, key: str, into: dict[str, Entry]) -> None:
        """Add the entries of one block of one document."""
        block = root.items.get(key)
        if block is None or (isinstance(block, Scalar) and block.value in (None, UNKNOWN)):
            return
        if not isinstance(block, Mapping):
            self.report.add(
                block.mark, key, f"expected a mapping of names, found {describe(block)}", "write `name: …` lines"
            )
            return
        for name, node in block.items.items():
            if name in into:
                first = into[name].mark
                other = f"line {first.line}" if first.file == block.key(name).file else f"{first.file}:{first.line}"
                self.report.add(
                    block.key(name), join(key, name), f"'{name}' appears twice", f"it is already in {other}"
                )
            else:
                into[name] = Entry(node, block.key(name))

    def _nodes(self, root: Mapping) -> None:
        self._block(root, "nodes", self.nodes)
        self.nodes = {name: entry._replace(scope=self._scopes.get(name, {})) for name, entry in self.nodes.items()}
        block = root.items.get("nodes")
        if not self.complete:
            return  # whose nodes are missing was reported
        if block is None:
            self.report.add(self.file_mark, "", "the flow has no nodes", "add `nodes:` with at least one source")
        elif not self.nodes and (isinstance(block, Mapping) or (isinstance(block, Scalar) and block.value is None)):
            self.report.add(root.key("nodes"), "nodes", "the flow has no nodes", "add at least one source")

    def _override(self, overrides: ReadOnly[str, str]) -> None:
        """`--set NODE.SETTING=VALUE`: as if it stood in the file; text is read as the setting's type wants it."""
        for target, text in overrides.items():
            mark = Mark(f"--set {target}", 0, 0)
            name, _, setting = target.partition(".")
            if not setting or "." in setting:
                self.report.add(mark, "", f"'{target}' is no setting", "write --set NODE.SETTING=VALUE")
                continue
            names = [name] if name in self.nodes else self.made_of.get(name, [name])
            entries = [self.nodes[each].node for each in names if each in self.nodes]
            mappings = [each for each in entries if isinstance(each, Mapping)]
            if not mappings:
                self.report.add(
                    mark, "", f"there is no node '{name}'", self.report.suggest(name, [*self.nodes, *self.made_of])
                )
                continue
            node = self._value(text, mark)
            if node is None:
                continue
            self._folders[mark.file] = self._folders[self.file_mark.file]
            self._fill.fill(node, join(join("nodes", names[0]), setting))
            for mapping in mappings:
                mapping.items[setting] = node
                mapping.keys[setting] = mark

    def _value(self, text: str, mark: Mark) -> Yaml | None:
        """A list or mapping where the text is one, else the text itself."""
        if text.lstrip().startswith(("[", "{")):
            try:
                node = compose(text, mark.file, self.report.diagnostics)
            except Unreadable as error:
                self.report.diagnostics.append(error.diagnostic)
                return None
            if node is not None and not isinstance(node, Scalar):
                _outside(node)
                return node
        scalar = Scalar(text, mark)
        scalar.substituted, scalar.sources = True, frozenset({"set"})
        return scalar


def _outside(node: Yaml) -> None:
    """Mark the leaves as coming from outside of the file."""
    if isinstance(node, Scalar):
        node.sources = frozenset({"set"})
        return
    for item in node.items.values() if isinstance(node, Mapping) else node.items:
        _outside(item)


def _included_text(text: str, name: str) -> Mapping | None:
    """The document of an included text; None where it has problems or uses something from outside.

    It is never changed: only `nodes` can be overridden, and an included file has none.
    """
    if "${" in text or "://" in text:
        return None
    diagnostics: list[Diagnostic] = []
    root = parse(text, name, diagnostics)
    return None if diagnostics else root
