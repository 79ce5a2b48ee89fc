"""A write-ahead log that someone cut: noticed, and what stands before the cut used where that is safe.

SQLite takes the valid beginning of a log for all of it and says nothing. How many frames there should be stands in the log's index (`-shm`),
which outlives a killed process. The index also says how much of the log is in the file already: where the cut is before that, the rest of
the log is older than the file, and would mix old pages into it.

Formats: https://www.sqlite.org/walformat.html
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import struct
from pathlib import Path
from typing import NamedTuple

from flowrt.journal.storage.lock import wal_of
from flowrt.journal.storage.rows import connect

_INDEX_BYTES = 136
_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24


class Sizes:
    """How long file and log of an open journal are at least: SQLite makes them shorter only where its writer asks for it, and then notes it."""

    def __init__(self, path: Path | None, log_limit: int) -> None:
        """log_limit: SQLite may cut a longer log to this."""
        self._path, self._log_limit = path, log_limit
        self._file_bytes = self._log_bytes = 0

    def note(self) -> None:
        """They are as they should be."""
        if self._path is not None:
            with contextlib.suppress(OSError):  # removed: that is looked for elsewhere
                self._file_bytes = self._path.stat().st_size
                self._log_bytes = min(wal_of(self._path).stat().st_size, self._log_limit)

    def is_file_whole(self) -> bool:
        """Whether the file has not been cut since."""
        return self._path is None or _bytes(self._path) >= self._file_bytes

    def is_log_whole(self) -> bool:
        """Whether the log has not been cut since."""
        return self._path is None or _bytes(wal_of(self._path)) >= self._log_bytes


def _bytes(path: Path) -> float:
    try:
        return path.stat().st_size
    except OSError:
        return float("inf")  # removed, which is no cut


class LogState(NamedTuple):
    """frames: that were committed. in_file: how many of them are in the journal's file already. there: how many the log holds."""

    frames: int
    in_file: int
    there: int

    @property
    def is_cut(self) -> bool:
        """Whether frames are missing that the file does not have."""
        return self.there < self.frames and self.in_file < self.frames

    @property
    def is_usable(self) -> bool:
        """Whether what is left of the log goes with the file."""
        return self.there >= self.in_file


def log_state(journal: Path) -> LogState | None:
    """What the index says of the log of a journal that nobody has open; None where there is none, or it is of another log."""
    try:
        index = journal.with_name(f"{journal.name}-shm").read_bytes()[:_INDEX_BYTES]
        wal = journal.with_name(f"{journal.name}-wal")
        with wal.open("rb") as file:
            header = file.read(_HEADER_BYTES)
        size = wal.stat().st_size
    except OSError:
        return None
    return _state(index, header, size)


def _state(index: bytes, header: bytes, size: int) -> LogState | None:
    if len(index) < _INDEX_BYTES or index[:48] != index[48:96]:
        return None  # it was being written
    (page, frames) = struct.unpack_from("=HI", index, 14)
    (in_file,), (begun,) = struct.unpack_from("=I", index, 96), struct.unpack_from("=I", index, 128)
    in_file = max(in_file, begun)  # of what a checkpoint has begun with, some may be in the file
    page = 65_536 if page == 1 else page
    if not page or (len(header) == _HEADER_BYTES and header[16:24] != index[32:40]):
        return None  # the salts are those of another log
    there = max(size - _HEADER_BYTES, 0) // (_FRAME_HEADER_BYTES + page)
    return LogState(frames, in_file, there)


def set_unusable_log_aside(journal: Path) -> bool:
    """Before a journal is opened: move a log away that is older than the file, since part of it is gone. Whether there was one."""
    state = log_state(journal)
    if state is None or not state.frames or state.there >= state.frames or state.is_usable:
        return False
    for side in ("-wal", "-shm"):
        file = journal.with_name(f"{journal.name}{side}")
        with contextlib.suppress(FileNotFoundError):
            file.rename(file.with_name(f"{file.name}.cut"))
    return True


def copy_what_is_left(journal: Path, copy: Path, state: LogState | None) -> None:
    """A journal, whole in one file, of what a file and what is left of its log hold. Raises OSError, sqlite3.Error."""
    shutil.copyfile(journal, copy)
    wal = copy.with_name(f"{copy.name}-wal")
    if state is None or state.is_usable:
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(journal.with_name(f"{journal.name}-wal"), wal)
    link: sqlite3.Connection = connect(copy)
    try:
        link.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        (found,) = link.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(f"what is left is damaged: {found}")
    finally:
        link.close()
