"""Encounters of road users: time to collision (TTC) and post-encroachment time (PET).

TTC: when two would touch if both went on at their present velocities. PET: the second enters a piece of ground this long
after the first has left it. Source of both: SSAM, Gettman et al., Surrogate Safety Measures from Traffic Simulation Models,
FHWA-RD-03-050. A vehicle is three discs of its width along its length, a person one disc; the ground is cells of half a metre.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowrt import PEDESTRIANS, VEHICLES, Tracks
from flowrt_nodes._footprint import TWO_WHEELERS, sizes_m
from flowrt_nodes._geometry import Array, Mask
from flowrt_nodes._view import View, cut_off, heading_vectors

CELL_M = 0.5
CELLS = 512
"""The ground is remembered on a torus of this many cells each way (256 m), so that memory is bounded."""
MOVING_M_S = 0.4
DRIVING_M_S, WALKING_M_S = 2.0, 0.8
"""Who is not surely faster has no PET, and no TTC with people on foot: a vehicle that waits for somebody or rolls behind him is no danger, and people at the kerb stand."""
CYCLES, RIDING_M_S = frozenset({"bicycle"}), 2.6
"""The same for bicycles: a slower one is as likely somebody on foot who looks like a rider."""
YOUNG_S = 0.7
"""Of who was not followed for this long, place and heading are guesses."""
CROSSING_COSINE = float(np.cos(np.radians(30.0)))
"""Paths at a smaller angle follow each other (SSAM's rear-end conflicts), and have no PET."""
OPPOSED_COSINE = -float(np.cos(0.1))
"""Nor have those who meet head on: nobody enters the ground that the other has left."""
STEP_S = 0.1
"""Who is where is put on the ground in steps this long, as SSAM's simulations do; between pictures where the velocity says."""
PAUSE_S = 0.5
"""Within a longer pause between pictures nobody knows where somebody was."""
VEHICLE_CELLS = np.array([(x, y) for x in np.linspace(-0.5, 0.5, 10) for y in np.linspace(-0.5, 0.5, 4)])
PERSON_CELLS = np.array([(x, y) for x in (-0.5, 0.5) for y in (-0.5, 0.5)])
"""Points of a footprint, as shares of length and width, whose cells it covers."""


class Bodies:
    """The bodies of a picture's objects on the ground. Rows without a known position or velocity, or cut off, are `unknown`."""

    def __init__(self, tracks: Tracks, view: View) -> None:
        self.tracks = tracks
        self.place = view.ground_m(tracks)
        self.velocity = np.asarray(tracks.velocity_m_s, np.float64)
        self.heading = heading_vectors(tracks)
        self.size = sizes_m(tracks)
        sure = view.sure(tracks) & np.isfinite(self.velocity).all(axis=1)
        young = tracks.age_s < YOUNG_S
        self.unknown: Mask = ~(np.isfinite(self.place).all(axis=1) & sure) | cut_off(tracks) | young
        self.pace = np.hypot(self.velocity[:, 0], self.velocity[:, 1])
        self.pedestrian = tracks.of_class(PEDESTRIANS)
        self.vehicle = tracks.of_class(VEHICLES)
        self.riding = tracks.of_class(TWO_WHEELERS)
        least = np.where(tracks.of_class(CYCLES), RIDING_M_S, DRIVING_M_S)
        self.driving: Mask = ~self.pedestrian & (self.pace - np.nan_to_num(tracks.speed_sigma_kmh) / 3.6 > least)

    def discs(self, rows: NDArray[np.int64]) -> tuple[Array, Array]:
        """(K, 3, 2) middles and (K,) radius of the discs of these rows."""
        radius = self.size[rows, 1] / 2
        reach = np.maximum(self.size[rows, 0] / 2 - radius, 0.0)
        ahead = self.heading[rows]
        ahead = np.where(np.isnan(ahead), 0.0, ahead)
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
        self._left_s = np.full(CELLS * CELLS, -np.inf)
        self._who = np.full(CELLS * CELLS, -1, np.int64)
        self._on_foot = np.zeros(CELLS * CELLS, bool)
        self._heading = np.zeros((CELLS * CELLS, 2))
        self._seen_s = -np.inf

    def step_on(self, bodies: Bodies, longest_s: float, vehicles: bool) -> list[tuple[int, int, float]]:
        """Put everybody who moves on the ground. (row, track id of who was there before, PET) for each that came after another.

        Only paths that cross at more than 30 degrees and don't meet head on, and only encounters of a person with a vehicle, or
        with `vehicles` of two vehicles. The time between pictures is gone through in steps, so that a PET is no multiple of it.
        """
        now_s = bodies.tracks.time_s
        since_s = now_s - self._seen_s if now_s - self._seen_s <= PAUSE_S else 0.0
        self._seen_s = now_s
        steps = max(round(since_s / STEP_S), 1)
        fit = ~bodies.unknown & np.isfinite(bodies.heading[:, 0])
        walking = np.flatnonzero(fit & bodies.pedestrian & (bodies.pace > WALKING_M_S))
        driving = np.flatnonzero(fit & bodies.driving)
        found: dict[tuple[int, int], float] = {}
        for step in reversed(range(steps)):
            for rows, grid in ((driving, VEHICLE_CELLS), (walking, PERSON_CELLS)):
                if len(rows):
                    self._step(bodies, rows, grid, since_s / steps * step, longest_s, vehicles, found)
        return [(row, other, gap) for (row, other), gap in found.items()]

    def _step(
        self,
        bodies: Bodies,
        rows: NDArray[np.int64],
        grid: Array,
        ago_s: float,
        longest_s: float,
        vehicles: bool,
        found: dict[tuple[int, int], float],
    ) -> None:
        now_s, on_foot = bodies.tracks.time_s - ago_s, bool(bodies.pedestrian[rows[0]])
        heading, size = bodies.heading[rows], bodies.size[rows]
        forward, aside = grid[:, 0] * size[:, :1], grid[:, 1] * size[:, 1:2]
        place = bodies.place[rows] - ago_s * bodies.velocity[rows]
        x = place[:, :1] + forward * heading[:, :1] - aside * heading[:, 1:]
        y = place[:, 1:] + forward * heading[:, 1:] + aside * heading[:, :1]
        column, row = (np.floor(axis / CELL_M).astype(np.int64) & (CELLS - 1) for axis in (x, y))
        cells = row * CELLS + column
        ids = bodies.tracks.track_id[rows]
        before, gap_s = self._who[cells], now_s - self._left_s[cells]
        # Who seems to be on the same cell at the same time is placed worse than the two were apart: that is no measure.
        earlier = gap_s > 1e-6
        met = (gap_s <= longest_s + 1e-6) & (before != ids[:, None]) & earlier
        if met.any():
            was_on_foot = self._on_foot[cells]
            met &= (was_on_foot != on_foot) if not vehicles or on_foot else True
            n, k = np.nonzero(met)
            there = cells[n, k]
            cosine = (self._heading[there] * heading[n]).sum(axis=1)
            crossing = (cosine < CROSSING_COSINE) & (cosine > OPPOSED_COSINE)
            for i in np.flatnonzero(crossing).tolist():
                key = (int(rows[n[i]]), int(before[n[i], k[i]]))
                found[key] = min(found.get(key, np.inf), float(gap_s[n[i], k[i]]))
        self._left_s[cells], self._who[cells], self._on_foot[cells] = now_s, ids[:, None], on_foot
        self._heading[cells] = heading[:, None, :]


class Approach:
    """A pair that was predicted to collide: from when to when, the shortest TTC and when, and how near they really came."""

    __slots__ = ("at_s", "first_s", "last_s", "nearest_m", "ttc_s")

    def __init__(self, time_s: float) -> None:
        self.first_s = self.last_s = self.at_s = time_s
        self.ttc_s = self.nearest_m = np.inf

    def predicted(self, time_s: float, ttc_s: float) -> None:
        """Another picture predicts a collision."""
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
