"""Write a small flow to begin with.

NAME is the name of the flow, and of the file: NAME.yaml in the current folder. A file that is there is never overwritten.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from flowrt.commands import DONE, Failure, UsageError

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
    parser.add_argument("name", metavar="NAME", help="name of the flow: letters, digits, '-', '_'")


def run(args: argparse.Namespace) -> int:
    """Write the file."""
    name = args.name.removesuffix(".yaml").removesuffix(".yml")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise UsageError(
            f"'{args.name}' is no name for a flow: letters, digits, '-' and '_', beginning with a letter or digit"
        )
    path = Path(f"{name}.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(_TEMPLATE.format(name=name, file=path))
    except FileExistsError:
        raise Failure(f"{path} is there already and is not overwritten; choose another name") from None
    print(f"wrote {path}; run it with `flowrt run {path}`")
    return DONE
