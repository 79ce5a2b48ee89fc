"""What is in a file, told by a short text: two files of equal text have the same content.

Small files are read each time. Of larger ones (models) the text is kept for as long as size and time of change stay the same, and
files that are larger still (videos) are told apart by size and time alone.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

SMALL_BYTES = 1_000_000
READ_BYTES = 100_000_000


def fingerprint(file: Path) -> str:
    """The text for a file; empty where it can't be read."""
    try:
        facts = file.stat()
        if facts.st_size <= SMALL_BYTES:
            return hashlib.sha256(file.read_bytes()).hexdigest()
        if facts.st_size <= READ_BYTES:
            return _of_large(file, facts.st_size, facts.st_mtime_ns)
    except OSError:
        return ""
    return f"{facts.st_size} {facts.st_mtime_ns}"


@functools.lru_cache(maxsize=64)
def _of_large(file: Path, size: int, changed_ns: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
