"""Where the loader collects what it finds, and how it names a place in the file."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from flowrt.config.yaml import Mapping, Mark, Scalar, Sequence, Yaml, read_document
from flowrt.diagnostics import Diagnostic, did_you_mean

MAX_COMPARED = 50_000


class Report:
    """The problems found so far."""

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
        """One more finding at `mark`."""
        self.diagnostics.append(
            Diagnostic(
                file=mark.file,
                line=mark.line,
                column=mark.column,
                end_column=mark.end_column,
                path=path,
                message=message,
                hint=hint,
                severity=severity,
            )
        )

    @property
    def failed(self) -> bool:
        """Whether there is an error among them."""
        return any(diagnostic.severity == "error" for diagnostic in self.diagnostics)

    def sorted(self) -> list[Diagnostic]:
        """By place, each finding once."""
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


def locate(path: Path, *steps: str | int) -> Mark:
    """Where something stands in a flow file that was read before; the file as a whole where it can't be found any more."""
    root = read_document(path, str(path), [])
    holder = below(root, steps[:-1]) if root is not None else None
    whole = Mark(str(path), 0, 0)
    return holder.keys.get(str(steps[-1]), whole) if steps and isinstance(holder, Mapping) else whole


def plain(node: Yaml) -> object:
    """A node tree as Python values."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(item) for key, item in node.items.items()}
