"""A write-ahead log that someone cuts: noticed, told, and what stands before the cut is kept."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from flowrt.clock import SystemClock
from flowrt.journal import Journal, JournalView
from flowrt.journal.storage.recovery import is_sound
from tests.delivery.outside import eventually, records

CLOCK = SystemClock()


def numbers(path: Path) -> list[int]:
    """The numbers of what waits."""
    journal = Journal(path, clock=CLOCK)
    found: list[int] = []
    while batch := journal.read("out", found[-1] if found else 0, 500):
        found += [record.number for record in batch]
    journal.close()
    return found


@pytest.mark.parametrize(("share", "size"), [(0.0, 50), (0.5, 50), (0.98, 50), (0.3, 20_000)])
def test_fault_09_a_log_that_is_cut_while_it_runs_is_noticed_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, share: float, size: int
) -> None:
    path = tmp_path / "a.journal"
    wal = tmp_path / "a.journal-wal"
    journal = Journal(path, clock=CLOCK)
    for i in range(0, 1000, 20):  # the large ones fold the log into the file meanwhile
        journal.append("out", records(20, start=i, size=size), wait=True)
    os.truncate(wal, int(wal.stat().st_size * share))
    journal.append("out", records(20, start=1000), wait=True)
    eventually(lambda: journal.statistics().recovered)
    (told,) = journal.statistics().recovered
    found = re.search(
        r"messages (\d+) to 1000 are no longer in it, and (\d+) of 'out' of those that waited are lost", told
    )
    assert found, told
    first, lost = map(int, found.groups())
    assert first - 1 + lost == 1000
    assert journal.statistics().trouble == ""
    assert journal.snapshot("out").dropped == {"unreadable": lost}
    assert journal.pending("out") == 1020 - lost
    journal.append("out", records(20, start=1020), wait=True)
    journal.close()
    assert is_sound(path)
    with JournalView(path) as view:
        (box,) = view.outboxes()
        assert (box.accepted, box.pending, box.dropped) == (1040, 1040 - lost, lost)
    assert numbers(path) == [*range(1, first), *range(1001, 1041)], "no number is given twice"
    assert "was cut while the flow ran" in caplog.text


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_fault_09_a_file_that_is_cut_while_it_runs_is_noticed_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, share: float
) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    for i in range(0, 500, 10):
        journal.append("out", records(10, start=i, size=60_000), wait=True)
    assert path.stat().st_size > 10_000_000
    os.truncate(path, int(path.stat().st_size * share))
    eventually(lambda: "was cut while the flow runs" in caplog.text)
    journal.append("out", records(10, start=500), wait=True)
    lost = journal.snapshot("out").dropped["unreadable"]
    assert f"are lost: {lost} of 'out'" in caplog.text
    assert journal.pending("out") == 510 - lost
    eventually(lambda: journal.statistics().trouble == "")
    journal.close()
    found = numbers(path)
    assert len(found) == 510 - lost
    assert found[-10:] == list(range(501, 511)), "no number is given twice"


def test_fault_09_a_log_of_which_nothing_is_missing_is_no_damage(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    for i in range(0, 1000, 20):
        journal.append("out", records(20, start=i, size=40_000), wait=True)
    eventually(lambda: journal.pending("out") == 1000)
    with journal._writer.writing:
        journal._writer.store.checkpoint()
    journal.append("out", records(1, start=1000), wait=True)
    with (tmp_path / "a.journal-wal").open("ab") as log:
        log.write(b"x" * 100_000)
    journal.append("out", records(1, start=1001), wait=True)
    os.truncate(tmp_path / "a.journal-wal", (tmp_path / "a.journal-wal").stat().st_size - 50_000)
    journal.append("out", records(1, start=1002), wait=True)
    journal.close()
    assert journal.statistics().recovered == ()
    assert numbers(tmp_path / "a.journal") == list(range(1, 1004))


WRITES = """
import os, sys
from pathlib import Path
from flowrt.clock import SystemClock
from flowrt.journal import Journal
from tests.delivery.outside import records
journal = Journal(Path(sys.argv[1]), clock=SystemClock())
for i in range(0, 1000, 20):
    journal.append("out", records(20, start=i, size=int(sys.argv[2])), wait=True)
os._exit(9)
"""


@pytest.mark.parametrize(("share", "size"), [(0.0, 50), (0.5, 50), (0.3, 20_000), (0.0, 20_000)])
def test_fault_09_a_log_that_is_cut_between_two_runs_is_told_at_the_next_start(
    tmp_path: Path, share: float, size: int
) -> None:
    path, wal = tmp_path / "a.journal", tmp_path / "a.journal-wal"
    project = Path(__file__).resolve().parents[2]
    subprocess.run([sys.executable, "-c", WRITES, str(path), str(size)], check=False, cwd=project, timeout=60)
    os.truncate(wal, int(wal.stat().st_size * share))
    journal = Journal(path, clock=CLOCK)
    (told,) = journal.statistics().recovered
    found = re.match(r"messages (\d+) to 1000 were in the journal", told)
    assert found, told
    assert journal.pending("out") == int(found[1]) - 1
    journal.append("out", records(5, start=1000), wait=True)
    journal.close()
    assert is_sound(path)
    assert numbers(path) == [*range(1, int(found[1])), *range(1001, 1006)]
    again = Journal(path, clock=CLOCK)
    assert again.statistics().recovered == (), "told once"
    again.close()


@pytest.mark.parametrize("content", [b"\xff" * 1000, b"1\n" + b"9" * 20 + b"\n", b"", b"1\n00000000000000000003\n"])
def test_fault_09_a_lock_of_any_content_is_no_news(tmp_path: Path, content: bytes) -> None:
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    journal.append("out", records(5), wait=True)
    journal.close()
    (tmp_path / "a.journal.lock").write_bytes(content)
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    assert journal.statistics().recovered == ()
    journal.append("out", records(1), wait=True)
    assert journal.last_number() == 6
    journal.close()


def test_fault_09_a_journal_that_was_removed_between_two_runs_is_a_new_one(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    journal.append("out", records(5), wait=True)
    journal.close()
    (tmp_path / "a.journal").unlink()
    journal = Journal(tmp_path / "a.journal", clock=CLOCK)
    assert journal.statistics().recovered == ()
    journal.append("out", records(1), wait=True)
    journal.close()
