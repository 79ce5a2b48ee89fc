"""Vehicle fronts that cross stop lines: which front stays beyond a line, and when it was on it.

A crossing counts once the front has been beyond the line for a moment, and is dated back to the moment on the line, interpolated
between pictures. The margins are for boxes that jump; `docs/rules.md` says what each of them is for.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt import VEHICLES, CameraView, Tracks
from flowrt.traffic.geometry.footprint import HEAVY_VEHICLES, length_known
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt.traffic.rules.track_table import Column, TrackTable
from flowrt_nodes.violation._common.approach import Approaches
from flowrt_nodes.violation._common.standstill import STANDSTILL_COLUMNS, standstill_since

# Margins: docs/rules.md says what each is for.
LASTING_S, FIRST_M = 0.25, 1.0
CREEPING_KMH, CREEPING_S, WELL_M = 10.0, 0.9, 1.0
BACK_M, BACK_S = 1.0, 4.0
STANDING_S, STANDING_KMH, STANDING_RADIUS_M = 3.0, 4.0, 0.5
HEAVY_M, HEAVY_S = 0.5, 1.5
BRAKING_M_S2, BRAKES_FROM_M_S, SETTLED_S, SWINGS_M = 2.5, 3.0, 2.0, 6.0
ALONG_SHARE, SIDEWAYS_M_S = 0.7, 0.8


class FrontCrossing(NamedTuple):
    """row: of the tracks. line: index of the stop line. time_s: when the front was on it."""

    row: int
    line: int
    time_s: float


class FrontCrossings:
    """Watches the fronts of vehicles cross the stop lines of a scene."""

    def __init__(self, approaches: Approaches, beyond_m: float) -> None:
        self._approaches = approaches
        self._beyond_m = beyond_m

    def columns(self) -> dict[str, Column]:
        """What it remembers of each track, for the rule's table."""
        lines = (len(self._approaches),)
        return {
            "past_m": (np.float64, lines, np.nan),
            "seen_s": (np.float64, (), np.nan),
            "speed_m_s": (np.float64, (), np.nan),
            "braked_s": (np.float64, (), -np.inf),
            "crossed_s": (np.float64, lines, np.nan),
            "beyond_s": (np.float64, lines, np.nan),
            "was_before": (bool, lines, False),
            "followed": (bool, (), False),
            "well_past_s": (np.float64, lines, -np.inf),
            **STANDSTILL_COLUMNS,
        }

    def update(
        self, table: TrackTable, rows: NDArray[np.int64], tracks: Tracks, view: CameraView, standing_s: Array
    ) -> list[FrontCrossing]:
        """The fronts that have now crossed. standing_s: (N,), how long each has stood, see `standing_s`."""
        time_s = tracks.time_s
        past, along = self._approaches.place(tracks)
        young = view.restarted(tracks)
        restarted = rows[young & table["followed"][rows]]
        if len(restarted):  # whatever was seen of these before is void
            for column in ("past_m", "crossed_s", "beyond_s"):
                table[column][restarted] = np.nan
            table["was_before"][restarted] = False
        table["followed"][rows] = ~young
        reliable = view.reliable(tracks)
        # Before its speed is known, a new track's place counts where it is well before the line, or follows such a place.
        young = young & np.isfinite(tracks.ground_m[:, 0]) & ~tracks.of_class(HEAVY_VEHICLES)
        self._recall_first(table, rows, past, tracks)
        known = reliable[:, None] | (young[:, None] & ((past < -FIRST_M) | table["was_before"].take(rows, axis=0)))
        before, before_s = table["past_m"].take(rows, axis=0), table["seen_s"].take(rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.clip(-before / (past - before), 0.0, 1.0)
        on_line_s = before_s[:, None] + share * (time_s - before_s[:, None])

        well_past_s = table["well_past_s"].take(rows, axis=0)
        crosses = known & (before <= 0) & (past > 0) & (time_s - well_past_s > BACK_S)
        table["well_past_s"][rows] = np.where(known & (past > BACK_M), time_s, well_past_s)
        crossed_s = np.where(crosses, on_line_s, table["crossed_s"].take(rows, axis=0))
        was_before = table["was_before"].take(rows, axis=0) | (known & (past < 0))

        creeping, heavy = tracks.speed_kmh < CREEPING_KMH, tracks.of_class(HEAVY_VEHICLES)
        extra_m = np.where(creeping & heavy & ~length_known(tracks), HEAVY_M, 0.0)
        beyond = past > self._beyond_m + extra_m[:, None]
        beyond_s = np.where(beyond, np.fmin(table["beyond_s"].take(rows, axis=0), time_s), np.nan)
        needed_s = np.where(creeping, np.where(heavy, HEAVY_S, CREEPING_S), LASTING_S)[:, None]
        needed_s = np.where((past > self._beyond_m + WELL_M) & ~heavy[:, None], LASTING_S, needed_s)
        lasts = reliable[:, None] & beyond & (time_s - beyond_s >= needed_s - 1e-6)
        swings = heavy & (time_s - self._braked_s(table, tracks, view, rows, before_s) < SETTLED_S)
        lasts &= self._forward(tracks) & ~(swings[:, None] & (past < SWINGS_M))
        done = was_before & lasts & ~np.isnan(crossed_s)

        for column, now in (("past_m", past), ("beyond_s", beyond_s)):
            table[column][rows] = np.where(known, now, table[column].take(rows, axis=0))
        table["seen_s"][rows[known.any(axis=1)]] = time_s
        table["crossed_s"][rows] = np.where(done, np.nan, crossed_s)
        table["was_before"][rows] = was_before & ~done
        counts = tracks.of_class(VEHICLES) & ~(standing_s >= STANDING_S)
        hits = done & counts[:, None] & self._approaches.beside(along)
        return [FrontCrossing(row, line, float(crossed_s[row, line])) for row, line in np.argwhere(hits).tolist()]

    def _recall_first(self, table: TrackTable, rows: NDArray[np.int64], past: Array, tracks: Tracks) -> None:
        """A new track was before the line where the first picture showed it well before it, a while before it was confirmed."""
        measured = np.isfinite(tracks.ground_m[:, 0])  # not of a box that the border cuts off
        new = np.isnan(table["seen_s"].take(rows)) & ~tracks.of_class(HEAVY_VEHICLES)
        new = np.flatnonzero(new & (measured | ~measured.any()))
        if not len(new):
            return
        first = past[new] - self._approaches.moved(tracks)[new]
        there = first < -FIRST_M
        some = new[there.any(axis=1)]
        table["past_m"][rows[new]] = np.where(there, first, table["past_m"].take(rows[new], axis=0))
        table["was_before"][rows[new]] |= there
        table["seen_s"][rows[some]] = tracks.time_s - tracks.age_s[some].astype(np.float64)

    @staticmethod
    def standing_s(table: TrackTable, rows: NDArray[np.int64], tracks: Tracks, view: CameraView) -> Array:
        """(N,): how long each has stood, by its position; NaN while it moves."""
        return tracks.time_s - standstill_since(table, rows, tracks, view, STANDING_KMH, STANDING_RADIUS_M)

    @staticmethod
    def _braked_s(
        table: TrackTable, tracks: Tracks, view: CameraView, rows: NDArray[np.int64], before_s: Array
    ) -> Array:
        """(N,): when each braked hard last; -inf where it never did. before_s: (N,), when each was seen before."""
        before, speed = table["speed_m_s"][rows], view.speed_m_s(tracks)
        with np.errstate(divide="ignore", invalid="ignore"):
            hard = (before - speed) / (tracks.time_s - before_s) > BRAKING_M_S2
        table["speed_m_s"][rows] = speed
        table["braked_s"][rows] = np.where(hard & (before > BRAKES_FROM_M_S), tracks.time_s, table["braked_s"][rows])
        return table["braked_s"].take(rows)

    def _forward(self, tracks: Tracks) -> Mask:
        """(N, L): which do not clearly move across the approach instead of along it."""
        if not self._approaches.view.metric:
            return np.ones((len(tracks), len(self._approaches)), bool)
        velocity = np.asarray(tracks.velocity_m_s, np.float64)
        speed = np.hypot(velocity[:, 0], velocity[:, 1])[:, None]
        sideways = velocity @ self._approaches.normals.T < ALONG_SHARE * speed
        return np.asarray(~(sideways & (speed > SIDEWAYS_M_S)))
