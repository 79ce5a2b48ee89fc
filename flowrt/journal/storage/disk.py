"""The disk below a journal: flushing it, and keeping some of it free, so that a journal that fills its disk can be emptied again.

Taking records out needs space as well: what changes is written to the write-ahead log first, and that log is folded into the file, which
may have to grow. A journal that took the last page for new records could never let go of the old ones.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from pathlib import Path

from flowrt.journal.storage.rows import size_of
from flowrt.journal.storage.write_batch import WriteBatch

RESERVE_BYTES = 1_000_000
_PLENTY_BYTES = 512_000_000
_PAGES = 100


class NearlyFull(sqlite3.OperationalError):
    """New records would take the space that is kept for what leaves."""


class Disk:
    """What a journal asks of the system below it; a test puts a scripted one in its place."""

    def flush(self, fd: int) -> None:
        """Bring what was written to an open file to the disk. Raises OSError."""
        getattr(os, "fdatasync", os.fsync)(fd)  # the former, where there is one, spares writing the time of the change

    def free_bytes(self, folder: Path) -> int | None:
        """What is free on the file system of a folder; None where the system doesn't say."""
        try:
            return shutil.disk_usage(folder).free
        except (OSError, AttributeError):  # a platform that has no such call: SQLite notices a full disk by itself
            return None


def need_space(link: sqlite3.Connection, path: Path, batch: WriteBatch, disk: Disk) -> None:
    """Raise NearlyFull where the records and events of a batch don't fit beside the reserve. No transaction is open.

    Where space is short, the log is folded into the file first. So a transaction that fails for want of space leaves no page
    in the log that the file must still grow for, and the log can be cut off.
    """
    free = disk.free_bytes(path.parent)
    if free is None or free > _PLENTY_BYTES:
        return
    coming = sum(size_of(record) for _, record in batch.records) + sum(len(event.payload) for event in batch.events)
    coming += sum(size_of(record) for _, record, _ in batch.refused)
    coming += coming // 2  # indices, and pages that are not filled to the last byte
    leaving = sum(size_of(record) for records in batch.delivered.values() for record in records)
    if free > 2 * coming + leaving + _log_bytes(path) + RESERVE_BYTES:  # first to the log, then from there to the file
        return
    _fold_log(link)
    if not coming:
        return
    (pages,), (page,) = (link.execute(f"PRAGMA {name}").fetchone() for name in ("freelist_count", "page_size"))
    free = disk.free_bytes(path.parent)
    if free is not None and free < coming + max(coming - pages * page, 0) + RESERVE_BYTES:
        raise NearlyFull("the disk is full, but for what is kept so that records can leave")


def _fold_log(link: sqlite3.Connection) -> None:
    """Give what the log takes, and some free pages, back to the file system."""
    link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    link.executescript(f"PRAGMA incremental_vacuum({_PAGES}); PRAGMA wal_checkpoint(TRUNCATE);")


def _log_bytes(path: Path) -> int:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size
    except OSError:
        return 0
