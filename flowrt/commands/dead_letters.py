"""List, show, retry or drop messages that were refused.

A dead letter is a message that was refused for good, broke the contract, or could not be written; the reason stands beside it. `retry`
queues it again behind everything that waits, also while the flow runs. `drop` removes it for ever. Of a message that could not be encoded only
a short form to read is kept, which `retry` leaves where it is.

Where a service refuses every message until its configuration is fixed (a password, a bucket), nothing is wrong with the messages. They are
held and not dead, go by themselves then, and can be neither retried nor dropped; `list` names the sink, the reason, and how many there are.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec

from flowrt.commands import DONE, UsageError
from flowrt.commands._journal import open_journal, refusal, when
from flowrt.commands.terminal.tables import printable, table
from flowrt.journal import DeadLetter, JournalView, OutboxView

_HEAD = ["number", "sink", "time", "died", "to", "bytes", "reason"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("action", choices=("list", "show", "retry", "drop"), help="what to do")
    parser.add_argument(
        "flow", nargs="?", metavar="FLOW", help="a flow file or the name of a flow (default: the only one)"
    )
    parser.add_argument("numbers", nargs="*", type=int, default=[], metavar="NUMBER", help="which ones, by number")
    parser.add_argument("--sink", default="", metavar="NODE", help="only those of this sink")
    parser.add_argument("--all", action="store_true", help="all of them (for retry and drop)")
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: table")


def run(args: argparse.Namespace) -> int:
    """Do it."""
    if args.flow and args.flow.isdecimal() and not Path(args.flow).exists():  # `dead-letters show 3`
        args.flow, args.numbers = None, [int(args.flow), *args.numbers]
    changes = args.action in ("retry", "drop")
    if changes and not (args.numbers or args.sink or args.all):
        raise UsageError(f"dead-letters {args.action}: which ones? Give numbers, --sink NODE or --all")
    with open_journal(args.flow, write=changes) as view:
        found = view.dead_letters(args.numbers, args.sink)
        refused = [box for box in view.outboxes() if box.refused and args.sink in ("", box.name)]
        unknown = sorted(set(args.numbers) - {record.number for record in found})
        if unknown:
            raise UsageError(_no_such(view, unknown))
        if args.action == "show":
            _show(found, args.format)
        elif args.action == "list":
            _list(found, refused, args.format)
        else:
            done = view.retry if args.action == "retry" else view.drop
            count = done(args.numbers, args.sink)
            print(f"{count} {'queued again' if args.action == 'retry' else 'dropped'}")
            if args.action == "retry" and count < len(found):
                print(
                    f"{len(found) - count} stay: they could not be encoded, and what is kept of them is only for reading"
                )
            if not args.numbers:
                _tell(refused)
    return DONE


def _no_such(view: JournalView, numbers: list[int]) -> str:
    waiting = view.waiting(numbers)
    if waiting:
        number, sink = next(iter(waiting.items()))
        return f"message {number} is not dead: it waits for '{sink}', see `flowrt outbox`"
    return f"there is no dead letter {', '.join(map(str, numbers))}; `flowrt dead-letters list FLOW` shows all"


def _list(found: list[DeadLetter], refused: list[OutboxView], form: str) -> None:
    if form == "json":
        held = [
            {"sink": box.name, "reason": box.last_error, "since": when(box.since_s), "held": box.pending}
            for box in refused
        ]
        _print_json({"dead_letters": [_plain(record) for record in found], "refused": held})
        return
    if found:
        table(_HEAD, [_row(record) for record in found], right=frozenset({0, 5}))
    else:
        print("there are no dead letters")
    _tell(refused)


def _tell(refused: list[OutboxView]) -> None:
    for outbox in refused:
        print(printable(refusal(outbox)))


def _show(found: list[DeadLetter], form: str) -> None:
    if form == "json":
        _print_json([_plain(record) for record in found])
    else:
        print("\n\n".join(_full(record) for record in found) or "there are no dead letters")


def _print_json(value: Any) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value)).decode() + "\n")


def _row(record: DeadLetter) -> list[str]:
    reason = record.reason if len(record.reason) <= 100 else f"{record.reason[:99]}…"
    return [
        str(record.number),
        record.outbox,
        when(record.time_s),
        when(record.died_s),
        record.address,
        str(len(record.body)),
        reason,
    ]


def _plain(record: DeadLetter) -> dict[str, Any]:
    return msgspec.structs.asdict(record) | {"body": record.body.decode("utf-8", "replace")}


def _full(record: DeadLetter) -> str:
    facts = {
        "sink": record.outbox,
        "to": record.address,
        "id": record.id,
        "time": when(record.time_s),
        "died": when(record.died_s),
        "priority": record.priority,
        "headers": msgspec.json.encode(record.headers).decode(),
        "reason": record.reason,
        "body": record.body.decode("utf-8", "replace"),
    }
    return "\n".join([f"number {record.number}", *(f"  {name}: {printable(said)}" for name, said in facts.items())])
