"""The loader's list of problems, and places below a YAML node."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import Literal

import msgspec

from flowrt.config.yaml import Mapping, Scalar, Sequence, Yaml, shorten
from flowrt.diagnostics import Diagnostic, Mark, did_you_mean
from flowrt.secrets import Secrets

MAX_COMPARED = 50_000
TELLING = 8
"""A value from outside with fewer characters is not looked for in problems: it may be a word of their own."""


class Report:
    """The problems of a flow file so far, and its secrets, which no text of a problem shows."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self.secrets: set[str] = set()
        self._mask = Secrets()
        self._outside: dict[str, list[tuple[str, str, str]]] = {}  # by the block or entry that it is in
        self._compared = 0

    def suggest(self, word: str, known: Collection[str]) -> str:
        """`did_you_mean`, until the names compared get so many that a large, broken file would take minutes."""
        self._compared += len(known)
        return did_you_mean(word, known) if self._compared < MAX_COMPARED else "check the name"

    def add(
        self,
        mark: Mark,
        path: str,
        message: str,
        hint: str = "",
        severity: Literal["error", "warning"] = "error",
        *,
        secret: bool = False,
    ) -> None:
        """Add a problem at `mark`. secret: what is written there must not be shown."""
        diagnostic = Diagnostic.at(mark, path, message, hint, severity)
        self.diagnostics.append(msgspec.structs.replace(diagnostic, secret=True) if secret else diagnostic)

    def add_outside(self, path: str, value: str, origin: str) -> None:
        """The setting at `path` has its value from outside of the file; problems name its origin in its place."""
        if len(value) >= TELLING:
            self._outside.setdefault(_block(path), []).append((path, value, origin))

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def sorted(self) -> list[Diagnostic]:
        """By place, each problem once, without secrets and without values from outside of the file."""
        self._mask.learn(self.secrets)
        unique = _folded(map(self._shown, self.diagnostics))
        return sorted(unique, key=lambda p: (p.file, p.line, p.column, p.severity, p.message))

    def _shown(self, diagnostic: Diagnostic) -> Diagnostic:
        message, hint = diagnostic.message, diagnostic.hint
        for path, value, origin in self._outside.get(_block(diagnostic.path), ()):
            if _related(path, diagnostic.path):
                forms = {value, " ".join(value.split()), shorten(value), shorten(value, 200).removesuffix("…")} - {""}
                for form in sorted(forms, key=len, reverse=True):
                    alone = rf"(?<!\w){re.escape(form)}(?!\w)"
                    written = origin.replace("\\", r"\\")
                    message, hint = re.sub(alone, written, message), re.sub(alone, written, hint)
        message, hint = self._mask.text(message), self._mask.text(hint)
        if (message, hint) == (diagnostic.message, diagnostic.hint):
            return diagnostic
        return msgspec.structs.replace(diagnostic, message=message, hint=hint)


def _folded(diagnostics: Iterable[Diagnostic]) -> Iterable[Diagnostic]:
    """Each problem once: what is wrong with a repeated text is one problem with several uses."""
    unique: dict[object, Diagnostic] = {}
    for diagnostic in diagnostics:
        key: object = diagnostic
        if diagnostic.uses:
            key = msgspec.structs.replace(diagnostic, uses=(), path="", message=_unnamed(diagnostic))
        known = unique.setdefault(key, diagnostic)
        if known is not diagnostic and diagnostic.uses:
            uses = tuple(dict.fromkeys([*known.uses, *diagnostic.uses]))
            unique[key] = msgspec.structs.replace(known, uses=uses)
    return unique.values()


def _unnamed(diagnostic: Diagnostic) -> str:
    """The message without the name of the entry that it is about: `node 'north_zones' has no from` says the same of each."""
    return diagnostic.message.replace(f"'{diagnostic.uses[0].what.rpartition(': ')[2]}", "'…")


def _block(path: str) -> str:
    """The first two steps of a path: `nodes.north`."""
    return ".".join(path.split(".", 2)[:2])


def _related(one: str, other: str) -> bool:
    """Whether two paths are the same, or one lies below the other."""
    short, long = sorted((one, other), key=len)
    return long.startswith(short) and long[len(short) : len(short) + 1] in ("", ".", "[")


def place(node: Yaml, steps: tuple[str | int, ...], otherwise: Mark) -> Mark:
    """The place of what lies `steps` below a node; the last place on the way where it is not in the file."""
    mark = otherwise
    for step in steps:
        below = _child(node, step)
        if below is None:
            return mark
        node, mark = below, below.mark
    return mark


def below(node: Yaml, steps: tuple[str | int, ...]) -> Yaml | None:
    """What lies `steps` below a node; None where there is nothing."""
    found: Yaml | None = node
    for step in steps:
        found = _child(found, step) if found is not None else None
    return found


def _child(node: Yaml, step: str | int) -> Yaml | None:
    if isinstance(node, Mapping):
        return node.items.get(str(step))
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None


def plain(node: Yaml) -> object:
    """A node tree as Python values."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(item) for key, item in node.items.items()}
