"""The journal: what is accepted stays, limits drop by priority, one process at a time, damage costs only what it hit."""

from __future__ import annotations

import itertools
import os
import random
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt.clock import SystemClock, VirtualClock
from flowrt.journal import EventRow, Journal, JournalBusy, JournalClosed, JournalView, Limits, journal_path
from flowrt.journal.storage.rows import runs_of
from flowrt.sink import OutboxRecord
from tests.delivery.outside import ScriptedDisk, eventually, records

CLOCK = SystemClock()


def fill(path: Path, count: int, *, size: int = 300, outbox: str = "out") -> None:
    """A closed journal with that many records."""
    journal = Journal(path, clock=CLOCK)
    for start in range(0, count, 500):
        journal.append(outbox, records(min(500, count - start), start=start, size=size))
    journal.close()


def everything(journal: Journal, outbox: str = "out") -> list[OutboxRecord]:
    """All that waits, in order."""
    found: list[OutboxRecord] = []
    while batch := journal.read(outbox, found[-1].number if found else 0, 500):
        found += batch
    return found


@pytest.mark.parametrize("kept", ["file", "memory"])
def test_records_come_out_as_they_went_in(tmp_path: Path, kept: str) -> None:
    journal = Journal(tmp_path / "a.journal" if kept == "file" else None, clock=CLOCK)
    sent = OutboxRecord(
        id="ü-1",
        time_s=12.5,
        address="a/b",
        body=b"\x00\xff{}",
        priority="critical",
        headers={"qos": 2, "retain": False},
    )
    journal.append("out", [sent], wait=True)
    (got,) = everything(journal)
    assert (got.id, got.time_s, got.address, got.body, got.priority, got.headers) == (
        "ü-1", 12.5, "a/b", b"\x00\xff{}", "critical", {"qos": 2, "retain": False},
    )  # fmt: skip
    assert (got.number, got.attempts) == (1, 0)
    journal.delivered("out", [got])
    eventually(lambda: journal.counters("out").delivered == 1)
    assert everything(journal) == []
    journal.close()


@given(st.lists(st.integers(1, 60)))
def test_runs_hold_exactly_the_numbers(numbers: list[int]) -> None:
    runs = runs_of(numbers)
    assert {n for first, last in runs for n in range(first, last + 1)} == set(numbers)
    assert all(after[0] > before[1] + 1 for before, after in itertools.pairwise(runs))


def test_records_on_their_way_out_hide_none_behind_them() -> None:
    journal = Journal(None, clock=CLOCK)
    journal.append("out", records(10), wait=True)
    with journal._writer.writing:  # acknowledgements are in, and not yet written
        journal.delivered("out", everything(journal)[:7])
        assert [x.id for x in journal.read("out", 0, 1)] == ["n-7"]
    journal.close()


def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path) -> None:
    fill(tmp_path / "a.journal", 1200)
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    assert [record.id for record in everything(journal)] == [record.id for record in records(1200)]
    assert {record.attempts for record in everything(journal)} == {1}  # an earlier run may have sent them
    assert journal.counters("out").resumed == 1200
    journal.append("out", records(1, start=1200), wait=True)
    assert everything(journal)[-1].attempts == 0
    journal.close()


def test_only_the_owner_may_read_the_files(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "deep" / "a.journal", clock=CLOCK)
    journal.append("out", records(10), wait=True)
    files = list((tmp_path / "deep").iterdir())
    assert {file.name for file in files} >= {"a.journal", "a.journal-wal", "a.journal.lock"}
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    journal.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    with pytest.raises(JournalBusy, match=rf"a\.journal is in use by process {os.getpid()}.*FLOWRT_DATA"):
        Journal(tmp_path / "a.journal", clock=CLOCK)
    journal.close()
    Journal(tmp_path / "a.journal", clock=CLOCK).close()


def test_a_killed_process_leaves_no_lock(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from flowrt.journal import Journal; from flowrt.clock import SystemClock\n"
        f"j = Journal(Path({str(tmp_path / 'a.journal')!r}), clock=SystemClock()); print('open', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"open\n"
    with pytest.raises(JournalBusy, match=f"process {child.pid}"):
        Journal(tmp_path / "a.journal", clock=CLOCK)
    child.kill()
    child.wait()
    child.stdout.close()
    Journal(tmp_path / "a.journal", clock=CLOCK).close()


def test_names_become_file_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLOWRT_DATA", str(tmp_path))
    assert journal_path("main-and-5th") == tmp_path / "main-and-5th.journal"
    assert journal_path("../../etc/x y") == tmp_path / "_.._etc_x_y.journal"


def test_an_event_has_one_row_that_phases_update(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    row = EventRow("v-1", 10.0, "violations", "red", b'{"phase":"new"}')
    journal.append("out", records(1), events=[row], wait=True)
    journal.append("other", records(1), events=[row], wait=True)
    journal.append("out", [], events=[EventRow("v-1", 14.0, "violations", "red", b'{"phase":"end"}')], wait=True)
    with JournalView(path) as view:
        (event,) = view.events()
        assert (event.time_s, event.payload) == (10.0, b'{"phase":"end"}')
        assert list(view.events(since_s=11.0)) == []
    journal.close()


def test_the_size_limit_takes_telemetry_first_and_violations_last() -> None:
    limits = Limits(size_mb=0.1)
    journal = Journal(None, limits=limits, clock=CLOCK)
    for start in range(0, 1000, 50):  # five times what fits
        journal.append("out", records(20, start=start, size=300, priority="telemetry"), wait=True)
        journal.append("out", records(10, start=start + 20, size=300, priority="state"), wait=True)
        journal.append("out", records(10, start=start + 30, size=300, priority="event"), wait=True)
        journal.append("out", records(10, start=start + 40, size=300, priority="critical"), wait=True)
    journal.flush(5.0)
    left = everything(journal)
    kinds = {
        priority: sum(x.priority == priority for x in left) for priority in ("telemetry", "state", "event", "critical")
    }
    assert kinds["critical"] == 200
    assert kinds["telemetry"] == 0
    tally = journal.counters("out")
    assert tally.accepted == 1000 == journal.pending("out") + sum(tally.dropped.values())
    assert tally.dropped["telemetry"] == 400
    assert tally.dropped.get("critical", 0) == 0
    assert len(left) * 406 <= 100_000
    oldest = [x for x in left if x.priority == "event"]
    assert oldest[-1].id == "n-989"  # the oldest of an priority went, the newest stayed
    journal.close()


def test_the_fuller_outbox_pays() -> None:
    journal = Journal(None, limits=Limits(size_mb=0.05), clock=CLOCK)
    journal.append("alive", records(10, size=300), wait=True)
    for start in range(0, 400, 20):
        journal.append("dead", records(20, start=start, size=300), wait=True)
    journal.flush(5.0)
    assert journal.pending("alive") == 10
    assert journal.counters("dead").dropped["event"] > 200
    journal.close()


def test_the_age_limit_is_per_priority() -> None:
    clock = VirtualClock(1000.0)
    journal = Journal(None, limits=Limits(telemetry_age_s=60.0, critical_age_s=600.0), clock=clock)
    journal.append("out", records(5, priority="telemetry"), wait=True)
    journal.append("out", records(5, start=5, priority="critical"), wait=True)
    clock.move_to(1100.0)
    eventually(lambda: journal.pending("out") == 5)
    assert {x.priority for x in everything(journal)} == {"critical"}
    assert journal.counters("out").dropped == {"telemetry": 5}
    clock.move_to(2000.0)
    eventually(lambda: journal.pending("out") == 0)
    journal.close()


def test_the_file_shrinks_again(tmp_path: Path) -> None:
    file = tmp_path / "a.journal"
    journal = Journal(file, clock=CLOCK)
    for start in range(0, 20_000, 1000):
        journal.append("out", records(1000, start=start, size=500))
    journal.flush(20.0)
    assert journal.statistics().file_mb > 10.0
    journal.delivered("out", everything(journal))
    eventually(lambda: journal.statistics().file_mb < 5.0, 30.0)
    journal.close()
    assert file.stat().st_size < 5e6


def test_recorded_events_and_dead_letters_are_bounded_too(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    clock = VirtualClock(0.0)  # nothing ages before it moves, however long a busy machine writes
    limits = Limits(events_mb=0.5, dead_letters_mb=0.5, events_age_s=5000.0)
    journal = Journal(path, limits=limits, clock=clock)
    rows = [EventRow(f"e-{n}", float(n), "t", "node", b"x" * 300) for n in range(3000)]
    journal.append("out", records(3000, size=300), events=rows, wait=True)
    for record in everything(journal):
        journal.rejected("out", record.number, "never")
    eventually(lambda: journal.counters("out").dead_letters == 3000)

    def kept() -> tuple[list[str], list[str]]:
        with JournalView(path) as view:
            return sorted(event.id for event in view.events()), [dead.id for dead in view.dead_letters()]

    assert list(map(len, kept())) == [3000, 3000]
    clock.move_to(100.0)
    eventually(lambda: len(kept()[0]) < 3000 and len(kept()[1]) < 3000)
    events, dead = kept()
    assert 500 < len(events) < 500_000 / 300
    assert 500 < len(dead) < 500_000 / 300
    assert "e-2999" in events
    assert dead[-1] == "n-2999"  # the oldest went
    clock.move_to(9000.0)
    eventually(lambda: kept()[0] == [])
    journal.close()


def test_append_blocks_while_the_buffer_is_full(tmp_path: Path) -> None:
    disk = ScriptedDisk()
    journal = Journal(tmp_path / "a.journal", limits=Limits(buffer_records=100), clock=CLOCK, disk=disk)
    with disk.hanging():
        journal.append("out", records(100))
        blocked = threading.Thread(target=journal.append, args=("out", records(50, start=100)))
        blocked.start()
        blocked.join(0.3)
        assert blocked.is_alive()
        assert journal.statistics().buffered == 100
    blocked.join(5.0)
    assert not blocked.is_alive()
    journal.flush(5.0)
    assert journal.pending("out") == 150
    journal.close()
    with pytest.raises(JournalClosed):
        journal.append("out", records(1))


def test_a_clock_set_by_an_hour_ages_nothing(tmp_path: Path) -> None:
    class Stepped(SystemClock):
        step_s = 0.0

        def now_s(self) -> float:
            return time.time() + self.step_s

    clock = Stepped()
    journal = Journal(tmp_path / "a.journal", limits=Limits(event_age_s=600.0), clock=clock)
    journal.append("out", records(10), wait=True)
    for step_s in (3600.0, -3600.0, 0.0):
        clock.step_s = step_s
        journal.append("out", records(1), wait=True)
        time.sleep(1.1)
        assert journal.counters("out").dropped == {}
        assert journal.oldest_s("out") < 60.0
    assert journal.pending("out") == 13
    journal.close()


def test_a_flipped_byte_costs_one_record(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    fill(path, 100)
    data = bytearray(path.read_bytes())
    at = data.index(b"57".ljust(300))
    data[at] ^= 0x40
    path.write_bytes(data)
    journal = Journal(path, clock=CLOCK)
    assert [x.id for x in everything(journal)] == [x.id for x in records(100) if x.id != "n-57"]
    eventually(lambda: journal.counters("out").dead_letters == 1)
    journal.close()
    with JournalView(path) as view:
        (dead,) = view.dead_letters()
        assert "checksum" in dead.reason


@pytest.mark.parametrize("where", ["first page", "middle", "half", "end"])
def test_a_damaged_file_gives_what_can_be_read(tmp_path: Path, where: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.journal"
    fill(path, 3000)
    size = path.stat().st_size
    start, length = {
        "first page": (0, 4096),
        "middle": (size // 2, 8192),
        "half": (size // 4, size // 2),
        "end": (size - 16_384, 16_384),
    }[where]
    with path.open("r+b") as file:
        file.seek(start)
        file.write(random.Random(1).randbytes(length))
    journal = Journal(path, clock=CLOCK)
    found = everything(journal)
    wanted = {x.id: x.body for x in records(3000, size=300)}
    assert all(wanted[x.id] == x.body for x in found)
    lost = 3000 - len(found) - journal.counters("out").dead_letters
    assert lost <= 3000 * 1.1 * length / size + 100  # the pages hit, and what their neighbours hold of the same rows
    assert [x.number for x in found] == sorted(x.number for x in found)
    (said,) = journal.statistics().recovered
    assert said in caplog.text
    if lost:
        assert "can't be read" in said
    (kept,) = (
        file for file in tmp_path.iterdir() if ".corrupt-" in file.name and not file.name.endswith(("-wal", "-shm"))
    )
    assert kept.stat().st_size == size
    journal.append("out", records(5, start=5000), wait=True)
    assert everything(journal)[-1].number > max(x.number for x in found)
    journal.close()
    with JournalView(path) as view:
        for box in view.outboxes():
            assert box.accepted == box.delivered + box.dead_letters + box.dropped + box.pending
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_damage_while_running_is_recovered_in_place(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    fill(path, 3000)
    journal = Journal(path, clock=CLOCK)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2)
        file.write(random.Random(2).randbytes(16_384))
    eventually(lambda: len(everything(journal)) > 2000 and bool(journal.statistics().recovered), 20.0)
    counters = journal.snapshot("out")
    assert counters.resumed == 3000 == counters.pending + counters.dead_letters + sum(counters.dropped.values())
    journal.append("out", records(5, start=5000), wait=True)
    assert everything(journal)[-1].id == "n-5004"
    journal.close()


def test_no_journal_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    path.write_bytes(random.Random(3).randbytes(50_000))
    journal = Journal(path, clock=CLOCK)
    journal.append("out", records(3), wait=True)
    assert len(everything(journal)) == 3
    assert "0 records" in journal.statistics().recovered[0]
    journal.close()


def test_dead_letters_are_retried_by_another_process_while_this_one_runs(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    woken = threading.Event()
    journal.append("out", records(3), wait=True)
    journal.rejected("out", 2, "not today")
    eventually(lambda: journal.counters("out").dead_letters == 1)
    journal.listen(woken.set)
    with JournalView(path, write=True) as view:
        assert [dead.id for dead in view.dead_letters()] == ["n-1"]
        assert view.retry([2]) == 1
    assert woken.wait(5.0)
    eventually(lambda: journal.pending("out") == 3)
    assert [x.id for x in everything(journal)] == ["n-0", "n-2", "n-1"]
    journal.close()
    with JournalView(path) as view:
        (outbox,) = view.outboxes()
        assert outbox.accepted == outbox.delivered + outbox.dead_letters + outbox.dropped + outbox.pending
