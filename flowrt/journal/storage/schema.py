"""The tables of a journal, what makes those of one version into those of the next, and which files are journals at all."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

SCHEMA: Final = """
CREATE TABLE outboxes(
  key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  accepted INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
  dead_letters INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT '', last_error TEXT NOT NULL DEFAULT '',
  rate_per_s REAL NOT NULL DEFAULT 0, updated_s REAL NOT NULL DEFAULT 0, since_s REAL NOT NULL DEFAULT 0,
  age_s REAL NOT NULL DEFAULT 0);
CREATE TABLE records(
  number INTEGER PRIMARY KEY AUTOINCREMENT, outbox INTEGER NOT NULL, priority INTEGER NOT NULL,
  queued_s REAL NOT NULL, time_s REAL NOT NULL, id TEXT NOT NULL, address TEXT NOT NULL,
  headers BLOB NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL);
CREATE INDEX records_of ON records(outbox, number);
CREATE TABLE dead_letters(
  number INTEGER PRIMARY KEY, outbox INTEGER NOT NULL, priority INTEGER NOT NULL,
  queued_s REAL NOT NULL, time_s REAL NOT NULL, id TEXT NOT NULL, address TEXT NOT NULL,
  headers BLOB NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,
  reason TEXT NOT NULL, died_s REAL NOT NULL);
CREATE TABLE events(
  id TEXT PRIMARY KEY, time_s REAL NOT NULL, type TEXT NOT NULL, node TEXT NOT NULL,
  payload BLOB NOT NULL, change INTEGER NOT NULL, stored_s REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX events_by_change ON events(change);
PRAGMA user_version = 4;
"""
VERSION: Final = 4
"""queued_s, age_s and stored_s are on the file's scale of ages (`AgeClock`); what people read as a time is UTC seconds since the epoch."""

_DAY_S: Final = 86_400.0

MIGRATIONS: Final[Mapping[int, str]] = {
    1: "ALTER TABLE outboxes ADD COLUMN since_s REAL NOT NULL DEFAULT 0;",
    2: """
        ALTER TABLE letters RENAME TO records;
        ALTER TABLE records RENAME COLUMN urgency TO priority;
        ALTER TABLE dead_letters RENAME COLUMN urgency TO priority;
        DROP INDEX letters_of;
        CREATE INDEX records_of ON records(outbox, number);
    """,
    3: f"""
        ALTER TABLE outboxes ADD COLUMN age_s REAL NOT NULL DEFAULT 0;
        UPDATE outboxes SET age_s = max(
            coalesce((SELECT max(queued_s) FROM records), 0), (SELECT max(updated_s) FROM outboxes));
        UPDATE records SET queued_s = (SELECT max(age_s) FROM outboxes)
            WHERE queued_s < (SELECT max(age_s) FROM outboxes) - {_DAY_S};
        UPDATE events SET stored_s = coalesce((SELECT max(age_s) FROM outboxes), stored_s);
    """,
}
"""What makes a file of one version one of the next. 3: times by the wall clock become ages. As the clock may have been
wrong, what seems to have waited for longer than any limit allows begins at age 0."""

OLD_NAMES: Final = """
    CREATE TEMP VIEW records AS SELECT number, outbox, urgency AS priority, queued_s, time_s, id, address, headers, body, crc FROM letters;
    CREATE TEMP VIEW dead_letters AS
        SELECT number, outbox, urgency AS priority, queued_s, time_s, id, address, headers, body, crc, reason, died_s
        FROM main.dead_letters;
"""
"""For a connection that reads a file of version 1 or 2 without changing it."""


class JournalVersionError(Exception):
    """The file is not a journal that this version can read; the text says what it is, and what to do."""


def migrate(link: sqlite3.Connection, path: Path) -> None:
    """Bring an older file up to date, in one transaction. Raises JournalVersionError, sqlite3.Error."""
    (version,) = link.execute("PRAGMA user_version").fetchone()
    if not 0 < version < VERSION:
        return
    steps = "".join(MIGRATIONS[each] for each in range(version, VERSION))
    try:
        link.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")
    except sqlite3.OperationalError as error:
        if link.in_transaction:
            link.execute("ROLLBACK")
        if error.sqlite_errorcode != sqlite3.SQLITE_ERROR:
            raise  # the disk, or another process
        raise JournalVersionError(
            f"{path} says that it is a journal of version {version}, but can't be brought to version {VERSION}: {error}. "
            "Move it away, or set FLOWRT_DATA to another folder; nothing in the file was changed"
        ) from error


def check_version(link: sqlite3.Connection, path: Path) -> int:
    """The version of a file, 0 where it is empty. Raises JournalVersionError where it is no journal, or a newer one's; sqlite3.Error."""
    (version,) = link.execute("PRAGMA user_version").fetchone()
    (tables,) = link.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if version > VERSION:
        raise JournalVersionError(
            f"{path} was written by a newer flowrt: it is a journal of version {version}, and this flowrt knows those up to {VERSION}. "
            "Run that flowrt again, or set FLOWRT_DATA to another folder; nothing in the file was changed"
        )
    if version < 0 or (version == 0 and tables):
        raise JournalVersionError(
            f"{path} is an SQLite file, but no journal of flowrt (its user_version is {version}). "
            "Move it away, or set FLOWRT_DATA to another folder; nothing in the file was changed"
        )
    return int(version)


def check_tables(link: sqlite3.Connection, path: Path) -> None:
    """Raises JournalVersionError where a file of the present version lacks a column that it should have."""
    model = sqlite3.connect(":memory:")
    try:
        model.executescript(SCHEMA)
        missing = sorted(_columns(model) - _columns(link))
    finally:
        model.close()
    if missing:
        raise JournalVersionError(
            f"{path} says that it is a journal of version {VERSION}, but lacks {', '.join(missing)}: another program wrote it. "
            "Move it away, or set FLOWRT_DATA to another folder"
        )


def _columns(link: sqlite3.Connection) -> set[str]:
    return {
        f"{table}.{column[1]}"
        for table in ("outboxes", "records", "dead_letters", "events")
        for column in link.execute(f"PRAGMA table_info({table})")
    }
