"""The parts of a picture that the model sees, one by one: a crop of it, and tiles, which overlap; and how what was found in tiles becomes one.

A tile is enlarged to the model's input, so that far and small road users have more pixels. What lies in two tiles is found twice; what a tile's
border cuts is found in parts. So boxes that end at a border between tiles are joined to their other part, or give way to the whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flowrt import Bools, Floats
from flowrt_nodes.detect._decoding.candidates import Candidates, suppress

WHOLE = "1x1"
AT_BORDER = 0.01
"""A box that ends this near to a border between tiles, as a share of the tile, is cut by it."""
PART = 0.6
"""A cut box with this share of it within another tile's box is a part of that."""
SAME_HEIGHT = 0.6
"""Two cut boxes with this share of the lower one in common, along the border, are parts of one object."""


class Region(NamedTuple):
    """A part of the picture, in its pixels. cuts: whether its left, upper, right and lower border lie within what is looked at."""

    left: int
    top: int
    right: int
    bottom: int
    cuts: tuple[bool, bool, bool, bool] = (False, False, False, False)

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.right - self.left, self.bottom - self.top


def regions_of(
    picture_px: tuple[int, int], crop: tuple[float, float, float, float] | None, tiles: str, overlap: float
) -> list[Region]:
    """What the model shall see of a picture; nothing for the whole of it. tiles: `2x1` for two side by side; overlap: share of a tile.

    Raises ValueError where the crop is outside of the picture.
    """
    if crop is None and tiles == WHOLE:
        return []
    width, height = picture_px
    across, down = (int(count) for count in tiles.split("x"))
    left, top, right, bottom = (round(edge) for edge in crop or (0, 0, width, height))
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if right - left < 1 or bottom - top < 1:
        raise ValueError(f"crop: nothing of it lies within the picture, which has {width} x {height} pixels")
    columns = _steps(left, right, across, overlap)
    rows = _steps(top, bottom, down, overlap)
    return [
        Region(x0, y0, x1, y1, (x0 > left, y0 > top, x1 < right, y1 < bottom)) for y0, y1 in rows for x0, x1 in columns
    ]


def _steps(begin: int, end: int, count: int, overlap: float) -> list[tuple[int, int]]:
    """`count` stretches of one length, evenly from begin to end."""
    length = (end - begin) / (count - (count - 1) * overlap)
    starts = [begin + i * length * (1.0 - overlap) for i in range(count)]
    return [(round(start), min(round(start + length), end)) for start in starts]


def merged(parts: list[tuple[Region, Candidates]], iou: float, across_classes: bool) -> Candidates:
    """What was found in all tiles, each object once. Boxes are in pixels of the picture."""
    found = _together([candidates for _, candidates in parts])
    tile = np.repeat(np.arange(len(parts)), [len(candidates.score) for _, candidates in parts])
    cut = np.concatenate([_cut(region, candidates.boxes) for region, candidates in parts])
    boxes, keep = found.boxes.copy(), np.ones(len(tile), bool)
    for i in np.flatnonzero(cut.any(axis=1)).tolist():
        for j in np.flatnonzero((tile != tile[i]) & (found.class_id == found.class_id[i]) & keep).tolist():
            if not keep[i] or i == j:
                continue
            common = np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2])
            if common.min() <= 0:
                continue
            size_i, size_j = boxes[i, 2:] - boxes[i, :2], boxes[j, 2:] - boxes[j, :2]
            if _facing(cut[i], cut[j]) is not None:
                along = 1 - (_facing(cut[i], cut[j]) or 0)
                if common[along] >= SAME_HEIGHT * min(size_i[along], size_j[along]):
                    boxes[j, :2] = np.minimum(boxes[i, :2], boxes[j, :2])
                    boxes[j, 2:] = np.maximum(boxes[i, 2:], boxes[j, 2:])
                    found.score[j] = max(found.score[i], found.score[j])
                    keep[i] = False
            elif common.prod() >= PART * size_i.prod() and size_j.prod() >= size_i.prod():
                keep[i] = False
    found = found._replace(boxes=boxes).take(np.flatnonzero(keep))
    return found.take(suppress(found, iou, across_classes))


def _together(parts: list[Candidates]) -> Candidates:
    footprints = [each.footprints for each in parts if each.footprints is not None]
    return Candidates(
        np.concatenate([each.boxes for each in parts]),
        np.concatenate([each.score for each in parts]),
        np.concatenate([each.class_id for each in parts]),
        np.concatenate(footprints) if len(footprints) == len(parts) else None,
    )


def _cut(region: Region, boxes: Floats) -> Bools:
    """(K, 4): which edges of boxes are where the region was cut from its neighbours."""
    edges = np.array([region.left, region.top, region.right, region.bottom], np.float32)
    room = AT_BORDER * np.array(region.size_px * 2, np.float32)
    return np.asarray((np.abs(boxes - edges) <= np.maximum(room, 1.0)) & np.array(region.cuts))


def _facing(one: Bools, other: Bools) -> int | None:
    """The axis along which two boxes are cut on opposite sides, 0 for x; None where they are not."""
    for axis in (0, 1):
        if (one[axis] and other[axis + 2]) or (one[axis + 2] and other[axis]):
            return axis
    return None
