"""Records that a deliverer gets from memory: always those that the file would have given, whatever happens in between."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from flowrt.clock import SystemClock
from flowrt.journal import Journal, JournalView, Limits
from flowrt.journal.tail_cache import TailCache
from flowrt.sink import OutboxRecord
from tests.delivery.outside import eventually, records

CLOCK = SystemClock()


def numbers(journal: Journal, after: int, limit: int = 1000, outbox: str = "out") -> list[int]:
    return [record.number for record in journal.read(outbox, after, limit)]


def in_file(journal: Journal, after: int, limit: int = 1000, outbox: str = "out") -> list[int]:
    with journal._writer.reading:
        return [row[0] for row in journal._writer.store.read(outbox, after, limit)[0]]


def test_a_deliverer_that_keeps_up_does_not_read_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    journal.append("out", records(10), wait=True)
    with monkeypatch.context() as patched:
        patched.setattr(journal._writer.store, "read", None)
        assert numbers(journal, 0, 4) == [1, 2, 3, 4]
        assert numbers(journal, 4) == [5, 6, 7, 8, 9, 10]
        assert numbers(journal, 10) == []
        journal.append("out", records(2, start=10), wait=True)
        assert [x.id for x in journal.read("out", 10, 9)] == ["n-10", "n-11"]
    assert numbers(journal, 0) == list(range(1, 13))  # a second time, and further back: from the file
    journal.close()


def test_what_another_process_queued_in_between_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", records(3), wait=True)
    assert numbers(journal, 0) == [1, 2, 3]
    journal.rejected("out", 2, "not today")
    eventually(lambda: journal.counters("out").dead_letters == 1)
    with JournalView(path, write=True) as view:
        assert view.retry() == 1
    journal.append("out", records(1, start=3), wait=True)
    assert numbers(journal, 3) == [4, 5]
    journal.rejected("out", 3, "nor tomorrow")
    eventually(lambda: journal.counters("out").dead_letters == 2)
    with JournalView(path, write=True) as view:
        assert view.retry() == 1
    eventually(lambda: numbers(journal, 5) == [6])  # also where nothing of our own comes after it
    journal.close()


def test_what_a_limit_took_is_gone() -> None:
    journal = Journal(None, limits=Limits(size_mb=0.02), clock=CLOCK)
    journal.append("out", records(100, size=300), wait=True)
    journal.flush(5.0)
    assert sum(journal.counters("out").dropped.values()) > 0
    assert numbers(journal, 0) == in_file(journal, 0)
    journal.close()


def test_what_is_not_read_does_not_fill_the_memory() -> None:
    tails = TailCache(0)
    big = records(20, size=1_000_000)
    for number, record in enumerate(big, 1):
        tails.add({"out": [msgspec.structs.replace(record, number=number)]})
    assert tails.take("out", 0, 100) is None  # the file has them all
    kept = tails.take("out", 17, 100)
    assert kept is not None
    assert [record.number for record in kept] == [18, 19, 20]


@pytest.mark.parametrize("seed", range(6))
def test_memory_and_file_never_differ(tmp_path: Path, seed: int) -> None:
    """Two outboxes, appends, reads that move on, readers that go back, acknowledgements, dead letters retried by another process."""
    chance = random.Random(seed)
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    at = {"a": 0, "b": 0}
    read: dict[str, dict[int, OutboxRecord]] = {"a": {}, "b": {}}
    for step in range(120):
        outbox = chance.choice("ab")
        what = chance.choices(["append", "read", "back", "deliver", "reject", "retry"], [5, 6, 1, 3, 1, 1])[0]
        if what == "append":
            journal.append(outbox, records(chance.randint(1, 5), start=step * 10), wait=True)
        elif what == "read":
            limit = chance.randint(1, 6)
            wanted = in_file(journal, at[outbox], limit, outbox)
            found = journal.read(outbox, at[outbox], limit)
            assert [record.number for record in found] == wanted
            read[outbox].update((record.number, record) for record in found)
            at[outbox] = found[-1].number if found else at[outbox]
        elif what == "back":
            at[outbox] = chance.randint(0, at[outbox])
        elif what == "deliver" and read[outbox]:
            journal.delivered(outbox, [read[outbox].popitem()[1]])
            journal.flush(5.0)
        elif what == "reject" and read[outbox]:
            journal.rejected(outbox, read[outbox].popitem()[0], "no")
            journal.flush(5.0)
        elif what == "retry":
            with JournalView(path, write=True) as view:
                view.retry()
            journal.append("other", records(1, start=step * 10), wait=True)  # whereupon it is noticed
    journal.close()
