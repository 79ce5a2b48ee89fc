"""When a live source's pictures were taken: from their presentation times, their arrival, and the source's own clock.

The network delays a picture by some time, another one by more; a stream's presentation times (PTS) have the right intervals, but
begin anywhere and run at the camera's own rate. So intervals come from the PTS, and the offset between PTS and this machine's clock
from the pictures that were delayed least: the smallest arrival minus PTS of the last minutes. Where the camera tells its own time
of day, and that agrees, the offset also knows how long even those pictures were under way.

Invariants
- A capture time is never later than the arrival, and never earlier than that of the picture before, on the monotonic clock. This
  machine's clock is read anew for each picture: where it is set by a second or more, capture times follow at once.
- The offset is moved slowly (`SLEW`), so that intervals stay those of the PTS. It jumps where the PTS do: where they begin anew, skip
  ahead, or stand while pictures go on coming.
- Without PTS the capture time is the arrival.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Literal, NamedTuple

ClockName = Literal["camera", "pts", "arrival"]

SLEW = 2e-3
"""The offset is moved by this share of the time that passes. Crystals differ by a twentieth of it; at 50 km/h it makes 0.1 km/h."""
BUCKET_S, BUCKETS = 10.0, 12
"""The least delayed picture is looked for in so many buckets of this length."""
LEAST_DELAY_S, FIRST_DELAY_S = 0.02, 0.2
"""A picture is under way for at least the first. Of a stream's first picture nobody knows how late it was: the second leaves room to find
out without a jump."""
AGREES_S = 0.5
"""The camera's clock agrees where it says that the least delayed pictures were under way for up to this long."""
BEGINS_ANEW_S = 1.0
"""PTS that go back by this much, or stay behind the arrival by this much for `BEHIND_S`, have begun anew."""
BEHIND_S = 10.0
STANDING = 5
"""So many pictures in a row without a later PTS: the stream has none."""
SET_S = 1.0
"""This machine's clock was set where it goes back by this much."""
BACKLOG_S = 3.0
"""At the beginning a server sends what it has stored; within this time, pictures that come faster than they were taken are a backlog."""


def set_back(before_s: float, time_s: float) -> bool:
    """Whether the clock was set back between two pictures of a camera: their capture times, in the order in which they were taken."""
    return time_s <= before_s - SET_S


class Stamp(NamedTuple):
    """A picture's capture time, UTC seconds. backlog: it was stored somewhere, and newer ones are about to come."""

    time_s: float
    backlog: bool


class CaptureClock:
    """Stamps the pictures of one connection. Used by one thread; `name` and `jitter_ms` are read by others."""

    def __init__(self, after_s: float = -math.inf) -> None:
        """after_s: the capture time of the last picture before this connection, UTC seconds."""
        self._wall_s = after_s
        self._time_s = -math.inf  # of the last picture, on the monotonic clock
        self._arrival_s = self._first_s = math.nan
        self._standing = 0
        self._delays: deque[float] = deque(maxlen=100)
        self._begin_anew()

    def _begin_anew(self) -> None:
        """Forget what was known of the PTS."""
        self._pts_s = -math.inf
        self._offset_s: float | None = None
        self._under_way_s: float | None = None
        self._least: deque[float] = deque(maxlen=BUCKETS)
        self._bucket_ends_s = -math.inf
        self._behind_since_s: float | None = None
        self._delays.clear()

    @property
    def name(self) -> ClockName:
        """What capture times follow: the camera's clock, the PTS alone, or the arrival."""
        if self._offset_s is None:
            return "arrival"
        return "pts" if self._under_way_s is None else "camera"

    @property
    def jitter_ms(self) -> float:
        """Standard deviation of the last pictures' delay; 0 where it can't be known."""
        delays = list(self._delays)
        if len(delays) < 2:
            return 0.0
        mean = sum(delays) / len(delays)
        return 1e3 * math.sqrt(sum((delay - mean) ** 2 for delay in delays) / len(delays))

    @property
    def last_s(self) -> float:
        """The capture time of the last picture, UTC seconds."""
        return self._wall_s

    def stamp(self, now_s: float, arrival_s: float, pts_s: float | None, camera_s: float | None = None) -> Stamp:
        """The capture time of the picture that has just arrived.

        now_s: UTC seconds; arrival_s: the same moment on the monotonic clock. pts_s: presentation time, from anywhere; None where
        the stream has none. camera_s: when the picture was taken by the camera's own clock, UTC seconds; None where it does not say.
        """
        backlog, time_s = False, arrival_s
        if pts_s is not None and not self._stands(pts_s):
            backlog, time_s = self._follow(arrival_s, pts_s)
            if camera_s is not None:
                self._ask_camera(camera_s - (now_s - arrival_s) - pts_s)
        self._arrival_s = arrival_s
        self._time_s = max(time_s, self._time_s)
        wall_s = now_s - arrival_s + self._time_s
        if wall_s <= self._wall_s and not set_back(self._wall_s, wall_s):
            wall_s = math.nextafter(self._wall_s, math.inf)
        self._wall_s = wall_s
        return Stamp(wall_s, backlog)

    def _stands(self, pts_s: float) -> bool:
        """Whether the PTS have not moved for long."""
        self._standing = self._standing + 1 if pts_s == self._pts_s else 0
        if self._standing == STANDING:
            self._begin_anew()
            self._pts_s = pts_s
        return self._standing >= STANDING

    def _follow(self, arrival_s: float, pts_s: float) -> tuple[bool, float]:
        """Set or move the offset; whether the picture belongs to a backlog, and its capture time on the monotonic clock."""
        delay_s = arrival_s - pts_s
        if pts_s < self._pts_s - BEGINS_ANEW_S or self._stays_behind(arrival_s, delay_s):
            self._begin_anew()
        least_s = self._least_delay(arrival_s, delay_s)
        backlog = False
        if self._offset_s is None:
            self._first_s = arrival_s if math.isnan(self._first_s) else self._first_s
            self._offset_s = delay_s - FIRST_DELAY_S
        else:
            passed_s = arrival_s - self._arrival_s
            beginning = arrival_s - self._first_s < BACKLOG_S
            backlog = beginning and 2.0 * passed_s < pts_s - self._pts_s
            if delay_s < self._offset_s:  # taken after it came: the first pictures were late, or the PTS skipped ahead
                self._offset_s = delay_s - (FIRST_DELAY_S if beginning else 0.0)
            under_way_s = LEAST_DELAY_S if self._under_way_s is None else self._under_way_s
            slewed_s = SLEW * passed_s
            self._offset_s += min(max(least_s - under_way_s - self._offset_s, -slewed_s), slewed_s)
        self._delays.append(delay_s)
        self._pts_s = max(pts_s, self._pts_s)
        return backlog, min(self._pts_s + self._offset_s, arrival_s)

    def _least_delay(self, arrival_s: float, delay_s: float) -> float:
        """The smallest arrival minus PTS of the last minutes, this picture's included."""
        if arrival_s >= self._bucket_ends_s:
            self._bucket_ends_s = arrival_s + BUCKET_S
            self._least.append(delay_s)
        elif delay_s < self._least[-1]:
            self._least[-1] = delay_s
        return min(self._least)

    def _stays_behind(self, arrival_s: float, delay_s: float) -> bool:
        """Whether pictures have long come so late that it is the PTS which lost time, not the network."""
        if self._offset_s is None or delay_s - self._offset_s < BEGINS_ANEW_S:
            self._behind_since_s = None
            return False
        if self._behind_since_s is None:
            self._behind_since_s = arrival_s
        return arrival_s - self._behind_since_s >= BEHIND_S

    def _ask_camera(self, camera_offset_s: float) -> None:
        """Take from the camera's clock, once, how long the least delayed pictures were under way.

        Once, because a stream's anchor in the time of day is told at its beginning and drifts as the camera's crystal does.
        """
        under_way_s = min(self._least) - camera_offset_s
        if self._under_way_s is None and 0.0 <= under_way_s <= AGREES_S:
            self._under_way_s = under_way_s
