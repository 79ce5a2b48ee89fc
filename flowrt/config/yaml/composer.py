"""The node tree of a YAML text, built from libyaml's events.

- Scalars are read by the core schema of YAML 1.2: `on` and `12:30:00` are strings, `0o17` is a number.
- A key that appears twice, a tag, a second document or an alias to an enclosing node is a problem.
- Depth and the number of nodes with all aliases written out are bounded, so that a file can't fill the memory.
- A merge key (`<<`) brings the keys that a mapping does not give itself, as YAML 1.1 has it; they keep their places.
- A syntax error ends the reading with one problem; everything else is collected.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import yaml

from flowrt.config.yaml import characters
from flowrt.config.yaml.syntax import MAX_DEPTH, invisible, syntax_error, too_deep
from flowrt.config.yaml.tree import (
    FLOAT,
    RADIX,
    UNKNOWN,
    Mapping,
    Scalar,
    Sequence,
    Unreadable,
    Yaml,
    core_value,
    describe,
    shorten,
)
from flowrt.diagnostics import Diagnostic, Mark

MAX_NODES = 500_000
MAX_DIGITS = 300

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML without libyaml has only the slower one


def compose(text: str, name: str, diagnostics: list[Diagnostic]) -> Yaml | None:
    """The node tree of a YAML text; None where it holds no document. Raises Unreadable."""
    composer = _Composer(name, text, diagnostics)
    try:
        for event in _events(text):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        raise syntax_error(error, text, name) from None
    except yaml.YAMLError as error:  # a reader error: characters that YAML forbids
        raise Unreadable(Mark(name, 0, 0), f"not YAML: {shorten(str(error))}", "remove the character") from None
    if composer.pasted:  # whatever else is odd about the file follows from these
        diagnostics += [error.diagnostic for error in composer.pasted[1:]]
        raise composer.pasted[0]
    return composer.root


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=_Loader)


def _hidden(mark: Mark, character: str) -> Diagnostic:
    message = f"the text begins or ends with {characters.named(character)}"
    return Diagnostic.at(mark, "", message, "remove it, unless it belongs there", "warning")


class _Key(NamedTuple):
    """A key and its place. merges: it is a plain `<<`."""

    text: str
    mark: Mark
    merges: bool


class _Composer:
    """Builds the tree from libyaml's events, without recursion."""

    def __init__(self, name: str, text: str, diagnostics: list[Diagnostic]) -> None:
        self.name = name
        self.pasted: list[Unreadable] = []
        self._lines = text.split("\n") if characters.LOOKALIKE.search(text) else None
        self.diagnostics = diagnostics
        self.root: Yaml | None = None
        self.documents = 0
        self._stack: list[tuple[Sequence | Mapping, str | None]] = []  # open collections, and their anchors
        self._keys: list[_Key | None] = []  # per open collection, the key that waits for its value
        self._merges: list[tuple[_Key, Yaml] | None] = []  # per open collection, what its merge key brings
        self._anchors: dict[str, Yaml] = {}

    def take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._begin(Mapping(self._mark(event)), event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._begin(Sequence(self._mark(event)), event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._end()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise Unreadable(self._mark(event), "a second document", "a file holds one document: remove the '---'")

    def _mark(self, event: Any) -> Mark:
        start, end = event.start_mark, event.end_mark
        end_column = end.column + 1 if end.line == start.line else 0
        return Mark(self.name, start.line + 1, start.column + 1, end_column)

    def _diagnostic(self, mark: Mark, message: str, hint: str) -> None:
        self.diagnostics.append(Unreadable(mark, message, hint).diagnostic)

    def _begin(self, node: Sequence | Mapping, event: Any) -> None:
        if len(self._stack) >= MAX_DEPTH:
            raise too_deep(node.mark)
        if self._waits_for_key():
            raise Unreadable(node.mark, "a key that is no plain name", "keys are strings")
        self._check_tag(event, node.mark)
        self._stack.append((node, event.anchor))
        self._keys.append(None)
        self._merges.append(None)

    def _end(self) -> None:
        node, anchor = self._stack.pop()
        self._keys.pop()
        merge = self._merges.pop()
        if merge is not None and isinstance(node, Mapping):
            self._merge(node, *merge)
        self._add(node)
        if anchor:
            self._anchors[anchor] = node

    def _scalar(self, event: Any) -> None:
        mark = self._mark(event)
        plain = event.implicit[0] and event.style in (None, "")
        if plain and self._lines is not None:
            self._check_pasted(event, self._lines)
        if not plain and (hidden := characters.hidden_at_an_end(event.value)):
            self.diagnostics.append(_hidden(mark, hidden))
        if self._waits_for_key():
            self._keys[-1] = _Key(event.value, mark, plain and event.value == "<<")
            return
        self._check_tag(event, mark)
        value = self._resolve(event.value, mark) if plain else event.value
        scalar = Scalar(value, mark)
        self._add(scalar)
        if event.anchor:
            self._anchors[event.anchor] = scalar

    def _check_pasted(self, event: Any, lines: list[str]) -> None:
        """Collect characters that look like YAML's own and are none, as text pasted from a web page has them."""
        for number in range(event.start_mark.line, event.end_mark.line + 1):
            line = lines[number] if number < len(lines) else ""
            start = event.start_mark.column if number == event.start_mark.line else 0
            end = event.end_mark.column if number == event.end_mark.line else len(line)
            if found := characters.INVISIBLE.search(line, start, end):
                self.pasted.append(invisible(self.name, number + 1, found))
                return
        if event.value[:1] in characters.CURLY_QUOTES:
            mark = self._mark(event)
            message = "curly quotes, which are not quotes in YAML"
            self.pasted.append(Unreadable(mark, message, 'write straight quotes: "…"'))

    def _alias(self, event: Any) -> None:
        mark = self._mark(event)
        if event.anchor in (anchor for _, anchor in self._stack):
            raise Unreadable(mark, f"alias *{event.anchor} stands inside what it repeats", "an alias can't hold itself")
        if event.anchor not in self._anchors:
            raise Unreadable(
                mark, f"alias *{event.anchor} is not defined", "define it with &name further up, or quote the *"
            )
        if self._waits_for_key():
            raise Unreadable(mark, "an alias as a key", "keys are strings")
        self._add(self._anchors[event.anchor])

    def _waits_for_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1][0], Mapping) and self._keys[-1] is None

    def _add(self, node: Yaml) -> None:
        if not self._stack:
            self.root = node
            return
        parent = self._stack[-1][0]
        parent.size += node.size
        if parent.size > MAX_NODES:
            raise Unreadable(
                parent.mark, f"more than {MAX_NODES:,} values with all aliases written out", "make it smaller"
            )
        if isinstance(parent, Sequence):
            parent.items.append(node)
            return
        waiting = self._keys[-1]
        assert waiting is not None
        self._keys[-1] = None
        key, mark, merges = waiting
        if merges and self._merges[-1] is not None:
            self._diagnostic(mark, "a second merge key", "give a list: <<: [*first, *second]")
        elif merges:
            self._merges[-1] = waiting, node
        elif key in parent.items:
            first = parent.keys[key].line
            self._diagnostic(
                mark, f"'{shorten(key)}' appears twice", f"it is already in line {first}: remove or rename one"
            )
        else:
            parent.items[key] = node
            parent.keys[key] = mark

    def _merge(self, mapping: Mapping, key: _Key, brought: Yaml) -> None:
        """Take what a mapping does not say itself from others; of several the first counts. Values stay where they are written."""
        for each in brought.items if isinstance(brought, Sequence) else [brought]:
            if not isinstance(each, Mapping):
                message = f"a merge key takes a mapping or a list of mappings, found {describe(each)}"
                self._diagnostic(each.mark, message, "write <<: *name, where &name stands before a mapping")
                continue
            for name, item in each.items.items():
                if name not in mapping.items:
                    mapping.items[name] = item
                    mapping.keys[name] = each.keys[name].used("merged by <<", key.mark)

    def _check_tag(self, event: Any, mark: Mark) -> None:
        if event.tag and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self._diagnostic(mark, f"a tag '{shorten(event.tag)}'", "tags are not used here: remove it")

    def _resolve(self, text: str, mark: Mark) -> Any:
        if len(text) > MAX_DIGITS and (FLOAT.fullmatch(text) or RADIX.fullmatch(text)):
            self._diagnostic(mark, f"a number of {len(text)} characters", f"at most {MAX_DIGITS}")
            return UNKNOWN
        return core_value(text)
