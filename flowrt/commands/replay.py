"""Run the rules of a flow over a recording, many times faster.

The recording's messages take the place of the nodes that made them; cameras and models are not opened, nothing is delivered.
Prints the events that reached an outbox. A replay of the same flow gives the events of the recorded run.
What the nodes make is kept in a folder beside the file (FILE.kept), so that a replay with one changed rule runs only that rule again.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import msgspec

from flowrt.commands import DONE
from flowrt.commands._events import HEAD, summary
from flowrt.commands._journal import when
from flowrt.commands.check import parse_overrides
from flowrt.commands.terminal.logs import set_up
from flowrt.commands.terminal.tables import table
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.message import Event
from flowrt.secrets import Secrets
from flowrt.testing.recording import Recording
from flowrt.testing.replay import Arrival, replay
from flowrt.testing.replay_cache import ReplayCache


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a recording, of `flowrt record`")
    parser.add_argument("--flow", required=True, metavar="FLOW", help="the flow whose rules are to be run")
    parser.add_argument("--type", default="", metavar="T", help="only events of this port")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.SETTING=VALUE", help="override a setting")
    parser.add_argument("--fresh", action="store_true", help="use no results of earlier replays, and keep none")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """Replay, then print every event once, in its last state."""
    flow = load(args.flow, overrides=parse_overrides(args.set))
    set_up("text", logging.ERROR, Secrets(flow.secrets))
    recording = Recording(args.file)
    started = time.monotonic()
    kept = None if args.fresh else ReplayCache(recording)
    events = last_states(replay(recording, flow, Event, kept=kept))
    took_s = time.monotonic() - started
    chosen = [event for event in events if args.type in ("", event.port)]
    if recording.torn:
        print(f"{args.file}: its end is damaged; replayed up to there", file=sys.stderr)
    if kept is not None and kept.diagnostic:
        print(f"the next replay will run every node again: {kept.diagnostic}", file=sys.stderr)
    if args.format == "json":
        contract = Contract.of_flow(flow.folder)
        rows = [{"type": event.port, **contract.payload(event, flow.site)} for event in chosen]
        print(msgspec.json.format(msgspec.json.encode(rows)).decode())
    elif chosen:
        table(HEAD, [_row(event) for event in chosen])
    print(f"{len(chosen)} events; replayed in {took_s:.1f} s", file=sys.stderr)
    return DONE


def last_states(arrivals: list[Arrival]) -> list[Event]:
    """Each event once, however many outboxes it reached, in the order of first publication, in its last state."""
    events: dict[str, Event] = {}
    for _, message in arrivals:
        if isinstance(message, Event):
            events[message.id] = message
    return list(events.values())


def _row(event: Event) -> list[str]:
    return [when(event.time_s), event.port, event.camera_id, summary(msgspec.structs.asdict(event)), event.id]
