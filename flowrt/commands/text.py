"""Text on a terminal: what is safe to print, when to colour it, and tables."""

from __future__ import annotations

import os
import sys
from typing import IO


def wants_colour(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that shows colours (https://no-color.org is kept)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Text of a file, without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "�" for char in text)


def table(head: list[str], rows: list[list[str]], right: frozenset[int] = frozenset()) -> None:
    """Print columns; those in `right` are aligned to the right. Control characters are shown, not sent."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
    for row in [head, *shown]:
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
