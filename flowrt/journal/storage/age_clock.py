"""The time by which messages age: it goes on while a journal is open, and no clock that is wrong or set moves it.

A machine without a battery starts in 1970, another one 400 days ahead; both are right a while later, or at the next start. Seen by the wall
clock, what waits would be too old all at once. So an age is a number of seconds on a scale of the file's own: it begins at 0, each run
goes on where the one before it ended, and the time between two runs does not count.
"""

from __future__ import annotations

import math
import time

from flowrt.clock import Clock


class AgeClock:
    """Seconds on the scale of one file. A virtual clock is taken as it is."""

    def __init__(self, clock: Clock, start_s: float) -> None:
        """start_s: where the run before ended."""
        self._clock = clock
        self._offset_s = (start_s if math.isfinite(start_s) else 0.0) - self._steady_s()

    def now_s(self) -> float:
        """Now; never less than before, unless a virtual clock goes back."""
        return self._offset_s + self._steady_s()

    def _steady_s(self) -> float:
        return self._clock.now_s() if self._clock.virtual else time.monotonic()
