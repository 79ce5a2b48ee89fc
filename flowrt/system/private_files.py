"""Folders and files that only their owner may read, whatever the umask says, and never through a planted link."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600


def make_private_folder(folder: Path) -> None:
    """Make a folder, and what is missing above it, for its owner alone. One that exists stays as it is. Raises OSError."""
    missing = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, "a folder was expected, and this is a file", str(folder))
    for each in reversed(missing):
        with contextlib.suppress(FileExistsError):  # made by another process meanwhile
            each.mkdir(mode=FOLDER_MODE)
            each.chmod(FOLDER_MODE)


def open_private(path: Path, *, create: bool = True) -> int:
    """A descriptor to read and write a file of one's own, made where it is missing, with mode 0600. Raises OSError.

    Refused are links, also hard ones, and what is no regular file: what is written must not end up somewhere else.
    """
    flags = os.O_RDWR | (os.O_CREAT if create else 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        fd = os.open(path, flags, FILE_MODE)
    except OSError:
        if path.is_symlink():
            raise OSError(f"{path} is a link, which is not followed; remove it") from None
        raise
    facts = os.fstat(fd)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1:
        os.close(fd)
        raise OSError(f"{path} is not a file of its own (a link or a special file); remove it")
    if hasattr(os, "fchmod"):
        os.fchmod(fd, FILE_MODE)
    return fd


def make_private(path: Path) -> None:
    """Let only the owner read and write a file, as far as the file system knows of owners."""
    with contextlib.suppress(OSError):
        path.chmod(FILE_MODE)
