"""What one transaction is to do, and what came of it."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from flowrt.journal.storage.rows import EventRow
from flowrt.sink import OutboxRecord, Priority


class WriteBatch(msgspec.Struct):
    """Work for one transaction, or for several.

    records, delivered: by outbox. refused: (outbox, record, reason), new ones that become dead letters at once. dead: (outbox, record number,
    reason), of those that wait.
    """

    records: list[tuple[str, OutboxRecord]] = []
    refused: list[tuple[str, OutboxRecord, str]] = []
    events: list[EventRow] = []
    delivered: dict[str, list[OutboxRecord]] = {}
    dead: list[tuple[str, int, str]] = []

    def __bool__(self) -> bool:
        return bool(self.records or self.refused or self.events or self.delivered or self.dead)

    def add(self, other: WriteBatch) -> None:
        """More of it."""
        self.records += other.records
        self.refused += other.refused
        self.events += other.events
        for outbox, records in other.delivered.items():
            self.delivered.setdefault(outbox, []).extend(records)
        self.dead += other.dead

    def steps(self, size: int) -> Iterator[WriteBatch]:
        """The same work in small transactions: what leaves goes first, since it makes space for what comes.

        A step is taken out of this batch when the next one is asked for, so one that failed stays.
        """
        for outbox, records in list(self.delivered.items()):
            while records:
                yield WriteBatch(delivered={outbox: records[:size]})
                del records[:size]
            del self.delivered[outbox]
        while self.dead:
            yield WriteBatch(dead=self.dead[:size])
            del self.dead[:size]
        while self.records:
            yield WriteBatch(records=self.records[:size])
            del self.records[:size]
        while self.refused:
            yield WriteBatch(refused=self.refused[:size])
            del self.refused[:size]
        while self.events:
            yield WriteBatch(events=self.events[:size])
            del self.events[:size]


class TransactionCounts(msgspec.Struct):
    """What one transaction did to one outbox. records: those that wait now, with their numbers. accepted: these and refused ones."""

    records: list[OutboxRecord] = []
    accepted: int = 0
    delivered: int = 0
    dead_letters: int = 0


class Dropped(msgspec.Struct, frozen=True):
    """Records that a limit took."""

    outbox: str
    priority: Priority
    records: int
    why: str
