"""Generated files that are committed (dashboards, alert rules): writing them, and finding where a file differs from its generator."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

_SHOWN_MOST = 60


def write(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write file name to content into a folder; returns the files that changed."""
    folder.mkdir(parents=True, exist_ok=True)
    changed = []
    for name, text in texts.items():
        file = folder / name
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, "utf-8")
            changed.append(file)
    return changed


def json_drift(file: Path, generated: str, generator: str) -> list[str]:
    """The first value in which a JSON file differs from what `generator` writes; empty where it is the same."""
    if not file.exists():
        return [_missing(file)]
    text = file.read_text("utf-8")
    if text == generated:
        return []
    again = f"`flowrt dashboards build` writes it anew; change `{generator}` instead of the file"
    try:
        path, value, wanted = next(_differences(json.loads(text), json.loads(generated), ""))
    except json.JSONDecodeError as error:
        return [f"{file}: line {error.lineno}: not JSON ({error.msg}); {again}"]
    except StopIteration:
        return [f"{file}: formatted differently; {again}"]
    return [f"{file}: edited by hand at {path}: has {_short(value)}, the builder makes {_short(wanted)}; {again}"]


def text_drift(file: Path, generated: str, generator: str) -> list[str]:
    """The first line in which a text file differs from what `generator` writes; empty where it is the same."""
    if not file.exists():
        return [_missing(file)]
    pairs = zip_longest(file.read_text("utf-8").splitlines(), generated.splitlines())
    for number, (line, wanted) in enumerate(pairs, start=1):
        if line != wanted:
            return [
                f"{file}:{number}: edited by hand: has {_quoted(line)}, the builder makes {_quoted(wanted)}; "
                f"change {generator} and run `flowrt dashboards build`"
            ]
    return []


def _missing(file: Path) -> str:
    return f"{file}: is missing; write it with `flowrt dashboards build`"


def _differences(one: Any, other: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Paths at which two JSON values differ, in the order of the second."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in [*other, *(key for key in one if key not in other)]:
            yield from _differences(one.get(key), other.get(key), f"{path}.{key}" if path else key)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            yield from _differences(a, b, f"{path}[{i}]")
    elif one != other:
        yield path, one, other


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_MOST else text[: _SHOWN_MOST - 3] + "…"


def _quoted(line: str | None) -> str:
    return "no such line" if line is None else f"'{line.strip()}'"
