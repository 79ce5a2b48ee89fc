"""One road user in several tracks: after one another, where its track was lost, or side by side, where a mast cuts its box in two.

Whatever counts tracks at a line counts road users by it. Only what counts is joined: a track keeps its number.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt import PEDESTRIANS, Tracks
from flowrt.traffic.geometry.footprint import TWO_WHEELERS
from flowrt.traffic.geometry.plane import Array
from flowrt.traffic.rules.track_table import Column, TrackTable
from flowrt_nodes._lib.before_confirmation import way_px
from flowrt_nodes._lib.crossing import Crossing

LOST_S = 2.0
"""A track goes on as another one after so long at most."""
ROOM, ROOM_SHARE, RESIZED = 0.8, 0.3, 1.5
"""It comes back about where it was heading: off by at most this share of its height and this share of the way; its height changes at
most by this factor."""
CUT_S = 1.5
"""The second part of a cut vehicle crosses a line so long after the first at most."""
GAP, SAME_GROUND, LONGEST, ALONG = 0.15, 0.2, 3.5, 0.8
"""Parts are as near to each other, and end at the same height up to the second share; together they are no longer than the third: all in
heights of the higher one. The one is ahead of the other: the cosine of that with the movement."""


class _Part(NamedTuple):
    """A box that crossed a line."""

    time_s: float
    track: int
    line: int
    forward: bool


class TrackPieces:
    """Finds the pieces of road users among the tracks of one camera."""

    def __init__(self) -> None:
        self._crossed: deque[_Part] = deque(maxlen=64)
        self._former: dict[int, int] = {}
        """The lost track that each goes on, for as long as the crossings of that are remembered."""

    @staticmethod
    def columns() -> dict[str, Column]:
        """What is remembered of each track, beside the columns of a `LineWatch`."""
        return {
            "last_velocity": (np.float64, (2,), np.nan),
            "last_height": (np.float64, (), np.nan),
            "kind": (np.int64, (), -1),
        }

    def join(
        self, table: TrackTable, rows: NDArray[np.int64], tracks: Tracks, points: Array, names: Iterable[str]
    ) -> None:
        """Hand what the columns `names` remember of lost tracks to the new ones that go on where they were heading.

        points: (N, 2), as the `LineWatch` is given them. To be called before it.
        """
        height = np.asarray(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], np.float64)
        kind = tracks.of_class(PEDESTRIANS) + 2 * tracks.of_class(TWO_WHEELERS).astype(np.int64)
        new = np.flatnonzero(np.isnan(table["point_s"].take(rows)))
        if len(new):
            self._join_new(table, rows, tracks, points, height, kind, new, list(names))
        table["last_velocity"][rows], table["last_height"][rows] = tracks.velocity_px_s, height
        table["kind"][rows] = kind

    def _join_new(
        self,
        table: TrackTable,
        rows: NDArray[np.int64],
        tracks: Tracks,
        points: Array,
        height: Array,
        kind: NDArray[np.int64],
        new: NDArray[np.int64],
        names: list[str],
    ) -> None:
        here = set(rows.tolist())
        lost = {row: key[1] for key, row, _ in table.last_seen(tracks.camera_id) if row not in here}
        for i in new.tolist():
            whole = [j for j in range(len(tracks)) if j not in new and _one_vehicle(tracks, i, j)]
            if whole:
                for name in names:
                    table[name][rows[i]] = table[name][rows[whole[0]]]
                continue
            way = np.nan_to_num(way_px(tracks)[i])
            begun_s = tracks.time_s - (float(tracks.age_s[i]) if way.any() else 0.0)
            best, found = np.inf, -1
            for row in lost:
                gone_s = begun_s - float(table["point_s"][row])
                if not 0 < gone_s <= LOST_S or table["kind"][row] != kind[i]:
                    continue
                before, velocity = float(table["last_height"][row]), table["last_velocity"][row]
                if not before <= RESIZED * height[i] or not height[i] <= RESIZED * before:
                    continue
                if float(velocity @ tracks.velocity_px_s[i]) < 0:
                    continue
                off = float(np.hypot(*(table["point"][row] + velocity * gone_s - (points[i] - way))))
                room = ROOM * before + ROOM_SHARE * float(np.hypot(*velocity)) * gone_s
                if off < min(best, room):
                    best, found = off, row
            if found >= 0:
                for name in names:
                    table[name][rows[i]] = table[name][found]
                if (points[i] - table["point"][found]) @ table["last_velocity"][found] < 0:
                    table["point_s"][rows[i]] = np.nan  # a box that is a little back: it has not driven backwards
                table["last_height"][found] = np.nan  # it goes on only once
                self._former[int(tracks.track_id[i])] = lost.pop(found)

    def whole(self, crossings: list[Crossing], tracks: Tracks) -> list[Crossing]:
        """The crossings without those of a vehicle whose other part, or whose track before, crossed the line just before."""
        kept = []
        rows = {track: row for row, track in enumerate(tracks.track_id.tolist())} if crossings else {}
        for crossing in crossings:
            track = int(tracks.track_id[crossing.row])
            before = [
                part.track
                for part in self._crossed
                if (part.line, part.forward) == (crossing.line, crossing.forward)
                and abs(crossing.time_s - part.time_s) <= CUT_S
                and part.track != track
            ]
            again = self._former.get(track) in before
            if not again and not any(
                other in rows and _one_vehicle(tracks, crossing.row, rows[other]) for other in before
            ):
                kept.append(crossing)
            self._crossed.append(_Part(crossing.time_s, track, crossing.line, crossing.forward))
        if len(self._former) > 256:
            self._former = {}
        return kept


def _one_vehicle(tracks: Tracks, a: int, b: int) -> bool:
    """Whether two boxes look like the front and the rear of one motor vehicle that drives behind a mast."""
    if (tracks.of_class(TWO_WHEELERS) | tracks.of_class(PEDESTRIANS))[[a, b]].any():
        return False
    first, second = np.asarray(tracks.boxes_px[a], np.float64), np.asarray(tracks.boxes_px[b], np.float64)
    high = max(first[3] - first[1], second[3] - second[1])
    gap = max(first[0], second[0]) - min(first[2], second[2])
    long = max(first[2], second[2]) - min(first[0], second[0])
    if not -GAP * high <= gap <= GAP * high or abs(first[3] - second[3]) > SAME_GROUND * high or long > LONGEST * high:
        return False
    apart = np.array([first[0] + first[2] - second[0] - second[2], first[1] + first[3] - second[1] - second[3]])
    movement = np.asarray(tracks.velocity_px_s[a] + tracks.velocity_px_s[b], np.float64)
    length = float(np.hypot(*apart) * np.hypot(*movement))
    return length > 0 and abs(float(apart @ movement)) >= ALONG * length
