"""Problems: everything that can be wrong with a flow file, said in one form.

A problem names file, line, column and path, what is wrong, and what to do. Problems are collected, never raised one by one:
`FlowError` carries all of a file's problems at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal

import msgspec


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """One finding. line and column count from 1; 0 where the finding concerns the file as a whole."""

    file: str
    line: int
    column: int
    path: str
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    end_column: int = 0

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f" at {self.path}" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        return f"{place}: {self.severity}: {self.message}{where}{hint}"


class FlowError(Exception):
    """A flow that can't be used, with all of its problems."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class Complaint(msgspec.Struct, frozen=True):
    """What a node's own `check` says of one of its settings; the loader adds file, line and column.

    path: the keys below the node, e.g. ("zones", 0). An empty path points at the node's name.
    """

    path: tuple[str | int, ...]
    message: str
    hint: str = ""
    severity: Literal["error", "warning"] = "error"


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A suggestion for a name that does not exist: the nearest known ones, or all of them when they are few."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if not names:
        return "there are none"
    shown = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
    return f"known: {shown}"
