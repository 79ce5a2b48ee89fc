"""An outbox whose outside is a list and whose faults are a script, and letters to send through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowrt.messages import Message
from flowrt.node import Letter, Outbox, Receipt, Urgency


def letters(count: int, *, start: int = 0, urgency: Urgency = "event", size: int = 50) -> list[Letter]:
    """`count` letters with ids `n-<number>`."""
    return [
        Letter(id=f"n-{i}", time_s=1000.0 + i, address="topic/a", body=f"{i}".encode().ljust(size), urgency=urgency)
        for i in range(start, start + count)
    ]


class Outside(Outbox):
    """Keeps what arrives. `fault` is called with each batch first and may raise."""

    size: int = 1000

    @property
    def window(self) -> int:
        return self.size

    def encode(self, message: Message) -> Iterator[Letter]:
        yield from ()

    def prepare(self, fault: Callable[[Sequence[Letter]], Any] | None = None) -> Outside:
        """Set the script; returns itself."""
        self._arrived: list[Letter] = []
        self._fault = fault
        return self

    def deliver(self, letters: Sequence[Letter], receipt: Receipt) -> None:
        if self._fault is not None:
            self._fault(letters)
        for letter in letters:
            self._arrived.append(letter)
            receipt.delivered(letter)

    @property
    def ids(self) -> list[str]:
        """Ids in order of arrival."""
        return [letter.id for letter in self._arrived]


def eventually(true: Callable[[], Any], timeout_s: float = 10.0) -> None:
    """Wait until the condition holds."""
    until = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < until, "did not happen in time"
        threading.Event().wait(0.01)
