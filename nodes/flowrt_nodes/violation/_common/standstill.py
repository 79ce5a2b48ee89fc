"""Standstill from positions: a box that jumps disturbs it less than it does a threshold on the speed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowrt import CameraView, Tracks
from flowrt.traffic.geometry.footprint import sizes_m
from flowrt.traffic.geometry.plane import Array
from flowrt.traffic.rules.track_table import Column, TrackTable

STANDSTILL_COLUMNS: dict[str, Column] = {
    "stopped_at": (np.float64, (2,), np.nan),
    "stopped_since_s": (np.float64, (), np.nan),
}


def standstill_since(
    table: TrackTable,
    rows: NDArray[np.int64],
    tracks: Tracks,
    view: CameraView,
    slower_than_kmh: float,
    radius_m: float,
) -> Array:
    """(N,): since when each object has stood; NaN while it moves.

    It stands while it stays within `radius_m` of one place, and is not faster than `slower_than_kmh` by more than the speed's
    uncertainty.
    """
    places = places_of(tracks, view)
    away = away_m(tracks, view, table["stopped_at"].take(rows, axis=0))
    moves = ~(away <= radius_m) | (tracks.speed_kmh - np.nan_to_num(tracks.speed_sigma_kmh) > slower_than_kmh)
    table["stopped_at"][rows[moves]], table["stopped_since_s"][rows[moves]] = places[moves], tracks.time_s
    since_s = table["stopped_since_s"].take(rows)
    since_s[moves] = np.nan
    return since_s


def away_m(tracks: Tracks, view: CameraView, stopped_at: Array) -> Array:
    """(N,): how far each object is from a place as the column `stopped_at` remembers it, (N, 2) or (2,).

    Without a homography, metres come from the box's height and the usual height of the class.
    """
    off = places_of(tracks, view) - stopped_at
    return np.asarray(np.hypot(off[:, 0], off[:, 1]) * metres(tracks, view), np.float64)


def places_of(tracks: Tracks, view: CameraView) -> Array:
    """(N, 2): where each object is: in metres, or in pixels where there is no homography."""
    return view.ground_m(tracks) if view.metric else np.asarray(tracks.ground_px, np.float64)


def metres(tracks: Tracks, view: CameraView) -> Array:
    """(N,): metres that a unit of `places_of` is, where each object is."""
    if view.metric:
        return np.ones(len(tracks))
    return np.asarray(
        sizes_m(tracks)[:, 2] / np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0), np.float64
    )
