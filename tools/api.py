"""The public API: each name that `flowrt` and `flowrt.testing` export, with its members and parameters, a line each.

`docs/api/released.txt` is the list as it was released last; `python -m tools.api` prints the one of now, and `python -m tools.api --release`
writes it there. A test wants each difference between the two in CHANGELOG.md, under Unreleased.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RELEASED = ROOT / "docs" / "api" / "released.txt"
MODULES = ("flowrt", "flowrt.testing")
SPECIAL = ("__len__", "__getitem__", "__init__", "__call__")


def listing() -> list[str]:
    """A line for each name, member and parameter list."""
    lines = []
    for module in MODULES:
        for name in import_module(module).__all__:
            lines += _described(f"{module}.{name}", getattr(import_module(module), name))
    return lines


def changed_names(before: list[str], now: list[str]) -> set[str]:
    """What a reader of the changelog looks for: `NAME`, or `NAME.MEMBER` of a name that is in both lists."""
    known = {_name(line) for line in before}, {_name(line) for line in now}
    found = set()
    for line in set(before) ^ set(now):
        name, _, member = _name(line).partition("#")
        whole = not all(name in each for each in known)
        found.add(name.rpartition(".")[2] + (f".{member}" if member and not whole else ""))
    return found


def unreleased() -> str:
    """What CHANGELOG.md says of the next release."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    found = re.search(r"^## \[Unreleased\]\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    return found[1] if found else ""


def _name(line: str) -> str:
    return line.partition("(")[0].partition(":")[0].strip()


def _described(name: str, thing: Any) -> Iterator[str]:
    if not inspect.isclass(thing):
        yield f"{name}{_parameters(thing)}" if inspect.isfunction(thing) else name
        return
    public = [getattr(import_module("flowrt"), each) for each in import_module("flowrt").__all__]
    bases = [base for base in thing.__mro__[1:] if base in public]
    yield f"{name}: {bases[0].__name__}" if bases else name
    own = (
        thing.__mro__[: thing.__mro__.index(bases[0])] if bases else thing.__mro__
    )  # what a public base has stands there
    members = {member for base in own if base.__module__.partition(".")[0] == "flowrt" for member in vars(base)}
    for member in sorted(members):
        if member.startswith("_") and member not in SPECIAL:
            continue
        value = inspect.getattr_static(thing, member)
        inner = getattr(value, "__func__", value)
        yield f"{name}#{member}{_parameters(inner) if inspect.isfunction(inner) else ''}"


def _parameters(function: Any) -> str:
    parameters = inspect.signature(function).parameters.values()
    return f"({', '.join(str(each.replace(annotation=inspect.Parameter.empty)) for each in parameters)})"


if __name__ == "__main__":
    if "--release" in sys.argv:
        RELEASED.write_text("\n".join(listing()) + "\n", "utf-8")
    else:
        print("\n".join(listing()))
