"""How uncertain lengths, and so speeds, are at each place of a picture, by the fit of its homography: a table, looked up every picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from flowrt.traffic.calibration import Calibration, relative_sigma
from flowrt.traffic.geometry.plane import Array

CELLS = 32, 18
LEAST, MOST = 0.01, 1.0
"""Ground points are measured no better than to 1 %, whatever the fit says; beyond the horizon nothing is known."""
_WAYS = np.array([(1.0, 0.0), (1.0, 1.0), (0.0, 1.0), (-1.0, 1.0)])


class ScaleMap:
    """The covariance of the scale on a grid over the picture, between whose points it is interpolated."""

    def __init__(self, calibration: Calibration, picture_px: tuple[int, int]) -> None:
        x, y = (np.linspace(0, side, cells + 1) for side, cells in zip(picture_px, CELLS, strict=True))
        points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        covariance = np.nan_to_num(calibration.scale_covariance(points), posinf=MOST**2)
        self._covariance: Array = covariance.reshape(CELLS[1] + 1, CELLS[0] + 1, 3, 3)
        self._cell_px = np.array(picture_px) / CELLS

    def sigma(self, points_px: ArrayLike, directions_m: ArrayLike) -> Array:
        """(N,): the standard deviation of lengths at picture points (N, 2) in directions (N, 2) on the ground, as a share of them.

        In the least certain way where the direction is not known.
        """
        place = np.clip(np.asarray(points_px, np.float64) / self._cell_px, 0.0, CELLS)
        column, row = np.minimum(place.astype(np.int64), np.array(CELLS) - 1).T
        right, down = (place - np.stack((column, row), axis=-1)).T[..., None, None]
        table = self._covariance
        upper = table[row, column] * (1 - right) + table[row, column + 1] * right
        lower = table[row + 1, column] * (1 - right) + table[row + 1, column + 1] * right
        covariance, ways = upper * (1 - down) + lower * down, np.asarray(directions_m, np.float64)
        found = relative_sigma(covariance, ways)
        unknown = ~np.isfinite(ways).all(axis=1)
        if unknown.any():
            found[unknown] = relative_sigma(covariance[unknown, None], _WAYS).max(axis=1)
        return np.clip(found, LEAST, MOST)
