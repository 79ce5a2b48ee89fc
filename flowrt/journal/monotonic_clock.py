"""The time by which records age: wall time that nobody can set."""

from __future__ import annotations

import time

from flowrt.clock import Clock

STEP_S = 60.0
"""What wall time and monotonic time may drift apart before it counts as a clock that was set."""


class MonotonicClock:
    """The wall clock as it was at the start, moved on by the monotonic clock. A virtual clock is taken as it is."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._offset_s = clock.now_s() - time.monotonic()

    def now_s(self) -> float:
        """UTC seconds since the epoch, but for steps that were not followed yet."""
        return self._clock.now_s() if self._clock.virtual else time.monotonic() + self._offset_s

    def follow(self) -> float:
        """Follow a step of the wall clock; by how much, in seconds. Whoever stored times by this clock moves them as far."""
        step_s = self._clock.now_s() - self.now_s()
        if abs(step_s) < STEP_S:
            return 0.0
        self._offset_s += step_s
        return step_s
