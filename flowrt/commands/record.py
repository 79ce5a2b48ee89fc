"""Record tracks and signal states, to be replayed.

Runs the flow's sources and nodes, and writes the tracks, signal states and camera states that flow, without pictures, to a file.
Nothing is delivered: outboxes are not opened, so a flow may be recorded beside one that runs. A file that is there is added to.
With --until the flow runs under virtual time, as fast as it can; otherwise live, until its sources end, --duration or Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from flowrt.clock import SystemClock
from flowrt.commands import DONE, FAILED
from flowrt.commands.check import parse_overrides, print_diagnostics
from flowrt.commands.terminal.arguments import seconds
from flowrt.commands.terminal.logs import set_up
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.flow import Flow
from flowrt.runtime import Runtime, StartFailed
from flowrt.secrets import Secrets
from flowrt.testing.replay import TAP, recorder, rehearse


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flow", metavar="FLOW", help="the flow file")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FILE", help="the recording; added to if it is there"
    )
    parser.add_argument("--node", action="append", default=[], metavar="NODE", help="record this node; may be repeated")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.SETTING=VALUE", help="override a setting")
    end = parser.add_mutually_exclusive_group()
    end.add_argument("--duration", type=seconds, metavar="S", help="stop after so many seconds")
    end.add_argument("--until", type=seconds, metavar="S", help="run under virtual time, from 0 to this second")


def run(args: argparse.Namespace) -> int:
    """Record until the sources end, the time is up or a signal comes."""
    flow = load(args.flow, overrides=parse_overrides(args.set))
    set_up("text", logging.WARNING, Secrets(flow.secrets))
    recorded, writer = recorder(flow, args.node, args.out)
    started = time.monotonic()
    try:
        if args.until is not None:
            rehearse(recorded, until_s=args.until, kind=())  # what arrives is let go: tracks hold their pictures
            failed = ""
        else:
            failed = _live(recorded, args.duration)
    except StartFailed as error:
        print_diagnostics([flow.diagnostic(error.node, str(error))])
        return 1
    finally:
        writer.close()
    size_kb = args.out.stat().st_size / 1000
    took_s = time.monotonic() - started
    print(f"{args.out}: {writer.messages} messages in {took_s:.1f} s, the file has {size_kb:.0f} kB", file=sys.stderr)
    if failed:
        print(f"flowrt record: {failed}", file=sys.stderr)
        return FAILED
    return DONE


def _live(flow: Flow, duration_s: float | None) -> str:
    """Run on the real clock; what went wrong, or nothing."""
    with tempfile.TemporaryDirectory() as data:
        runtime = Runtime(
            flow,
            contract=Contract.of_flow(flow.folder),
            clock=SystemClock(),
            data=Path(data),
            record=lambda name, message: None,
        )
        runtime.start()
        try:
            with _until_signalled() as stopping:
                end = time.monotonic() + duration_s if duration_s else float("inf")
                while not stopping.is_set() and not runtime.done.is_set() and time.monotonic() < end:
                    runtime.done.wait(min(0.2, max(end - time.monotonic(), 0.0)))
        finally:
            runtime.stop()
        errors = [cell.last_error for name, cell in runtime.runners.items() if name.startswith(TAP) and cell.errors]
        if errors:
            return f"not everything was recorded: {errors[0]}"
        return f"given up: {', '.join(runtime.failed_sources)}" if runtime.failed_sources else ""


@contextlib.contextmanager
def _until_signalled() -> Iterator[threading.Event]:
    """SIGINT and SIGTERM set the event."""
    stopping = threading.Event()

    def end(number: int, _: FrameType | None) -> None:
        stopping.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
