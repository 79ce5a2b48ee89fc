"""Blocks of nodes that are written once for several things: `for_each: {camera: [north, east]}` and `nodes` below it.

A block is a pure change of the document's tree, made before anything else looks at it: what comes out is the `nodes` mapping that
could have been written by hand.

- `${camera}` in a key or value is the entry's name. With a mapping of parameters per entry, `${camera.url}` is a parameter; where
  it is the whole value it may be anything, a list as well.
- A text with a name or parameter within is read as the setting's type wants it, as values from outside are.
- A node's full name is `north_` and its key; a key with `${camera}` in it says the full name itself.
- Within the block, names mean the block's own nodes first. Outside of it a node's key stands for all that were made of it.
- Every value keeps the place where its text is written, and `Mark.use` says for which entry.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from flowrt.config.nodes.config import FORMERLY, NAME, RENAMED_FROM
from flowrt.config.report import Report
from flowrt.config.yaml import MAX_NODES, UNKNOWN, Mapping, Scalar, Sequence, Yaml, describe, join, shorten
from flowrt.diagnostics import Mark

FOR_EACH = "for_each"
KEYS = (FOR_EACH, "nodes")
_USE = re.compile(r"\$\$\{|\$\{([A-Za-z_]\w*)(?:\.(\w+))?\}")
_EXAMPLE = "write for_each: {camera: [north, east]}"


class Expansion(NamedTuple):
    """The nodes by full name.

    scopes: by full name, what names mean within its block. made_of: a node's key in a block to the full names of all made of it.
    complete: nothing was wrong with a block, so that none of its nodes is missing.
    """

    nodes: Yaml
    scopes: dict[str, dict[str, str]]
    made_of: dict[str, list[str]]
    complete: bool = True


class _Entry(NamedTuple):
    """One of what a block is written for, with its parameters."""

    name: str
    mark: Mark
    parameters: Mapping


def expand(nodes: Yaml, path: str, report: Report) -> Expansion:
    """The `nodes` block with every repeated block written out; the same object where there is none."""
    expansion = Expansion(nodes, {}, {})
    before = len(report.diagnostics)
    if isinstance(nodes, Mapping) and _is_block(nodes) and "type" not in _keys(nodes.items[FOR_EACH]):
        hint = "write it below a name of its own: `approach: {for_each: …, nodes: …}`"
        report.add(nodes.key(FOR_EACH), join(path, FOR_EACH), "a `for_each` that has no name", hint)
        return Expansion(Mapping(nodes.mark), {}, {}, complete=False)
    if not isinstance(nodes, Mapping) or not any(map(_is_block, nodes.items.values())):
        return expansion
    written_out = Mapping(nodes.mark)
    for name, node in nodes.items.items():
        if isinstance(node, Mapping) and _is_block(node):
            _Block(node, join(path, name), report).write_out(written_out, expansion)
        else:
            _add(written_out, name, node, nodes.keys[name], path, report)
    return expansion._replace(nodes=written_out, complete=len(report.diagnostics) == before)


def _is_block(node: Yaml) -> bool:
    return isinstance(node, Mapping) and FOR_EACH in node.items


def _keys(node: Yaml) -> Collection[str]:
    return node.items.keys() if isinstance(node, Mapping) else ()


def _add(into: Mapping, name: str, node: Yaml, mark: Mark, path: str, report: Report) -> None:
    if name in into.items:
        first = into.keys[name]
        at = f"it is already in line {first.line}" + (f", for {first.use.what}" if first.use else "")
        report.add(mark, join(path, name), f"'{shorten(name)}' appears twice", at)
        return
    into.items[name], into.keys[name] = node, mark
    into.size += node.size


class _Block:
    """One block, as far as it could be read; a broken one is reported and gives no nodes."""

    def __init__(self, block: Mapping, path: str, report: Report) -> None:
        self.path = path
        self.report = report
        for key in block.items:
            if key not in KEYS:
                message = f"unknown key '{shorten(key)}' beside `for_each`"
                report.add(block.key(key), join(path, key), message, report.suggest(key, KEYS))
        self.variable, self.entries = self._read_entries(block.items[FOR_EACH])
        self.nodes = self._read_nodes(block)

    def write_out(self, into: Mapping, expansion: Expansion) -> None:
        """Add the block's nodes, entry by entry."""
        if self.nodes is None or not self.entries:
            return
        if into.size + self.nodes.size * len(self.entries) > MAX_NODES:
            message = f"more than {MAX_NODES:,} values with all blocks written out"
            self.report.add(self.nodes.mark, self.path, message, "make it smaller")
            return
        if not self._known_keys(self.nodes):
            return
        for entry in self.entries:
            copy = _Copy(self.variable, entry, self.path, self.report)
            names = {key: copy.full_name(key) for key in self.nodes.items}
            scope = {key: name for key, name in names.items() if "${" not in key}
            for key, node in self.nodes.items.items():
                name = names[key]
                mark = copy.mark(self.nodes.keys[key])
                _add(into, name, copy.top(node), mark, self.path.rpartition(".")[0], self.report)
                expansion.scopes[name] = scope
                if key in scope:
                    expansion.made_of.setdefault(key, []).append(name)

    def _known_keys(self, nodes: Mapping) -> bool:
        """Report keys of nodes that use another name than the block's."""
        own = f"${{{self.variable}}}"
        bad = [key for key in nodes.items if "${" in key.replace(own, "")]
        for key in bad:
            hint = f"here it is {own}: the entry's name, without parameters"
            self.report.add(
                nodes.keys[key], join(self.path, key), f"unknown substitution in the name '{shorten(key)}'", hint
            )
        return not bad

    def _read_nodes(self, block: Mapping) -> Mapping | None:
        nodes = block.items.get("nodes")
        if isinstance(nodes, Mapping) and nodes.items:
            for key, node in nodes.items.items():
                if _is_block(node):
                    hint = "write the blocks one after the other"
                    self.report.add(nodes.key(key), join(self.path, key), "a `for_each` within a `for_each`", hint)
                    return None
            return nodes
        if not (isinstance(nodes, Scalar) and nodes.value is UNKNOWN):
            mark = block.key("nodes") if nodes is not None else block.key(FOR_EACH)
            message = "a `for_each` without nodes"
            self.report.add(mark, self.path, message, "write them below `nodes:`, beside `for_each`")
        return None

    def _read_entries(self, written: Yaml) -> tuple[str, list[_Entry]]:
        path = join(self.path, FOR_EACH)
        if not isinstance(written, Mapping) or len(written.items) != 1:
            found = f"{len(written.items)} names" if isinstance(written, Mapping) else describe(written)
            self.report.add(written.mark, path, f"expected one name with its entries, found {found}", _EXAMPLE)
            return "", []
        [(variable, listed)] = written.items.items()
        if not NAME.fullmatch(variable):
            message = f"'{shorten(variable)}' is no name for what `for_each` counts"
            self.report.add(written.key(variable), path, message, "small letters, digits and _")
            return "", []
        return variable, self._listed(listed, join(path, variable))

    def _listed(self, listed: Yaml, path: str) -> list[_Entry]:
        """The entries of a list of names, or of a mapping of names to parameters."""
        found: list[_Entry] = []
        if isinstance(listed, Sequence):
            for index, item in enumerate(listed.items):
                if isinstance(item, Scalar) and isinstance(item.value, str):
                    found.append(_Entry(item.value, item.mark, Mapping(item.mark)))
                else:
                    message = f"expected a name, found {describe(item)}"
                    self.report.add(item.mark, join(path, index), message, "names are small letters, digits and _")
        elif isinstance(listed, Mapping):
            for name, parameters in listed.items.items():
                if isinstance(parameters, Scalar) and parameters.value is None:
                    parameters = Mapping(listed.key(name))
                if isinstance(parameters, Mapping):
                    found.append(_Entry(name, listed.key(name), parameters))
                else:
                    message = f"expected the parameters of '{shorten(name)}', found {describe(parameters)}"
                    self.report.add(parameters.mark, join(path, name), message, f"write {name}: {{url: …}}")
        elif not (isinstance(listed, Scalar) and listed.value is UNKNOWN):
            message = f"expected a list of names, found {describe(listed)}"
            self.report.add(listed.mark, path, message, _EXAMPLE)
            return []
        if not found:
            self.report.add(listed.mark, path, "`for_each` of nothing", "name at least one")
        return self._good(found, path)

    def _good(self, entries: list[_Entry], path: str) -> list[_Entry]:
        good: dict[str, _Entry] = {}
        for entry in entries:
            if not NAME.fullmatch(entry.name):
                message = f"'{shorten(entry.name)}' is no name, and names of nodes begin with it"
                self.report.add(entry.mark, path, message, "names are small letters, digits and _")
            elif entry.name in good:
                line = good[entry.name].mark.line
                self.report.add(entry.mark, path, f"'{entry.name}' appears twice", f"it is already in line {line}")
            else:
                good[entry.name] = entry
        return list(good.values())


class _Copy:
    """Copies a block's text for one entry."""

    def __init__(self, variable: str, entry: _Entry, path: str, report: Report) -> None:
        self.variable = variable
        self.entry = entry
        self.path = path
        self.report = report
        self._spent = 0

    def mark(self, mark: Mark) -> Mark:
        """The place of the text, used for the entry."""
        return mark.used(f"{self.variable}: {self.entry.name}", self.entry.mark)

    def full_name(self, key: str) -> str:
        """`north_red_light` of `red_light`; of a key with `${…}` in it, what it says."""
        return key.replace(f"${{{self.variable}}}", self.entry.name) if "${" in key else f"{self.entry.name}_{key}"

    def top(self, node: Yaml) -> Yaml:
        """A copy of a node of the block. Its former name is completed as its name is."""
        copy = self.node(node)
        if not isinstance(node, Mapping) or not isinstance(copy, Mapping):
            return copy
        for key in (RENAMED_FROM, *FORMERLY):
            former, copied = node.items.get(key), copy.items.get(key)
            written = former.value if isinstance(former, Scalar) else None
            if isinstance(written, str) and "${" not in written and isinstance(copied, Scalar):
                copied.value = self.full_name(written)
        return copy

    def node(self, node: Yaml) -> Yaml:
        """A copy of a tree."""
        copy: Yaml
        if isinstance(node, Mapping):
            copy = Mapping(self.mark(node.mark))
            for key, item in node.items.items():
                name = key.replace(f"${{{self.variable}}}", self.entry.name)
                copy.items[name] = self.node(item)
                copy.keys[name] = self.mark(node.keys[key])
                copy.size += copy.items[name].size
        elif isinstance(node, Sequence):
            copy = Sequence(self.mark(node.mark))
            copy.items = [self.node(item) for item in node.items]
            copy.size += sum(item.size for item in copy.items)
        else:
            copy = self._leaf(node)
        return copy

    def _leaf(self, leaf: Scalar) -> Yaml:
        mark = self.mark(leaf.mark)
        if not isinstance(leaf.value, str) or "${" not in leaf.value:
            return Scalar(leaf.value, mark)
        whole = _USE.fullmatch(leaf.value)
        if whole is not None and whole[2] and whole[1] == self.variable:
            parameter = self._parameter(whole[2], mark)
            if parameter is None or not self._afford(parameter, mark):
                return Scalar(UNKNOWN, mark)
            return _moved(parameter, leaf.mark, whole[0])
        complete = True

        def replace(use: re.Match[str]) -> str:
            nonlocal complete
            text = self._text(use, mark)
            complete = complete and text is not None
            return text or ""

        text = _USE.sub(replace, leaf.value)
        made = Scalar(text if complete else UNKNOWN, mark)
        made.substituted = True
        return made

    def _afford(self, parameter: Yaml, mark: Mark) -> bool:
        """Whether one more copy of a parameter is within the bound on values."""
        self._spent += parameter.size
        if self._spent > MAX_NODES:
            self.report.add(
                mark, self.path, f"more than {MAX_NODES:,} values with all blocks written out", "make it smaller"
            )
        return self._spent <= MAX_NODES

    def _text(self, use: re.Match[str], mark: Mark) -> str | None:
        if use[1] is None:
            return use[0]  # `$${`, which the substitution of outside values turns into `${`
        if use[1] != self.variable:
            hint = f"here it is ${{{self.variable}}}; from the environment: ${{env:{use[1]}}}"
            self.report.add(mark, self.path, f"unknown substitution '{use[0]}'", hint)
            return None
        if not use[2]:
            return self.entry.name
        parameter = self._parameter(use[2], mark)
        if parameter is None:
            return None
        if isinstance(parameter, Scalar) and parameter.value is not None:
            return parameter.value if isinstance(parameter.value, str) else str(parameter.value).lower()
        message = f"{use[0]} within a text is {describe(parameter)} for '{self.entry.name}'"
        self.report.add(mark, self.path, message, f'a list or mapping is the whole value: "{use[0]}"')
        return None

    def _parameter(self, name: str, mark: Mark) -> Yaml | None:
        parameters = self.entry.parameters
        if name not in parameters.items:
            hint = self.report.suggest(name, parameters.items)
            message = f"'{self.entry.name}' has no parameter '{name}'"
            self.report.add(mark, self.path, message, f"give it in line {self.entry.mark.line}; {hint}")
            return None
        return parameters.items[name]


def _moved(node: Yaml, at: Mark, use: str) -> Yaml:
    """A copy of a parameter, which is written where it is given and used where the block names it."""
    mark = node.mark.used(use, at)
    if isinstance(node, Scalar):
        return Scalar(node.value, mark)
    copy: Sequence | Mapping
    if isinstance(node, Sequence):
        copy = Sequence(mark)
        copy.items = [_moved(item, at, use) for item in node.items]
    else:
        copy = Mapping(mark)
        copy.items = {key: _moved(item, at, use) for key, item in node.items.items()}
        copy.keys = {key: each.used(use, at) for key, each in node.keys.items()}
    copy.size = node.size
    return copy
