"""An outbox whose outside is a list and whose faults are a script, and records to send through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowrt.backoff import Backoff
from flowrt.message import Message
from flowrt.node import Outbox
from flowrt.sink import Acknowledger, OutboxRecord, Priority


def records(count: int, *, start: int = 0, priority: Priority = "event", size: int = 50) -> list[OutboxRecord]:
    """`count` records with ids `n-<number>`."""
    return [
        OutboxRecord(
            id=f"n-{i}", time_s=1000.0 + i, address="topic/a", body=f"{i}".encode().ljust(size), priority=priority
        )
        for i in range(start, start + count)
    ]


class Outside(Outbox):
    """Keeps what arrives. `fault` is called with each batch first and may raise."""

    size: int = 1000

    @property
    def window(self) -> int:
        return self.size

    def encode(self, message: Message) -> Iterator[OutboxRecord]:
        yield from ()

    def prepare(self, fault: Callable[[Sequence[OutboxRecord]], Any] | None = None) -> Outside:
        """Set the script; returns itself."""
        self._arrived: list[OutboxRecord] = []
        self._fault = fault
        return self

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        if self._fault is not None:
            self._fault(records)
        for record in records:
            self._arrived.append(record)
            acknowledger.delivered(record)

    @property
    def ids(self) -> list[str]:
        """Ids in order of arrival."""
        return [record.id for record in self._arrived]


def eventually(true: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait until the condition holds."""
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "did not happen in time"
        threading.Event().wait(0.01)


def quick() -> Backoff:
    """Waits for tests, in which the outside is back within the second."""
    return Backoff(0.05, 0.5)
