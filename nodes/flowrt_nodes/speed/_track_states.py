"""What `speed` remembers of each track between pictures, by name: the columns of its table, gathered for one picture's tracks."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from flowrt import VEHICLES, Ints, Tracks
from flowrt.traffic.geometry.camera_view import cut_off
from flowrt.traffic.geometry.footprint import LENGTH_SPREAD, usual_lengths_m
from flowrt.traffic.geometry.plane import Array
from flowrt.traffic.rules.track_table import Column, TrackTable

STANDING_M_S = 1.0
"""Below this speed a movement gives no heading."""
LENGTH_TOLERANCE, FULL_HEIGHT = 0.3, 0.85
"""A measured length that differs by more than this share from the usual one is that of a part, or of another object; so is that of a
vehicle that shows less than the second share of its height."""
REPEATED_ERRORS, LENGTH_ERROR_M = 20.0, 0.15
"""A detector's length errors last for this many pictures of a moving vehicle, and are at least this large."""

TRACK_COLUMNS: dict[str, Column] = {
    "state": (np.float64, (4,), 0.0),
    "covariance": (np.float64, (4, 4), 0.0),
    "heading": (np.float64, (2,), np.nan),
    "offset_m": (np.float64, (2,), np.nan),
    "seen_s": (np.float64, (), np.nan),
    "measured_s": (np.float64, (), np.nan),
    "begun_s": (np.float64, (), np.nan),
    "measurements": (np.float64, (), 0.0),
    "peak_significance": (np.float64, (), 0.0),
    "turn_rate": (np.float64, (), 0.0),
    "heading_covariance": (np.float64, (3,), (np.pi, 0.0, 0.0)),
    "length_sum": (np.float64, (), 0.0),
    "length_weight": (np.float64, (), 0.0),
}
"""The table's columns: dtype, shape of one entry, and the value of a new track. Names as in `TrackStates`."""


@dataclass
class TrackStates:
    """The tracks of one picture, components first, tracks last.

    state: (4, N) position in m and velocity in m/s; covariance: (4, 4, N) of it. heading: (2, N) unit vectors, NaN where unknown.
    offset_m: (2, N) from the ground point of the box's bottom centre to the middle of the footprint. seen_s, measured_s: (N,) when
    the track was last seen, and last measured; begun_s: (N,) since when it is measured; measurements: (N,) how often.
    peak_significance: (N,) the highest speed over its standard deviation while it headed this way. turn_rate: (N,) in rad/s; heading_covariance: (3, N), see
    `_heading_filter`. length_sum, length_weight: (N,) measured lengths, weighted by their inverse variance, and those weights.
    """

    state: Array
    covariance: Array
    heading: Array
    offset_m: Array
    seen_s: Array
    measured_s: Array
    begun_s: Array
    measurements: Array
    peak_significance: Array
    turn_rate: Array
    heading_covariance: Array
    length_sum: Array
    length_weight: Array

    @classmethod
    def load(cls, table: TrackTable, rows: Ints) -> TrackStates:
        """Copies of these rows of a table with `TRACK_COLUMNS`."""
        return cls(
            *(np.ascontiguousarray(np.moveaxis(table[each.name].take(rows, axis=0), 0, -1)) for each in fields(cls))
        )

    def store(self, table: TrackTable, rows: Ints) -> None:
        """Write the rows back."""
        for each in fields(self):
            table[each.name][rows] = np.moveaxis(getattr(self, each.name), -1, 0)

    @property
    def speed_m_s(self) -> Array:
        """(N,): length of the velocity."""
        return np.asarray(np.hypot(self.state[2], self.state[3]), np.float64)

    def lengths(self, tracks: Tracks) -> tuple[Array, Array]:
        """(N,) twice: lengths in metres from the usual and the measured ones, each weighted by its inverse variance, and their
        standard deviations."""
        usual_m = usual_lengths_m(tracks)
        usual_weight = 1.0 / (LENGTH_SPREAD * usual_m) ** 2
        length_m = (usual_weight * usual_m + self.length_sum) / (usual_weight + self.length_weight)
        lowest_m, highest_m = (1 - LENGTH_TOLERANCE) * usual_m, (1 + LENGTH_TOLERANCE) * usual_m
        return np.clip(length_m, lowest_m, highest_m), (usual_weight + self.length_weight) ** -0.5

    def learn_lengths(self, tracks: Tracks, length_m: Array, sigma_m: Array, visible_height: Array) -> None:
        """Add the lengths (N,) that a detector measures of whole, moving vehicles.

        Of a standing vehicle it measures the same again and again, with the same error.
        """
        moving = self.speed_m_s > STANDING_M_S
        plausible = np.abs(length_m / usual_lengths_m(tracks) - 1.0) < LENGTH_TOLERANCE
        whole = plausible & (visible_height > FULL_HEIGHT) & ~cut_off(tracks)
        usable = moving & whole & tracks.of_class(VEHICLES) & np.isfinite(self.heading[0])
        weight = np.where(usable, 1.0 / (REPEATED_ERRORS * sigma_m**2 + LENGTH_ERROR_M**2), 0.0)
        self.length_weight += weight
        self.length_sum += weight * np.where(usable, length_m, 0.0)
