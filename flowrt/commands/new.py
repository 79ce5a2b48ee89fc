"""Write a small flow to begin with, or a node of your own.

flowrt new NAME                      NAME.yaml, a flow
flowrt new node NAME --kind rule     nodes/NAME.py, its test, and NAME.yaml, a flow that uses it

A file that is there is never overwritten.
"""

from __future__ import annotations

import argparse
import keyword
import re
from pathlib import Path

from flowrt.commands import DONE, Failure, UsageError
from flowrt.commands._new_node import KINDS, texts

_TEMPLATE = """\
# `flowrt check {file}` says what is wrong, `flowrt run {file}` runs it, `flowrt nodes` lists what can be added.
flow: {name}
site: {name}

nodes:
  every_second: {{type: timer, every_s: 1}}
  print:        {{type: debug, from: every_second}}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument(
        "name", nargs="+", metavar="NAME", help="name of the flow: letters, digits, '-', '_'; or: node NAME"
    )
    parser.add_argument("--kind", choices=KINDS, help="kind of the node (default: transform)")


def run(args: argparse.Namespace) -> int:
    """Write the files."""
    if len(args.name) == 2 and args.name[0] == "node":
        return _node(args.name[1].removesuffix(".py"), args.kind or "transform")
    if len(args.name) > 1:
        raise UsageError(f"expected NAME or `node NAME`, found {' '.join(args.name)}")
    if args.kind:
        raise UsageError("--kind is for nodes: `flowrt new node NAME --kind KIND`")
    name = args.name[0].removesuffix(".yaml").removesuffix(".yml")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(
            f"'{args.name[0]}' is no name for a flow: letters, digits, '-' and '_', beginning with a letter or digit"
        )
    path = Path(f"{name}.yaml")
    _write({path: _TEMPLATE.format(name=name, file=path)})
    print(f"wrote {path}; run it with `flowrt run {path}`")
    return DONE


def _node(name: str, kind: str) -> int:
    from flowrt.catalog import Catalog

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name) or name.startswith("test_"):
        raise UsageError(f"'{name}' is no name for a node type: small letters, digits and '_', as in speed_gate")
    if name in Catalog():
        raise UsageError(f"there is a node type '{name}' already; choose another name")
    files = texts(name, kind)
    _write(files)
    for path in files:
        print(f"wrote {path}")
    print(f"test it with `flowrt test nodes`, run it with `flowrt run {name}.yaml`")
    return DONE


def _write(files: dict[Path, str]) -> None:
    """Write all of them, or none where one is there."""
    for path in files:
        if path.exists():
            raise Failure(f"{path} is there already and is not overwritten; choose another name")
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
