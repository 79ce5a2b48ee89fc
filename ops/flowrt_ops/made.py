"""Files that are made by the builder, and committed: writing those that changed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


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


def missing(file: Path) -> str:
    """What is said of a file that is not there."""
    return f"{file}: is missing; write it with `flowrt dashboards build`"
