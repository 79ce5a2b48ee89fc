"""The vocabulary of sinks: what waits in the journal, how critical it is, and what becomes of it.

People read these records as messages; `flowrt outbox` and `flowrt dead-letters` show them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, Protocol, get_args

import msgspec

Priority = Literal["telemetry", "state", "event", "critical"]
"""What goes first when a journal is full: telemetry first, critical records last."""


PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)

LARGEST_BODY_BYTES: Final = 16_000_000
"""A longer body is not sent: the message becomes a dead letter of which only the beginning is kept."""


class OutboxRecord(msgspec.Struct, kw_only=True, frozen=True, gc=False):
    """One thing to be delivered, as it lies in the journal.

    address: topic or measurement. body: what is sent. headers: protocol properties (qos, retain, expiry_s, …).
    number: the journal's sequence number, 0 before it is accepted. attempts: how often delivery was begun before.
    """

    id: str
    time_s: float
    address: str
    body: bytes
    priority: Priority = "event"
    headers: dict[str, Any] = {}
    number: int = 0
    attempts: int = 0


class Acknowledger(Protocol):
    """How an outbox says what became of each record; callable from any thread."""

    def delivered(self, record: OutboxRecord) -> None:
        """Acknowledged by the outside: the journal may forget it."""
        ...

    def delivered_all(self, records: Iterable[OutboxRecord]) -> None:
        """The same for many at once, which costs less."""
        ...

    def rejected(self, record: OutboxRecord, reason: str) -> None:
        """The outside will never take it: it becomes a dead letter."""
        ...

    def rejected_all(self, records: Sequence[OutboxRecord], reason: str) -> None:
        """The same for many of one reason, which is logged once."""
        ...


class Retry(Exception):
    """The outside can't take it now. The record stays in the journal and is sent again after `after_s`.

    refused: the service is there and refuses every message of this node until its configuration is fixed (a password, a bucket).
    """

    def __init__(self, reason: str, after_s: float | None = None, *, refused: bool = False) -> None:
        super().__init__(reason)
        self.after_s = after_s
        self.refused = refused


class Reject(Exception):
    """The outside will never take this. The record goes to the dead letters with this reason."""
