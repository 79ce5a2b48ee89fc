"""A place in time of its own for each event of a series, so that none overwrites another in the database.

InfluxDB knows a point by measurement, tags and time. What happens at one instant to several road users differs in its id alone, so the
nanoseconds below the millisecond say which of them it is: a million places. An event asks for the place of its number, and gets the next
free one where another event has that. Invariants:
- Two events of one series with different ids never have one place, however many there are: a full millisecond goes on in the next one.
- An id keeps its place, so what is written again overwrites itself.
- The place of a number that is free depends on nothing but that number: it is the same in each run and in each order of writing.
docs/decisions/0013-a-place-in-time.md has the reasons.
"""

from __future__ import annotations

import threading
import zlib
from collections import OrderedDict
from typing import Any

PLACES = 1_000_000
"""In a millisecond, one for each nanosecond."""
_REMEMBERED = 20_000  # events of a measurement; more only where they are of ten seconds
_REMEMBERED_AT_MOST = 2_000_000
_NEAR_MS = 10_000

Series = tuple[str, ...]


class Places:
    """The places of one measurement's events. Usable from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # the one used longest ago stands first
        self._milliseconds: OrderedDict[tuple[Series, int], _Millisecond] = OrderedDict()
        self._events = 0

    def time_ns(self, series: Series, at_ns: int, id: str, number: Any) -> int:
        """The point's time: in the millisecond of `at_ns`, at the place of `number` (the id's checksum where there is none)."""
        wanted = number if number.__class__ is int else zlib.crc32(id.encode())  # hash() differs from run to run
        millisecond = at_ns // PLACES
        with self._lock:
            while True:
                place = self._place(series, millisecond, id, wanted % PLACES)
                if place is not None:
                    return millisecond * PLACES + place
                millisecond += 1

    def _place(self, series: Series, millisecond: int, id: str, wanted: int) -> int | None:
        key = series, millisecond
        there = self._milliseconds.get(key)
        if there is None:
            there = self._milliseconds[key] = _Millisecond()
        else:
            self._milliseconds.move_to_end(key)
        known = there.places.get(id)
        if known is not None or len(there.places) == PLACES:
            return known
        self._events += 1
        self._forget(millisecond)
        return there.take(id, wanted)

    def _forget(self, now: int) -> None:
        """Leave out what was used longest ago."""
        while self._events > _REMEMBERED:
            oldest = next(iter(self._milliseconds))
            if abs(oldest[1] - now) < _NEAR_MS and self._events <= _REMEMBERED_AT_MOST:
                return
            self._events -= len(self._milliseconds.popitem(last=False)[1].places)


class _Millisecond:
    """What is taken of one millisecond of one series."""

    __slots__ = ("_onward", "places")

    def __init__(self) -> None:
        self.places: dict[str, int] = {}
        self._onward: dict[int, int] = {}  # from a taken place to one nearer to the next free one

    def take(self, id: str, wanted: int) -> int:
        """The place wanted, or the next free one, in a ring; there is one."""
        free, passed = wanted, []
        while (onward := self._onward.get(free)) is not None:
            passed.append(free)
            free = onward
        following = (free + 1) % PLACES
        self._onward[free] = following
        for place in passed:  # so that the way is short the next time
            self._onward[place] = following
        self.places[id] = free
        return free
