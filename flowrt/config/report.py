"""The loader's list of problems, and places below a YAML node."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

from flowrt.config.yaml import Mapping, Scalar, Sequence, Yaml
from flowrt.diagnostics import Diagnostic, Mark, did_you_mean

MAX_COMPARED = 50_000


class Report:
    """The problems of a flow file so far."""

    def __init__(self) -> None:
        self.diagnostics: list[Diagnostic] = []
        self._compared = 0

    def suggest(self, word: str, known: Collection[str]) -> str:
        """`did_you_mean`, until the names compared get so many that a large, broken file would take minutes."""
        self._compared += len(known)
        return did_you_mean(word, known) if self._compared < MAX_COMPARED else "check the name"

    def add(
        self, mark: Mark, path: str, message: str, hint: str = "", severity: Literal["error", "warning"] = "error"
    ) -> None:
        """Add a problem at `mark`."""
        self.diagnostics.append(Diagnostic.at(mark, path, message, hint, severity))

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def sorted(self) -> list[Diagnostic]:
        """By place, each problem once."""
        unique = dict.fromkeys(self.diagnostics)
        return sorted(unique, key=lambda p: (p.file, p.line, p.column, p.severity, p.message))


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
