"""Check flow files and flow tests, and list everything that is wrong with them.

Prints each problem with its line, or with --format json or github for machines. Ends with 1 where there is an error.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import NamedTuple

from flowrt.commands import BAD_FLOW, DONE, UsageError
from flowrt.commands.terminal import problems as show
from flowrt.commands.terminal.tables import wants_colour
from flowrt.config import read
from flowrt.config.sections import sections
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.flow import Flow


class _Checked(NamedTuple):
    """A file. parts: how many of what are in it; empty where it can't be used. notes: what its sections tell of their entries."""

    path: str
    parts: str
    diagnostics: Sequence[Diagnostic]
    notes: Sequence[str] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flows", nargs="+", metavar="FLOW", help="a flow file, or a test of one (*.test.yaml)")
    parser.add_argument("--format", choices=("text", "json", "github"), default="text", help="default: text")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.SETTING=VALUE", help="check with this setting"
    )
    parser.add_argument(
        "--probe", action="store_true", help="also ask cameras, broker, database and dashboards whether they answer"
    )
    parser.add_argument("--fetch", action="store_true", help="download what the flow names and is not here, as models")


def run(args: argparse.Namespace) -> int:
    """Check every file, then print."""
    overrides = parse_overrides(args.set)
    checked = [_checked(path, overrides, args.probe, args.fetch) for path in args.flows]
    diagnostics = [diagnostic for one in checked for diagnostic in one.diagnostics]
    if args.format == "json":
        print(show.as_json(diagnostics))
    elif args.format == "github":
        print(show.github(diagnostics), end="\n" if diagnostics else "")
    else:
        _print(checked)
    return DONE if all(one.parts for one in checked) else BAD_FLOW


def _checked(path: str, overrides: dict[str, str], probe: bool, fetch: bool) -> _Checked:
    if path.endswith(".test.yaml"):
        return _checked_tests(path)
    flow, diagnostics = read(path, overrides=overrides, probe=probe, fetch=fetch)
    if flow is None:
        return _Checked(path, "", diagnostics)
    parts = [_count(flow.nodes, "node"), _count(flow.edges, "edge")]
    parts += [_count(entries, key) for key, entries in flow.sections.items()]
    return _Checked(path, ", ".join(parts), diagnostics, _notes(flow))


def _notes(flow: Flow) -> list[str]:
    notes: list[str] = []
    for key, entries in flow.sections.items():
        for name, entry in entries.items():
            first, *others = [*sections()[key].notes(entry)] or [""]
            notes += [f"{key} {name}: {first}", *(f"  {line}" for line in others)] if first else []
    return notes


def _checked_tests(path: str) -> _Checked:
    from flowrt.testing.suite import read_suite  # brings the runtime with it, which no flow needs to be checked
    from flowrt.testing.suite_checks import prepare

    try:
        return _Checked(path, _count(prepare(read_suite(Path(path))), "test"), [])
    except FlowError as error:
        return _Checked(path, "", error.diagnostics)


def parse_overrides(words: list[str]) -> dict[str, str]:
    """`NODE.SETTING=VALUE` words as a mapping. Raises UsageError."""
    overrides = {}
    for word in words:
        target, equals, value = word.partition("=")
        if not equals or "." not in target:
            raise UsageError(f"--set {word}: expected NODE.SETTING=VALUE")
        overrides[target] = value
    return overrides


def print_diagnostics(diagnostics: Sequence[Diagnostic]) -> None:
    """Print problems to the standard error, as other commands do that can't go on because of them."""
    print(f"{show.text(diagnostics, wants_colour(sys.stderr))}\n\n{show.summary(diagnostics)}", file=sys.stderr)


def _print(checked: list[_Checked]) -> None:
    colour = wants_colour(sys.stdout)
    for path, parts, diagnostics, notes in checked:
        if diagnostics:
            print(show.text(diagnostics, colour) + "\n")
        for line in notes:
            print(line)
        verdict = [f"ok, {parts}"] if parts else []
        print(f"{path}: " + ", ".join([*verdict, *([show.summary(diagnostics)] if diagnostics else [])]))


def _count(things: Sized, word: str) -> str:
    count = len(things)
    return f"{count} {word}{'' if count == 1 else 's'}"
