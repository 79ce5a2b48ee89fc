"""Who stands still, from positions alone: more robust against a jumping speed than a threshold on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowrt import Tracks
from flowrt_nodes._lib.camera_view import CameraView
from flowrt_nodes._lib.footprint import sizes_m
from flowrt_nodes._lib.geometry import Array
from flowrt_nodes._lib.track_table import Column, TrackTable

STANDSTILL_COLUMNS: dict[str, Column] = {
    "rest_at": (np.float64, (2,), np.nan),
    "rest_since_s": (np.float64, (), np.nan),
}


def standstill_since(
    table: TrackTable,
    rows: NDArray[np.int64],
    tracks: Tracks,
    view: CameraView,
    slower_than_kmh: float,
    radius_m: float,
) -> Array:
    """(N,): since when each object has been at rest; NaN while it moves.

    At rest: within `radius_m` of where it was, and not surely faster than `slower_than_kmh`.
    """
    places = _places(tracks, view)
    away = away_m(tracks, view, table["rest_at"].take(rows, axis=0))
    surely: Any = tracks.speed_kmh - np.nan_to_num(tracks.speed_sigma_kmh)
    moved = ~(away <= radius_m) | (surely > slower_than_kmh)
    gone = np.flatnonzero(moved)
    there = rows.take(gone)
    table["rest_at"][there], table["rest_since_s"][there] = places.take(gone, axis=0), tracks.time_s
    since_s = table["rest_since_s"].take(rows)
    since_s[gone] = np.nan
    return since_s


def away_m(tracks: Tracks, view: CameraView, rest_at: Array) -> Array:
    """(N,): how far each object is from a place as `rest_at` remembers it, (N, 2) or (2,).

    Without a homography, metres come from the box's height and the usual height of the class.
    """
    off = _places(tracks, view) - rest_at
    away = np.hypot(off[:, 0], off[:, 1])
    if not view.metric:
        away = away * sizes_m(tracks)[:, 2] / np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0)
    return np.asarray(away, np.float64)


def _places(tracks: Tracks, view: CameraView) -> Array:
    return view.ground_m(tracks) if view.metric else np.asarray(tracks.ground_px, np.float64)
