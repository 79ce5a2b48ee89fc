"""What a node remembers, in a file beside the journal: so that a process that is killed loses seconds of it."""

from __future__ import annotations

import os
import re
from typing import Generic, TypeVar

import msgspec

from flowrt import Context
from flowrt.system.private_files import make_private_folder, open_private

S = TypeVar("S", bound=msgspec.Struct)


class SavedState(Generic[S]):
    """A node's state of one type. Each `save` replaces the file as a whole; a file that is damaged is none.

    It survives the process, not the machine: nothing waits for the disk.
    """

    def __init__(self, context: Context, kind: type[S]) -> None:
        self._context, self._kind = context, kind
        name = re.sub(r"[^\w.-]", "_", f"{context.flow}.{context.node}")
        self._file = context.data / "state" / f"{name}.msgpack"
        self._failed = False

    def load(self) -> S | None:
        """What was saved last; None where there is nothing, or nothing that can be read."""
        try:
            return msgspec.msgpack.decode(self._file.read_bytes(), type=self._kind)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.MsgspecError) as error:
            self._context.log.warning("what was saved in %s can't be read, and is left alone: %s", self._file, error)
            return None

    def save(self, state: S) -> None:
        """Where the file can't be written, that is said once, and the node goes on without."""
        partial = self._file.with_suffix(".partial")
        try:
            make_private_folder(self._file.parent)
            partial.unlink(missing_ok=True)
            with os.fdopen(open_private(partial), "wb") as file:
                file.write(msgspec.msgpack.encode(state))
            partial.replace(self._file)
        except OSError as error:
            if not self._failed:
                self._context.log.warning("open intervals would not survive a crash: %s", error)
            self._failed = True

    def clear(self) -> None:
        """There is nothing to be remembered any more."""
        try:
            self._file.unlink(missing_ok=True)
        except OSError as error:
            self._context.log.warning("%s can't be removed: %s", self._file, error)
