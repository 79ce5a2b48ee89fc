"""Full disks: what the journal does when others fill its disk, and when it fills it itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowrt.clock import SystemClock
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.sink import Retry
from tests.delivery.outages import fill_up, small_disk
from tests.delivery.outside import Outside, eventually, quick, records


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MB: enough for a journal and its write-ahead log."""
    with small_disk(tmp_path / "small", 12) as folder:
        yield folder


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, which a journal fills within seconds."""
    with small_disk(tmp_path / "tiny", 4) as folder:
        yield folder


class Away:
    """A fault that can be switched off."""

    def __init__(self) -> None:
        self.over = threading.Event()

    def __call__(self, _: object) -> None:
        if not self.over.is_set():
            raise Retry("away", after_s=0.05)


def test_a_journal_that_can_not_be_made_is_an_os_error(disk: Path) -> None:
    fill_up(disk)
    with pytest.raises(OSError, match=r"disk"):
        Journal(disk / "a.journal", clock=SystemClock())


def test_stopping_with_a_full_disk_keeps_what_was_accepted(disk: Path) -> None:
    journal = Journal(disk / "a.journal", clock=SystemClock())
    journal.append("out", records(100), wait=True)
    ballast = fill_up(disk)
    journal.append("out", records(3000, start=100, size=500))
    eventually(lambda: "full" in journal.statistics().trouble)
    accepted = journal.counters("out").accepted
    journal.close(timeout_s=0.5)
    ballast.unlink()
    again = Journal(disk / "a.journal", clock=SystemClock())
    assert again.pending("out") == accepted == 100
    again.close()


def test_a_journal_that_fills_its_disk_can_be_emptied_again(tiny_disk: Path) -> None:
    """Records leave through the write-ahead log, which needs space: some is kept for that."""
    count = 12_000  # of 0.6 kB: about twice what the disk holds
    away = Away()
    journal = Journal(tiny_disk / "a.journal", clock=SystemClock())
    delivery = Delivery(journal, SystemClock(), backoff=quick)
    node = Outside().prepare(away)
    delivery.add("out", node)

    def send() -> None:
        for start in range(0, count, 10):
            delivery.accept("out", records(10, start=start, size=500))
        journal.flush(60.0)

    sender = threading.Thread(target=send)
    sender.start()
    eventually(lambda: "the disk is full" in journal.statistics().trouble and journal.pending("out") > 3000, 30.0)
    assert "a.journal" in journal.statistics().trouble
    assert journal.counters("out").accepted < count
    assert journal.counters("out").dropped == {}
    assert sender.is_alive()
    away.over.set()
    sender.join(60.0)
    assert not sender.is_alive()
    eventually(lambda: journal.counters("out").delivered == count, 60.0)
    assert list(dict.fromkeys(node.ids)) == [record.id for record in records(count)]
    assert (journal.pending("out"), journal.statistics().trouble) == (0, "")
    away.over.clear()
    journal.append("out", records(2500, start=count, size=500))
    assert journal.flush(20.0), "the space is free again"
    assert journal.pending("out") == 2500
    delivery.close(2.0)
    journal.close()


def test_more_at_once_than_the_disk_holds_goes_through_in_parts(tiny_disk: Path) -> None:
    """20,000 records may wait in memory for their commit; 10 MB in one transaction would never fit."""
    journal = Journal(tiny_disk / "a.journal", clock=SystemClock())
    delivery = Delivery(journal, SystemClock(), backoff=quick)
    node = Outside().prepare()
    delivery.add("out", node)
    delivery.accept("out", records(18_000, size=500))
    eventually(lambda: journal.counters("out").delivered == 18_000, 60.0)
    assert list(dict.fromkeys(node.ids)) == [record.id for record in records(18_000)]
    delivery.close(2.0)
    journal.close()


def test_a_journal_that_filled_its_disk_opens_again(tiny_disk: Path) -> None:
    away = Away()
    journal = Journal(tiny_disk / "a.journal", clock=SystemClock())
    delivery = Delivery(journal, SystemClock(), backoff=quick)
    delivery.add("out", Outside().prepare(away))
    delivery.accept("out", records(18_000, size=500))
    eventually(lambda: "full" in journal.statistics().trouble, 30.0)
    delivery.close(1.0)
    journal.close(timeout_s=0.5)
    accepted = journal.counters("out").accepted
    again = Journal(tiny_disk / "a.journal", clock=SystemClock())
    assert again.pending("out") == accepted > 3000
    delivery = Delivery(again, SystemClock(), backoff=quick)
    node = Outside().prepare()
    delivery.add("out", node)
    eventually(lambda: again.pending("out") == 0, 30.0)
    assert node.ids == [record.id for record in records(accepted)]
    delivery.close(2.0)
    again.close()
