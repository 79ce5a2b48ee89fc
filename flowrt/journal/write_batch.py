"""What the journal's writer has to do, and what came of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec

from flowrt.journal.rows import EventRow
from flowrt.sink import OutboxRecord, Priority


class Append(msgspec.Struct, gc=False):
    """One call of `Journal.append` that waits for its commit. done: set then, where the caller waits."""

    outbox: str
    records: Sequence[OutboxRecord]
    events: Sequence[EventRow]
    origin_ns: int
    done: threading.Event | None
    size: int


class Buffer(msgspec.Struct):
    """Appends that the writer did not take yet, and how much is not committed yet, of the most that there may be."""

    most_records: int
    most_bytes: float
    appends: list[Append] = []
    records: int = 0
    bytes: int = 0

    def full(self) -> bool:
        """Whether the next one has to wait."""
        return self.records >= self.most_records or self.bytes >= self.most_bytes

    def put(self, append: Append) -> None:
        """One more."""
        self.appends.append(append)
        self.records += len(append.records)
        self.bytes += append.size

    def take(self) -> list[Append]:
        """All of them, for the writer; they count until they are let go."""
        taken, self.appends = self.appends, []
        return taken

    def let_go(self, append: Append) -> None:
        """That one is committed."""
        self.records -= len(append.records)
        self.bytes -= append.size


class WriteBatch(msgspec.Struct):
    """What one transaction is to do. delivered: records by outbox. dead: (outbox, record number, reason)."""

    records: list[tuple[str, OutboxRecord]] = []
    events: list[EventRow] = []
    delivered: dict[str, list[OutboxRecord]] = {}
    dead: list[tuple[str, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self.records or self.events or self.delivered or self.dead)


class Counts(msgspec.Struct):
    """What one transaction did to one outbox. records: those it took in, with their numbers."""

    records: list[OutboxRecord] = []
    delivered: int = 0
    dead_letters: int = 0


class Dropped(msgspec.Struct, frozen=True):
    """Records that a limit took."""

    outbox: str
    priority: Priority
    records: int
    why: str
