"""The node tree of a YAML document: leaves, lists and mappings with the place of every key and value."""

from __future__ import annotations

import re
from typing import Any

from flowrt.addresses import without_passwords
from flowrt.config.yaml import characters
from flowrt.diagnostics import Diagnostic, Mark

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL = {word: word.lower() == "true" for word in ("true", "True", "TRUE", "false", "False", "FALSE")}
_INT = re.compile(r"[-+]?[0-9]+")
RADIX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"([-+]?)(\.inf|\.Inf|\.INF)|\.nan|\.NaN|\.NAN")


_SPACE = re.compile(r"[ \n]+")


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

    def copy(self) -> Mapping:
        """Another mapping of the same nodes."""
        other = Mapping(self.mark)
        other.items, other.keys, other.size = dict(self.items), dict(self.keys), self.size
        return other

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
    text = characters.visible(" ".join(_SPACE.split(text.strip(" \n"))))
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


def core_value(text: str) -> Any:
    """A plain scalar's value by the core schema of YAML 1.2 (chapter 10.3)."""
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if RADIX.fullmatch(text):
        return int(text[2:], 8 if text[1] == "o" else 16)
    if FLOAT.fullmatch(text):
        return float(text)
    if special := _SPECIAL.fullmatch(text):
        return float((special[1] or "") + "inf") if special[2] else float("nan")
    return text
