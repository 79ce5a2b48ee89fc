"""Line crossings of tracks, without the flicker of an object that stands on the line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt import Tracks
from flowrt.traffic.geometry.plane import Array, LineSet, Mask
from flowrt.traffic.rules.track_table import Column, TrackTable
from flowrt_nodes._lib.before_confirmation import way_px

CLEAR, CLEAR_STANDING, CLEAR_PX = 0.04, 0.1, 1.0
"""How far from a line a point counts as beyond it: a share of its box's height, and at least so many pixels. The second share is that of
what may stand: two standard deviations of how boxes tremble."""
REACH = 0.05
"""Share of a line's length beside its ends at which it is still crossed: for events and counts alike."""
MOVING_KMH = 5.0
"""What is faster does not stand."""


class Crossing(NamedTuple):
    """row: index into the picture's tracks. line: index of the line. forward: from its left to its right."""

    row: int
    line: int
    forward: bool
    time_s: float


class LineWatch:
    """Watches points cross lines. A crossing is reported once the point is clear of the line, with the time it was on it.

    A crossing and one back before the point was clear cancel each other. The times between two pictures are interpolated. What a track
    crossed before it was confirmed counts.
    """

    def __init__(self, lines: LineSet) -> None:
        self.lines = lines
        self._begun = False

    def columns(self) -> dict[str, Column]:
        """What is remembered of each track, for the node's `TrackTable`."""
        count = len(self.lines)
        return {
            "point": (np.float64, (2,), np.nan),
            "point_s": (np.float64, (), np.nan),
            "side": (np.float64, (count,), np.nan),
            "along": (np.float64, (count,), np.nan),
            "pending": (np.int8, (count,), 0),
            "pending_s": (np.float64, (count,), np.nan),
        }

    def update(
        self, table: TrackTable, rows: NDArray[np.int64], points: Array, tracks: Tracks, known: Mask | None = None
    ) -> list[Crossing]:
        """points: (N, 2), of these tracks, in the picture. A track is beyond a line when it is further away than a part of its height.

        known: (N,), whose point is reliable, all of them by default; the others stay where they were until theirs is again.
        """
        time_s = tracks.time_s
        if not len(self.lines) or not len(rows):
            return []
        if not self._begun:  # remembered places relate to other lines, if to any
            self._begun = True
            table["side"][:], table["along"][:] = self.lines.place(table["point"])
        self._recall_first(table, rows, points, tracks)
        side0 = table["side"].take(rows, axis=0)
        along0, before_s = table["along"].take(rows, axis=0), table["point_s"].take(rows)
        seen_s: Array | float = time_s
        if known is not None and np.count_nonzero(known) < len(known):
            points = np.where(known[:, None], points, table["point"].take(rows, axis=0))
            seen_s = np.where(known, time_s, before_s)
        side, along = self.lines.place(points)
        table["point"][rows], table["point_s"][rows] = points, seen_s
        table["side"][rows], table["along"][rows] = side, along
        pending = table["pending"].take(rows, axis=0)
        crossed, when = self.lines.crossed(side0, along0, side, along)
        pending = np.clip(pending + crossed, -1, 1)
        fresh = (before_s[:, None] + when * (time_s - before_s[:, None])) * np.ones(crossed.shape)
        pending_s = np.where(crossed != 0, fresh, table["pending_s"].take(rows, axis=0))
        share = np.where(tracks.speed_kmh > MOVING_KMH, CLEAR, CLEAR_STANDING)
        height = tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1]
        beyond = np.abs(side) > np.maximum(share * height, CLEAR_PX)[:, None]
        done = beyond & (pending == np.sign(side)) & (pending != 0)
        found = [
            Crossing(int(i), int(line), bool(pending[i, line] > 0), float(pending_s[i, line]))
            for i, line in np.argwhere(done)
        ]
        table["pending"][rows] = np.where(beyond, 0, pending)
        table["pending_s"][rows] = pending_s
        return found

    def _recall_first(self, table: TrackTable, rows: NDArray[np.int64], points: Array, tracks: Tracks) -> None:
        """Tracks begin where the first picture showed them, not where the tracker first told of them."""
        new = np.isnan(table["point_s"].take(rows))
        if not new.any():
            return
        first = points[new] - way_px(tracks)[new]
        table["point"][rows[new]] = first
        table["point_s"][rows[new]] = tracks.time_s - tracks.age_s[new].astype(np.float64)
        table["side"][rows[new]], table["along"][rows[new]] = self.lines.place(first)
