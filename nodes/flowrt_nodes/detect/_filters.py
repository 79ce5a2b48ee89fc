"""What is left out of what was found: in parts of the picture that are none of the road, too small or too large, or of an unlikely shape."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt import Bools, Floats
from flowrt_nodes._lib.cv import cv2

Polygon = list[tuple[float, float]]


class Filters(NamedTuple):
    """For pictures of one size. ignored: u8 (height, width), more than 0 where what stands is left out; None without a mask."""

    ignored: NDArray[np.uint8] | None
    min_px: float
    max_px: float
    aspect: tuple[float, float] | None

    @classmethod
    def of(
        cls,
        picture_px: tuple[int, int],
        mask: list[Polygon],
        min_px: float,
        max_px: float | None,
        aspect: tuple[float, float] | None,
    ) -> Filters | None:
        """None where nothing is left out."""
        if not mask and not min_px and max_px is None and aspect is None:
            return None
        ignored = None
        if mask:
            ignored = np.zeros((picture_px[1], picture_px[0]), np.uint8)
            cv2.fillPoly(ignored, [np.round(np.asarray(each)).astype(np.int32) for each in mask], [255])
        return cls(ignored, min_px, float("inf") if max_px is None else max_px, aspect)

    def stays(self, boxes: Floats) -> Bools:
        """(K,): which boxes (K, 4), in pixels of the picture, stay."""
        width, height = (boxes[:, 2:] - boxes[:, :2]).T
        longer = np.maximum(width, height)
        stays = (longer >= self.min_px) & (longer <= self.max_px)
        if self.aspect is not None:
            shape = width / np.maximum(height, 1e-3)
            stays &= (shape >= self.aspect[0]) & (shape <= self.aspect[1])
        if self.ignored is not None:  # by where it stands
            rows, columns = self.ignored.shape
            x = np.clip((boxes[:, 0] + boxes[:, 2]) / 2, 0, columns - 1).astype(int)
            y = np.clip(boxes[:, 3] - 1, 0, rows - 1).astype(int)
            stays &= self.ignored[y, x] == 0
        return np.asarray(stays)
