"""Room on the disk: some of it is kept free, so that a journal that fills its disk can always be emptied again.

Taking records out needs room as well: what changes is written to the write-ahead log first, and that log is folded into the file, which
may have to grow. A journal that took the last page for new records could never let go of the old ones.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from flowrt.journal.rows import size_of
from flowrt.journal.write_batch import WriteBatch

RESERVE_BYTES = 1_000_000
_PLENTY_BYTES = 512_000_000
_PAGES = 100
_STEP = 100


class NearlyFull(sqlite3.OperationalError):
    """New records would take the room that is kept for what leaves."""


def need_space(link: sqlite3.Connection, path: Path, batch: WriteBatch) -> None:
    """Raise NearlyFull where the records and events of `work` don't fit beside the reserve. No transaction is open.

    Where room is short, the log is folded into the file first. So a transaction that fails for want of room leaves no page
    in the log that the file must still grow for, and the log can be cut off.
    """
    free = _free(path)
    if free > _PLENTY_BYTES:
        return
    coming = sum(size_of(record) for _, record in batch.records) + sum(len(event.payload) for event in batch.events)
    coming += coming // 2  # indices, and pages that are not filled to the last byte
    leaving = sum(size_of(record) for records in batch.delivered.values() for record in records)
    if free > 2 * coming + leaving + _log_bytes(path) + RESERVE_BYTES:  # first to the log, then from there to the file
        return
    _tidy(link)
    if not coming:
        return
    (pages,), (page,) = (link.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size"))
    if _free(path) < coming + max(coming - pages * page, 0) + RESERVE_BYTES:
        raise NearlyFull("the disk is full, but for what is kept so that records can leave")


def _tidy(link: sqlite3.Connection) -> None:
    """Give what the log takes, and some free pages, back to the file system."""
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    link.executescript(f"PRAGMA incremental_vacuum({_PAGES}); PRAGMA wal_checkpoint(TRUNCATE);")


def steps(batch: WriteBatch) -> Iterator[WriteBatch]:
    """The same work in small transactions: what leaves goes first, since it makes room for what comes.

    A step is taken out of `work` when the next one is asked for, so one that failed stays.
    """
    for outbox, records in list(batch.delivered.items()):
        while records:
            yield WriteBatch(delivered={outbox: records[:_STEP]})
            del records[:_STEP]
        del batch.delivered[outbox]
    while batch.dead:
        yield WriteBatch(dead=batch.dead[:_STEP])
        del batch.dead[:_STEP]
    while batch.records:
        yield WriteBatch(records=batch.records[:_STEP])
        del batch.records[:_STEP]
    while batch.events:
        yield WriteBatch(events=batch.events[:_STEP])
        del batch.events[:_STEP]


def _free(path: Path) -> int:
    try:
        disk = os.statvfs(path.parent)
    except OSError:
        return _PLENTY_BYTES + 1  # SQLite will say what is wrong
    return disk.f_bavail * disk.f_frsize


def _log_bytes(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0
