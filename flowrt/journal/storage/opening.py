"""Opening a journal's file, made where it is missing and recovered where it is damaged."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec

from flowrt.journal.storage.disk import Disk
from flowrt.journal.storage.recovery import finish_interrupted, is_sound, recovery
from flowrt.journal.storage.rows import Limits
from flowrt.journal.storage.store import Store
from flowrt.journal.storage.write_ahead_log import set_unusable_log_aside

_CHECK_MB = 512.0
"""Larger files are not read as a whole when they are opened."""


class Opened(msgspec.Struct, frozen=True):
    """A store, and what was done about damage; empty where there was none. is_new: there was no file."""

    store: Store
    recovery: str = ""
    is_new: bool = False


def open_store(path: Path | None, limits: Limits, disk: Disk) -> Opened:
    """Open a journal's file, made where it is missing, recovered where it is damaged. Raises as `Store` does, and OSError."""
    if path is not None:
        finish_interrupted(path)
        set_unusable_log_aside(path)
        small = not path.exists() or path.stat().st_size < _CHECK_MB * 1e6
        if small and not is_sound(path):
            return open_damaged(path, limits, disk)
    is_new = path is None or not path.exists() or not path.stat().st_size
    try:
        return Opened(Store(path, limits, disk), is_new=is_new)
    except sqlite3.DatabaseError as error:
        if path is None or not is_corrupt(error):
            raise
        return open_damaged(path, limits, disk)


def open_damaged(path: Path, limits: Limits, disk: Disk) -> Opened:
    """Open what can be saved of a damaged file."""
    result = recovery(path)
    return Opened(Store(path, limits, disk), str(result))


def is_corrupt(error: sqlite3.Error) -> bool:
    """Whether the file is damaged (as against full, locked or unreachable)."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
