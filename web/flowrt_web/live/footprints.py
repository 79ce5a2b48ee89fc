"""Where road users stand, drawn into the picture: a rectangle on the ground, seen through the scene's homography."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowrt import PEDESTRIANS, Tracks
from flowrt.traffic.scene import Scene

LENGTHS_M = {"car": 4.45, "van": 5.2, "truck": 7.8, "bus": 11.2, "motorcycle": 2.05, "bicycle": 1.75}
WIDTHS_M = {"motorcycle": 0.8, "bicycle": 0.6, "truck": 2.45, "bus": 2.55}
USUAL_M = 4.45, 1.8
PERSON_M = 0.5


def footprints(tracks: Tracks, scene: Scene | None) -> list[Any]:
    """By track, four corners in the picture, or None where position or direction is not known."""
    nothing: list[Any] = [None] * len(tracks)
    if scene is None or not len(tracks):
        return nothing
    matrix = scene.scaled(tracks.picture_px).to_ground
    if matrix is None:
        return nothing
    to_picture = np.linalg.inv(matrix)
    for i, label in enumerate(tracks.label):
        x, y = tracks.ground_m[i]
        heading = tracks.heading_deg[i]
        if not np.isfinite([x, y]).all() or not (np.isfinite(heading) or label in PEDESTRIANS):
            continue
        length = tracks.length_m[i] if np.isfinite(tracks.length_m[i]) else LENGTHS_M.get(label, USUAL_M[0])
        width = WIDTHS_M.get(label, USUAL_M[1])
        if label in PEDESTRIANS:
            length = width = PERSON_M
        angle = np.deg2rad(heading) if np.isfinite(heading) else 0.0
        along = np.array([np.cos(angle), np.sin(angle)]) * length / 2
        across = np.array([-np.sin(angle), np.cos(angle)]) * width / 2
        corners = np.array([x, y]) + np.array([along + across, along - across, -along - across, -along + across])
        seen = np.column_stack([corners, np.ones(4)]) @ to_picture.T
        if (seen[:, 2] * seen[0, 2] <= 0).any():  # behind the horizon
            continue
        nothing[i] = np.round(seen[:, :2] / seen[:, 2:], 1).tolist()
    return nothing
