"""Where tracks were before they were confirmed: a tracker tells of a road user some pictures after the first that showed it."""

from __future__ import annotations

import numpy as np

from flowrt import Tracks
from flowrt.traffic.geometry.per_frame import per_frame
from flowrt.traffic.geometry.plane import Array

CONFIRMED_S = 3.0
"""No tracker needs longer; a memory that begins later has forgotten the track meanwhile."""
DRIVEN = 0.5
"""The movement in the picture explains at least this share of the way; else a box has changed, as that of a rider whose machine was
found in the second picture."""


@per_frame
def way_px(tracks: Tracks) -> Array:
    """(N, 2): how far each has moved in the picture since the first that showed it, `age_s` ago; NaN where that is not known."""
    if tracks.first_boxes_px is None:
        return np.full((len(tracks), 2), np.nan)
    first = np.asarray(tracks.first_boxes_px, np.float64)
    feet = np.column_stack(((first[:, 0] + first[:, 2]) / 2, first[:, 3]))
    way = np.asarray(tracks.ground_px, np.float64) - feet
    driven = tracks.velocity_px_s * tracks.age_s[:, None]
    along = (driven * way).sum(axis=1)
    known = (tracks.age_s > 0) & (tracks.age_s <= CONFIRMED_S) & (along >= DRIVEN * (way**2).sum(axis=1))
    return np.where(known[:, None], way, np.nan)
