"""What was committed last, kept in memory, so that a deliverer that keeps up need not read it back from the file.

Invariants
- Of one outbox, the tail holds every waiting record with a number above its `floor`. Records behind a number at or above the floor
  come from here; a deliverer that stands further back reads the file.
- No record in a tail was handed out before, from here or from the file; so none of them can have an acknowledgement.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

import msgspec

from flowrt.journal.storage.rows import size_of
from flowrt.sink import OutboxRecord

_MOST_BYTES = 4_000_000  # of one outbox; what a dead service leaves unread must not fill the memory


class _Tail(msgspec.Struct):
    floor: int
    records: deque[OutboxRecord] = msgspec.field(default_factory=deque)
    bytes: int = 0

    def pop(self) -> OutboxRecord:
        record = self.records.popleft()
        self.floor = record.number
        self.bytes -= size_of(record)
        return record


class TailCache:
    """The tails of all outboxes. The caller holds the lock."""

    def __init__(self, last: int) -> None:
        """last: the number of the record that was committed last."""
        self._last = last
        self._tails: dict[str, _Tail] = {}

    def add(self, records: Mapping[str, list[OutboxRecord]]) -> None:
        """These were committed in one transaction, by outbox, with numbers in their order."""
        if not records:
            return
        first = min(of_one[0].number for of_one in records.values())
        if first != self._last + 1:  # another process put some in between (`flowrt dead-letters retry`)
            self.forget(first - 1)
        self._last = max(of_one[-1].number for of_one in records.values())
        for outbox, of_one in records.items():
            tail = self._tails.get(outbox)
            if tail is None:
                tail = self._tails[outbox] = _Tail(of_one[0].number - 1)
            tail.records.extend(of_one)
            tail.bytes += sum(map(size_of, of_one))
            while tail.bytes > _MOST_BYTES:
                tail.pop()

    def take(self, outbox: str, after: int, limit: int) -> list[OutboxRecord] | None:
        """The records behind number `after`, which are then no longer here; None where the file has to be read."""
        tail = self._tails.get(outbox)
        if tail is None or after < tail.floor:
            return None
        records = tail.records
        self.handed_out(outbox, after)
        if len(records) > limit:
            return [tail.pop() for _ in range(limit)]
        taken = list(records)
        if taken:
            records.clear()
            tail.bytes, tail.floor = 0, taken[-1].number
        return taken

    def handed_out(self, outbox: str, number: int) -> None:
        """Records up to this number were read, and are no longer here."""
        tail = self._tails.get(outbox)
        while tail is not None and tail.records and tail.records[0].number <= number:
            tail.pop()

    def forget(self, number: int) -> None:
        """Whatever is in the file now, up to this number, is to be read from there."""
        self._last = max(self._last, number)
        for tail in self._tails.values():
            tail.records.clear()
            tail.bytes, tail.floor = 0, max(tail.floor, number)
