"""Road users as bodies on the ground, and the time to collision (TTC) of pairs of them.

TTC: when two would touch if both kept their present velocities. A vehicle is three discs of its width along its length, a pedestrian
one disc. Source: SSAM, Gettman et al., Surrogate Safety Measures from Traffic Simulation Models, FHWA-RD-03-050.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowrt import PEDESTRIANS, VEHICLES, CameraView, Tracks
from flowrt.traffic.geometry.camera_view import cut_off, heading_vectors
from flowrt.traffic.geometry.footprint import CYCLES, TWO_WHEELERS, sizes_m
from flowrt.traffic.geometry.plane import Array, Mask

# Margins: docs/rules.md says what each is for.
MOVING_M_S = 0.4
DRIVING_M_S, RIDING_M_S = 2.0, 2.6
YOUNG_S = 0.7


class Bodies:
    """The bodies of a picture's objects on the ground. Rows without a certain position or velocity, or cut off, are `unknown`.

    driving: which are surely driving, not rolling or walking; a rule may narrow it.
    """

    def __init__(self, tracks: Tracks, view: CameraView) -> None:
        self.tracks = tracks
        self.place = view.ground_m(tracks)
        self.velocity = np.asarray(tracks.velocity_m_s, np.float64)
        self.heading = heading_vectors(tracks)
        self.size = sizes_m(tracks)
        known = view.reliable(tracks) & np.isfinite(self.velocity).all(axis=1)
        young = tracks.age_s < YOUNG_S
        self.unknown: Mask = ~(np.isfinite(self.place).all(axis=1) & known) | cut_off(tracks) | young
        self.speed = np.hypot(self.velocity[:, 0], self.velocity[:, 1])
        self.pedestrian = tracks.of_class(PEDESTRIANS)
        self.vehicle = tracks.of_class(VEHICLES)
        self.riding = tracks.of_class(TWO_WHEELERS)
        least = np.where(tracks.of_class(CYCLES), RIDING_M_S, DRIVING_M_S)
        self.driving: Mask = ~self.pedestrian & (self.speed - np.nan_to_num(tracks.speed_sigma_kmh) / 3.6 > least)

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
    first = np.flatnonzero(fit & bodies.vehicle & (bodies.speed > MOVING_M_S))
    others: Mask = fit & (bodies.pedestrian | bodies.vehicle if vehicles else bodies.pedestrian)
    second = np.flatnonzero(others)
    if not len(first) or not len(second):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    apart = bodies.place[second][None, :, :] - bodies.place[first][:, None, :]
    distance = np.hypot(apart[..., 0], apart[..., 1])
    reach = (bodies.size[first, :1] / 2) + (bodies.size[second, 0] / 2)[None, :]
    reach = reach + within_s * (bodies.speed[first][:, None] + bodies.speed[second][None, :])
    near = (distance < reach) & (first[:, None] != second[None, :])
    a, b = np.nonzero(near)
    return first[a], second[b]
