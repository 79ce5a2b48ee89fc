"""Golden files: what a node made is compared with what it made when its author last looked."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flowrt.contract.payload import payload_of
from flowrt.message import Message

UPDATE = "FLOWRT_GOLDEN"
"""Set to `update`, golden files are written instead of compared."""


def golden(made: Iterable[Message], file: Path, *, site: str = "test-site") -> None:
    """Compare messages, as their payloads, with a golden file. Raises AssertionError with the difference.

    Where the file is missing, or with `FLOWRT_GOLDEN=update` in the environment, it is written; a missing one fails all the same, so that
    its author looks at it once.
    """
    rows = [{"port": message.port, **payload_of(message, site)} for message in made]
    text = json.dumps([_rounded(row) for row in rows], indent=2, ensure_ascii=False) + "\n"
    update = os.environ.get(UPDATE) == "update"
    if update or not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        if update:
            return
        raise AssertionError(f"{file} was not there and is written now: look at it, then run the test again")
    before = file.read_text("utf-8")
    if before != text:
        lines = difflib.unified_diff(before.splitlines(), text.splitlines(), str(file), "made now", lineterm="", n=2)
        hint = f"{UPDATE}=update writes what was made now"
        raise AssertionError("\n".join([f"not what it was ({hint}):", *list(lines)[:60]]))


def _rounded(value: Any) -> Any:
    """Numbers to six decimals: the last digits differ between machines."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
