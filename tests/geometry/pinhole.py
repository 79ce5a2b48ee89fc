"""A pinhole camera over a flat road, to make exact points of: ground x to the right, y away from the camera, metres."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Pinhole(NamedTuple):
    """height_m above the road, looking along +y, tilt_deg down, its picture turned by roll_deg."""

    height_m: float = 7.0
    tilt_deg: float = 20.0
    focal_px: float = 1000.0
    roll_deg: float = 0.0
    picture_px: tuple[int, int] = (1280, 720)

    @property
    def to_image(self) -> Array:
        """(3, 3), ground to picture."""
        tilt, roll = np.radians(self.tilt_deg), np.radians(self.roll_deg)
        forward = np.array([0.0, np.cos(tilt), -np.sin(tilt)])
        right = np.array([1.0, 0.0, 0.0])
        down = np.cross(forward, right)
        turned = np.stack(
            [np.cos(roll) * right + np.sin(roll) * down, np.cos(roll) * down - np.sin(roll) * right, forward]
        )
        inner = np.array(
            [[self.focal_px, 0, self.picture_px[0] / 2], [0, self.focal_px, self.picture_px[1] / 2], [0, 0, 1]]
        )
        return np.asarray(
            inner @ np.column_stack([turned[:, 0], turned[:, 1], turned @ np.array([0.0, 0.0, -self.height_m])])
        )

    def pixels(self, ground_m: ArrayLike) -> Array:
        """(N, 2) of ground points (N, 2)."""
        points = np.asarray(ground_m, float)
        seen = np.column_stack([points, np.ones(len(points))]) @ self.to_image.T
        assert (seen[:, 2] > 0).all(), "behind the camera"
        return np.asarray(seen[:, :2] / seen[:, 2:])
