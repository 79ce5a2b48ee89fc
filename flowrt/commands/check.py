"""Check flow files and say everything that is wrong with them.

Prints each problem with its line, or with --format json or github for machines. Ends with 1 where there is an error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence, Sized

from flowrt import show
from flowrt.commands import BAD_FLOW, DONE, UsageError
from flowrt.flow import Flow
from flowrt.load import read
from flowrt.problem import Problem


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flows", nargs="+", metavar="FLOW", help="a flow file")
    parser.add_argument("--format", choices=("text", "json", "github"), default="text", help="default: text")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.SETTING=VALUE", help="check with this setting"
    )


def run(args: argparse.Namespace) -> int:
    """Check every file, then print."""
    overrides = parse_overrides(args.set)
    found = [(path, *read(path, overrides=overrides)) for path in args.flows]
    problems = [problem for _, _, of_one in found for problem in of_one]
    if args.format == "json":
        print(show.as_json(problems))
    elif args.format == "github":
        print(show.github(problems), end="\n" if problems else "")
    else:
        _print(found)
    return BAD_FLOW if any(flow is None for _, flow, _ in found) else DONE


def parse_overrides(said: list[str]) -> dict[str, str]:
    """`NODE.SETTING=VALUE` words as a mapping. Raises UsageError."""
    overrides = {}
    for word in said:
        target, equals, value = word.partition("=")
        if not equals or "." not in target:
            raise UsageError(f"--set {word}: expected NODE.SETTING=VALUE")
        overrides[target] = value
    return overrides


def print_problems(problems: Sequence[Problem]) -> None:
    """Print problems to the standard error, as other commands do that can't go on because of them."""
    print(f"{show.text(problems, show.wants_colour(sys.stderr))}\n\n{show.summary(problems)}", file=sys.stderr)


def _print(found: list[tuple[str, Flow | None, list[Problem]]]) -> None:
    colour = show.wants_colour(sys.stdout)
    for path, flow, problems in found:
        if problems:
            print(show.text(problems, colour) + "\n")
        if flow is None:
            print(f"{path}: {show.summary(problems)}")
        else:
            parts = f"{_count(flow.nodes, 'node')}, {_count(flow.edges, 'edge')}, {_count(flow.scenes, 'scene')}"
            print(f"{path}: ok, {parts}" + (f", {show.summary(problems)}" if problems else ""))


def _count(things: Sized, word: str) -> str:
    count = len(things)
    return f"{count} {word}{'' if count == 1 else 's'}"
