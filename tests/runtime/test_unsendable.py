"""Messages that no sink can encode: charged to the node that made them, counted, and kept as dead letters that can be read."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowrt.contract.defects import defect_of, shown_message
from flowrt.message import Record
from flowrt.runtime import Runtime
from tests.runtime.conftest import Bench
from tests.runtime.test_faults import node, started, until

MAKES = '''
"""makes: numbers become what can't be sent."""

import math

from flowrt import Record, Transform

LOOP = {}
LOOP["again"] = [1, LOOP]
DEEP = []
for _ in range(5000):
    DEEP = [DEEP]


class Odd:
    def __repr__(self):
        raise SystemExit("gone")


VALUES = {"bytes": b"\\xff\\xfe", "loop": LOOP, "half": "caf\\ud83d", "deep": DEEP, "odd": Odd(), "key": {"caf\\ud83d": 1}, "mixed": {1, "a"},
          "huge": b"x" * 5_000_000}


class Makes(Transform):
    """Make one of each kind."""

    what: str = "bytes"

    def process(self, record: Record) -> Record:
        number = record.data["number"]
        if number % 10 != 3:
            return record
        if self.what == "time":
            return Record(time_s=math.nan, data=record.data)
        return Record(time_s=record.time_s, data={"number": number, "list": [0, {"value": VALUES[self.what]}]})
'''
POSTS = '''
"""posts: a sink that sends payloads."""

from flowrt import Message, Outbox, OutboxRecord


class Posts(Outbox):
    """Deliver into a list."""

    def open(self, context):
        self.delivered = []

    def encode(self, message: Message):
        body = self.context.contract.encode_payload(message, self.context.site)
        yield OutboxRecord(id="", time_s=message.time_s, address="posts", body=body)

    def deliver(self, records, acknowledger):
        self.delivered += [record.body for record in records]
        acknowledger.delivered_all(records)
'''
FLOW = """
    count: {type: numbers, n: 40}
    makes: {type: makes, from: count, what: WHAT}
    relay: {type: relay, from: makes}
    troubles: {type: catch, from: makes}
    caught: {type: caught, from: troubles}
    posts: {type: posts, from: [relay, troubles]}
"""
VALUE = "data.list[1].value"
PLACES = {
    "bytes": f"{VALUE} is bytes",
    "loop": f"{VALUE}.again[1] contains itself",
    "half": f"{VALUE} has half of a character (\\ud83d) at 3",
    "deep": f"{VALUE}[0][0]",
    "odd": f"{VALUE} is a Odd",
    "key": "the key",
    "mixed": f"{VALUE} is a set",
    "huge": f"{VALUE} is bytes",
    "time": "time_s is nan",
}


def dead_letters(bench: Bench) -> list[tuple[str, bytes]]:
    link: sqlite3.Connection = bench.journal._writer.store.writer  # the file of a journal in memory
    return link.execute("SELECT reason, body FROM dead_letters").fetchall()


def ended(bench: Bench, what: str) -> Runtime:
    node(bench, "makes", MAKES)
    node(bench, "posts", POSTS)
    running = started(bench, FLOW.replace("WHAT", what))
    assert running.wait(20)
    until(lambda: running.delivery.statistics()["posts"].delivered == 37)
    return running


@pytest.mark.parametrize("what", PLACES)
def test_fault_12_a_message_that_no_sink_can_encode_is_charged_to_the_node_that_made_it(
    bench: Bench, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    running = ended(bench, what)
    rows = running.status()["nodes"]
    assert {name: (row["errors"], row["unsendable"]) for name, row in rows.items()} == {
        **dict.fromkeys(rows, (0, 0)),
        "makes": (0, 4),
    }
    assert PLACES[what] in rows["makes"]["last_error"]
    assert running.ledger()["balanced"], running.ledger()
    sink: Any = running.delivery.statistics()["posts"]
    assert (sink.accepted, sink.delivered, sink.dead_letters) == (41, 37, 4), "36 numbers, and one fault, once"
    for reason, body in dead_letters(bench):
        assert reason.startswith(f"can't be encoded: {PLACES[what]}")
        assert body.decode().startswith("Record(time_s=")
        assert len(body) < 5000
    (fault,) = running.runners["caught"].node.seen  # type: ignore[attr-defined]  # of the test's node
    assert fault.node == "makes"
    assert sum("makes: Unsendable" in text for text in caplog.messages) == 1


def test_fault_12_an_encode_that_fails_by_itself_is_the_sinks_fault_and_loses_nothing(bench: Bench) -> None:
    node(bench, "makes", MAKES)
    node(
        bench,
        "posts",
        POSTS.replace(
            "        body =",
            '        if message.data["number"] == 7:\n            raise KeyError("seven")\n        body =',
        ),
    )
    running = started(bench, "count: {type: numbers, n: 40}\nposts: {type: posts, from: count}")
    assert running.wait(20)
    assert running.runners["posts"].errors == 1
    assert running.runners["count"].unsendable == 0
    until(lambda: running.delivery.statistics()["posts"].dead_letters == 1)
    ((reason, body),) = dead_letters(bench)
    assert reason == "can't be encoded: KeyError: 'seven'"
    assert b"'number': 7" in body


def test_fault_12_a_dead_letter_that_is_only_to_be_read_is_not_sent_again(tmp_path: Path) -> None:
    from flowrt.clock import SystemClock
    from flowrt.journal import Journal, JournalView
    from flowrt.sink import OutboxRecord

    journal = Journal(tmp_path / "a.journal", clock=SystemClock())
    shown = OutboxRecord(id="a", time_s=1.0, address="records", body=b"Record(...)")
    journal.append("out", [], refused=[(shown, "can't be encoded")])
    assert journal.flush(5)
    with JournalView(tmp_path / "a.journal", write=True) as view:
        assert view.retry() == 0
        assert [letter.reason for letter in view.dead_letters()] == ["can't be encoded"]
        assert view.drop() == 1
    journal.close()


def test_fault_12_what_is_fine_has_no_defect() -> None:
    fine = Record(time_s=1.0, data={"a": [1.5, None, "ü", {"b": True}], "c": (1, 2), "d": float("nan")})
    assert defect_of(fine) == ""
    assert shown_message(Record(time_s=1.0, data={"a": b"x" * 10_000_000})).startswith(
        b"Record(time_s=1.0, camera_id='', data={'a': b'xxx"
    )


def test_fault_17_what_is_kept_of_messages_in_memory_is_bounded(bench: Bench) -> None:
    node(
        bench,
        "large",
        '"""large: events of 1 and of 17 MB."""\n\nfrom collections.abc import Iterator\n\nfrom flowrt import Event, Source\n\n\n'
        'class Big(Event, frozen=True, kw_only=True, eq=False):\n    port = "bigs"\n    text: str = ""\n\n\n'
        'class Large(Source):\n    """Make some."""\n\n    def produce(self) -> Iterator[Big]:\n'
        "        for number in range(30):\n            size = 17_000_000 if number in (3, 4, 5) else 1_000_000\n"
        '            yield Big(time_s=1.0 + number, id=str(number), text="x" * size)\n',
    )
    node(bench, "posts", POSTS)
    running = started(bench, "large: {type: large}\nposts: {type: posts, from: large}")
    assert running.wait(20)
    until(lambda: running.delivery.statistics()["posts"].delivered == 27)
    assert sum(len(row.payload) for row in running.events.last) < 100_000
    assert len(running.events.last) == 30
    assert running.runners["large"].unsendable == 3
    assert running.runners["large"].last_error.endswith("bytes, more than 16000000")


def test_fault_17_an_exception_of_half_a_character_breaks_neither_status_nor_faults(bench: Bench) -> None:
    node(
        bench,
        "half",
        '"""half: raises odd text."""\n\nfrom flowrt import M, Transform\n\n\nclass Half(Transform):\n    """Raise."""\n\n'
        '    def process(self, message: M) -> M:\n        raise ValueError("caf\\ud83d \\x1b[2J")\n',
    )
    node(bench, "posts", POSTS)
    running = started(
        bench,
        "count: {type: numbers, n: 3}\nhalf: {type: half, from: count}\nend: {type: keep, from: half}\n"
        "troubles: {type: catch, from: half}\nposts: {type: posts, from: troubles}",
    )
    assert running.wait(20)
    status = msgspec.json.encode(running.status())
    assert b"caf" in status
    until(lambda: running.delivery.statistics()["posts"].delivered == 3)
    rows = running.status()["nodes"]
    assert {name: row["unsendable"] for name, row in rows.items()} == dict.fromkeys(rows, 0)
