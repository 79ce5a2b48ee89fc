"""Who stands still, from positions alone: more robust against a jumping speed than a threshold on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowrt import Tracks
from flowrt_nodes._footprint import sizes_m
from flowrt_nodes._geometry import Array
from flowrt_nodes._tracktable import Column, TrackTable
from flowrt_nodes._view import View

REST_COLUMNS: dict[str, Column] = {
    "rest_at": (np.float64, (2,), np.nan),
    "rest_since_s": (np.float64, (), np.nan),
}


def resting_since(
    table: TrackTable, rows: NDArray[np.int64], tracks: Tracks, view: View, slower_than_kmh: float, radius_m: float
) -> Array:
    """(N,): since when each object has been at rest; NaN while it moves.

    At rest: within `radius_m` of where it was, and, where the speed is known, slower than `slower_than_kmh`.
    Without a homography, metres come from the box's height and the usual height of the class.
    """
    if view.metric:
        places, scale = view.ground_m(tracks), np.ones(len(tracks))
    else:
        height = np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0)
        places, scale = np.asarray(tracks.ground_px, np.float64), sizes_m(tracks)[:, 2] / height
    off = places - table["rest_at"][rows]
    away = np.hypot(off[:, 0], off[:, 1]) * scale
    speed: Any = tracks.speed_kmh
    moved = ~(away <= radius_m) | (speed > slower_than_kmh)
    table["rest_at"][rows] = np.where(moved[:, None], places, table["rest_at"][rows])
    since_s = np.where(moved, tracks.time_s, table["rest_since_s"][rows])
    table["rest_since_s"][rows] = since_s
    return np.where(moved, np.nan, since_s)
