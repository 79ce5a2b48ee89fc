"""List what was recorded.

Every event of a flow (violations, zone events, pedestrian events, lane intervals) is in its journal, whether or not a broker or a
database has it. A violation has one line that later phases update. With --follow, new and changed events are printed as they come.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from flowrt.commands import DONE, UsageError
from flowrt.commands._events import HEAD, summary, summary_fields
from flowrt.commands._events import kind as kind_of
from flowrt.commands._journal import open_journal, since_s, when
from flowrt.commands.terminal.tables import printable, table
from flowrt.diagnostics import did_you_mean
from flowrt.journal import EventView, JournalView
from flowrt.journal.reviews import Review, read_reviews

_POLL_S = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("flow", nargs="?", metavar="FLOW", help="a flow file or the name of a flow")
    parser.add_argument("--type", default="", metavar="T", help="only events of this port, or of this kind")
    parser.add_argument("--since", default="", metavar="S", help="90s, 10m, 2h, 1d ago, or a time (RFC 3339)")
    parser.add_argument("--format", choices=("table", "json", "csv"), default="table", help="default: table")
    parser.add_argument("--follow", action="store_true", help="go on with what comes, until interrupted")


def run(args: argparse.Namespace) -> int:
    """Print events by time."""
    start_s = since_s(args.since) if args.since else 0.0
    with open_journal(args.flow) as view:
        with view.one_moment():  # what comes between the list and what follows would be neither
            kinds = view.event_types()
            by_port = args.type in kinds
            events = view.events(type=args.type if by_port else "", since_s=start_s)
            chosen = [event for event in events if by_port or _is(event, args.type)]
            last = view.newest_change()
        if args.type and not chosen and not by_port:
            names = {*kinds, *_kinds(view)}
            if args.type not in names:
                raise UsageError(f"no event of type '{args.type}' was recorded; {did_you_mean(args.type, names)}")
        _print(chosen, args.format, read_reviews(view.path), follow=args.follow)
        if args.follow:
            _follow(view, args, by_port, last)
    return DONE


def _is(event: EventView, kind: str) -> bool:
    return not kind or kind in (event.type, kind_of(_payload(event)))


def _kinds(view: JournalView) -> set[str]:
    return {kind_of(_payload(event)) for event in view.events()} - {""}


def _follow(view: JournalView, args: argparse.Namespace, by_port: bool, last: int) -> None:
    while True:
        time.sleep(_POLL_S)
        view.follow_file()
        new = list(view.events(after_change=last) if last else view.events())
        last = max([last, *(event.change for event in new)])
        kind = args.type
        wanted = [event for event in new if (event.type == kind if by_port else _is(event, kind))]
        if wanted:
            _print(wanted, args.format, read_reviews(view.path), follow=True, head=False)
            sys.stdout.flush()


def _print(
    events: list[EventView], form: str, reviews: Mapping[str, Review], *, follow: bool, head: bool = True
) -> None:
    if form == "json":
        _print_json(events, reviews, lines=follow)
    elif form == "csv":
        _print_csv(events, head)
    elif events and head:
        table(HEAD, [_row(event) for event in events])
    elif events:
        for event in events:
            print(printable("  ".join(_row(event))))
    elif head and not follow:
        print("no events")


def _print_json(events: list[EventView], reviews: Mapping[str, Review], *, lines: bool) -> None:
    rows = [{"type": event.type, "node": event.node, **_payload(event)} for event in events]
    for row, event in zip(rows, events, strict=True):
        if event.id in reviews:
            row["review"] = reviews[event.id]
    if lines:
        sys.stdout.write("".join(msgspec.json.encode(row).decode() + "\n" for row in rows))
    else:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(rows)).decode() + "\n")


def _print_csv(events: Iterable[EventView], head: bool) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    if head:
        writer.writerow(["id", "time", "type", "node", "camera_id", *summary_fields(), "payload"])
    for event in events:
        payload = _payload(event)
        facts = [payload.get(name, "") for name in ("camera_id", *summary_fields())]
        text = event.payload.decode("utf-8", "replace")
        writer.writerow([event.id, when(event.time_s), event.type, event.node, *facts, text])


def _row(event: EventView) -> list[str]:
    payload = _payload(event)
    return [when(event.time_s), event.type, str(payload.get("camera_id", "")), summary(payload), event.id]


def _payload(event: EventView) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(event.payload)
    except msgspec.DecodeError:  # a flipped byte on the disk
        return {"value": event.payload.decode("utf-8", "replace")}
    return decoded if isinstance(decoded, dict) else {"value": decoded}
