"""Encounters of road users: time to collision (TTC) and post-encroachment time (PET).

TTC: when two would touch if both went on at their present velocities. PET: the second enters a piece of ground this long
after the first has left it. Source of both: SSAM, Gettman et al., Surrogate Safety Measures from Traffic Simulation Models,
FHWA-RD-03-050. A vehicle is three discs of its width along its length, a person one disc; the ground is cells of half a metre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowrt import PEDESTRIANS, VEHICLES, Tracks
from flowrt_nodes._footprint import sizes_m
from flowrt_nodes._geometry import Array, Mask
from flowrt_nodes._view import View, heading_vectors

CELL_M = 0.5
CELLS = 512
"""The ground is remembered on a torus of this many cells each way (256 m), so that memory is bounded."""
MOVING_M_S = 0.4
DRIVING_M_S = 2.0
"""Slower vehicles have no PET: who waits for somebody, or rolls behind him, is no danger."""
UNSURE_KMH = 8.0
"""Objects whose speed is known worse are left out: their place is a guess too."""
CROSSING_DEG = 30.0
"""Paths at a smaller angle follow each other (SSAM's rear-end conflicts), and have no PET."""


class Bodies:
    """The bodies of a picture's objects on the ground. Rows without a known position or velocity, or cut off, are `unknown`."""

    def __init__(self, tracks: Tracks, view: View) -> None:
        self.tracks = tracks
        self.place = view.ground_m(tracks)
        self.velocity = np.asarray(tracks.velocity_m_s, np.float64)
        self.heading = heading_vectors(tracks)
        self.size = sizes_m(tracks)
        sure = (tracks.speed_sigma_kmh < UNSURE_KMH) & np.isfinite(self.velocity).all(axis=1)
        box, (width, height) = tracks.boxes_px, tracks.picture_px
        whole = (box[:, 0] > 1.5) & (box[:, 2] < width - 1.5) & (box[:, 3] < height - 1.5)
        self.unknown: Mask = ~(np.isfinite(self.place).all(axis=1) & sure & whole)
        self.pace = np.hypot(self.velocity[:, 0], self.velocity[:, 1])
        self.pedestrian = tracks.of_class(PEDESTRIANS)
        self.vehicle = tracks.of_class(VEHICLES)

    def discs(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """(K, 3, 2) middles and (K,) radius of the discs of these rows."""
        radius = self.size[rows, 1] / 2
        reach = np.maximum(self.size[rows, 0] / 2 - radius, 0.0)
        ahead = np.nan_to_num(self.heading[rows])
        steps = np.array([-1.0, 0.0, 1.0])[None, :, None] * (reach[:, None] * ahead)[:, None, :]
        return self.place[rows][:, None, :] + steps, radius


def times_to_collision(bodies: Bodies, first: NDArray[np.int64], second: NDArray[np.int64]) -> Array:
    """(K,): TTC in seconds of each pair of rows; inf where they never touch, 0 where they do already."""
    middles_a, radius_a = bodies.discs(first)
    middles_b, radius_b = bodies.discs(second)
    apart = (middles_b[:, None, :, :] - middles_a[:, :, None, :]).reshape(len(first), 9, 2)
    closing = (bodies.velocity[second] - bodies.velocity[first])[:, None, :]
    reach2 = ((radius_a + radius_b) ** 2)[:, None]
    # |apart + closing t|² = reach²
    a = (closing**2).sum(axis=2)
    b = (apart * closing).sum(axis=2)
    c = (apart**2).sum(axis=2) - reach2
    root = b * b - a * c
    with np.errstate(divide="ignore", invalid="ignore"):
        when = (-b - np.sqrt(root)) / a
    when = np.where((root >= 0) & (b < 0) & (a > 1e-9), np.maximum(when, 0.0), np.inf)
    return np.asarray(np.where(c <= 0, 0.0, when).min(axis=1), np.float64)


class Ground:
    """Who was last on which cell, when and along which heading."""

    def __init__(self) -> None:
        self._left_s = np.full((CELLS, CELLS), -np.inf)
        self._who = np.full((CELLS, CELLS), -1, np.int64)
        self._on_foot = np.zeros((CELLS, CELLS), bool)
        self._heading = np.zeros((CELLS, CELLS, 2), np.float32)

    def step_on(self, bodies: Bodies, longest_s: float) -> list[tuple[int, int, float]]:
        """Put everybody who moves on the ground. (row, track id of who was there before, PET) for each that came after another.

        Only paths that cross at more than 30 degrees, and only encounters of a person with a vehicle, or of two vehicles.
        """
        least = np.where(bodies.pedestrian, MOVING_M_S, DRIVING_M_S)
        moving = np.flatnonzero((bodies.pace > least) & ~bodies.unknown & np.isfinite(bodies.heading[:, 0]))
        if not len(moving):
            return []
        now_s = bodies.tracks.time_s
        along, across = np.linspace(-0.5, 0.5, 12), np.linspace(-0.5, 0.5, 5)
        grid = np.array([(x, y) for x in along for y in across])
        heading, size = bodies.heading[moving], bodies.size[moving]
        forward = grid[None, :, 0] * size[:, :1]
        aside = grid[None, :, 1] * size[:, 1:2]
        x = bodies.place[moving, :1] + forward * heading[:, :1] - aside * heading[:, 1:]
        y = bodies.place[moving, 1:] + forward * heading[:, 1:] + aside * heading[:, :1]
        i, j = (np.floor(x / CELL_M).astype(np.int64) % CELLS, np.floor(y / CELL_M).astype(np.int64) % CELLS)
        ids = bodies.tracks.track_id[moving]
        before, gap_s = self._who[i, j], now_s - self._left_s[i, j]
        cosine = np.einsum("nkc,nc->nk", self._heading[i, j], heading)
        both_walk = self._on_foot[i, j] & bodies.pedestrian[moving][:, None]
        met = (before != ids[:, None]) & (before >= 0) & (gap_s <= longest_s) & ~both_walk
        met &= np.abs(cosine) < np.cos(np.radians(CROSSING_DEG))
        found: dict[tuple[int, int], float] = {}
        for n, k in np.argwhere(met).tolist():
            key = (int(moving[n]), int(before[n, k]))
            found[key] = min(found.get(key, np.inf), float(gap_s[n, k]))
        self._left_s[i, j], self._who[i, j] = now_s, ids[:, None]
        self._on_foot[i, j] = bodies.pedestrian[moving][:, None]
        self._heading[i, j] = heading[:, None, :].astype(np.float32)
        return [(row, other, gap) for (row, other), gap in found.items()]


class Approach:
    """A pair that was predicted to collide: since when, the shortest TTC and when, and how near they really came."""

    __slots__ = ("at_s", "first_s", "last_s", "moments", "nearest_m", "ttc_s")

    def __init__(self, time_s: float) -> None:
        self.first_s = self.last_s = self.at_s = time_s
        self.ttc_s = self.nearest_m = np.inf
        self.moments = 0

    def predicted(self, time_s: float, ttc_s: float) -> None:
        """Another picture predicts a collision."""
        self.moments += 1
        self.last_s = time_s
        if ttc_s < self.ttc_s:
            self.ttc_s, self.at_s = ttc_s, time_s


def gaps_m(bodies: Bodies, first: NDArray[np.int64], second: NDArray[np.int64]) -> Array:
    """(K,): distance between the bodies of each pair of rows; negative where they overlap."""
    middles_a, radius_a = bodies.discs(first)
    middles_b, radius_b = bodies.discs(second)
    apart = middles_b[:, None, :, :] - middles_a[:, :, None, :]
    nearest = np.hypot(apart[..., 0], apart[..., 1]).reshape(len(first), 9).min(axis=1)
    return np.asarray(nearest - radius_a - radius_b, np.float64)


def near_pairs(bodies: Bodies, vehicles: bool, within_s: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows of pairs that could touch within the time: vehicle and pedestrian, and with `vehicles` two vehicles as well."""
    fit = ~bodies.unknown
    first = np.flatnonzero(fit & bodies.vehicle & (bodies.pace > MOVING_M_S))
    others: Mask = fit & (bodies.pedestrian | bodies.vehicle if vehicles else bodies.pedestrian)
    second = np.flatnonzero(others)
    if not len(first) or not len(second):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    apart = bodies.place[second][None, :, :] - bodies.place[first][:, None, :]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    reach = (bodies.size[first, :1] / 2) + (bodies.size[second, 0] / 2)[None, :]
    reach = reach + within_s * (bodies.pace[first][:, None] + bodies.pace[second][None, :])
    near = (distance < reach) & (first[:, None] != second[None, :])
    a, b = np.nonzero(near)
    return first[a], second[b]
