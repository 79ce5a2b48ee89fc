"""All commands as one parser, for what is made of it: completion and the manual page."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import Any

from flowrt.commands import BUILT_IN, GROUP
from flowrt.system.resources import entry_points

DESCRIPTION = "A dataflow runtime, configured in YAML, that follows every edit while it runs."


def whole_parser(look: Callable[[argparse.Action], None] | None = None) -> argparse.ArgumentParser:
    """A parser with a subparser for each command, those of other packages included. Every command is imported for it.

    look: called with each argument that is added.
    """

    class Parser(argparse.ArgumentParser):
        """Shows each argument to `look`; subparsers are of the same class."""

        def add_argument(self, *names: Any, **facts: Any) -> argparse.Action:
            action = super().add_argument(*names, **facts)
            if look is not None:
                look(action)
            return action

    parser = Parser(prog="flowrt", description=DESCRIPTION)
    parser.add_argument("-V", "--version", action="store_true", help="print the version")
    commands = parser.add_subparsers(metavar="COMMAND")
    modules = {name: command.module for name, command in BUILT_IN.items()}
    for name, where in {**modules, **{n: m for n, m in entry_points(GROUP).items() if n not in modules}}.items():
        module = importlib.import_module(where)
        text = module.__doc__ or ""
        sub = commands.add_parser(
            name,
            help=text.partition("\n")[0],
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.configure(sub)
    return parser
