"""Where a deliverer reads next: one position in the queue, or two where new records go before a backlog."""

from __future__ import annotations

import time

from flowrt.journal import Journal
from flowrt.sink import OutboxRecord

_BURST_S = 0.25


class Cursor:
    """The read positions in the queue of one outbox.

    Strictly in order there is one position, `_live`. With a replay rate, what waits when delivery begins (again) is the backlog, from
    `_replay` up to `_replay_end`; it is read at most that fast, and only as far as new records leave the window free.
    """

    def __init__(self, journal: Journal, outbox: str, replay_per_s: float | None) -> None:
        self._journal, self._outbox = journal, outbox
        self.replay_per_s = replay_per_s
        self._live = 0
        self._replay = self._replay_end = 0
        self._tokens = 0.0
        self._counted = time.monotonic()
        if replay_per_s is not None:
            self.rewind(1)

    @property
    def replaying(self) -> bool:
        """Whether there may be more of the backlog."""
        return self._replay < self._replay_end

    def rewind(self, number: int) -> None:
        """Everything from `number` on is to be read again."""
        if self.replay_per_s is None:
            self._live = min(self._live, number - 1)
            return
        self._replay = min(number - 1, self._replay if self.replaying else number - 1)
        self._live = self._replay_end = max(self._journal.last_number(), self._live)

    def read(self, limit: int, single_until: int) -> list[OutboxRecord]:
        """The next records. Up to the number `single_until`, one at a time."""
        one = self._live < single_until
        records = self._journal.read(self._outbox, self._live, 1 if one else limit)
        if records:
            self._live = records[-1].number
        space = self._paced(limit - len(records))
        if space > 0:
            old = self._journal.read(self._outbox, self._replay, 1 if self._replay < single_until else space)
            old = [record for record in old if record.number <= self._replay_end]
            self._replay = old[-1].number if old else self._replay_end
            self._tokens -= len(old)
            records += old
        return records

    def _paced(self, space: int) -> int:
        """How much of the backlog may go now."""
        if not self.replaying or self.replay_per_s is None:
            return 0
        now = time.monotonic()
        most = max(self.replay_per_s * _BURST_S, 1.0)
        self._tokens = min(self._tokens + (now - self._counted) * self.replay_per_s, most)
        self._counted = now
        return min(space, int(self._tokens))
