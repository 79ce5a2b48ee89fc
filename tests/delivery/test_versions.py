"""Journals of other versions: older ones are read and brought up to date, with all they hold; newer and odd ones are refused by name."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from flowrt.cli import main
from flowrt.clock import SystemClock
from flowrt.journal import Journal, JournalVersionError, JournalView, journal_path
from flowrt.journal.storage.rows import row_of
from flowrt.journal.storage.schema import VERSION
from flowrt.sink import OutboxRecord
from tests.delivery.outside import eventually, records

FLOW = "main-and-5th"
CLOCK = SystemClock()
NOW_S = 1_790_000_000.0
RECORD = """
  number INTEGER PRIMARY KEY{auto}, outbox INTEGER NOT NULL, {priority} INTEGER NOT NULL,
  queued_s REAL NOT NULL, time_s REAL NOT NULL, id TEXT NOT NULL, address TEXT NOT NULL,
  headers BLOB NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL
"""
AUTO = " AUTOINCREMENT"


def tables(version: int) -> str:
    """The tables as that version made them."""
    named, priority = ("letters", "urgency") if version < 3 else ("records", "priority")
    since = ", since_s REAL NOT NULL DEFAULT 0" if version > 1 else ""
    return f"""
        CREATE TABLE outboxes(
          key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
          accepted INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
          dead_letters INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
          state TEXT NOT NULL DEFAULT '', last_error TEXT NOT NULL DEFAULT '',
          rate_per_s REAL NOT NULL DEFAULT 0, updated_s REAL NOT NULL DEFAULT 0{since});
        CREATE TABLE {named}({RECORD.format(priority=priority, auto=AUTO)});
        CREATE INDEX {named}_of ON {named}(outbox, number);
        CREATE TABLE dead_letters({RECORD.format(priority=priority, auto="")}, reason TEXT NOT NULL, died_s REAL NOT NULL);
        CREATE TABLE events(
          id TEXT PRIMARY KEY, time_s REAL NOT NULL, type TEXT NOT NULL, node TEXT NOT NULL,
          payload BLOB NOT NULL, change INTEGER NOT NULL, stored_s REAL NOT NULL) WITHOUT ROWID;
        CREATE INDEX events_by_change ON events(change);
        PRAGMA user_version = {version};
    """


def row(number: int, queued_s: float) -> tuple[object, ...]:
    made = OutboxRecord(id=f"n-{number}", time_s=5.0, address="a/b", body=b"x" * 50, priority="state", number=number)
    return row_of(made, 1, queued_s)


def old_journal(path: Path, version: int, *, pending: int = 20, dead: int = 2, queued_s: float = NOW_S) -> None:
    """A journal at rest: 100 accepted, of which some wait and some are dead."""
    path.parent.mkdir(parents=True, exist_ok=True)
    named = "letters" if version < 3 else "records"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as link:
        link.execute("PRAGMA auto_vacuum = INCREMENTAL")
        link.execute("PRAGMA journal_mode = WAL")
        link.executescript(f"BEGIN; {tables(version)} COMMIT;")
        link.execute("BEGIN")
        link.execute(
            "INSERT INTO outboxes(name, accepted, delivered, dead_letters, dropped, state, last_error, updated_s) "
            "VALUES('out', 100, ?, ?, 3, 'waiting', 'away', ?)",
            (100 - pending - dead - 3, dead, NOW_S),
        )
        for number in range(81, 81 + pending):
            link.execute(f"INSERT INTO {named} VALUES(?,?,?,?,?,?,?,?,?,?)", row(number, queued_s))
        for number in range(1, 1 + dead):
            link.execute(
                "INSERT INTO dead_letters VALUES(?,?,?,?,?,?,?,?,?,?,?,?)", (*row(number, NOW_S), "too large", NOW_S)
            )
        link.execute("INSERT INTO events VALUES('v-1', 5.0, 'violations', 'red', '{}', 1, ?)", (NOW_S,))
        link.execute("COMMIT")


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLOWRT_DATA", str(tmp_path / "data"))
    return journal_path(FLOW)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_older_journal_is_read_as_it_is(path: Path, version: int, capsys: pytest.CaptureFixture[str]) -> None:
    old_journal(path, version)
    before = path.read_bytes()
    with JournalView(path) as view:
        (outbox,) = view.outboxes()
        assert (outbox.accepted, outbox.delivered, outbox.pending, outbox.dead_letters, outbox.dropped) == (
            100, 75, 20, 2, 3,
        )  # fmt: skip
        assert outbox.last_error == "away"
        assert [dead.number for dead in view.dead_letters()] == [1, 2]
        assert view.waiting([81, 1]) == {81: "out"}
    assert main(["dead-letters", "list", FLOW]) == 0
    assert "too large" in capsys.readouterr().out
    assert path.read_bytes() == before


@pytest.mark.parametrize("version", range(1, VERSION))
def test_an_older_journal_is_brought_up_to_date_with_all_it_holds(path: Path, version: int) -> None:
    old_journal(path, version)
    journal = Journal(path, clock=CLOCK)
    waiting = journal.read("out", 0, 100)
    assert [record.number for record in waiting] == list(range(81, 101))
    assert {(record.priority, record.address, record.body) for record in waiting} == {("state", "a/b", b"x" * 50)}
    assert journal.counters("out").resumed == 20
    journal.append("out", records(1), wait=True)
    assert journal.read("out", 100, 9)[0].number == 101
    journal.close()
    with JournalView(path) as view:
        (outbox,) = view.outboxes()
        assert (outbox.accepted, outbox.delivered, outbox.pending, outbox.dead_letters, outbox.dropped) == (
            101, 75, 21, 2, 3,
        )  # fmt: skip
        assert outbox.accepted == outbox.delivered + outbox.pending + outbox.dead_letters + outbox.dropped
        assert [(dead.number, dead.reason, dead.priority) for dead in view.dead_letters()] == [
            (1, "too large", "state"),
            (2, "too large", "state"),
        ]
        assert [event.id for event in view.events()] == ["v-1"]
    with contextlib.closing(sqlite3.connect(path)) as link:
        assert link.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert link.execute("PRAGMA integrity_check").fetchone() == ("ok",)


@pytest.mark.parametrize("version", range(1, VERSION))
def test_dead_letters_of_an_older_journal_are_retried(path: Path, version: int) -> None:
    old_journal(path, version)
    assert main(["dead-letters", "retry", FLOW, "--all"]) == 0
    journal = Journal(path, clock=CLOCK)
    assert [record.id for record in journal.read("out", 100, 9)] == ["n-1", "n-2"]
    assert journal.oldest_s("out") < 60.0
    journal.close()


@pytest.mark.parametrize("version", range(1, VERSION))
@pytest.mark.parametrize("off_s", [-NOW_S, 400 * 86_400.0, -60 * 86_400.0])
def test_fault_07_an_older_journal_queued_by_a_wrong_clock_loses_nothing(
    path: Path, version: int, off_s: float
) -> None:
    old_journal(path, version, queued_s=NOW_S + off_s)
    journal = Journal(path, clock=CLOCK)
    journal._writer._aged = -1e9  # limits by age are looked at now
    eventually(lambda: journal._writer._aged > 0)
    assert journal.pending("out") == 20
    assert journal.counters("out").dropped == {}
    journal.close()


@pytest.mark.parametrize("version", range(1, VERSION + 1))
def test_a_damaged_older_journal_gives_what_can_be_read(path: Path, version: int) -> None:
    if version == VERSION:  # one that was brought up to date, whose tables stand in another order
        old_journal(path, 1, pending=2000)
        Journal(path, clock=CLOCK).close()
    else:
        old_journal(path, version, pending=2000)
    with path.open("r+b") as file:
        file.write(b"\x5a" * 4096)
    journal = Journal(path, clock=CLOCK)
    assert journal.statistics().recovered
    assert journal.pending("out") + journal.pending("recovered-1") > 1900
    journal.close()


@pytest.mark.parametrize("version", [VERSION + 1, 99, -1])
def test_fault_10_a_journal_of_another_version_is_refused_by_name(
    path: Path, version: int, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    Journal(path, clock=CLOCK).close()
    with contextlib.closing(sqlite3.connect(path)) as link:
        link.execute(f"PRAGMA user_version = {version}")
    before = path.read_bytes()
    with pytest.raises(JournalVersionError, match=r"main-and-5th\.journal .*version.*FLOWRT_DATA"):
        Journal(path, clock=CLOCK)
    for words in (
        ["outbox", FLOW],
        ["dead-letters", "list", FLOW],
        ["dead-letters", "drop", FLOW, "--all"],
        ["events", FLOW],
    ):
        assert main(words) == 3
        assert "FLOWRT_DATA" in capsys.readouterr().err
    flow = tmp_path / "flow.yaml"
    flow.write_text(f"flow: {FLOW}\nnodes:\n  beat: {{type: health_probe}}\n")
    assert main(["run", str(flow), "--http", "off", "--duration", "1", "--watch", "off"]) == 3
    said = capsys.readouterr().err + caplog.text
    assert "journal" in said
    assert "Traceback" not in said
    assert path.read_bytes() == before


def test_fault_10_another_programs_database_is_refused_by_name(path: Path) -> None:
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path)) as link:
        link.execute("CREATE TABLE notes(text)")
    with pytest.raises(JournalVersionError, match="no journal of flowrt"):
        Journal(path, clock=CLOCK)
    with contextlib.closing(sqlite3.connect(path)) as link:
        link.execute(f"PRAGMA user_version = {VERSION}")
    with pytest.raises(JournalVersionError, match=r"lacks dead_letters\.address"):
        Journal(path, clock=CLOCK)
    with contextlib.closing(sqlite3.connect(path)) as link:
        link.execute("PRAGMA user_version = 2")
    with pytest.raises(JournalVersionError, match="can't be brought to version"):
        Journal(path, clock=CLOCK)


def test_fault_10_a_damaged_journal_of_a_newer_version_is_not_recovered_into_an_older_one(path: Path) -> None:
    journal = Journal(path, clock=CLOCK)
    for start in range(0, 3000, 500):
        journal.append("out", records(500, start=start, size=300))
    journal.close()
    with contextlib.closing(sqlite3.connect(path)) as link:
        link.execute("PRAGMA user_version = 99")
    with path.open("r+b") as file:
        file.seek(path.stat().st_size // 2)
        file.write(b"\x5a" * 16_384)
    with pytest.raises(JournalVersionError, match="newer flowrt"):
        Journal(path, clock=CLOCK)
    assert [file.name for file in path.parent.iterdir() if "corrupt" in file.name] == []
