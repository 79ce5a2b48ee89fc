"""Files of the journal that are removed, exchanged, planted or open to others.

Named by the numbers of the issue in which they were found.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowrt.clock import SystemClock
from flowrt.journal import EventRow, Journal, JournalBusy, JournalView
from flowrt.system.private_files import make_private_folder, open_private
from tests.delivery.outside import balanced, eventually, records

CLOCK = SystemClock()


# -- 9: the file is removed ----------------------------------------------------------------------------------------------


def remove(path: Path, what: str) -> None:
    """As when the folder is tidied up by hand."""
    if what == "folder":
        shutil.rmtree(path.parent)
    elif what == "exchanged":
        other = path.with_name("other.journal")
        Journal(other, clock=CLOCK).close()
        other.replace(path)
    else:
        for name in {"file": [""], "all": ["", "-wal", "-shm", ".lock"], "log": ["-wal"]}[what]:
            path.with_name(path.name + name).unlink()


@pytest.mark.parametrize("what", ["file", "all", "log", "folder", "exchanged"])
def test_fault_09_a_journal_that_is_removed_while_it_runs_is_written_again(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "data" / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", records(50), wait=True)
    journal.rejected("out", 1, "no")
    journal.delivered("out", journal.read("out", 1, 9))
    eventually(lambda: journal.snapshot("out").delivered == 9)
    remove(path, what)
    journal.append("out", records(50, start=50), wait=True)
    eventually(lambda: bool(journal.statistics().recovered), 20.0)
    assert "was removed while the flow ran" in caplog.text
    journal.append("out", records(10, start=100), wait=True)
    assert [record.id for record in journal.read("out", 0, 999)] == [f"n-{i}" for i in range(10, 110)]
    assert balanced(journal, "out")
    eventually(lambda: journal.statistics().trouble == "")
    with pytest.raises(JournalBusy):
        Journal(path, clock=CLOCK)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    journal.close()
    again = Journal(path, clock=CLOCK)
    assert again.pending("out") == 100
    again.close()
    with JournalView(path) as view:
        (box,) = view.outboxes()
        assert (box.accepted, box.delivered, box.dead_letters, box.pending) == (110, 9, 1, 100)


def test_fault_09_a_removed_file_that_can_no_longer_be_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where SQLite refuses the removed file by itself, the writer does not come to its maintenance any more."""
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", records(5), wait=True)
    removed = journal._writer.store

    def moved(*_: object) -> None:
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(removed, "apply", moved)
    path.unlink()
    journal.append("out", records(5, start=5), wait=True)
    assert [record.id for record in journal.read("out", 0, 99)] == [f"n-{i}" for i in range(10)]
    eventually(lambda: journal.statistics().trouble == "")
    journal.close()
    again = Journal(path, clock=CLOCK)
    assert again.pending("out") == 10
    again.close()


def test_a_repair_that_fails_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", records(2000, size=300), wait=True)

    def fail(*_: object) -> None:
        raise OSError("the disk is away")

    with monkeypatch.context() as patched:
        patched.setattr("flowrt.journal.writer.open_damaged", fail)
        patched.setattr("flowrt.journal.writer.open_store", fail)
        patched.setattr("flowrt.journal.writer.Store", fail)
        journal._memory.suspect_damage()
        eventually(lambda: "the disk is away" in journal.statistics().trouble)
        journal.append("out", records(5, start=2000))
        eventually(lambda: not journal._writer.store.is_open)
    eventually(lambda: journal.pending("out") == 2005)
    eventually(lambda: journal.statistics().trouble == "")
    assert len(journal.read("out", 0, 3000)) == 2005
    journal.close()


def test_fault_09_a_command_that_follows_reads_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", [], events=[EventRow("e-1", 1.0, "t", "n", b"{}")], wait=True)
    with JournalView(path) as view:
        path.unlink()
        view.follow_file()
        eventually(lambda: bool(journal.statistics().recovered), 20.0)
        journal.append("out", [], events=[EventRow("e-2", 2.0, "t", "n", b"{}")], wait=True)
        view.follow_file()
        assert [event.id for event in view.events(after_change=1)] == ["e-2"]
    journal.close()


def test_fault_09_what_was_accepted_after_the_removal_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    code = (
        "import sys, time, os, signal; from pathlib import Path; from flowrt.clock import SystemClock\n"
        "from flowrt.journal import Journal; from tests.delivery.outside import records, eventually\n"
        "path = Path(sys.argv[1]); j = Journal(path, clock=SystemClock())\n"
        "j.append('out', records(20), wait=True); path.unlink()\n"
        "eventually(lambda: bool(j.statistics().recovered), 20.0)\n"
        "j.append('out', records(20, start=20), wait=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=Path(__file__).resolve().parents[2], timeout=60, check=False
    )
    journal = Journal(path, clock=CLOCK)
    assert journal.pending("out") == 40
    journal.close()


# -- 16: for the owner alone, and one process at a time ---------------------------------------------------------------------


@pytest.fixture
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277], indirect=True, ids=oct)
@pytest.mark.usefixtures("umask")
def test_fault_16_files_and_folder_are_the_owners_whatever_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    journal = Journal(folder / "a.journal", clock=CLOCK)
    journal.append("out", records(10), wait=True)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder, folder.parent)} == {0o700}
    assert {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()} == {0o600}
    journal.close()


def test_fault_16_an_open_journal_of_an_older_version_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    Journal(path, clock=CLOCK).close()
    path.chmod(0o644)
    journal = Journal(path, clock=CLOCK)
    assert {stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir()} == {0o600}
    journal.close()


@pytest.mark.parametrize("planted", ["link", "dangling link", "hard link", "fifo", "folder"])
def test_fault_16_a_planted_lock_is_not_followed(tmp_path: Path, planted: str) -> None:
    lock, treasure = tmp_path / "a.journal.lock", tmp_path / "treasure"
    treasure.write_text("do not touch")
    if planted == "link":
        lock.symlink_to(treasure)
    elif planted == "dangling link":
        lock.symlink_to(tmp_path / "new")
    elif planted == "hard link":
        lock.hardlink_to(treasure)
    elif planted == "fifo":
        os.mkfifo(lock)
    else:
        lock.mkdir()
    with pytest.raises(OSError, match=r"a\.journal\.lock"):
        Journal(tmp_path / "a.journal", clock=CLOCK)
    assert treasure.read_text() == "do not touch"
    assert not (tmp_path / "new").exists()


def test_fault_16_a_second_process_is_refused_also_where_the_lock_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "a.journal"
    journal = Journal(path, clock=CLOCK)
    journal.append("out", records(5), wait=True)
    (tmp_path / "a.journal.lock").unlink()
    code = (
        "import sys; from pathlib import Path; from flowrt.clock import SystemClock; from flowrt.journal import Journal, JournalBusy\n"
        "try: Journal(Path(sys.argv[1]), clock=SystemClock())\n"
        "except JournalBusy as error: sys.exit(str(error))"
    )
    second = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "is in use by another process" in second.stderr
    with JournalView(path) as view:
        assert view.running
    journal.append("out", records(5, start=5), wait=True)
    journal.close()
    again = Journal(path, clock=CLOCK)
    assert again.pending("out") == 10
    again.close()


def test_fault_16_a_private_folder_is_made_once_and_left_alone_after(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o755)
    make_private_folder(shared)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o755
    make_private_folder(shared / "own")
    assert stat.S_IMODE((shared / "own").stat().st_mode) == 0o700
    fd = open_private(shared / "file")
    os.close(fd)
    assert stat.S_IMODE((shared / "file").stat().st_mode) == 0o600
    with pytest.raises(FileNotFoundError):
        open_private(shared / "missing", create=False)
