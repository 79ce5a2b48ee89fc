"""An outbox whose outside is a list and whose faults are a script, and records to send through it."""

from __future__ import annotations

import contextlib
import errno
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from flowrt.journal import Disk, Journal
from flowrt.message import Message
from flowrt.node import Outbox
from flowrt.sink import Acknowledger, OutboxRecord, Priority
from flowrt.system.backoff import Backoff


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


class ScriptedDisk(Disk):
    """A disk whose flushes hang, fail or take their time, and that may be full, as a test says."""

    def __init__(self) -> None:
        self._free_to_flush = threading.Event()
        self._free_to_flush.set()
        self.fails = False
        self.full = False
        self.slow_s = 0.0
        self.flushes = 0

    def flush(self, fd: int) -> None:
        self.flushes += 1
        if self.slow_s:
            threading.Event().wait(self.slow_s)
        self._free_to_flush.wait()
        if self.fails:
            raise OSError(errno.EIO, "scripted")
        super().flush(fd)

    def free_bytes(self, folder: Path) -> int | None:
        return 0 if self.full else super().free_bytes(folder)

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """No flush comes back meanwhile."""
        self._free_to_flush.clear()
        try:
            yield
        finally:
            self._free_to_flush.set()


def eventually(true: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait until the condition holds."""
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "did not happen in time"
        threading.Event().wait(0.01)


def quick() -> Backoff:
    """Waits for tests, in which the outside is back within the second."""
    return Backoff(0.05, 0.5)


def balanced(journal: Journal, outbox: str) -> bool:
    """Whether the account of an outbox adds up."""
    c = journal.snapshot(outbox)
    return c.accepted + c.resumed == c.delivered + c.dead_letters + sum(c.dropped.values()) + c.pending
