"""What lies in a journal: tables, limits, and how a record becomes a row and back.

Every row of `records` and `dead_letters` carries a CRC-32 over what is delivered, since SQLite does not notice a flipped
byte inside a text or a blob.
"""

from __future__ import annotations

import os
import re
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from flowrt.sink import PRIORITIES, OutboxRecord, Priority

RANK: Final[Mapping[str, int]] = {name: i for i, name in enumerate(PRIORITIES)}
"""A priority is stored as its index; the lowest goes first when there is no room."""

DAY_S: Final = 86_400.0
ROW_OVERHEAD_BYTES: Final = 96
"""Id, times and index entries of one row, roughly; counted so that many small records reach the size limit too."""

SCHEMA: Final = """
CREATE TABLE outboxes(
  key INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE,
  accepted INTEGER NOT NULL DEFAULT 0, delivered INTEGER NOT NULL DEFAULT 0,
  dead_letters INTEGER NOT NULL DEFAULT 0, dropped INTEGER NOT NULL DEFAULT 0,
  state TEXT NOT NULL DEFAULT '', last_error TEXT NOT NULL DEFAULT '',
  rate_per_s REAL NOT NULL DEFAULT 0, updated_s REAL NOT NULL DEFAULT 0, since_s REAL NOT NULL DEFAULT 0);
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
PRAGMA user_version = 3;
"""
VERSION: Final = 3

MIGRATIONS: Final[Mapping[int, str]] = {
    1: "ALTER TABLE outboxes ADD COLUMN since_s REAL NOT NULL DEFAULT 0;",
    2: """
        ALTER TABLE letters RENAME TO records;
        ALTER TABLE records RENAME COLUMN urgency TO priority;
        ALTER TABLE dead_letters RENAME COLUMN urgency TO priority;
        DROP INDEX letters_of;
        CREATE INDEX records_of ON records(outbox, number);
    """,
}
"""What makes a file of one version one of the next."""

OLD_NAMES: Final = """
    CREATE TEMP VIEW records AS SELECT number, outbox, urgency AS priority, queued_s, time_s, id, address, headers, body, crc FROM letters;
    CREATE TEMP VIEW dead_letters AS
        SELECT number, outbox, urgency AS priority, queued_s, time_s, id, address, headers, body, crc, reason, died_s
        FROM main.dead_letters;
"""
"""For a connection that reads a file of version 1 or 2 without changing it."""


def migrate(link: sqlite3.Connection) -> None:
    """Bring an older file up to date, in one transaction."""
    (version,) = link.execute("PRAGMA user_version").fetchone()
    if 0 < version < VERSION:
        steps = "".join(MIGRATIONS[each] for each in range(version, VERSION))
        link.executescript(f"BEGIN IMMEDIATE; {steps} PRAGMA user_version = {VERSION}; COMMIT;")


RECORD_COLUMNS: Final = "number, outbox, priority, queued_s, time_s, id, address, headers, body, crc"

READ_COLUMNS: Final = RECORD_COLUMNS.replace(" id, address", " CAST(id AS BLOB), CAST(address AS BLOB)")
"""For reading records: bytes are checked by CRC before they are taken for text."""

_AT_ONCE: Final = (64, 8, 1)
"""Rows of one statement: few sizes, so that statements stay prepared; no more than 999 values, which old versions of SQLite take."""

RecordRow = tuple[int, int, int, float, float, str, str, bytes, bytes, int]
ReadRow = tuple[int, int, int, float, float, bytes, bytes, bytes, bytes, int]


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """One event for `flowrt events`. A later row with the same id replaces the payload (phases of one event).

    time_s: capture time; the earliest is kept. payload: JSON.
    """

    id: str
    time_s: float
    type: str
    node: str
    payload: bytes


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of a journal. Records beyond a bound are dropped, the lowest priority and then the oldest first, and counted.

    size_mb: all records that wait. *_age_s: how long a record of that priority may wait.
    buffer_letters, buffer_mb: what may wait in memory for its commit; beyond that, `append` blocks.
    """

    size_mb: float = 1024.0
    telemetry_age_s: float = 1 * DAY_S
    state_age_s: float = 7 * DAY_S
    event_age_s: float = 30 * DAY_S
    critical_age_s: float = 365 * DAY_S
    dead_letters_mb: float = 64.0
    events_mb: float = 256.0
    events_age_s: float = 365 * DAY_S
    buffer_records: int = 20_000
    buffer_mb: float = 64.0

    def age_s(self, priority: Priority) -> float:
        """The longest wait of a record of that priority."""
        return float(getattr(self, f"{priority}_age_s"))


def size_of(record: OutboxRecord) -> int:
    """Bytes that a record counts for against the limits, without its headers."""
    return len(record.body) + len(record.address) + ROW_OVERHEAD_BYTES


SIZE_SQL: Final = f"length(body) + length(address) + {ROW_OVERHEAD_BYTES}"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def row_of(record: OutboxRecord, outbox: int, queued_s: float) -> RecordRow:
    """The row of a record that has its number."""
    headers = _encode(record.headers) if record.headers else b"{}"
    crc = _crc(record.id.encode(), record.address.encode(), headers, record.body)
    rank = RANK[record.priority]
    return (record.number, outbox, rank, queued_s, record.time_s, record.id, record.address, headers, record.body, crc)


def record_of(row: ReadRow, attempts: int) -> OutboxRecord | None:
    """The record of a row; None where the row's content is damaged."""
    number, _, rank, _, time_s, name, address, headers, body, crc = row
    try:
        if _crc(name, address, headers, body) != crc:
            return None
        return OutboxRecord(
            id=name.decode(),
            time_s=time_s,
            address=address.decode(),
            body=body,
            priority=PRIORITIES[rank],
            headers=_decode(headers) if headers != b"{}" else {},
            number=number,
            attempts=attempts,
        )
    except (TypeError, ValueError, IndexError, AttributeError):
        return None  # a column holds something of another type: damaged all the same


def _crc(name: bytes, address: bytes, headers: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(b"\0".join((name, address, headers))))


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as (first, last) of each run without gaps, ascending."""
    ordered = sorted(numbers)
    if ordered and ordered[-1] - ordered[0] < len(ordered) == len(set(ordered)):
        return [(ordered[0], ordered[-1])]
    runs: list[tuple[int, int]] = []
    first = last = None
    for number in ordered:
        if first is None or last is None:
            first = last = number
        elif number <= last + 1:
            last = number
        else:
            runs.append((first, last))
            first = last = number
    if first is not None and last is not None:
        runs.append((first, last))
    return runs


def insert_rows(link: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], then: str = "") -> None:
    """Insert rows, as many as possible with one statement. into: table and columns. then: what follows the values.

    Around each statement sqlite3 lets go of the interpreter, which a thread that computes gives back only at the end of its turn.
    Row by row, a busy flow's journal would spend more time waiting for turns than writing.
    """
    row = f"({','.join('?' * (into.count(',') + 1))})"
    begin = 0
    for size in _AT_ONCE:
        end = begin + (len(rows) - begin) // size * size
        if end > begin:
            sql = f"INSERT INTO {into} VALUES {','.join([row] * size)} {then}"
            link.executemany(sql, (list(chain.from_iterable(rows[i : i + size])) for i in range(begin, end, size)))
        begin = end


def data_folder() -> Path:
    """Where journals, snapshots and the model cache live: `$FLOWRT_DATA`, or `.flowrt/` below the current folder."""
    return Path(os.environ.get("FLOWRT_DATA") or ".flowrt").absolute()


def journal_path(flow: str, data: Path | None = None) -> Path:
    """The journal of the flow of that name, in `data` or `data_folder()`."""
    plain = re.sub(r"[^\w.-]", "_", flow).lstrip(".") or "flow"
    return (data or data_folder()) / f"{plain}.journal"


def connect(path: Path | None, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; text that is no UTF-8 comes out marked instead of raising."""
    if path is None:
        link = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    else:
        mode = "?mode=ro" if read_only else ""
        uri = f"{path.absolute().as_uri()}{mode}"
        link = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    link.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return link
