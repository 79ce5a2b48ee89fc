"""Boxes as the tracker compares them: corners x_min, y_min, x_max, y_max in pixels, one a row."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


def iou(a: Doubles, b: Doubles, grow: Doubles | None = None) -> Doubles:
    """(A, B): intersection over union of boxes (A, 4) and (B, 4), corners; each pair grown on all sides by `grow` (A,)."""
    side = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    wide_a, wide_b = a[:, None, 2:] - a[:, None, :2], b[None, :, 2:] - b[None, :, :2]
    if grow is not None:
        more = 2 * grow[:, None, None]
        side, wide_a, wide_b = side + more, wide_a + more, wide_b + more
    np.maximum(side, 0.0, out=side)
    inside = side[..., 0] * side[..., 1]
    together = wide_a[..., 0] * wide_a[..., 1] + wide_b[..., 0] * wide_b[..., 1] - inside
    overlap: Doubles = inside / np.maximum(together, 1e-9)
    return overlap
