"""The files of a flow as the page edits them: read with their hash, written only where that hash still holds, and undone.

- A file is replaced at once or not at all, and keeps its mode; a link is followed to the file that it names.
- What was there before is kept in the data folder, so that the last saves can be undone byte for byte, also after a new start.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from flowrt.system.private_files import make_private, make_private_folder

MAX_BACKUPS = 50


class Changed(Exception):
    """The file is not what the page was drawn from; the message says so."""


class Backup(msgspec.Struct, frozen=True):
    """A save. before: the bytes that it replaced, base64; after: the hash of what it wrote."""

    file: str
    before: str
    after: str
    time_s: float


def content_hash(content: bytes) -> str:
    """What tells two contents apart."""
    return hashlib.sha256(content).hexdigest()


class EditedFiles:
    """Saves files, and undoes it. Safe to use from any thread.

    own: which files are the flow's; in its data folder there may be saves of other flows too.
    """

    def __init__(self, data: Path, own: Callable[[Path], bool] = lambda file: True) -> None:
        self._folder = data / "page-edits"
        self._own = own
        self._lock = threading.Lock()

    def save(self, file: Path, based_on: str, content: bytes) -> str:
        """Replace a file that still has the hash `based_on`; returns the new hash. Raises Changed, OSError."""
        with self._lock:
            file = file.resolve()
            before = _still(file, based_on)
            kept = base64.b64encode(before).decode()
            self._keep(Backup(str(file), kept, content_hash(content), time.time()))
            _replace(file, content, based_on)
        return content_hash(content)

    def undoable(self) -> Backup | None:
        """The last save that was not undone, where its file is still as it left it."""
        with self._lock:
            number, backup = self._last()
            if not number:
                return None
            file = Path(backup.file)
            return backup if file.is_file() and content_hash(file.read_bytes()) == backup.after else None

    def undo(self) -> Backup:
        """Put back the bytes that the last save replaced. Raises Changed, OSError."""
        with self._lock:
            number, backup = self._last()
            if not number:
                raise Changed("there is nothing to undo")
            file = Path(backup.file)
            _still(file, backup.after)
            _replace(file, base64.b64decode(backup.before), backup.after)
            self._place(number).unlink()
            return backup

    def _numbers(self) -> list[int]:
        return sorted(int(file.stem) for file in self._folder.glob("*.json") if file.stem.isdigit())

    def _place(self, number: int) -> Path:
        return self._folder / f"{number:06d}.json"

    def _last(self) -> tuple[int, Backup]:
        """The last save of the flow's own files; its number is 0 where there is none."""
        for number in reversed(self._numbers()):
            with contextlib.suppress(msgspec.DecodeError, FileNotFoundError):  # cut, or removed by another flow
                backup = msgspec.json.decode(self._place(number).read_bytes(), type=Backup)
                if self._own(Path(backup.file)):
                    return number, backup
        return 0, Backup("", "", "", 0.0)

    def _keep(self, backup: Backup) -> None:
        make_private_folder(self._folder)
        numbers = self._numbers()
        place = self._place(numbers[-1] + 1 if numbers else 1)
        place.write_bytes(msgspec.json.encode(backup))
        make_private(place)
        for old in numbers[: max(0, len(numbers) + 1 - MAX_BACKUPS)]:
            self._place(old).unlink(missing_ok=True)


def _still(file: Path, expected: str) -> bytes:
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        raise Changed(f"{file.name} is gone") from None
    if content_hash(content) != expected:
        raise Changed(f"{file.name} was changed meanwhile, by an editor or another tab: nothing was saved")
    return content


def _replace(file: Path, content: bytes, expected: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(descriptor, "wb") as new:
            new.write(content)
            new.flush()
            os.fsync(new.fileno())
        shutil.copymode(file, name)
        _still(file, expected)  # once more: writing takes a while
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
