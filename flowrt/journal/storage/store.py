"""The journal's file: one SQLite connection that writes, one that reads. No threads here; callers bring the locks.

`Store.apply` is one transaction: new records and events, records that were delivered, records that died. Tallies in memory
follow only after the commit, so a failed transaction changes nothing anywhere.

A commit survives the death of the process; `Store.sync` after it survives that of the machine. They are apart so that records
can be on their way while the disk still flushes, and since acknowledgements need no flush: a lost one only repeats a record.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flowrt.journal.storage.disk import Disk, need_space
from flowrt.journal.storage.lock import lock_wal, wal_of
from flowrt.journal.storage.recovery import copy_of, rebuild
from flowrt.journal.storage.rows import (
    RANK,
    READ_COLUMNS,
    RECORD_COLUMNS,
    ROW_OVERHEAD_BYTES,
    SIZE_SQL,
    EventRow,
    Limits,
    ReadRow,
    RecordRow,
    connect,
    insert_rows,
    row_of,
    runs_of,
    size_of,
)
from flowrt.journal.storage.schema import SCHEMA, check_tables, check_version, migrate
from flowrt.journal.storage.write_ahead_log import Sizes, copy_what_is_left, log_state
from flowrt.journal.storage.write_batch import Dropped, TransactionCounts, WriteBatch
from flowrt.sink import PRIORITIES, OutboxRecord
from flowrt.system.private_files import make_private

_VACUUM_PAGES = 1000
_CHUNK = 1000
_READ_BYTES = 8_000_000
_LOG_PAGES = 4000
"""Folding the log into the file stops the writer for two flushes; a record with a picture takes 13 pages of it."""


class PendingSize(msgspec.Struct):
    """How much of one outbox waits at one priority."""

    records: int = 0
    bytes: int = 0


class Store:
    """An open journal file; in memory where `path` is None. Raises sqlite3.Error, JournalVersionError, JournalBusy."""

    def __init__(self, path: Path | None, limits: Limits, disk: Disk) -> None:
        self.path = path
        self.limits = limits
        self._disk = disk
        if path is not None:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            for file in (
                path,
                wal_of(path),
                path.with_name(f"{path.name}-shm"),
            ):  # SQLite gives new ones the journal's mode
                make_private(file)
        self.writer = self.reader = connect(path)
        self._wal: int | None = None
        self.sizes = Sizes(path, _LOG_PAGES * 4096)
        self.is_open = True
        try:
            self._prepare()
            if path is not None:
                self.reader = connect(path)
                self._wal = os.open(wal_of(path), os.O_RDWR)
                lock_wal(self._wal, path)
                self._identity = _identity(path), os.fstat(self._wal).st_ino
                _flush_folder(path.parent)  # which has a new file
            self.keys: dict[str, int] = {}
            self.pending_sizes: dict[str, list[PendingSize]] = {}
            self.recount()
        except BaseException:
            self.close()
            raise

    def _prepare(self) -> None:
        version = check_version(self.writer, self.path) if self.path is not None else 0
        self.writer.execute("PRAGMA auto_vacuum = INCREMENTAL")  # takes effect before the first table
        self.writer.execute("PRAGMA journal_mode = WAL")
        self.writer.execute("PRAGMA synchronous = NORMAL")  # and `sync` behind each commit that needs it
        self.writer.execute(f"PRAGMA wal_autocheckpoint = {_LOG_PAGES}")
        self.writer.execute(f"PRAGMA journal_size_limit = {_LOG_PAGES * 4096}")
        self.writer.execute("PRAGMA temp_store = MEMORY")
        if version == 0:
            self.writer.executescript(f"BEGIN IMMEDIATE; {SCHEMA} COMMIT;")
        elif self.path is not None:
            migrate(self.writer, self.path)
            check_tables(self.writer, self.path)
        self._data_version = self._read_data_version()

    def is_in_place(self) -> bool:
        """Whether the files that are open are those that the path names, and were not removed or exchanged."""
        if self.path is None:
            return True
        try:
            return (_identity(self.path), wal_of(self.path).stat().st_ino) == self._identity
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # the disk does not say; what else is wrong shows when it is written

    def put_back(self) -> None:
        """Close, with all that is in the file that is open in a new one at its path. Where that fails, this one stays open. Raises
        OSError, sqlite3.Error.
        """
        if self.path is not None:
            rebuild(lambda copy: copy_of(self.writer, copy), self.path, self.close, "replaced")

    def mend_log(self) -> bool:
        """Somebody cut the log: close, with what is left of file and log in a new file at the path. False where nothing is missing.

        Raises OSError, sqlite3.Error.
        """
        path = self.path
        if path is None:
            return False
        state = log_state(path)
        if state is not None and not state.is_cut and state.there >= state.frames:
            self.sizes.note()
            return False
        rebuild(lambda copy: copy_what_is_left(path, copy, state), path, self.close, "cut")
        return True

    def go_on_from(self, number: int, lost: Mapping[str, int]) -> None:
        """Never give a number up to this one again. lost: how many of what waited is gone, by outbox."""
        self.writer.execute(
            "INSERT INTO sqlite_sequence(name, seq) SELECT 'records', 0 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = 'records')"
        )
        self.writer.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'records'", (number,))
        for outbox, count in lost.items():
            key = self.key(outbox)
            sql = "UPDATE outboxes SET accepted = accepted + ?, dropped = dropped + ? WHERE key = ?"
            self.writer.execute(sql, (count, count, key))

    def last_age_s(self) -> float:
        """When, on the scale of ages, something was written last."""
        (outboxes,) = self.writer.execute("SELECT coalesce(max(age_s), 0) FROM outboxes").fetchone()
        records = self.writer.execute("SELECT queued_s FROM records ORDER BY number DESC LIMIT 1").fetchone()
        plausible = [
            float(age_s) for age_s in (outboxes, *(records or ())) if isinstance(age_s, float) and 0 < age_s < 1e12
        ]
        return max(plausible, default=0.0)

    def close(self) -> None:
        """Close both connections; the last one folds the write-ahead log into the file."""
        self.is_open = False
        if self._wal is not None:
            os.close(self._wal)
            self._wal = None
        if self.reader is not self.writer:
            self.reader.close()
        self.writer.close()

    # -- writing ---------------------------------------------------------------------------------------------------

    def apply(self, batch: WriteBatch, age_s: float, now_s: float) -> dict[str, TransactionCounts]:
        """Do all of a batch in one transaction; what it came to, by outbox. Raises NearlyFull before it takes the last space.

        age_s: now, on the scale of ages. now_s: the same as people read it.
        """
        link = self.writer
        if self.path is not None:
            try:
                need_space(link, self.path, batch, self._disk)
            finally:
                self.sizes.note()  # it may have been folded
        link.execute("BEGIN IMMEDIATE")
        try:
            counts: dict[str, TransactionCounts] = {}
            if batch.records:
                self._insert(batch.records, age_s, counts)
            dead = [*batch.dead, *self._insert_refused(batch.refused, age_s, counts)] if batch.refused else batch.dead
            if batch.events:
                self._upsert(batch.events, age_s)
            surprises = False
            for outbox, records in batch.delivered.items():
                runs = runs_of([record.number for record in records])
                done = link.executemany("DELETE FROM records WHERE number BETWEEN ? AND ?", runs).rowcount
                counts.setdefault(outbox, TransactionCounts()).delivered += done
                surprises = surprises or done != len(records)  # a limit took some of them meanwhile
            for outbox, number, reason in dead:
                done = link.execute(
                    f"INSERT OR REPLACE INTO dead_letters SELECT {RECORD_COLUMNS}, ?, ? FROM records WHERE number = ?",
                    (reason, now_s, number),
                ).rowcount
                link.execute("DELETE FROM records WHERE number = ?", (number,))
                counts.setdefault(outbox, TransactionCounts()).dead_letters += done
            link.executemany(
                "UPDATE outboxes SET accepted = accepted + ?, delivered = delivered + ?, dead_letters = dead_letters + ?, "
                "updated_s = ?, age_s = ? WHERE key = ?",
                [
                    (count.accepted, count.delivered, count.dead_letters, now_s, age_s, self.key(outbox))
                    for outbox, count in counts.items()
                ],
            )
            link.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise
        self.sizes.note()
        if surprises or dead:
            self.recount()
        else:
            self._follow(counts, batch.delivered)
        return counts

    def sync(self) -> None:
        """Make what was committed survive a power cut. Raises sqlite3.Error."""
        if self._wal is None:
            return
        try:
            self._disk.flush(self._wal)
        except OSError:  # what the system could not write it may have forgotten: bring it to the file itself
            self.checkpoint()

    def _insert(
        self, records: list[tuple[str, OutboxRecord]], age_s: float, counts: dict[str, TransactionCounts]
    ) -> None:
        rows: list[RecordRow] = []
        for number, (outbox, record) in enumerate(records, self.last_number() + 1):
            count = counts.get(outbox)
            if count is None:
                count = counts[outbox] = TransactionCounts()
            numbered = msgspec.structs.replace(record, number=number)
            count.records.append(numbered)
            count.accepted += 1
            rows.append(row_of(numbered, self.key(outbox), age_s))
        insert_rows(self.writer, f"records({RECORD_COLUMNS})", rows)

    def _insert_refused(
        self, refused: list[tuple[str, OutboxRecord, str]], age_s: float, counts: dict[str, TransactionCounts]
    ) -> list[tuple[str, int, str]]:
        """Records with a number, as all have, that are about to become dead letters: (outbox, number, reason)."""
        rows: list[RecordRow] = []
        dead = []
        for number, (outbox, record, reason) in enumerate(refused, self.last_number() + 1):
            counts.setdefault(outbox, TransactionCounts()).accepted += 1
            rows.append(row_of(msgspec.structs.replace(record, number=number), self.key(outbox), age_s))
            dead.append((outbox, number, reason))
        insert_rows(self.writer, f"records({RECORD_COLUMNS})", rows)
        return dead

    def last_number(self) -> int:
        row = self.writer.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
        return int(row[0]) if row else 0

    def _upsert(self, events: list[EventRow], age_s: float) -> None:
        (change,) = self.writer.execute("SELECT coalesce(max(change), 0) FROM events").fetchone()
        insert_rows(
            self.writer,
            "events(id, time_s, type, node, payload, change, stored_s)",
            [
                (event.id, event.time_s, event.type, event.node, event.payload, change + i, age_s)
                for i, event in enumerate(events, 1)
            ],
            "ON CONFLICT(id) DO UPDATE SET payload = excluded.payload, change = excluded.change, "
            "time_s = min(time_s, excluded.time_s) WHERE payload <> excluded.payload",
        )

    def key(self, outbox: str) -> int:
        """The outbox's number in the file, given to it here where it is new."""
        key = self.keys.get(outbox)
        if key is None:
            self.writer.execute("INSERT OR IGNORE INTO outboxes(name) VALUES(?)", (outbox,))
            (key,) = self.writer.execute("SELECT key FROM outboxes WHERE name = ?", (outbox,)).fetchone()
            self.keys[outbox] = key
        return int(key)

    def note(self, notes: Mapping[str, tuple[str, str, float]], age_s: float, now_s: float) -> None:
        """Write down what deliverers are at: state, last error, rate, by outbox; and since when a state is another."""
        rows = [(*note, now_s, age_s, note[0], now_s, outbox) for outbox, note in notes.items()]
        self.writer.executemany(
            "UPDATE outboxes SET state = ?, last_error = ?, rate_per_s = ?, updated_s = ?, age_s = ?, "
            "since_s = CASE WHEN state = ? THEN since_s ELSE ? END WHERE name = ?",
            rows,
        )

    def note_age(self, age_s: float) -> None:
        """Write down how far the scale of ages has come, where nothing else is written."""
        self.writer.execute("UPDATE outboxes SET age_s = ?", (age_s,))

    def _rollback(self) -> None:
        self.keys = {}  # a key given in this transaction is gone with it
        if self.writer.in_transaction:
            self.writer.execute("ROLLBACK")

    # -- limits ----------------------------------------------------------------------------------------------------

    def enforce_size(self) -> list[Dropped]:
        """Drop what is above the size limit: the lowest priority first, from the fullest outbox, its oldest."""
        dropped = []
        limit = self.limits.size_mb * 1e6
        while (excess := self._bytes() - limit) > 0:
            excess += limit * 0.05  # some more, so that the next record does not end here again
            rank = min(i for sizes in self.pending_sizes.values() for i, size in enumerate(sizes) if size.records)
            outbox = max(self.pending_sizes, key=lambda name: self.pending_sizes[name][rank].bytes)
            dropped.append(self._drop_oldest(outbox, rank, excess))
        return dropped

    def _drop_oldest(self, outbox: str, rank: int, excess: float) -> Dropped:
        key = self.key(outbox)
        rows = self.writer.execute(
            f"SELECT number, {SIZE_SQL} FROM records WHERE outbox = ? AND priority = ? ORDER BY number LIMIT ?",
            (key, rank, 10 * _CHUNK),
        ).fetchall()
        numbers, taken = [], 0
        for number, size in rows:
            if taken >= excess:
                break
            numbers.append((number,))
            taken += size
        return self._drop(outbox, rank, "DELETE FROM records WHERE number = ?", numbers, "size")

    def enforce_age(self, age_s: float) -> list[Dropped]:
        """Drop what waited for too long, and old events and dead letters."""
        dropped = []
        for outbox, sizes in list(self.pending_sizes.items()):
            for rank, size in enumerate(sizes):
                if size.records:
                    before = age_s - self.limits.age_s(PRIORITIES[rank])
                    sql = "DELETE FROM records WHERE outbox = ? AND priority = ? AND queued_s < ?"
                    gone = self._drop(outbox, rank, sql, [(self.key(outbox), rank, before)], "age")
                    dropped += [gone] if gone.records else []
        self.writer.execute("DELETE FROM events WHERE stored_s < ?", (age_s - self.limits.events_age_s,))
        self._trim("events", "change", "payload", self.limits.events_mb)
        self._trim("dead_letters", "number", "body", self.limits.dead_letters_mb)
        return dropped

    def _drop(self, outbox: str, rank: int, sql: str, rows: Sequence[tuple[Any, ...]], why: str) -> Dropped:
        link = self.writer
        link.execute("BEGIN IMMEDIATE")
        try:
            count = link.executemany(sql, rows).rowcount
            link.execute("UPDATE outboxes SET dropped = dropped + ? WHERE name = ?", (count, outbox))
            link.execute("COMMIT")
        except BaseException:
            self._rollback()
            raise
        if count:
            self.recount()
        return Dropped(outbox, PRIORITIES[rank], count, why)

    def _trim(self, table: str, order: str, content: str, limit_mb: float) -> None:
        """Remove the oldest rows of `events` or `dead_letters` until the rest fits."""
        sql = f"SELECT coalesce(sum(length({content}) + {ROW_OVERHEAD_BYTES}), 0) FROM {table}"
        while self.writer.execute(sql).fetchone()[0] > limit_mb * 1e6:
            self.writer.execute(
                f"DELETE FROM {table} WHERE {order} IN (SELECT {order} FROM {table} ORDER BY {order} LIMIT {_CHUNK})"
            )

    def shrink(self) -> None:
        """Give pages that are free back to the file system, a few at a time."""
        (free,) = self.writer.execute("PRAGMA freelist_count").fetchone()
        if free > _VACUUM_PAGES:
            # not `execute`, which takes one step of the pragma, and so frees one page
            self.writer.executescript(f"PRAGMA incremental_vacuum({_VACUUM_PAGES});")
            self.checkpoint()  # only now does the file get shorter

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file."""
        self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self.sizes.note()

    # -- counting --------------------------------------------------------------------------------------------------

    def changed_by_others(self) -> bool:
        """Whether another process wrote to the file since the last call."""
        version = self._read_data_version()
        changed, self._data_version = version != self._data_version, version
        return changed

    def _read_data_version(self) -> int:
        return int(self.writer.execute("PRAGMA data_version").fetchone()[0])

    def recount(self) -> None:
        """Count again from the file what waits."""
        names = dict(self.writer.execute("SELECT key, name FROM outboxes").fetchall())
        self.keys = {name: key for key, name in names.items()}
        self.pending_sizes = {name: [PendingSize() for _ in PRIORITIES] for name in self.keys}
        sql = f"SELECT outbox, priority, count(*), sum({SIZE_SQL}) FROM records GROUP BY outbox, priority"
        for key, rank, records, size in self.writer.execute(sql):
            self.pending_sizes[names[key]][rank] = PendingSize(records, size)

    def _follow(self, counts: Mapping[str, TransactionCounts], delivered: Mapping[str, Sequence[OutboxRecord]]) -> None:
        for outbox, count in counts.items():
            self._count(outbox, count.records, 1)
        for outbox, records in delivered.items():
            self._count(outbox, records, -1)

    def _count(self, outbox: str, records: Sequence[OutboxRecord], sign: int) -> None:
        sizes = self.pending_sizes.get(outbox)
        if sizes is None:
            sizes = self.pending_sizes[outbox] = [PendingSize() for _ in PRIORITIES]
        for record in records:
            size = sizes[RANK[record.priority]]
            size.records += sign
            size.bytes += sign * size_of(record)

    def pending(self, outbox: str) -> int:
        """Records that wait."""
        return sum(size.records for size in self.pending_sizes.get(outbox, ()))

    def _bytes(self) -> int:
        return sum(size.bytes for sizes in self.pending_sizes.values() for size in sizes)

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self, outbox: str, after: int, limit: int) -> tuple[list[ReadRow], bool]:
        """The next rows of an outbox, in order of acceptance, and whether there may be more: it stops at `_READ_BYTES`, too."""
        sql = (
            f"SELECT {READ_COLUMNS} FROM records WHERE number > ? "
            "AND outbox = (SELECT key FROM outboxes WHERE name = ?) ORDER BY number LIMIT ?"
        )
        rows: list[ReadRow] = []
        size = 0
        for row in self.reader.execute(sql, (after, outbox, limit)):
            rows.append(row)
            size += len(row[8]) if isinstance(row[8], bytes) else 0  # damage may have made it something else
            if size >= _READ_BYTES:
                return rows, True
        return rows, len(rows) == limit

    def oldest_s(self, outbox: str) -> float | None:
        """When, on the scale of ages, the first record in line was queued."""
        sql = (
            "SELECT queued_s FROM records WHERE outbox = (SELECT key FROM outboxes WHERE name = ?) "
            "ORDER BY number LIMIT 1"
        )
        row = self.reader.execute(sql, (outbox,)).fetchone()
        return float(row[0]) if row else None

    def outboxes(self) -> Iterable[str]:
        """Every outbox that ever had a record."""
        return list(self.keys)


def _identity(path: Path) -> tuple[int, int]:
    facts = path.stat()
    return facts.st_dev, facts.st_ino


def _flush_folder(folder: Path) -> None:
    with contextlib.suppress(OSError):  # not every system and file system lets a folder be opened or flushed
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
