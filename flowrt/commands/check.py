"""Check flow files and flow tests, and say everything that is wrong with them.

Prints each problem with its line, or with --format json or github for machines. Ends with 1 where there is an error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import NamedTuple

from flowrt import show
from flowrt.commands import BAD_FLOW, DONE, UsageError
from flowrt.load import read
from flowrt.problem import FlowError, Problem


class _Checked(NamedTuple):
    """A file. parts: how many of what are in it; empty where it can't be used."""

    path: str
    parts: str
    problems: Sequence[Problem]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flows", nargs="+", metavar="FLOW", help="a flow file, or a test of one (*.test.yaml)")
    parser.add_argument("--format", choices=("text", "json", "github"), default="text", help="default: text")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.SETTING=VALUE", help="check with this setting"
    )


def run(args: argparse.Namespace) -> int:
    """Check every file, then print."""
    overrides = parse_overrides(args.set)
    found = [_checked(path, overrides) for path in args.flows]
    problems = [problem for one in found for problem in one.problems]
    if args.format == "json":
        print(show.as_json(problems))
    elif args.format == "github":
        print(show.github(problems), end="\n" if problems else "")
    else:
        _print(found)
    return DONE if all(one.parts for one in found) else BAD_FLOW


def _checked(path: str, overrides: dict[str, str]) -> _Checked:
    if path.endswith(".test.yaml"):
        return _checked_tests(path)
    flow, found = read(path, overrides=overrides)
    if flow is None:
        return _Checked(path, "", found)
    parts = _count(flow.nodes, "node"), _count(flow.edges, "edge"), _count(flow.scenes, "scene")
    return _Checked(path, ", ".join(parts), found)


def _checked_tests(path: str) -> _Checked:
    from flowrt.flowtest import prepare, read_suite  # brings the runtime with it, which no flow needs to be checked

    try:
        return _Checked(path, _count(prepare(read_suite(Path(path))), "test"), [])
    except FlowError as error:
        return _Checked(path, "", error.problems)


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


def _print(found: list[_Checked]) -> None:
    colour = show.wants_colour(sys.stdout)
    for path, parts, problems in found:
        if problems:
            print(show.text(problems, colour) + "\n")
        said = [f"ok, {parts}"] if parts else []
        print(f"{path}: " + ", ".join([*said, *([show.summary(problems)] if problems else [])]))


def _count(things: Sized, word: str) -> str:
    count = len(things)
    return f"{count} {word}{'' if count == 1 else 's'}"
