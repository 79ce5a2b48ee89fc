"""What came in and waits for the flow: bounded by number and by bytes."""

from __future__ import annotations

import threading
from collections import deque
from typing import NamedTuple

MOST_WAITING = 1000
MOST_BYTES = 16_000_000


class Arrival(NamedTuple):
    """A message as it came. time_s: when it arrived. retained: the broker had kept it, from an unknown time."""

    topic: str
    body: bytes
    retained: bool
    time_s: float


class Arrivals:
    """A queue from the connection's thread to the source's. One arrival always finds a place, whatever its size."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: deque[Arrival] = deque()
        self._closed = False
        self.bytes = self.dropped = 0

    def put(self, arrival: Arrival, *, newest: bool) -> None:
        """Wait for a place; with `newest`, the oldest make one."""
        with self._changed:
            while self._full(len(arrival.body)) and not self._closed:
                if newest:
                    self._pop()
                    self.dropped += 1
                else:
                    self._changed.wait()
            self._waiting.append(arrival)
            self.bytes += len(arrival.body)
            self._changed.notify_all()

    def get(self, timeout_s: float) -> Arrival | None:
        """The oldest; None where there is none in time."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None
            arrival = self._pop()
            self._changed.notify_all()
            return arrival

    def close(self) -> None:
        """Nothing waits for a place any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _full(self, more: int) -> bool:
        return bool(self._waiting) and (len(self._waiting) >= MOST_WAITING or self.bytes + more > MOST_BYTES)

    def _pop(self) -> Arrival:
        arrival = self._waiting.popleft()
        self.bytes -= len(arrival.body)
        return arrival
