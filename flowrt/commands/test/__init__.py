"""Run declarative flow tests, and tests of nodes.

Flow tests run under virtual time; pytest runs those of nodes. Below a folder these are all `*.test.yaml`, and `test_*.py` in folders
named nodes.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
import time
from pathlib import Path

import msgspec

from flowrt.commands.check import print_diagnostics
from flowrt.commands.terminal.logs import set_up
from flowrt.commands.test._python_tests import PythonTest, python_tests, run_python_tests
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.secrets import Secrets
from flowrt.testing.suite import read_suite
from flowrt.testing.suite_checks import prepare
from flowrt.testing.suite_run import Outcome, run_case


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of `flowrt test`."""
    parser.add_argument(
        "files", nargs="+", metavar="FILE", type=Path, help="test files (*.test.yaml, test_*.py), or folders of them"
    )
    parser.add_argument("--name", default="", metavar="TEXT", help="only tests whose name has this in it")
    parser.add_argument("--format", choices=["text", "json"], default="text")


def run(args: argparse.Namespace) -> int:
    """Run every test; 1 where one fails or a file has problems."""
    secrets = Secrets()
    set_up("text", logging.ERROR, secrets)
    outcomes: list[tuple[str, Outcome]] = []
    bad = False
    for file in [found for given in args.files for found in _files(given)]:
        try:
            for ready in prepare(read_suite(file)):
                secrets.learn(ready.flow.secrets, ready.flow.nodes)
                if args.name in ready.case.name:
                    started = time.monotonic()
                    outcome = msgspec.convert(secrets.data(msgspec.to_builtins(run_case(ready))), Outcome)
                    outcomes.append((str(file), outcome))
                    if args.format == "text":
                        _print(outcome, time.monotonic() - started)
        except FlowError as error:
            masked = secrets.data([msgspec.to_builtins(each) for each in error.diagnostics])
            print_diagnostics(msgspec.convert(masked, list[Diagnostic]))
            bad = True
    python: list[PythonTest] = []
    if files := [found for given in args.files for found in python_tests(given)]:
        python = msgspec.convert(
            secrets.data(msgspec.to_builtins(run_python_tests(files, args.name))), list[PythonTest]
        )
        if args.format == "text":
            for test in python:
                _print_python(test)
    failed = sum(not outcome.passed for _, outcome in outcomes) + sum(bool(test.failure) for test in python)
    if args.format == "json":
        rows = [{"file": file, "passed": outcome.passed, **msgspec.to_builtins(outcome)} for file, outcome in outcomes]
        rows += [
            {"file": test.file, "passed": not test.failure, "name": test.name, "failure": test.failure}
            for test in python
        ]
        print(json.dumps({"ok": not failed and not bad, "tests": rows}))
    else:
        print(f"{len(outcomes) + len(python) - failed} passed, {failed} failed")
    if not outcomes and not python and not bad:
        print("no test was found", file=sys.stderr)
        return 1
    return 1 if failed or bad else 0


def _files(given: Path) -> list[Path]:
    if given.suffix == ".py":
        return []
    return sorted(given.rglob("*.test.yaml")) if given.is_dir() else [given]


def _print(outcome: Outcome, took_s: float) -> None:
    print(f"{'ok  ' if outcome.passed else 'FAIL'} {outcome.name} ({took_s:.1f} s)")
    for failure in outcome.failures:
        print(f"       expected {failure.expected}")
        print(f"       found    {failure.found}; what came there:")
        for line in failure.instead:
            print(f"                {line}")


def _print_python(test: PythonTest) -> None:
    print(f"{'FAIL' if test.failure else 'ok  '} {Path(test.file).name}: {test.name} ({test.took_s:.1f} s)")
    for line in test.failure.splitlines():
        print(f"       {line}")
