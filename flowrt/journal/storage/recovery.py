"""What to do with a journal that is damaged or gone: save every row that can still be read, name the rest, keep the file.

The damaged file is only read. Rows go to a new file, which takes the old one's place once it is complete, so that being
killed half-way costs nothing. A record's CRC is checked when it is read for delivery, not here.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from flowrt.journal.storage.rows import connect, runs_of
from flowrt.journal.storage.schema import SCHEMA, VERSION, check_version
from flowrt.system.private_files import make_private

_TABLES = {"outboxes": "key", "records": "number", "dead_letters": "number"}
_SIDES = ("-wal", "-shm")
_BATCH = 500
_PAGES_AT_ONCE = 1000


class Recovery(msgspec.Struct, frozen=True):
    """What became of a damaged journal. lost: (first, last) record numbers that can't be read; kept: the damaged file."""

    records: int
    events: int
    lost: tuple[tuple[int, int], ...]
    kept: Path

    def __str__(self) -> str:
        ranges = ", ".join(f"{a}" if a == b else f"{a} to {b}" for a, b in self.lost[:20])
        more = f" and {len(self.lost) - 20} more ranges" if len(self.lost) > 20 else ""
        gaps = f"what had the numbers {ranges}{more} can't be read" if ranges else "none was found unreadable"
        return (
            f"the journal was damaged: {self.records} records and {self.events} events saved, {gaps}; "
            f"the damaged file is kept as {self.kept}"
        )


def is_sound(path: Path) -> bool:
    """Whether SQLite finds the file's structure whole. Reads the file once."""
    if not path.exists() or path.stat().st_size == 0:
        return True
    link = connect(path, read_only=True)
    try:
        return bool(link.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return code not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
    finally:
        link.close()


def finish_interrupted(path: Path) -> None:
    """Tidy up after a recovery that was killed: finish it where the new file was complete, else forget the new file."""
    new = _new(path)
    if not new.exists():
        return
    if path.exists():
        new.unlink()
        return
    _set_sides_aside(path, _aside(path))
    new.rename(path)


def recovery(path: Path) -> Recovery:
    """Replace the damaged journal at `path` by one with all rows that can be read. No connection may be open.

    Raises JournalVersionError where it is a newer flowrt's, whose rows this one does not know.
    """
    _refuse_newer(path)
    new = _new(path)
    new.unlink(missing_ok=True)
    new.touch(0o600)
    source_file = _with_usable_first_page(path)
    source = connect(source_file, read_only=True)
    target = connect(new)
    try:
        target.execute("PRAGMA auto_vacuum = INCREMENTAL")
        target.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        lost = {table: _copy(source, target, table, key) for table, key in _TABLES.items()}
        events = _copy_events(source, target)
        _name_outboxes(target)
        _balance(target)
        _keep_numbers_unique(source, target)
        (records,) = target.execute("SELECT count(*) FROM records").fetchone()
    finally:
        target.close()
        source.close()
        if source_file != path:
            _remove(source_file)
    aside = _aside(path)
    path.rename(aside)
    _set_sides_aside(path, aside)
    new.rename(path)
    return Recovery(records, events, tuple(runs_of(lost["records"])), aside)


def copy_of(source: sqlite3.Connection, copy: Path) -> None:
    """A journal of all that an open connection sees, for `rebuild`."""
    target = connect(copy)
    try:
        source.backup(target, pages=_PAGES_AT_ONCE, sleep=0.0)
    finally:
        target.close()


def rebuild(fill: Callable[[Path], None], path: Path, close: Callable[[], None], why: str) -> None:
    """Put a journal that `fill` makes into the place of one that is open, which `close` closes.

    What stands at the path by then is kept beside it, with `why` in its name. Raises OSError, sqlite3.Error; the connection is then still open,
    unless closing or renaming failed.
    """
    copy = path.with_name(path.name + ".copying")
    _remove(copy)
    copy.touch(0o600)
    fill(copy)
    make_private(copy)
    new = _new(path)
    copy.rename(new)  # whole from here on: should the process be killed now, the next start takes it
    close()  # and only then is the path touched: the last connection removes the log that has the path's name
    if path.exists():
        aside = _aside(path, why)
        path.rename(aside)
        _set_sides_aside(path, aside)
    for side in _SIDES:
        path.with_name(path.name + side).unlink(missing_ok=True)
    new.rename(path)


def _new(path: Path) -> Path:
    return path.with_name(path.name + ".recovering")


def _aside(path: Path, why: str = "corrupt") -> Path:
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    name, count = path.with_name(f"{path.name}.{why}-{stamp}"), 1
    while name.exists():
        name, count = path.with_name(f"{path.name}.{why}-{stamp}-{count}"), count + 1
    return name


def _set_sides_aside(path: Path, aside: Path) -> None:
    for side in _SIDES:
        file = path.with_name(path.name + side)
        if file.exists():
            file.rename(aside.with_name(aside.name + side))


def _remove(path: Path) -> None:
    for side in ("", *_SIDES):
        path.with_name(path.name + side).unlink(missing_ok=True)


def _refuse_newer(path: Path) -> None:
    link = connect(path, read_only=True)
    try:
        check_version(link, path)
    except sqlite3.DatabaseError:
        pass  # the damage
    finally:
        link.close()


def _with_usable_first_page(path: Path) -> Path:
    """The file itself, or a copy whose first page was exchanged for that of a new journal.

    Page 1 holds the header and the schema. Both are the same in every journal but for counters, since tables are always
    made in the same order; so a journal whose first page is gone can still be read.
    """
    link = connect(path, read_only=True)
    try:
        link.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if link.execute("PRAGMA user_version").fetchone()[0] in range(1, VERSION + 1):
            return path
    except sqlite3.DatabaseError:
        pass
    finally:
        link.close()
    copy = path.with_name(path.name + ".page1")
    _remove(copy)
    shutil.copyfile(path, copy)
    model = path.with_name(path.name + ".model")
    _remove(model)
    fresh = connect(model)
    fresh.execute("PRAGMA auto_vacuum = INCREMENTAL")
    fresh.executescript(f"BEGIN; {SCHEMA} COMMIT;")
    (page_size,) = fresh.execute("PRAGMA page_size").fetchone()
    fresh.close()
    page = bytearray(model.read_bytes()[:page_size])
    _remove(model)
    page[28:32] = (path.stat().st_size // page_size).to_bytes(4, "big")  # size of the file in pages
    with copy.open("r+b") as file:
        file.write(page)
    return copy


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str, key: str) -> list[int]:
    """Copy a table's readable rows; the keys that could not be read."""
    lost: list[int] = []
    columns = [column[1] for column in target.execute(f"PRAGMA table_info({table})")]
    of = _name_in(source, table)
    bounds = _bounds(source, of, key)
    if bounds is None:
        return lost
    target.execute("BEGIN")
    for rows in _readable(source, of, key, *bounds, lost):
        for row in rows:
            of_row = columns[: len(row)]  # files of older versions have fewer
            insert = f"INSERT OR IGNORE INTO {table}({','.join(of_row)}) VALUES({','.join('?' * len(row))})"
            # a damaged record may decode to columns of other types, which the tables' NOT NULL refuses
            if _try(lambda row=row, insert=insert: target.execute(insert, row)) is None:  # type: ignore[misc]
                lost.append(row[0])
    target.execute("COMMIT")
    return lost


def _name_in(source: sqlite3.Connection, table: str) -> str:
    """What a file of an older version calls a table."""
    old = {"records": "letters"}.get(table)
    known = _try(lambda: source.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (old,)).fetchone())
    return old if old is not None and known else table


def _bounds(source: sqlite3.Connection, table: str, key: str) -> tuple[int, int] | None:
    first = _try(lambda: source.execute(f"SELECT min({key}) FROM {table}").fetchone()[0])
    last = _try(lambda: source.execute(f"SELECT max({key}) FROM {table}").fetchone()[0])
    given = _try(lambda: source.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()[0])
    if last is None and table != "outboxes":
        last = given
    if last is None:
        return None if table != "outboxes" else (1, 1000)
    return (first or 1), last


def _readable(
    source: sqlite3.Connection, table: str, key: str, first: int, last: int, lost: list[int]
) -> Iterator[list[tuple[Any, ...]]]:
    """Rows with first <= key <= last in batches; a range that can't be read is halved until single rows are left out."""
    ranges = [(first, last)]
    while ranges:
        low, high = ranges.pop()
        if low > high:
            continue
        sql = f"SELECT * FROM {table} WHERE {key} BETWEEN ? AND ? ORDER BY {key} LIMIT {_BATCH}"
        rows = _try(lambda sql=sql, low=low, high=high: source.execute(sql, (low, high)).fetchall())  # type: ignore[misc]
        if rows is None:
            if low < high:
                middle = min((low + high) // 2, low + _BATCH)
                ranges += [(middle + 1, high), (low, middle)]
            else:
                lost.append(low)
        elif rows:
            yield rows
            if len(rows) == _BATCH:
                ranges.append((rows[-1][0] + 1, high))


def _copy_events(source: sqlite3.Connection, target: sqlite3.Connection) -> int:
    """Events have no numbers to halve by: read forwards and backwards until the damage."""
    target.execute("BEGIN")
    for order in ("ASC", "DESC"):
        rows = _until_damage(source, f"SELECT * FROM events ORDER BY id {order}")
        for row in rows:
            _try(lambda row=row: target.execute("INSERT OR IGNORE INTO events VALUES(?,?,?,?,?,?,?)", row))  # type: ignore[misc]
    target.execute("COMMIT")
    return int(target.execute("SELECT count(*) FROM events").fetchone()[0])


def _until_damage(source: sqlite3.Connection, sql: str) -> Iterator[tuple[Any, ...]]:
    try:
        yield from source.execute(sql)
    except sqlite3.DatabaseError:
        return


def _keep_numbers_unique(source: sqlite3.Connection, target: sqlite3.Connection) -> None:
    """Numbers go on where they were: a number is never given twice, also to records that could not be saved."""
    given = _try(lambda: source.execute("SELECT max(seq) FROM sqlite_sequence").fetchone()[0]) or 0
    (highest,) = target.execute("SELECT coalesce(max(number), 0) FROM records").fetchone()
    top = max(given, highest)
    target.execute("DELETE FROM sqlite_sequence WHERE name = 'records'")
    target.execute("INSERT INTO sqlite_sequence(name, seq) VALUES('records', ?)", (top,))


def _name_outboxes(target: sqlite3.Connection) -> None:
    """Records whose outbox could not be read keep waiting under a name that says so."""
    for table in ("records", "dead_letters"):
        target.execute(
            f"INSERT OR IGNORE INTO outboxes(key, name) SELECT DISTINCT outbox, 'recovered-' || outbox FROM {table} "
            "WHERE outbox NOT IN (SELECT key FROM outboxes)"
        )


def _balance(target: sqlite3.Connection) -> None:
    """What was lost counts as dropped; where the counts themselves were lost, what is there was accepted."""
    pending = "(SELECT count(*) FROM records WHERE outbox = key)"
    target.execute(f"UPDATE outboxes SET accepted = max(accepted, delivered + dead_letters + dropped + {pending})")
    target.execute(f"UPDATE outboxes SET dropped = accepted - delivered - dead_letters - {pending}")


def _try(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except sqlite3.Error:
        return None
