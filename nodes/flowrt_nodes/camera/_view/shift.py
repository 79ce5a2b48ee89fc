"""How far one picture is shifted and turned against another of the same size: by phase correlation of their parts.

Each part gives a shift of its own; a similarity that most of them agree on is the camera's movement, the others are what moved in the
picture. Phases stand other light: a street by day is recognised at night.
Source: C. Kuglin, D. Hines, The phase correlation image alignment method, 1975.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from flowrt import Floats
from flowrt_nodes._lib.cv import cv2

PART_PX = 64
ACROSS, DOWN = 6, 4
TEXTURE = 2.0
"""Standard deviation of the grey levels; parts with less show nothing that could be compared."""
RESPONSE = 0.1
"""Share of the energy within the peak; below it a shift is a guess."""
AGREE_PX = 0.5
AGREE, AGREE_SHARE = 6, 0.3
"""At least so many parts, and this share of those that show something, must agree."""
SCALE = 0.1
"""A zoom of more than this is another view."""

NONE: Floats = np.eye(2, 3, dtype=np.float32)
"""The movement of a camera that stands still."""


def between(before: Floats, now: Floats) -> Floats | None:
    """(2, 3), the movement from one picture to the other, both (height, width) float32; None where they show different things."""
    height, width = before.shape
    side = min(PART_PX, height, width)
    window = _window(side)
    places, shifts, shown = [], [], 0
    for y in np.linspace(0, height - side, DOWN).round().astype(int).tolist():
        for x in np.linspace(0, width - side, ACROSS).round().astype(int).tolist():
            one, other = before[y : y + side, x : x + side], now[y : y + side, x : x + side]
            if one.std() < TEXTURE or other.std() < TEXTURE:
                continue
            shown += 1
            shift, response = cv2.phaseCorrelate(one - one.mean(), other - other.mean(), window)
            if response >= RESPONSE:
                places.append((x + side / 2, y + side / 2))
                shifts.append(shift)
    if len(places) < AGREE:
        return None
    start = np.asarray(places, np.float32)
    movement, agree = cv2.estimateAffinePartial2D(
        start, start + np.asarray(shifts, np.float32), method=cv2.RANSAC, ransacReprojThreshold=AGREE_PX, maxIters=500
    )
    if movement is None or agree.sum() < max(AGREE, AGREE_SHARE * shown):
        return None
    if abs(float(np.hypot(movement[0, 0], movement[1, 0])) - 1.0) > SCALE:
        return None
    return np.asarray(movement, np.float32)


def after(first: Floats, then: Floats) -> Floats:
    """(2, 3): one movement after the other."""
    return np.asarray(then[:, :2] @ first + np.column_stack((np.zeros((2, 2)), then[:, 2])), np.float32)


def mean_px(movement: Floats, shape: tuple[int, ...]) -> float:
    """How far a movement takes the points of a picture of (height, width), on average over its corners and its middle."""
    height, width = shape[:2]
    points = np.array([(0, 0), (width, 0), (0, height), (width, height), (width / 2, height / 2)])
    return float(np.linalg.norm(points @ movement[:, :2].T + movement[:, 2] - points, axis=1).mean())


@lru_cache(maxsize=8)
def _window(side: int) -> Floats:
    return np.asarray(cv2.createHanningWindow((side, side), cv2.CV_32F))
