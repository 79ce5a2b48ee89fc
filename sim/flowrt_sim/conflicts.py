"""Surrogate safety measures between road users: time to collision and post-encroachment time.

TTC: the time until two footprints would touch if both kept their present velocities. PET: the time between one road user
leaving a spot and another, from a direction at least 30 degrees different, reaching it. Both as in FHWA's Surrogate Safety
Assessment Model; footprints are rows of discs for TTC and cells of 0.5 m for PET.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from flowrt_sim.actors import Vehicle, Walker

CELL_M = 0.5
HALF_M = 75.0
CELLS = int(2 * HALF_M / CELL_M)
KEEP_S = 5.0
LEAST_CLOSING_MS = 3.0
"""Who closes slower has no TTC, and a vehicle that is slower no PET: it rolls behind somebody, or lets him pass."""
LEAST_WALKING_MS = 0.3
LEAST_ANGLE_RAD = float(np.radians(30))
TOUCH_M = 1.5
"""A predicted collision counts only if the two really came this near."""


@dataclass(frozen=True)
class Conflict:
    """A pair of road users: `actor` is a vehicle, `other` anybody; least TTC and PET in s (infinite if none)."""

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
    told: bool = False


class Conflicts:
    """Keeps the running measures; `watch` returns the conflicts that are complete at this time, each pair's once.

    For PET that is when a pair's first falls to `pet_s`: of the pieces of ground that two share, the first need not be the one
    at which they come nearest.
    """

    def __init__(self, ttc_s: float, pet_s: float = KEEP_S) -> None:
        self.ttc_s, self.pet_s = ttc_s, pet_s
        self._who = np.full((CELLS, CELLS), -1, np.int64)
        self._when = np.full((CELLS, CELLS), -1e9)
        self._heading = np.zeros((CELLS, CELLS))
        self._pairs: dict[tuple[int, int], _Pair] = {}
        self._numbers: set[int] = set()
        self._told: dict[tuple[int, int], None] = {}

    def watch(self, time_s: float, vehicles: Sequence[Vehicle], walkers: Sequence[Walker]) -> list[Conflict]:
        """Measure one moment."""
        self._numbers = {v.number for v in vehicles}
        near = [v for v in vehicles if max(abs(v.x), abs(v.y)) < HALF_M - 8]
        people = [w for w in walkers if w.crossing and max(abs(w.x), abs(w.y)) < HALF_M - 8]
        found = self._encroach(time_s, near, people)
        found.extend(self._predict(time_s, near, people))
        return found

    def _encroach(self, time_s: float, vehicles: list[Vehicle], people: list[Walker]) -> list[Conflict]:
        found: list[Conflict] = []
        actors: list[Vehicle | Walker] = [*vehicles, *people]
        for actor in actors:
            if actor.speed < (LEAST_CLOSING_MS if isinstance(actor, Vehicle) else LEAST_WALKING_MS):
                rows, columns = _cells(actor)
                self._who[rows, columns] = -1
                continue
            rows, columns = _cells(actor)
            who, when = self._who[rows, columns], self._when[rows, columns]
            fresh = (who != actor.number) & (who >= 0) & (time_s - when <= KEEP_S)
            if fresh.any():
                turn = np.abs((self._heading[rows, columns] - actor.heading + np.pi) % (2 * np.pi) - np.pi)
                fresh &= (turn > LEAST_ANGLE_RAD) & (turn < np.pi - 0.1)
                for other in np.unique(who[fresh]):
                    pet = float((time_s - when[fresh & (who == other)]).min())
                    found.extend(self._pet(time_s, actor, int(other), pet))
            self._who[rows, columns], self._when[rows, columns] = actor.number, time_s
            self._heading[rows, columns] = actor.heading
        return found

    def _pet(self, time_s: float, actor: Vehicle | Walker, other: int, pet: float) -> list[Conflict]:
        on_foot = actor.number not in self._numbers and other not in self._numbers
        if on_foot or pet > self.pet_s or not self._is_new(actor.number, other):
            return []
        vehicle, second = (actor.number, other) if isinstance(actor, Vehicle) else (other, actor.number)
        return [Conflict(vehicle, second, np.inf, pet, time_s - pet, time_s, (actor.x, actor.y))]

    def _is_new(self, first: int, second: int) -> bool:
        key = (min(first, second), max(first, second))
        if key in self._told:
            return False
        self._told[key] = None
        if len(self._told) > 4000:
            self._told = dict.fromkeys(list(self._told)[2000:])
        return True

    def _predict(self, time_s: float, vehicles: list[Vehicle], people: list[Walker]) -> list[Conflict]:
        discs, owner = _discs(vehicles, people)
        if len(discs) > 1:
            self._collide(time_s, discs, owner, len(vehicles))
        done = [key for key, pair in self._pairs.items() if time_s - pair.last_s > 2.0]
        found = []
        for key in done:
            pair = self._pairs.pop(key)
            if pair.seen >= 3 and pair.nearest_m <= TOUCH_M and self._is_new(*key):
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
        hit = (b < 0) & (root > 0) & (a > LEAST_CLOSING_MS**2) & (c > 0)
        ttc = np.where(hit, c / np.maximum(-b + np.sqrt(np.maximum(root, 0)), 1e-9), np.inf)
        for k in np.flatnonzero(ttc <= self.ttc_s):
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
        """How near the pairs under watch really come."""
        for (first, second), pair in self._pairs.items():
            a, b = discs[discs[:, 5] == first], discs[discs[:, 5] == second]
            if len(a) and len(b):
                gap = (
                    np.hypot(a[:, None, 0] - b[None, :, 0], a[:, None, 1] - b[None, :, 1])
                    - a[:, None, 2]
                    - b[None, :, 2]
                )
                pair.nearest_m = min(pair.nearest_m, float(gap.min()))


def _cells(actor: Vehicle | Walker) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Grid rows and columns below a footprint."""
    length, width = actor.shape.length_m, actor.shape.width_m
    along = np.linspace(-length / 2, length / 2, max(int(length / 0.4) + 1, 2))
    across = np.linspace(-width / 2, width / 2, max(int(width / 0.4) + 1, 2))
    c, s = np.cos(actor.heading), np.sin(actor.heading)
    x = (actor.x + c * along[:, None] - s * across[None, :]).ravel()
    y = (actor.y + s * along[:, None] + c * across[None, :]).ravel()
    return ((y + HALF_M) / CELL_M).astype(np.intp), ((x + HALF_M) / CELL_M).astype(np.intp)


def _discs(vehicles: list[Vehicle], people: list[Walker]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
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
    for index, w in enumerate(people):
        c, s = float(np.cos(w.heading)), float(np.sin(w.heading))
        rows.append((w.x, w.y, 0.25, w.speed * c, w.speed * s, w.number))
        owner.append(len(vehicles) + index)
    return np.array(rows).reshape(-1, 6), np.array(owner, dtype=np.int64)
