"""Recordings in a folder, found again by a name and a key: what replays and scored runs need not compute twice.

A key is a digest of everything that the content depends on. Invariant: a file has its final name only once it is complete; until then,
and after a crash, it is a `.part`.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from flowrt.testing.recording import Header, Writer

PART = ".part"


class RecordingStore:
    """The recordings of one folder. suffix: the end of their names."""

    def __init__(self, folder: Path, suffix: str) -> None:
        self.folder = folder
        self.suffix = suffix

    def find(self, name: str, key: str) -> Path | None:
        """The complete recording of that name and key; None where there is none."""
        return next(iter(sorted(self.folder.glob(f"{name}-{key}*{self.suffix}"))), None)

    def begin(self, name: str, key: str, header: Header) -> UnfinishedRecording:
        """A new recording, which takes the place of one of the same name and key once it is complete. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        return UnfinishedRecording(self.folder / f"{name}-{key}", self.suffix, header)

    def remove_others(self, belonging: Collection[Path]) -> None:
        """Remove every recording but these. Raises OSError."""
        for file in self.folder.glob(f"*{self.suffix}"):
            if file not in belonging:
                file.unlink(missing_ok=True)


class UnfinishedRecording:
    """A recording that is being written. Close it by `finish` or `discard`."""

    def __init__(self, path: Path, suffix: str, header: Header) -> None:
        self._path, self._suffix = path, suffix
        self._part = path.with_name(path.name + PART)
        self._part.unlink(missing_ok=True)
        self.writer = Writer(self._part, header)

    def finish(self, note: str = "") -> Path:
        """Give the file its name. note: a word that becomes part of it. Raises OSError."""
        self.writer.close()
        return self._part.replace(self._path.with_name(f"{self._path.name}{note}{self._suffix}"))

    def discard(self) -> None:
        """Remove what was written."""
        self.writer.close()
        self._part.unlink(missing_ok=True)
