"""What a reload need not read again: the watcher keeps one cache for all loads of a flow.

Everything in it depends on content: a file that was edited is read again, and an entry of a section is made again from a new text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from flowrt.config.yaml import Mapping, Yaml
from flowrt.contract import Contract
from flowrt.system.fingerprint import Fingerprints

MAX_DOCUMENTS = 32
MAX_ENTRIES = 200
K = TypeVar("K")
V = TypeVar("V")


class LoadCache:
    """Used by one load at a time. drafts: texts in place of what is in files, by their resolved paths."""

    def __init__(self) -> None:
        self.drafts: dict[str, str] = {}
        self.fingerprints = Fingerprints()
        self._documents: dict[tuple[str, str], Mapping | None] = {}
        self._entries: dict[tuple[str, str, int], tuple[Yaml, Any]] = {}
        self._contract: tuple[tuple[tuple[Path, int], ...], Contract] | None = None
        self._incompatibilities: dict[tuple[Any, ...], tuple[str, ...]] = {}

    def document(self, name: str, text: str, parse: Callable[[], Mapping | None]) -> Mapping | None:
        """The document of an included text; the same object for the same text, which must not be changed."""
        return _remembered(self._documents, (name, text), parse, MAX_DOCUMENTS)

    def entry(self, section: str, name: str, node: Yaml, read: Callable[[], tuple[Any | None, bool]]) -> Any | None:
        """The entry of a section made from a node. `read` also says whether it is good: one with problems is read each time."""
        known = self._entries.get((section, name, id(node)))
        if known is not None and known[0] is node:  # held here, so that its identity is not given to another
            return known[1]
        entry, good = read()
        if good:
            _remembered(self._entries, (section, name, id(node)), lambda: (node, entry), MAX_ENTRIES)
        return entry

    def contract(self, files: Iterable[Path], read: Callable[[], Contract]) -> Contract:
        """The contract that is in these files. Raises what `read` raises, and OSError."""
        stamp = tuple((file, file.stat().st_mtime_ns) for file in files)
        if self._contract is None or self._contract[0] != stamp:
            self._contract = stamp, read()
            self._incompatibilities.clear()
        return self._contract[1]

    def incompatibilities(self, key: tuple[Any, ...], find: Callable[[], Iterable[str]]) -> tuple[str, ...]:
        """What the contract says against a message type; known as long as the contract is the same."""
        if key not in self._incompatibilities:
            self._incompatibilities[key] = tuple(find())
        return self._incompatibilities[key]


def _remembered(known: dict[K, V], key: K, make: Callable[[], V], most: int) -> V:
    if key in known:
        known[key] = known.pop(key)  # used last
    else:
        made = make()
        while len(known) >= most:
            del known[next(iter(known))]
        known[key] = made
    return known[key]
