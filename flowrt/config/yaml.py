"""YAML documents with the place of every key and value, read so that no input can hurt.

- Scalars are read by the core schema of YAML 1.2: `on` and `12:30:00` are strings, `0o17` is a number.
- A key that appears twice, a tag, a second document or an alias to an enclosing node is a problem.
- Size, depth and the number of nodes with all aliases written out are bounded, so that a file can't fill the memory.
- A syntax error ends the reading with one problem; everything else is collected.

Nothing here knows of flows.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from flowrt.addresses import without_passwords
from flowrt.config.document import characters
from flowrt.diagnostics import Diagnostic, Mark

MAX_BYTES = 8_000_000
MAX_DEPTH = 40
MAX_NODES = 500_000
MAX_DIGITS = 300

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # PyYAML without libyaml has only the slower one

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+")
_RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")


class _Unknown:
    """The value of a leaf that could not be read or filled: it is reported once, and every later step passes over it."""

    def __repr__(self) -> str:
        return "unknown"


UNKNOWN = _Unknown()


class Scalar:
    """A leaf. value: str, int, float, bool or None. substituted: its text came from outside, so any type may be read from it.

    origin: where it came from (`${env:NAME}`), which messages name in place of the value.
    """

    __slots__ = ("mark", "origin", "size", "sources", "substituted", "value")

    def __init__(self, value: Any, mark: Mark) -> None:
        self.value = value
        self.mark = mark
        self.size = 1
        self.substituted = False
        self.origin = ""
        self.sources: frozenset[str] = frozenset()


class Sequence:
    """A list of nodes."""

    __slots__ = ("items", "mark", "size")

    def __init__(self, mark: Mark) -> None:
        self.items: list[Yaml] = []
        self.mark = mark
        self.size = 1


class Mapping:
    """Keys to nodes, in the order of the file. keys: where each key stands."""

    __slots__ = ("items", "keys", "mark", "size")

    def __init__(self, mark: Mark) -> None:
        self.items: dict[str, Yaml] = {}
        self.keys: dict[str, Mark] = {}
        self.mark = mark
        self.size = 1

    def key(self, name: str) -> Mark:
        """The place of a key; of the mapping where it has no such key."""
        return self.keys.get(name, self.mark)


Yaml = Scalar | Sequence | Mapping


def describe(node: Yaml) -> str:
    """What a node is, for `expected …, found …`."""
    if isinstance(node, Mapping):
        return "a mapping"
    if isinstance(node, Sequence):
        return "a list"
    value = node.value
    if node.origin and isinstance(value, str):
        return f"text of {len(value)} characters from {node.origin}" if value else f"an empty text from {node.origin}"
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the string '{shorten(without_passwords(value))}'" if value else "an empty string"
    return shorten(str(value))


def shorten(text: str, length: int = 60) -> str:
    """Text fit for one line of a message."""
    text = " ".join(text.split())
    return text if len(text) <= length else text[: length - 1] + "…"


def join(path: str, step: str | int) -> str:
    """A path one step further: `nodes.camera`, `zones[1]`."""
    if isinstance(step, int):
        return f"{path}[{step}]"
    return f"{path}.{step}" if path else step


class Unreadable(Exception):
    """A document that can't be read on; carries its one problem."""

    def __init__(self, mark: Mark, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.diagnostic = Diagnostic.at(mark, "", message, hint)


def read_document(path: Path, name: str, diagnostics: list[Diagnostic]) -> Mapping | None:
    """The mapping in a YAML file; None where there is none. What is wrong is appended to `problems`."""
    try:
        return parse(read_text(path, name), name, diagnostics)
    except Unreadable as error:
        diagnostics.append(error.diagnostic)
        return None


def read_text(path: Path, name: str) -> str:
    """A text file's content. Raises Unreadable for anything that is no UTF-8 text of a sane size."""
    file_mark = Mark(name, 0, 0)
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise Unreadable(file_mark, "this is a folder", "name a YAML file in it")
        if stat.S_ISFIFO(facts.st_mode) and not path.is_relative_to("/dev"):  # /dev/stdin is as good as a file
            raise Unreadable(file_mark, "this is a pipe, which may never end", "name a file")
        if facts.st_size > MAX_BYTES:
            raise Unreadable(
                file_mark, f"the file has {facts.st_size / 1e6:.0f} MB", f"at most {MAX_BYTES // 1_000_000} MB are read"
            )
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise Unreadable(file_mark, "the file does not exist", _sibling(path)) from None
    except (OSError, ValueError) as error:
        raise Unreadable(file_mark, f"the file can't be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > MAX_BYTES:
        raise Unreadable(file_mark, "the file does not end", f"at most {MAX_BYTES // 1_000_000} MB are read")
    return _decode(data, name)


def _sibling(path: Path) -> str:
    """A YAML file of the same name with the other ending, or near it."""
    for other in (path.with_suffix(".yaml"), path.with_suffix(".yml")) if path.name else ():
        if other.is_file():
            return f"did you mean '{other.name}'?"
    return "check the path"


def _decode(data: bytes, name: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Unreadable(Mark(name, 1, 1), "the file is UTF-16, expected UTF-8", "save it as UTF-8")
    if b"\x00" in data[:4096]:
        raise Unreadable(Mark(name, 0, 0), "the file is binary, expected YAML text", "check the path")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        mark = Mark(name, before.count(b"\n") + 1, column)
        raise Unreadable(mark, f"byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8") from None
    if bad := characters.CONTROL.search(text):
        line = text.count("\n", 0, bad.start()) + 1
        column = bad.start() - text.rfind("\n", 0, bad.start())
        mark = Mark(name, line, column)
        raise Unreadable(mark, f"control character 0x{ord(bad[0]):02x}, expected YAML text", "remove it")
    return text


def parse(text: str, name: str, diagnostics: list[Diagnostic]) -> Mapping | None:
    """The mapping that a YAML text holds. Raises Unreadable for bad syntax and exceeded limits."""
    root = compose(text, name, diagnostics)
    if root is None or (isinstance(root, Scalar) and root.value is None):
        raise Unreadable(Mark(name, 0, 0), "the file is empty", "`flowrt new NAME` writes a flow to begin with")
    if not isinstance(root, Mapping):
        raise Unreadable(root.mark, f"expected a mapping, found {describe(root)}", "begin with `flow: NAME`")
    return root


def compose(text: str, name: str, diagnostics: list[Diagnostic]) -> Yaml | None:
    """The node tree of a YAML text; None where it holds no document. Raises Unreadable."""
    composer = _Composer(name, text, diagnostics)
    try:
        for event in _events(text):
            composer.take(event)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, text, name) from None
    except yaml.YAMLError as error:  # a reader error: characters that YAML forbids
        raise Unreadable(Mark(name, 0, 0), f"not YAML: {shorten(str(error))}", "remove the character") from None
    if composer.pasted:  # whatever else is odd about the file follows from these
        diagnostics += [error.diagnostic for error in composer.pasted[1:]]
        raise composer.pasted[0]
    return composer.root


def _events(text: str) -> Iterator[Any]:
    yield from yaml.parse(text, Loader=_Loader)


def _syntax_error(error: yaml.MarkedYAMLError, text: str, name: str) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Unreadable(Mark(name, 0, 0), f"not YAML: {error.problem}")
    lines = text.split("\n")
    line = lines[mark.line] if mark.line < len(lines) else ""
    place = Mark(name, mark.line + 1, mark.column + 1)
    if found := characters.INVISIBLE.search(line):
        return _invisible(name, mark.line + 1, found)
    tab = re.match(r"[ ]*\t", line)
    if tab or line[mark.column : mark.column + 1] == "\t":
        column = tab.end() if tab else mark.column + 1
        return Unreadable(
            Mark(name, mark.line + 1, column), "a tab character", "indent by spaces: YAML forbids tabs here"
        )
    diagnostic = str(error.problem or error.context)
    if (
        "nesting depth" in diagnostic
    ):  # newer versions of libyaml have a bound of their own, which its scanner may reach first
        return _too_deep(place)
    context = f" {error.context}" if error.context and error.problem else ""
    began = error.context_mark
    since = f" (begun in line {began.line + 1})" if began is not None and began.line != mark.line else ""
    return Unreadable(
        place,
        f"not YAML:{context}{since}: {diagnostic}" if context else f"not YAML: {diagnostic}",
        _advice(diagnostic, line),
    )


def _invisible(name: str, line: int, found: re.Match[str]) -> Unreadable:
    message = f"{characters.named(found[0])}, which is not a space in YAML"
    hint = "replace it by a plain space, or remove it; where it belongs to a text, put the text in quotes"
    return Unreadable(Mark(name, line, found.start() + 1), message, hint)


def _too_deep(mark: Mark) -> Unreadable:
    return Unreadable(mark, f"nested deeper than {MAX_DEPTH} levels", "flatten it")


def _advice(diagnostic: str, line: str) -> str:
    if "mapping values are not allowed" in diagnostic:
        return "check the indentation, and quote a value that holds ': '"
    if "cannot start any token" in diagnostic:
        return "quote a value that begins with @, ` or %"
    if "could not find expected ':'" in diagnostic:
        return "a key needs ': ' behind it"
    if "expected key" in diagnostic or "block end" in diagnostic:
        return "check the indentation: keys of one mapping stand in the same column"
    if "undefined alias" in diagnostic:
        return "define it with &name further up, or quote a value that begins with *"
    if "expected ',' or" in diagnostic:
        return "a bracket or a comma is missing"
    if "unexpected end of stream" in diagnostic:
        return "a quote or bracket is not closed"
    return "check the syntax here" if line else "something is not closed"


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
        self._keys: list[tuple[str, Mark] | None] = []  # per open collection, the key that waits for its value
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
            raise _too_deep(node.mark)
        if self._waits_for_key():
            raise Unreadable(node.mark, "a key that is no plain name", "keys are strings")
        self._check_tag(event, node.mark)
        self._stack.append((node, event.anchor))
        self._keys.append(None)

    def _end(self) -> None:
        node, anchor = self._stack.pop()
        self._keys.pop()
        self._add(node)
        if anchor:
            self._anchors[anchor] = node

    def _scalar(self, event: Any) -> None:
        mark = self._mark(event)
        plain = event.implicit[0] and event.style in (None, "")
        if plain and self._lines is not None:
            self._check_pasted(event, self._lines)
        if self._waits_for_key():
            self._take_key(event.value, mark)
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
                self.pasted.append(_invisible(self.name, number + 1, found))
                return
        if event.value[:1] in characters.CURLY_QUOTES:
            mark = self._mark(event)
            message = "curly quotes, which are not quotes in YAML"
            self.pasted.append(Unreadable(mark, message, 'write straight quotes: "…"'))

    def _take_key(self, key: str, mark: Mark) -> None:
        if key == "<<":
            self._diagnostic(
                mark, "a merge key '<<'", "YAML 1.2 has none: write the settings out, or alias a whole value"
            )
        self._keys[-1] = (key, mark)

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
        key, mark = waiting
        if key in parent.items:
            first = parent.keys[key].line
            self._diagnostic(
                mark, f"'{shorten(key)}' appears twice", f"it is already in line {first}: remove or rename one"
            )
            return
        if key != "<<":
            parent.items[key] = node
            parent.keys[key] = mark

    def _check_tag(self, event: Any, mark: Mark) -> None:
        if event.tag and event.tag not in ("!", "tag:yaml.org,2002:str"):
            self._diagnostic(mark, f"a tag '{shorten(event.tag)}'", "tags are not used here: remove it")

    def _resolve(self, text: str, mark: Mark) -> Any:
        if len(text) > MAX_DIGITS and (_FLOAT.fullmatch(text) or _RADIX.fullmatch(text)):
            self._diagnostic(mark, f"a number of {len(text)} characters", f"at most {MAX_DIGITS}")
            return UNKNOWN
        return core_value(text)


def core_value(text: str) -> Any:
    """A plain scalar's value by the core schema of YAML 1.2 (chapter 10.3)."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _RADIX.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float((special[1] or "") + "inf") if special[2] else float("nan")
    return text
