"""Diagnostics: everything that can be wrong with a flow file, in one form.

A diagnostic names file, line, column and path, what is wrong, and what to do. Diagnostics are collected, never raised one by one:
`FlowError` carries all of a file's at once.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Literal, NamedTuple

import msgspec


class Use(msgspec.Struct, frozen=True):
    """Why a text counts here that is written elsewhere: an entry of `for_each`, a merge key.

    what: in words (`camera: north`). The place is that of the use.
    """

    what: str
    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.what}, {self.file}:{self.line}:{self.column}"


class Mark(NamedTuple):
    """A place in a file. Line and column count from 1; 0 is the file as such. The end is exclusive.

    use: set where the text at the place counts once more somewhere else, as in a block that is repeated.
    """

    file: str
    line: int = 0
    column: int = 0
    end_column: int = 0
    use: Use | None = None

    def used(self, what: str, at: Mark) -> Mark:
        """The same place, used at another one."""
        return self._replace(use=Use(what, at.file, at.line, at.column))


class Diagnostic(msgspec.Struct, frozen=True):
    """One problem.

    keys: where it is below a node's entry, e.g. ("zones", 0); what a node's own `check` gives, from which the loader finds file, line,
        column and path. Empty points at the node's name.
    secret: what is written at the place must not be shown, also not with the line.
    uses: where the place is a text that is used elsewhere: by what, and where.
    line and column count from 1; 0 where the problem is the file as such. path: `nodes.speed.lanes[0]`.
    """

    keys: tuple[str | int, ...] = ()
    message: str = ""
    hint: str = ""
    severity: Literal["error", "warning"] = "error"
    path: str = ""
    file: str = ""
    line: int = 0
    column: int = 0
    end_column: int = 0
    secret: bool = False
    uses: tuple[Use, ...] = ()

    @classmethod
    def at(
        cls, mark: Mark, path: str, message: str, hint: str = "", severity: Literal["error", "warning"] = "error"
    ) -> Diagnostic:
        """A problem at a place."""
        return cls(
            file=mark.file,
            line=mark.line,
            column=mark.column,
            end_column=mark.end_column,
            path=path,
            message=message,
            hint=hint,
            severity=severity,
            uses=(mark.use,) if mark.use is not None else (),
        )

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        where = f" at {self.path}" if self.path else ""
        hint = f" ({self.hint})" if self.hint else ""
        uses = f" for {'; '.join(map(str, self.uses))}" if self.uses else ""
        return f"{place}: {self.severity}: {self.message}{where}{uses}{hint}"


class FlowError(Exception):
    """A flow that can't be used, with all of its errors."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(map(str, self.diagnostics)))


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
