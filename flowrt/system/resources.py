"""What is installed: the files that come with flowrt, and what packages offer under a group of entry points."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]


def share(name: str) -> Path:
    """The folder or file of that name (`schemas`, `flows/intersection.yaml`). Raises FileNotFoundError.

    Installed, they lie in `flowrt/share/`; in a checkout, in the project's root.
    """
    for root in (_PACKAGE / "share", _PACKAGE.parent):
        path = root / name
        if path.exists():
            return path
    raise FileNotFoundError(f"flowrt was installed without its '{name}'")


def entry_points(group: str) -> dict[str, str]:
    """Name to value (`package.module`); the first on the path to use a name keeps it."""
    first: dict[str, str] = {}
    for name, value in all_entry_points(group):
        first.setdefault(name, value)
    return first


def all_entry_points(group: str) -> list[tuple[str, str]]:
    """Every (name, value) of a group once, also where several packages use a name.

    `importlib.metadata` says the same, but its import (the mail and zip libraries among others) takes a tenth of a whole
    `flowrt check`. It is asked only where something on the path is no folder. The files are those of the PyPA's entry points
    specification: `entry_points.txt` in each `*.dist-info` or `*.egg-info`.
    """
    if any(Path(place).is_file() for place in sys.path):
        import importlib.metadata

        found = [(entry.name, entry.value) for entry in importlib.metadata.entry_points(group=group)]
    else:
        found = [entry for place in sys.path for entry in _in_folder(Path(place), group)]
    return list(dict.fromkeys(found))


def _in_folder(folder: Path, group: str) -> Iterator[tuple[str, str]]:
    for file in sorted([*folder.glob("*.dist-info/entry_points.txt"), *folder.glob("*.egg-info/entry_points.txt")]):
        section = ""
        for line in file.read_text("utf-8").splitlines():
            name, equals, value = line.partition("=")
            if line.startswith("["):
                section = line.strip()[1:-1].strip()
            elif equals and section == group and not line.startswith(("#", ";")):
                yield name.strip(), value.strip()
