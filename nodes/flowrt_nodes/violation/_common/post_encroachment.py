"""Post-encroachment time (PET): a road user enters a piece of ground this long after another has left it.

Source: SSAM, Gettman et al., Surrogate Safety Measures from Traffic Simulation Models, FHWA-RD-03-050. Bodies are rectangles. Both
moments, of leaving and of entering, are interpolated, so that a PET is no multiple of the time between pictures.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowrt.traffic.geometry.footprint import SIZES_M
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt_nodes.violation._common.time_to_collision import Bodies

# Margins: docs/rules.md says what each is for.
WALKING_M_S = 0.8
PASSING_M, _LONGEST_M = 1.0, max(length for length, _, _ in SIZES_M.values())
RECALL_S = 1.0
OVER_S = 5.0
LATE_S = 0.4
CROSSING_DEG = 30.0
OPPOSED_DEG = 174.0
STEP_S = 0.1
GAP_S = 1.0


class PostEncroachments:
    """Recent positions, and which road users come onto ground that another has just left.

    Moments by road users: `_bodies` (M, U, 6) holds x, y, unit vector of the heading, length and width, NaN where unknown;
    `_moving` (M, U) whether their encounters count. The last moment is the present one.
    """

    def __init__(self) -> None:
        self._shortest: dict[tuple[int, int], tuple[float, float]] = {}
        """Of each pair: its shortest PET, and when it last had one."""
        self._forget()

    def _forget(self) -> None:
        self._times_s = np.zeros(0)
        self._ids = np.zeros(0, np.int64)
        self._on_foot = np.zeros(0, bool)
        self._bodies = np.zeros((0, 0, 6))
        self._moving = np.zeros((0, 0), bool)

    def update(self, bodies: Bodies, longest_s: float, vehicles: bool) -> list[tuple[int, int, float]]:
        """(row, track id of the earlier road user, PET) for each that came after another within `longest_s`, with this picture.

        Only paths that cross at more than 30 degrees and don't meet head on, and only encounters of a pedestrian with a vehicle, or
        with `vehicles` of two vehicles. A PET is the shortest of a pair's encounter until now.
        """
        now_s = bodies.tracks.time_s
        since_s = now_s - float(self._times_s[-1]) if len(self._times_s) else 0.0
        if since_s < 0:  # a clip began again
            self._forget()
        steps = max(round(since_s / STEP_S), 1) if since_s <= GAP_S else 1
        rows = np.flatnonzero(~bodies.unknown & np.isfinite(bodies.heading[:, 0]))
        on_foot = bodies.pedestrian[rows]
        moving = np.where(on_foot, bodies.speed[rows] > WALKING_M_S, bodies.driving[rows])
        shape = np.hstack((bodies.heading[rows], bodies.size[rows, :2]))
        columns = self._columns(bodies.tracks.track_id[rows], on_foot, now_s - longest_s - GAP_S)
        self._recall(bodies, rows[on_foot], columns[on_foot])
        found: dict[tuple[int, int], float] = {}
        for ago_s in (since_s / steps * np.arange(steps)[::-1]).tolist():
            place = bodies.place[rows] - ago_s * bodies.velocity[rows]
            self._put(now_s - ago_s, columns, np.hstack((place, shape)), moving)
            for k, first, pet_s in self._post_encroachments(columns, on_foot, vehicles):
                if pet_s <= longest_s:
                    found[k, first] = min(pet_s, found.get((k, first), np.inf))
        self._shortest = {pair: known for pair, known in self._shortest.items() if now_s - known[1] <= OVER_S}
        ids = bodies.tracks.track_id[rows]
        return [
            (int(rows[k]), first, self._shortest_s(int(ids[k]), first, pet_s, now_s))
            for (k, first), pet_s in found.items()
        ]

    def _columns(self, ids: NDArray[np.int64], on_foot: Mask, since_s: float) -> NDArray[np.int64]:
        """(N,): the columns of these tracks, new ones for new tracks. What is older than `since_s` is forgotten."""
        old = int(np.searchsorted(self._times_s, since_s))
        if old:
            self._times_s, self._bodies, self._moving = self._times_s[old:], self._bodies[old:], self._moving[old:]
        stay = np.isfinite(self._bodies[:, :, 0]).any(axis=0) | np.isin(self._ids, ids)
        new = ~np.isin(ids, self._ids)
        if new.any() or not stay.all():
            more = int(np.count_nonzero(new))
            moments = len(self._times_s)
            self._ids = np.concatenate((self._ids[stay], ids[new]))
            self._on_foot = np.concatenate((self._on_foot[stay], on_foot[new]))
            self._bodies = np.concatenate((self._bodies[:, stay], np.full((moments, more, 6), np.nan)), axis=1)
            self._moving = np.concatenate((self._moving[:, stay], np.zeros((moments, more), bool)), axis=1)
        order = np.argsort(self._ids)
        columns: NDArray[np.int64] = order[np.searchsorted(self._ids, ids, sorter=order)]
        self._on_foot[columns] = on_foot
        return columns

    def _put(self, time_s: float, columns: NDArray[np.int64], bodies: Array, moving: Mask) -> None:
        """Add a moment, in which only these are known."""
        row, moves = np.full((1, len(self._ids), 6), np.nan), np.zeros((1, len(self._ids)), bool)
        row[0, columns], moves[0, columns] = bodies, moving
        self._times_s = np.append(self._times_s, time_s)
        self._bodies, self._moving = np.concatenate((self._bodies, row)), np.concatenate((self._moving, moves))

    def _recall(self, bodies: Bodies, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> None:
        """A pedestrian whose velocity becomes known has walked like that for a moment, at most since it was first seen."""
        if not len(self._times_s):
            return
        fresh = np.isnan(self._bodies[-1, columns, 0])
        for row, column in zip(rows[fresh].tolist(), columns[fresh].tolist(), strict=True):
            ago_s = bodies.tracks.time_s - self._times_s
            gone = (ago_s <= min(float(bodies.tracks.age_s[row]), RECALL_S)) & np.isnan(self._bodies[:, column, 0])
            self._bodies[gone, column, :2] = bodies.place[row] - ago_s[gone, None] * bodies.velocity[row]
            self._bodies[gone, column, 2:] = (*bodies.heading[row], *bodies.size[row, :2])
            self._moving[gone, column] = bodies.speed[row] > WALKING_M_S

    def _post_encroachments(
        self, columns: NDArray[np.int64], on_foot: Mask, vehicles: bool
    ) -> list[tuple[int, int, float]]:
        """(which of the columns, track id of the earlier road user, PET) of those that come at the last moment."""
        times_s, all_bodies = self._times_s, self._bodies
        same_kind = self._on_foot[:, None] == on_foot
        fit = self._moving[-1, columns] & (~(same_kind & on_foot) if vehicles else ~same_kind)
        fit &= np.arange(len(self._ids))[:, None] != columns
        firsts, k = np.nonzero(fit)
        if len(times_s) < 2 or not len(firsts):
            return []
        comes = all_bodies[-1, columns[k]]
        reach_m = 0.5 * comes[:, 4] + np.where(self._on_foot[firsts], 0.5, 0.5 * _LONGEST_M) + PASSING_M
        near = (np.abs(all_bodies[:, firsts, :2] - comes[:, :2]) < reach_m[:, None]).all(axis=2).any(axis=0)
        if not near.any():
            return []
        firsts, k, comes = firsts[near], k[near], comes[near]
        apart = rectangles_apart_m(all_bodies[:, firsts], comes)
        over = apart <= 0
        last = len(times_s) - 1 - over[::-1].argmax(axis=0)
        found = []
        for i in np.flatnonzero(over.any(axis=0) & ~over[-1]).tolist():
            m, first = last[i], firsts[i]
            there = all_bodies[m, first]
            angle_deg = np.degrees(np.arccos(np.clip(there[2:4] @ comes[i, 2:4], -1.0, 1.0)))
            if not self._moving[m, first] or not CROSSING_DEG < angle_deg < OPPOSED_DEG:
                continue
            left_s = _at_border_s(times_s, apart[:, i], m, m + 1)
            coming = rectangles_apart_m(there, all_bodies[:, columns[k[i]]])
            off = np.flatnonzero(coming > 0)[-1] if (coming > 0).any() else -1
            on = off + 1 + int(np.isfinite(coming[off + 1 :]).argmax())
            # On the same ground at the same time, the two are placed less accurately than they were apart: no measure.
            if on <= m or times_s[-1] - times_s[on] > LATE_S:
                continue
            came_s = _at_border_s(times_s, coming, on, off)
            found.append((int(k[i]), int(self._ids[first]), max(came_s - left_s, 0.0)))
        return found

    def _shortest_s(self, one: int, other: int, pet_s: float, now_s: float) -> float:
        pair = (min(one, other), max(one, other))
        before_s, _ = self._shortest.get(pair, (pet_s, now_s))
        shortest_s = min(pet_s, before_s)
        self._shortest[pair] = shortest_s, now_s
        return shortest_s


def _at_border_s(times_s: Array, apart_m: Array, on: int, off: int) -> float:
    """When a road user was at the border of a piece of ground, on it at one moment and off it, or unknown, at the next or last one."""
    if off < 0 or not np.isfinite(apart_m[off]):
        return float(times_s[on])
    share = apart_m[on] / (apart_m[on] - apart_m[off])
    return float(times_s[on] + share * (times_s[off] - times_s[on]))


def rectangles_apart_m(a: Array, b: Array) -> Array:
    """(…): how far two rectangles (…, 6) are apart along that of their axes along which it is most; negative where they overlap.

    Separating axis theorem: convex bodies are apart if and only if they are along one of these axes.
    """
    dx, dy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
    cosine = np.abs(a[..., 2] * b[..., 2] + a[..., 3] * b[..., 3])
    sine = np.abs(a[..., 2] * b[..., 3] - a[..., 3] * b[..., 2])
    found = []
    for one, other in ((a, b), (b, a)):
        ahead = np.abs(dx * one[..., 2] + dy * one[..., 3])
        aside = np.abs(dy * one[..., 2] - dx * one[..., 3])
        found.append(ahead - (one[..., 4] + other[..., 4] * cosine + other[..., 5] * sine) / 2)
        found.append(aside - (one[..., 5] + other[..., 4] * sine + other[..., 5] * cosine) / 2)
    return np.asarray(np.maximum.reduce(found), np.float64)
