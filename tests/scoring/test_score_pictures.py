"""What is written and enlarged on the pictures of a score."""

from __future__ import annotations

import cv2
import numpy as np

from flowrt_scoring import pictures


def grey() -> pictures.Image:
    rng = np.random.default_rng(1)
    return rng.integers(90, 160, (720, 1280, 3)).astype(np.uint8)


def changed(before: pictures.Image, after: pictures.Image) -> tuple[int, int, int, int]:
    """The first and last column, first and last row that differ; zeros where none does."""
    rows, columns = np.nonzero((before != after).any(axis=2))
    if not len(rows):
        return 0, 0, 0, 0
    return int(columns.min()), int(columns.max()), int(rows.min()), int(rows.max())


def test_a_label_is_no_wider_than_its_text() -> None:
    picture = grey()
    before = picture.copy()
    pictures._text(picture, (100, 200), "stop_line", pictures.WHITE)
    (width, _), _ = cv2.getTextSize("stop_line", pictures.FONT, 0.5, 1)
    left, right, top, bottom = changed(before, picture)
    assert 95 <= left <= 100
    assert 100 + width <= right + 4
    assert right <= 100 + width + 3
    assert top < 200 <= bottom


def test_a_small_offender_is_enlarged_in_a_corner_and_a_large_one_is_not() -> None:
    picture = grey()
    before = picture.copy()
    pictures._lens(picture, (600.0, 300.0, 640.0, 330.0), pictures.ZONE)
    left, _, top, bottom = changed(before, picture)
    assert abs(left - (1280 - 3 * 64)) <= 1
    assert abs(top - (720 - 3 * 64)) <= 1
    assert bottom == 719
    picture = before.copy()
    pictures._lens(picture, (600.0, 300.0, 720.0, 360.0), pictures.ZONE)
    assert changed(before, picture) == (0, 0, 0, 0)
