"""Files that are downloaded once, into the cache of the user, and only as what they are said to be.

Invariants
- A file is there whole and verified, or not at all: it is written beside its place, held against its size and SHA-256, and moved there.
- What a cut download left is gone on with, where the server can do that; what turns out to be wrong is removed.
- Files and folders are for their owner alone, and of two processes that want the same file one downloads and the other waits.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from flowrt.system.private_files import make_private_folder, open_private

TIMEOUT_S = 30
CACHE = "FLOWRT_CACHE"
_BAR = 30


class DownloadError(OSError):
    """The file is not here and could not be had; one line for people."""


class Source(NamedTuple):
    """A file by its address, size and SHA-256."""

    url: str
    size: int
    sha256: str


def cache_folder() -> Path:
    """Where what can be had again is kept: FLOWRT_CACHE, else `flowrt` in the user's cache folder. It may not be there yet."""
    if own := os.environ.get(CACHE):
        return Path(own).absolute()
    base = os.environ.get("XDG_CACHE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(base).absolute() if base else Path.home() / ".cache") / "flowrt"


def download_file(source: Source, target: Path, tell: Callable[[int], None] = lambda done: None) -> None:
    """Get a file, or leave it as it is where it is there already. tell: is given the bytes so far. Raises DownloadError."""
    part = target.with_name(target.name + ".part")
    try:
        make_private_folder(target.parent)
        if is_whole(source, target):
            return
        with os.fdopen(open_private(part), "r+b") as out, _alone(out):
            if not is_whole(source, target):  # else another process was quicker
                _download(source, part, out, tell)
                part.replace(target)
    except (OSError, ValueError) as error:
        text = str(error) if isinstance(error, DownloadError) else f"{source.url} can't be fetched: {error}"
        rest = ""
        with contextlib.suppress(FileNotFoundError):
            if part.stat().st_size:
                rest = "; what came is kept, and the next try goes on from there"
            else:
                part.unlink()
        raise DownloadError(text + rest) from error


def _download(source: Source, part: Path, out: IO[bytes], tell: Callable[[int], None]) -> None:
    """Raises DownloadError, HttpError, ValueError."""
    resumed = _fill(source, out, tell)
    if resumed and not is_whole(source, part):  # its beginning may have been that of another file
        out.truncate(0)
        _fill(source, out, tell)
    if problem := _problem(source, part):
        out.truncate(0)
        raise DownloadError(f"{source.url} {problem}; it was not kept")
    os.fsync(out.fileno())


def is_whole(source: Source, file: Path) -> bool:
    """Whether the file is there and is what it should be."""
    return file.is_file() and not _problem(source, file)


def progress(name: str, size: int, stream: IO[str] | None = None) -> Callable[[int], None]:
    """Shows a bar on a terminal, written over as it grows; elsewhere nothing."""
    out = stream or sys.stderr
    if not out.isatty():
        return lambda done: None

    def tell(done: int) -> None:
        share = min(done / max(size, 1), 1.0)
        bar = "#" * round(share * _BAR)
        line = f"\r{name} [{bar:<{_BAR}}] {share:4.0%} of {size / 1e6:.1f} MB"
        print(line, end="\n" if done >= size else "", file=out, flush=True)

    return tell


def _problem(source: Source, file: Path) -> str:
    """What is wrong with a downloaded file; empty where nothing is."""
    size = file.stat().st_size
    if size != source.size:
        return f"has {size} bytes, expected {source.size}"
    with file.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    return "" if found == source.sha256 else f"is not what it was: its SHA-256 is {found}, expected {source.sha256}"


def _fill(source: Source, out: IO[bytes], tell: Callable[[int], None]) -> bool:
    """Download into the file, from where it ends; whether something was there already. Raises DownloadError, HttpError."""
    from flowrt.system.http_client import download  # heavy, and needed only where something is downloaded

    had = out.seek(0, os.SEEK_END)
    if had >= source.size:
        out.truncate(0)
        had = out.seek(0)
    body = download(source.url, timeout_s=TIMEOUT_S, start=had)
    if body.start != had:  # the server sends it from the beginning
        out.truncate(0)
        out.seek(0)
    done = body.start
    for block in body.blocks:
        done += len(block)
        if done > source.size:
            out.truncate(0)
            raise DownloadError(f"{source.url} is longer than the {source.size} bytes expected; it was not kept")
        out.write(block)
        tell(done)
    out.flush()
    if done < source.size:
        raise DownloadError(f"{source.url} ended after {done} of {source.size} bytes")
    return body.start > 0


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 40  # a byte behind any download: what is locked there can't be written

    @contextlib.contextmanager
    def _alone(file: IO[bytes]) -> Iterator[None]:
        """Wait until no other process writes the file."""
        place = file.tell()
        file.seek(_FAR)
        while True:
            with contextlib.suppress(OSError):  # it waits for ten seconds at a time
                msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                break
        file.seek(place)
        yield  # the lock ends with the file

else:
    import fcntl

    @contextlib.contextmanager
    def _alone(file: IO[bytes]) -> Iterator[None]:
        """Wait until no other process writes the file."""
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)
