"""Faults of rows, disks, clocks and files: nothing stops the journal, nothing that was accepted is lost, and what is wrong is said.

Named by the numbers of the issue in which they were found.
"""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowrt.clock import Clock, SystemClock
from flowrt.delivery import Delivery
from flowrt.journal import EventRow, Journal, JournalClosed, JournalView, Limits
from flowrt.sink import LARGEST_BODY_BYTES, OutboxRecord
from flowrt.system.threads import Supervisor
from tests.delivery.outside import Outside, ScriptedDisk, balanced, eventually, quick, records

CLOCK = SystemClock()
GOOD = OutboxRecord(id="good", time_s=1.0, address="a", body=b"x")


def but(**fields: Any) -> Any:
    """The good message but for these fields."""
    return msgspec.structs.replace(GOOD, **fields)


BAD: dict[str, Any] = {
    "time that is no number": but(time_s=math.nan),
    "endless time": but(time_s=math.inf),
    "time beyond any date": but(time_s=1e300),
    "time as text": but(time_s="now"),
    "no time": but(time_s=None),
    "huge time": but(time_s=10**400),
    "no id": but(id=None),
    "id beyond 64 bits": but(id=2**70),
    "huge id": but(id=10**5000),
    "half a character": but(id="\ud800"),
    "half a character in the address": but(address="a/\udfff"),
    "no address": but(address=None),
    "text as body": but(body="text"),
    "a bytearray as body": but(body=bytearray(b"x")),
    "no body": but(body=None),
    "unknown priority": but(priority="urgent"),
    "a list as priority": but(priority=[]),
    "headers that are no dict": but(headers=[1]),
    "no headers": but(headers=None),
    "headers that can't be encoded": but(headers={"qos": object()}),
    "headers with half a character": but(headers={"a": "\ud800"}),
    "no record": None,
    "a number": 42,
    "a list": [None],
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_fault_01_a_message_that_cant_be_written_is_a_dead_letter_and_stops_no_other(tmp_path: Path, bad: Any) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", [*records(3), bad, *records(3, start=3)], wait=True)
    journal.append("other", records(2), wait=True)
    assert [record.id for record in journal.read("out", 0, 99)] == [f"n-{i}" for i in range(6)]
    counters = journal.snapshot("out")
    assert (counters.accepted, counters.pending, counters.dead_letters) == (7, 6, 1)
    assert journal.pending("other") == 2
    assert journal.statistics().trouble == ""
    journal.close()
    with JournalView(path) as view:
        (dead,) = view.dead_letters()
        assert "can't be written to the journal: it" in dead.reason
        boxes = {box.name: box for box in view.outboxes()}
    assert all(box.accepted == box.delivered + box.dead_letters + box.dropped + box.pending for box in boxes.values())


def test_fault_01_an_event_that_cant_be_written_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    bad: list[Any] = [
        EventRow("e-0", math.nan, "t", "n", b"{}"),
        EventRow(None, 1.0, "t", "n", b"{}"),  # type: ignore[arg-type]  # as a node may
        EventRow("e-1", 1.0, "t", "n", "{}"),  # type: ignore[arg-type]  # as a node may
        None,
    ]
    journal.append("out", records(1), events=[*bad, EventRow("e-2", 1.0, "t", "n", b"{}")], wait=True)
    assert journal.statistics().lost_events == len(bad)
    assert (journal.pending("out"), journal.statistics().trouble) == (1, "")
    journal.close()
    with JournalView(path) as view:
        assert [event.id for event in view.events()] == ["e-2"]


def test_fault_01_a_row_that_passes_every_check_and_still_fails_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What no check foresees: the row that the file does not take is found by writing them one by one."""
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    monkeypatch.setattr("flowrt.journal.journal.defect_of", lambda record: "")
    journal.append("out", [*records(5), but(time_s=math.nan), but(id=2**70), *records(5, start=5)], wait=True)
    journal.append("other", records(1), wait=True)
    assert [record.id for record in journal.read("out", 0, 99)] == [f"n-{i}" for i in range(10)]
    counters = journal.snapshot("out")
    assert (counters.accepted, counters.pending, counters.dead_letters) == (12, 10, 2)
    assert journal.statistics().trouble == ""
    assert "Traceback" in caplog.text
    journal.close()
    with JournalView(path) as view:
        assert {dead.reason.split(":")[0] for dead in view.dead_letters()} == {"can't be written to the journal"}


@pytest.mark.parametrize("raised", [ZeroDivisionError("a bug"), MemoryError(), SystemExit(0)], ids=repr)
def test_fault_01_whatever_the_writer_raises_is_told_and_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, raised: BaseException
) -> None:
    supervisor = Supervisor()
    journal = Journal(tmp_path / "a.journal", clock=CLOCK, supervisor=supervisor)
    delivery = Delivery(journal, CLOCK, backoff=quick, supervisor=supervisor)
    node = Outside().prepare()
    delivery.add("out", node)
    assert delivery.trouble() == []

    def fail(*_: object) -> None:
        raise raised

    with monkeypatch.context() as patched:
        patched.setattr(journal._writer.store, "apply", fail)
        delivery.accept("out", records(3))
        eventually(lambda: any(type(raised).__name__ in trouble for trouble in delivery.trouble()))
        eventually(lambda: "Traceback" in caplog.text)
        assert delivery.statistics()["out"].accepted == 0
    eventually(lambda: delivery.statistics()["out"].delivered == 3, 20.0)
    assert node.ids == ["n-0", "n-1", "n-2"]
    assert journal.statistics().trouble == ""
    delivery.close(2.0)
    journal.close()


def test_fault_01_a_reason_and_an_error_of_any_text_are_written(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", records(2), wait=True)
    journal.rejected("out", 1, "half \ud800 and " + "long " * 1_000_000)
    journal.note("out", "waiting", "\udfff" * 1_000_000, 1.0)
    eventually(lambda: journal.snapshot("out").dead_letters == 1)
    eventually(lambda: len(noted(path)) > 10)
    assert journal.statistics().trouble == ""
    journal.close()
    with JournalView(path) as view:
        assert len(view.dead_letters()[0].reason) <= 2000


def noted(path: Path) -> str:
    with JournalView(path) as view:
        return view.outboxes()[0].last_error


# -- 4: the disk hangs -------------------------------------------------------------------------------------------------


def test_fault_04_status_never_waits_for_the_disk(tmp_path: Path) -> None:
    disk = ScriptedDisk()
    journal = Journal(tmp_path / "a.journal", clock=CLOCK, disk=disk)
    delivery = Delivery(journal, CLOCK, backoff=quick)
    delivery.add("out", Outside().prepare())
    delivery.accept("out", records(10))
    eventually(lambda: delivery.statistics()["out"].delivered == 10)
    with disk.hanging():
        before = disk.flushes
        delivery.accept("out", records(5, start=10))
        eventually(lambda: disk.flushes > before)
        began = time.monotonic()
        for _ in range(50):
            statistics = delivery.statistics()["out"]
            assert statistics.accepted + statistics.resumed == statistics.delivered + statistics.pending
            (
                journal.statistics(),
                journal.pending("out"),
                journal.oldest_s("out"),
                journal.outboxes(),
                journal.last_number(),
            )
            delivery.parked(), delivery.trouble()
        assert time.monotonic() - began < 1.0
        assert statistics.accepted == 10  # what is not flushed is not accepted
    eventually(lambda: delivery.statistics()["out"].delivered == 15)
    delivery.close(2.0)
    journal.close()


def test_fault_04_a_write_that_does_not_end_is_trouble(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.journal.memory.STALLED_S", 0.2)
    disk = ScriptedDisk()
    journal = Journal(tmp_path / "a.journal", clock=CLOCK, disk=disk)
    with disk.hanging():
        journal.append("out", records(1))
        eventually(lambda: "has not finished a write for" in journal.statistics().trouble)
    eventually(lambda: journal.statistics().trouble == "")
    journal.close()


def test_fault_04_stopping_has_a_bound_whatever_hangs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    disk = ScriptedDisk()
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK, disk=disk)
    delivery = Delivery(journal, CLOCK, backoff=quick)
    stuck = threading.Event()
    delivery.add("stuck", Outside().prepare(lambda _: stuck.wait()))
    delivery.add("out", Outside(durability="commit").prepare())
    delivery.accept("stuck", records(3))
    eventually(lambda: delivery.statistics()["stuck"].accepted == 3)
    with disk.hanging():
        waiting = threading.Thread(target=refused, args=(delivery,))
        waiting.start()
        began = time.monotonic()
        delivery.drain(0.5)
        delivery.close(0.5)
        journal.close(0.5)
        assert time.monotonic() - began < 8.0
        waiting.join(3.0)
        assert not waiting.is_alive(), "a sender that waits for its commit is let go"
    assert "the disk does not answer" in caplog.text
    journal._writer._thread.join(5.0)
    journal._lock.release()  # type: ignore[union-attr]  # a process that ends releases it
    again = Journal(path, clock=CLOCK)
    assert again.pending("stuck") == 3
    again.close()
    stuck.set()


def refused(delivery: Delivery) -> None:
    with contextlib.suppress(JournalClosed):
        delivery.accept("out", records(1))


def test_fault_04_flushes_that_fail_are_repeated_and_nothing_is_accepted_before(tmp_path: Path) -> None:
    disk = ScriptedDisk()
    journal = Journal(tmp_path / "a.journal", clock=CLOCK, disk=disk)
    journal.append("out", records(1), wait=True)
    disk.fails = True
    journal._writer.store.checkpoint = lambda: (_ for _ in ()).throw(OSError("no"))  # type: ignore[method-assign]  # nor so
    journal.append("out", records(4, start=1))
    eventually(lambda: "scripted" in journal.statistics().trouble or "no" in journal.statistics().trouble)
    assert journal.counters("out").accepted == 1
    disk.fails = False
    eventually(lambda: journal.counters("out").accepted == 5)
    assert [record.id for record in journal.read("out", 0, 9)] == [f"n-{i}" for i in range(5)]
    assert journal.statistics().trouble == ""
    journal.close()


# -- 6: a system that does not say how full the disk is ---------------------------------------------------------------------


def test_fault_06_without_statvfs_it_writes_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "statvfs")
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    journal.append("out", records(3), wait=True)
    assert (journal.counters("out").accepted, journal.statistics().trouble) == (3, "")
    journal.close()


def test_fault_06_where_only_shutil_knows_what_is_free_that_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=0)
    monkeypatch.delattr(os, "statvfs")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    journal.append("out", records(3))
    eventually(lambda: "the disk is full" in journal.statistics().trouble)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full._replace(free=10**12))
    eventually(lambda: journal.counters("out").accepted == 3)
    journal.close()


# -- 7: clocks that are wrong ------------------------------------------------------------------------------------------


class WrongClock(SystemClock):
    """The system's clock, so many days off."""

    def __init__(self, days: float = 0.0) -> None:
        self.days = days

    def now_s(self) -> float:
        return max(time.time() + self.days * 86_400.0, 5.0)


def look_at_ages(journal: Journal) -> None:
    """Have limits by age looked at now instead of within half a minute."""
    journal._writer._aged = -1e9
    eventually(lambda: journal._writer._aged > -1e9)


@pytest.mark.parametrize(
    ("before", "after"), [(-30_000, 0), (400, 0), (0, 400), (-60, 0), (60, 0), (0, 60), (400, -400)]
)
def test_fault_07_a_clock_that_was_wrong_ages_nothing(tmp_path: Path, before: float, after: float) -> None:
    path = tmp_path / "a.journal"
    event = EventRow("e", 1.0, "t", "n", b"{}")
    first = Journal(path, clock=WrongClock(before))
    for priority in ("telemetry", "state", "event", "critical"):
        first.append("out", records(20, priority=priority), events=[event], wait=True)
    first.append("parked", records(5), wait=True)
    first.close()
    clock: Clock = WrongClock(after)
    second = Journal(path, clock=clock)
    look_at_ages(second)
    delivery = Delivery(second, clock, backoff=quick)
    node = Outside().prepare()
    delivery.add("out", node)
    eventually(lambda: delivery.statistics()["out"].delivered == 80)
    assert len(node.ids) == 80
    assert second.counters("out").dropped == {}
    assert second.pending("parked") == 5
    assert second.oldest_s("parked") < 60.0
    delivery.close(2.0)
    second.close()
    with JournalView(path) as view:
        assert [event.id for event in view.events()] == ["e"]
        assert {box.name: box.oldest_s < 60.0 for box in view.outboxes()} == {"out": True, "parked": True}


def test_fault_07_ages_go_on_over_restarts_and_limits_still_hold(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    limits = Limits(event_age_s=100.0)
    first = Journal(path, limits=limits, clock=CLOCK)
    first.append("out", records(3), wait=True)
    first._writer.ages._offset_s += 60.0  # a minute goes by while the flow runs
    first.close()
    second = Journal(path, limits=limits, clock=WrongClock(-9000))
    look_at_ages(second)
    assert second.oldest_s("out") >= 60.0
    assert second.pending("out") == 3
    second._writer.ages._offset_s += 60.0
    look_at_ages(second)
    eventually(lambda: second.pending("out") == 0)
    assert second.counters("out").dropped == {"event": 3}
    assert balanced(second, "out")
    second.close()


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ({"body": b"x" * (LARGEST_BODY_BYTES + 1)}, "its body has 16000001 bytes, more than 16000000"),
        ({"headers": {"text": "x" * 100_000}}, "its headers have 100011 bytes, more than 65536"),
        ({"id": "x" * 1001}, "its id has 1001 characters, more than 1000"),
        ({"address": "ü" * 40_000}, "its address has 40000 characters: more than 65535 bytes"),
    ],
)
def test_fault_17_a_message_above_a_limit_is_a_dead_letter(tmp_path: Path, what: dict[str, Any], reason: str) -> None:
    journal = Journal(tmp_path / "a.journal", clock=SystemClock())
    fine = OutboxRecord(id="a", time_s=1.0, address="a", body=b"x" * LARGEST_BODY_BYTES, headers={"text": "x" * 60_000})
    assert journal.append("out", [fine], wait=True) == []
    (said,) = journal.append("out", [msgspec.structs.replace(fine, **what)], wait=True)
    assert said == f"can't be written to the journal: {reason}"
    with JournalView(tmp_path / "a.journal") as view:
        (dead,) = view.dead_letters()
        assert dead.reason == said
        assert len(dead.body) <= 10_000
        assert max(len(dead.id), len(dead.address)) <= 1000
    journal.close()
