"""Text on a terminal: what is safe to print, when to colour it, and tables."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import IO


def wants_colour(stream: IO[str]) -> bool:
    """Whether a stream is a terminal that shows colours (https://no-color.org is kept)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def printable(text: str) -> str:
    """Text of a file, without anything that a terminal would obey."""
    return "".join(char if char.isprintable() else " " if char == "\t" else "�" for char in text)


def table(
    head: list[str], rows: list[list[str]], right: frozenset[int] = frozenset(), below: tuple[int, ...] = ()
) -> None:
    """Print columns; those in `right` are aligned to the right. Control characters are shown, not sent.

    below: columns that stand below their row, one after the other as far as that takes, where the terminal is too narrow for all: no name
    and no address is broken. What goes to no terminal has a line for each row.
    """
    shown = [[printable(cell) for cell in row] for row in rows]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    widths = [max(map(len, column)) for column in zip(head, *shown, strict=True)]
    moved: list[int] = []
    for column in below:
        if width and sum(widths) + 2 * (len(widths) - 1 - len(moved)) - sum(widths[i] for i in moved) > width:
            moved.append(column)
    for number, row in enumerate([head, *shown]):
        cells = [
            cell.rjust(w) if i in right else cell.ljust(w)
            for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            if i not in moved
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
        for column in moved if number else ():
            if row[column]:
                _write_below(row[column], width)


def _write_below(text: str, width: int) -> None:
    """Words over as many lines as they take; one that is longer than a line goes on over the edge, which breaks nothing in two."""
    lines = textwrap.wrap(
        text, width, initial_indent="    ", subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    sys.stdout.write("".join(f"{line}\n" for line in lines))
