"""A file's content as a short text: two files with the same fingerprint have the same content.

A file is read again only where its size, its times or its place on the disk changed, so that to look at the many that an edit left
alone costs one question to the system each. A file that changed a moment ago is read each time: it may change again without
its time showing it. Files larger than a model (videos) are distinguished by size and time alone.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
from pathlib import Path

READ_BYTES = 100_000_000

SETTLED_NS = 2_000_000_000
"""A file that has not changed for so long is known by its times. Some file systems count whole seconds, FAT two."""


class Fingerprints:
    """Fingerprints of files, read again only where a file changed."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, ...], str]] = {}

    def of(self, file: Path) -> str:
        """The text for a file; empty where it can't be read."""
        try:
            now_ns, facts = time.time_ns(), os.stat(file)  # noqa: PTH116 one of the few calls that a reload makes for every file
            if not stat.S_ISREG(facts.st_mode):
                return ""
            if facts.st_size > READ_BYTES:
                return f"{facts.st_size} {facts.st_mtime_ns}"
            state = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, facts.st_ctime_ns)
            known = self._known.get(file)
            if known is not None and known[0] == state:
                return known[1]
            with file.open("rb") as opened:
                text = hashlib.file_digest(opened, "sha256").hexdigest()
        except OSError:
            self._known.pop(file, None)
            return ""
        if now_ns - max(facts.st_mtime_ns, facts.st_ctime_ns) > SETTLED_NS:
            self._known[file] = (state, text)
        return text


def fingerprint(file: Path) -> str:
    """The text for a file that is looked at once; empty where it can't be read."""
    return Fingerprints().of(file)
