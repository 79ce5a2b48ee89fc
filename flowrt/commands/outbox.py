"""Show what waits for delivery.

Per sink, over the whole life of the flow's journal: accepted = delivered + dead letters + dropped + pending. The journal is only read,
also while the flow runs. `oldest` is how long the first in line has waited while the flow ran; `drain` is the estimated time until nothing
is pending at the present rate. Below stands which service refuses every message until its configuration is fixed (a password, a bucket).
"""

from __future__ import annotations

import argparse
import sys
import time

import msgspec

from flowrt.commands import DONE
from flowrt.commands._journal import open_journal, refusal
from flowrt.commands.terminal.tables import printable, table
from flowrt.journal import OutboxView

_HEAD = [
    "sink",
    "state",
    "accepted",
    "delivered",
    "pending",
    "dead",
    "dropped",
    "oldest",
    "rate",
    "drain",
    "last error",
]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flow", nargs="?", metavar="FLOW", help="a flow file or the name of a flow")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """Print one line per sink."""
    with open_journal(args.flow) as view:
        found = view.outboxes()
    if args.format == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    elif found:
        table(_HEAD, [_row(outbox) for outbox in found], right=frozenset(range(2, 10)), below=(10, 9, 8, 7))
        for outbox in found:
            if outbox.refused:
                print(printable(refusal(outbox)))
    else:
        print("this flow has no sink yet")
    return DONE


def _row(outbox: OutboxView) -> list[str]:
    counts = [outbox.accepted, outbox.delivered, outbox.pending, outbox.dead_letters, outbox.dropped]
    return [
        outbox.name,
        _state(outbox),
        *map(str, counts),
        span(outbox.oldest_s) if outbox.pending else "-",
        f"{outbox.rate_per_s:.0f}/s",
        "-" if outbox.drain_s is None or not outbox.pending else span(outbox.drain_s),
        outbox.last_error,
    ]


def _state(outbox: OutboxView) -> str:
    if outbox.state not in ("waiting", "refused"):
        return outbox.state
    return f"{outbox.state} for {span(max(time.time() - outbox.since_s, 0.0))}"


def span(seconds: float) -> str:
    """A length of time in its largest unit: 40s, 12m, 3.5h, 2.0d."""
    if seconds < 60:
        return f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{seconds / 60:.0f}m"
    return f"{seconds / 3600:.1f}h" if seconds < 86_400 else f"{seconds / 86_400:.1f}d"
