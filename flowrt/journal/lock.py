"""One journal, one process: a lock that the system lets go of by itself when its holder dies."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


class JournalBusy(Exception):
    """Another process uses this journal."""


class JournalLock:
    """An exclusive lock on `<journal>.lock`; the file itself stays, empty but for the holder's process id."""

    def __init__(self, path: Path) -> None:
        """Raises JournalBusy where another process, or another journal of this one, holds it."""
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._fd)
        except OSError:
            holder = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            who = f"process {holder}" if holder else "another process"
            raise JournalBusy(
                f"{path.with_suffix('')} is in use by {who}: this flow is running already. Stop that run, rename this "
                "flow, or set FLOWRT_DATA to another folder"
            ) from None
        with contextlib.suppress(OSError):  # a note for people; a full disk does not weaken the lock
            os.ftruncate(self._fd, 0)
            os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        """Let go."""
        os.close(self._fd)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock file at `path`."""
    try:
        fd = os.open(path, os.O_RDWR)
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
