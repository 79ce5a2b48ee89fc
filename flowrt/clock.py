"""Clocks: where a flow gets its time from.

A run on real inputs uses the system clock. Tests, scores and replays use a virtual clock that moves only when messages do,
so a whole flow behaves the same at any speed.
"""

from __future__ import annotations

import threading
import time
from typing import Protocol


class Clock(Protocol):
    """What the runtime and the nodes ask for time."""

    virtual: bool

    def now_s(self) -> float:
        """UTC seconds since the epoch."""
        ...

    def sleep(self, seconds: float, stopping: threading.Event) -> bool:
        """Wait; False when `stopping` was set first."""
        ...


class SystemClock:
    """The machine's clock. Intervals are measured on the monotonic clock, so a stepped clock delays nothing."""

    virtual = False

    def now_s(self) -> float:
        return time.time()

    def sleep(self, seconds: float, stopping: threading.Event) -> bool:
        return not stopping.wait(max(seconds, 0.0))


class VirtualClock:
    """A clock that stands until it is moved; sleeping returns at once, since the runtime orders sources by time."""

    virtual = True

    def __init__(self, start_s: float | None = None) -> None:
        """start_s: where it begins; without it, at the time of the first message, and at 0 before that."""
        self.begun = start_s is not None
        self._now_s = start_s or 0.0

    def now_s(self) -> float:
        return self._now_s

    def sleep(self, seconds: float, stopping: threading.Event) -> bool:
        return not stopping.is_set()

    def move_to(self, time_s: float) -> None:
        """Move forward to `time_s`; a time in the past leaves the clock where it is."""
        self._now_s = max(self._now_s, time_s)
        self.begun = True
