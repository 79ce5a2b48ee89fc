"""Surrogate safety measures between road users: time to collision and post-encroachment time.

TTC: the time until two footprints would touch if both kept their present velocities. PET: the time between one road user
leaving a spot and another, from a clearly different direction, reaching it. Both as in FHWA's Surrogate Safety
Assessment Model; footprints are rows of discs for TTC and rectangles for PET.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowrt_sim.referee.definitions import Definitions
from flowrt_sim.traffic.road_users import Pedestrian, Vehicle

REACH_M = 67.0
"""Road users further out, along either axis, are not looked at."""
LEAST_WALKING_MS = 0.3
OVER_S = 1.0
"""The PET of a pair is known when there was no shorter one for this long."""
KEEP_MORE_S = 0.3
"""A PET ends and begins between two moments."""
REMEMBERED_PAIRS = 4000


@dataclass(frozen=True)
class Conflict:
    """A pair of road users: `actor` is a vehicle, `other` any road user; least TTC and PET in s (infinite if none)."""

    actor: int
    other: int
    ttc_s: float
    pet_s: float
    start_s: float
    time_s: float
    ground_m: tuple[float, float]


@dataclass
class _Pair:
    ttc_s: float
    start_s: float
    last_s: float
    at_s: float
    nearest_m: float
    seen: int
    ground_m: tuple[float, float]


class _Moment(NamedTuple):
    """Road users at one time: rows of (x, y, cos, sin of the heading, length, width), and which are fast enough for a PET."""

    time_s: float
    numbers: npt.NDArray[np.int64]
    bodies: npt.NDArray[np.float64]
    moving: npt.NDArray[np.bool_]


class Conflicts:
    """Measures pairs of road users; `watch` returns the conflicts that are complete at this time, each pair once.

    A pair's PET is the shortest of its encounter: of the pieces of ground that both cross, the first need not be the one at
    which they come nearest.
    """

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._past: deque[_Moment] = deque()
        self._encroached: dict[tuple[int, int], Conflict] = {}
        self._pairs: dict[tuple[int, int], _Pair] = {}
        self._numbers: set[int] = set()
        self._reported: dict[tuple[int, int], None] = {}

    def watch(self, time_s: float, vehicles: Sequence[Vehicle], pedestrians: Sequence[Pedestrian]) -> list[Conflict]:
        """Measure one moment."""
        self._numbers = {v.number for v in vehicles}
        near = [v for v in vehicles if max(abs(v.x), abs(v.y)) < REACH_M]
        walking = [p for p in pedestrians if p.crossing and max(abs(p.x), abs(p.y)) < REACH_M]
        found = self._encroach(time_s, near, walking)
        found.extend(self._predict(time_s, near, walking))
        return found

    def _encroach(self, time_s: float, vehicles: list[Vehicle], walking: list[Pedestrian]) -> list[Conflict]:
        actors: list[Vehicle | Pedestrian] = [*vehicles, *walking]
        now = _moment(time_s, actors, self._definitions.least_closing_ms)
        past = self._past
        if past and len(actors):
            for first, row, pet_s in _post_encroachments([*past, now], self._definitions.crossing_deg):
                if pet_s <= self._definitions.pet_s and not {first, actors[row].number}.isdisjoint(self._numbers):
                    self._pet(time_s, actors[row], first, pet_s)
        past.append(now)
        while past[0].time_s < time_s - self._definitions.pet_s - KEEP_MORE_S:
            past.popleft()
        done = [key for key, found in self._encroached.items() if time_s - found.time_s > OVER_S]
        return [self._encroached.pop(key) for key in done]

    def _pet(self, time_s: float, actor: Vehicle | Pedestrian, first: int, pet_s: float) -> None:
        key = (min(actor.number, first), max(actor.number, first))
        known = self._encroached.get(key)
        if pet_s >= known.pet_s if known is not None else not self._is_new(*key):
            return
        vehicle, other = (actor.number, first) if isinstance(actor, Vehicle) else (first, actor.number)
        self._encroached[key] = Conflict(vehicle, other, np.inf, pet_s, time_s - pet_s, time_s, (actor.x, actor.y))

    def _is_new(self, first: int, second: int) -> bool:
        key = (min(first, second), max(first, second))
        if key in self._reported:
            return False
        self._reported[key] = None
        if len(self._reported) > REMEMBERED_PAIRS:
            self._reported = dict.fromkeys(list(self._reported)[REMEMBERED_PAIRS // 2 :])
        return True

    def _predict(self, time_s: float, vehicles: list[Vehicle], walking: list[Pedestrian]) -> list[Conflict]:
        discs, owner = _discs(vehicles, walking)
        if len(discs) > 1:
            self._collide(time_s, discs, owner, len(vehicles))
        done = [key for key, pair in self._pairs.items() if time_s - pair.last_s > 2.0]
        found = []
        for key in done:
            pair = self._pairs.pop(key)
            if pair.seen >= 3 and pair.nearest_m <= self._definitions.passing_m and self._is_new(*key):
                found.append(Conflict(key[0], key[1], pair.ttc_s, np.inf, pair.start_s, pair.at_s, pair.ground_m))
        self._approach(discs, owner)
        return found

    def _collide(
        self, time_s: float, discs: npt.NDArray[np.float64], owner: npt.NDArray[np.int64], vehicles: int
    ) -> None:
        x, y, r, vx, vy, number = discs.T
        i, j = np.triu_indices(len(discs), 1)
        dx, dy = x[j] - x[i], y[j] - y[i]
        keep = (owner[i] != owner[j]) & (owner[i] < vehicles) & (dx * dx + dy * dy < 45.0**2)
        i, j, dx, dy = i[keep], j[keep], dx[keep], dy[keep]
        wx, wy = vx[j] - vx[i], vy[j] - vy[i]
        a = wx * wx + wy * wy
        b = dx * wx + dy * wy
        c = dx * dx + dy * dy - (r[i] + r[j]) ** 2
        root = b * b - a * c
        hit = (b < 0) & (root > 0) & (a > self._definitions.least_closing_ms**2) & (c > 0)
        ttc = np.where(hit, c / np.maximum(-b + np.sqrt(np.maximum(root, 0)), 1e-9), np.inf)
        for k in np.flatnonzero(ttc <= self._definitions.ttc_s):
            key = (int(number[i[k]]), int(number[j[k]]))
            pair = self._pairs.get(key)
            if pair is None:
                pair = self._pairs[key] = _Pair(
                    np.inf, time_s, time_s, time_s, np.inf, 0, (float(x[i[k]]), float(y[i[k]]))
                )
            if pair.last_s < time_s or pair.seen == 0:
                pair.seen += 1
            pair.last_s = time_s
            if ttc[k] < pair.ttc_s:
                pair.ttc_s, pair.at_s, pair.ground_m = float(ttc[k]), time_s, (float(x[i[k]]), float(y[i[k]]))

    def _approach(self, discs: npt.NDArray[np.float64], owner: npt.NDArray[np.int64]) -> None:
        """The distances to which the pairs under watch come."""
        for (first, second), pair in self._pairs.items():
            a, b = discs[discs[:, 5] == first], discs[discs[:, 5] == second]
            if len(a) and len(b):
                gap = (
                    np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
                    - a[:, None, 2]
                    - b[None, :, 2]
                )
                pair.nearest_m = min(pair.nearest_m, float(gap.min()))


def _moment(time_s: float, actors: Sequence[Vehicle | Pedestrian], driving_ms: float) -> _Moment:
    rows = [(a.x, a.y, np.cos(a.heading), np.sin(a.heading), a.shape.length_m, a.shape.width_m) for a in actors]
    moving = [a.speed >= (driving_ms if isinstance(a, Vehicle) else LEAST_WALKING_MS) for a in actors]
    numbers = np.array([a.number for a in actors], np.int64)
    return _Moment(time_s, numbers, np.array(rows, np.float64).reshape(-1, 6), np.array(moving, bool))


def _post_encroachments(moments: Sequence[_Moment], crossing_deg: float) -> list[tuple[int, int, float]]:
    """(number of the first on a piece of ground, row at the last moment of the second, PET) of all pairs that meet so now.

    The moments of leaving and of coming are interpolated from how far the two rectangles overlap.
    """
    now, before = moments[-1], moments[-2]
    numbers = np.unique(np.concatenate([moment.numbers for moment in moments]))
    places = np.full((len(moments), len(numbers), 6), np.nan)
    moving = np.zeros((len(moments), len(numbers)), bool)
    for m, moment in enumerate(moments):
        columns = np.searchsorted(numbers, moment.numbers)
        places[m, columns], moving[m, columns] = moment.bodies, moment.moving
    reach_m = (np.nanmax(places[..., 4], axis=0)[:, None] + now.bodies[:, 4]) / 2 + 2.0
    away_m = places[:, :, None, :2] - now.bodies[:, :2]
    near = (np.abs(away_m) < reach_m[..., None]).all(axis=3).any(axis=0) & now.moving
    near[np.searchsorted(numbers, now.numbers), np.arange(len(now.numbers))] = False
    firsts, rows = np.nonzero(near)
    apart = _apart_m(places[:, firsts], now.bodies[rows])
    on_it = apart <= 0
    last = len(moments) - 1 - on_it[::-1].argmax(axis=0)
    found = []
    for k in np.flatnonzero(on_it.any(axis=0) & ~on_it[-1]).tolist():
        m, first, row = last[k], firsts[k], rows[k]
        there, comes = places[m, first], now.bodies[row]
        cosine = float(there[2:4] @ comes[2:4])
        if not moving[m, first] or not -np.cos(0.1) < cosine < np.cos(np.radians(crossing_deg)):
            continue
        left_s, came_s = moments[m].time_s, now.time_s
        if np.isfinite(apart[m + 1, k]):
            left_s += _share(apart[m, k], apart[m + 1, k]) * (moments[m + 1].time_s - left_s)
        was = before.bodies[before.numbers == now.numbers[row]]
        if len(was):
            outside_m = float(_apart_m(there, was[0]))
            if outside_m <= 0:
                continue  # was there already
            came_s -= _share(apart[m, k], outside_m) * (came_s - before.time_s)
        found.append((int(numbers[first]), int(row), max(came_s - left_s, 0.0)))
    return found


def _share(inside_m: float, outside_m: float) -> float:
    """How much of the way from inside to outside lies inside."""
    return float(inside_m / (inside_m - outside_m))


def _apart_m(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """How far two rectangles (…, 6) are apart, along that of their four axes along which it is most; negative where they overlap.

    Separating axis theorem: convex bodies are apart if and only if they are along one of these axes.
    """
    dx, dy = b[..., 0] - a[..., 0], b[..., 1] - a[..., 1]
    cos = np.abs(a[..., 2] * b[..., 2] + a[..., 3] * b[..., 3])
    sin = np.abs(a[..., 2] * b[..., 3] - a[..., 3] * b[..., 2])
    found = []
    for one, other in ((a, b), (b, a)):
        along = np.abs(dx * one[..., 2] + dy * one[..., 3])
        aside = np.abs(dy * one[..., 2] - dx * one[..., 3])
        length, width = other[..., 4], other[..., 5]
        found.append(along - (one[..., 4] + length * cos + width * sin) / 2)
        found.append(aside - (one[..., 5] + length * sin + width * cos) / 2)
    return np.asarray(np.maximum.reduce(found), np.float64)


def _discs(vehicles: list[Vehicle], walking: list[Pedestrian]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """Discs (N, 6) of x, y, radius, vx, vy, number, and the index of the actor that owns each."""
    rows: list[tuple[float, ...]] = []
    owner: list[int] = []
    for index, v in enumerate(vehicles):
        c, s = float(np.cos(v.heading)), float(np.sin(v.heading))
        radius = v.width / 2
        count = max(int(np.ceil(v.length / (2.2 * radius))), 1)
        reach = v.length / 2 - radius
        for k in range(count):
            offset = reach * (2 * k / (count - 1) - 1) if count > 1 else 0.0
            rows.append((v.x + offset * c, v.y + offset * s, radius, v.speed * c, v.speed * s, v.number))
            owner.append(index)
    for index, p in enumerate(walking):
        c, s = float(np.cos(p.heading)), float(np.sin(p.heading))
        rows.append((p.x, p.y, 0.25, p.speed * c, p.speed * s, p.number))
        owner.append(len(vehicles) + index)
    return np.array(rows).reshape(-1, 6), np.array(owner, dtype=np.int64)
