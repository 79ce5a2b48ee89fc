"""Lines of a text whatever ends them."""

from __future__ import annotations

import re

_END = re.compile(r"\r\n|\n|\r")


def line_start(text: str, position: int) -> int:
    """Where the line of a position begins."""
    return max(text.rfind("\n", 0, position), text.rfind("\r", 0, position)) + 1


def line_end(text: str, position: int) -> int:
    """Where the line of a position ends, before its line end."""
    found = _END.search(text, position)
    return found.start() if found else len(text)


def newline_near(text: str, position: int) -> str:
    """The line end in use there."""
    found = _END.search(text, position) or _END.search(text)
    return found[0] if found else "\n"
