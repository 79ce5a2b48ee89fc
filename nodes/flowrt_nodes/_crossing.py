"""Line crossings of tracks, without the flicker of somebody who stands on the line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt_nodes._geometry import Array, LineSet
from flowrt_nodes._tracktable import Column, TrackTable


class Crossing(NamedTuple):
    """row: index into the picture's tracks. line: index of the line. forward: from its left to its right."""

    row: int
    line: int
    forward: bool
    time_s: float


class LineWatch:
    """Watches points cross lines. A crossing is reported once the point is clear of the line, with the time it was on it.

    A crossing and one back before the point was clear cancel each other. The times between two pictures are interpolated.
    """

    def __init__(self, lines: LineSet) -> None:
        self.lines = lines

    def columns(self) -> dict[str, Column]:
        """What it remembers of each track, for the node's `TrackTable`."""
        count = len(self.lines)
        return {
            "point": (np.float64, (2,), np.nan),
            "point_s": (np.float64, (), np.nan),
            "pending": (np.int8, (count,), 0),
            "pending_s": (np.float64, (count,), np.nan),
        }

    def update(
        self, table: TrackTable, rows: NDArray[np.int64], points: Array, time_s: float, clear: Array
    ) -> list[Crossing]:
        """points: (N, 2). clear: (N,) how far from a line a point counts as beyond it, in the points' unit."""
        if not len(self.lines) or not len(rows):
            return []
        before, before_s = table["point"][rows], table["point_s"][rows]
        crossed, when = self.lines.crossings(before, points)
        table["point"][rows], table["point_s"][rows] = points, time_s
        pending = table["pending"][rows]
        if not crossed.any() and not pending.any():
            return []
        pending = np.clip(pending + crossed, -1, 1)
        fresh = (before_s[:, None] + when * (time_s - before_s[:, None])) * np.ones(crossed.shape)
        pending_s = np.where(crossed != 0, fresh, table["pending_s"][rows])
        side = self.lines.place(points)[0]
        beyond = np.abs(side) > clear[:, None]
        done = beyond & (pending == np.sign(side)) & (pending != 0)
        found = [
            Crossing(int(i), int(line), bool(pending[i, line] > 0), float(pending_s[i, line]))
            for i, line in np.argwhere(done)
        ]
        table["pending"][rows] = np.where(beyond, 0, pending)
        table["pending_s"][rows] = pending_s
        return found
