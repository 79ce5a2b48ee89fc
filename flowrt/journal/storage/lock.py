"""One journal, one process: locks that the system lets go of by itself when their holder dies.

The lock is on `<journal>.lock`, and, as long as the journal is open, on its write-ahead log as well. So a second process is refused also
where the first file was removed. (A lock on the journal itself would be lost with SQLite's own ones as soon as anyone here closed it.)
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from flowrt.system.private_files import make_private_folder, open_private

_DIGITS = 20


class JournalBusy(Exception):
    """Another process uses this journal."""


class JournalLock:
    """An exclusive lock on `<journal>.lock`; the file itself stays, with the holder's process id and the last number that is on disk.

    noted: that number as an earlier holder left it; 0 where it did not.
    """

    def __init__(self, journal: Path) -> None:
        """Raises JournalBusy where another process, or another journal of this one, holds it; OSError."""
        self._journal = journal
        self._path = journal.with_name(f"{journal.name}.lock")
        self.noted = 0
        self._fd = self._take()

    def _take(self) -> int:
        fd = open_private(self._path)
        try:
            _lock(fd)
        except OSError:
            holder = (_lines(fd) or [""])[0]
            os.close(fd)
            raise busy(self._journal, f"process {holder}" if holder else "another process") from None
        if is_locked(wal_of(self._journal)):
            os.close(fd)
            raise busy(self._journal, "another process")
        number = (_lines(fd) or [""])[-1]
        self.noted = int(number) if number.isascii() and number.isdigit() and len(number) == _DIGITS else 0
        with contextlib.suppress(OSError):  # a note for people; a full disk does not weaken the lock
            os.ftruncate(fd, 0)
            self._write(fd, self.noted)
        return fd

    def note(self, number: int) -> None:
        """All records up to this number are on disk: what a later run does not find was taken away."""
        with contextlib.suppress(OSError):  # as above
            self._write(self._fd, number)

    def _write(self, fd: int, number: int) -> None:
        os.lseek(fd, 0, os.SEEK_SET)
        os.write(fd, f"{os.getpid():<10}\n{number:0{_DIGITS}}\n".encode())

    def renew(self) -> None:
        """Take the lock again where its file was removed. The journal is closed. Raises JournalBusy, OSError."""
        here = os.fstat(self._fd)
        with contextlib.suppress(OSError):
            there = self._path.lstat()
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return
        make_private_folder(self._path.parent)
        fd = self._take()
        os.close(self._fd)
        self._fd = fd

    def release(self) -> None:
        """Let go."""
        os.close(self._fd)


def _lines(fd: int) -> list[str]:
    os.lseek(fd, 0, os.SEEK_SET)
    return [line.strip() for line in os.read(fd, 64).decode("ascii", "replace").splitlines() if line.strip()]


def busy(journal: Path, holder: str) -> JournalBusy:
    """The error that says so."""
    return JournalBusy(
        f"{journal} is in use by {holder}: this flow is running already. Stop that run, rename this "
        "flow, or set FLOWRT_DATA to another folder"
    )


def wal_of(journal: Path) -> Path:
    """Where SQLite keeps the write-ahead log of a journal."""
    return journal.with_name(f"{journal.name}-wal")


def lock_wal(fd: int, journal: Path) -> None:
    """Lock an open write-ahead log until it is closed. Raises JournalBusy."""
    if sys.platform == "win32":
        return  # where a lock hinders SQLite itself, and an open `.lock` can't be removed
    try:
        _lock(fd)
    except OSError:
        raise busy(journal, "another process") from None


def is_locked(path: Path) -> bool:
    """Whether some process holds a lock on the file at `path`."""
    try:
        fd = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        _lock(fd)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(fd)


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, 1 << 30, os.SEEK_SET)  # a byte far behind the process id, which others may then still read
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
