"""Where labels go: outside of what they name, apart from each other, and off other road users where there is room."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt_nodes._lib.cv import cv2

FONT = cv2.FONT_HERSHEY_SIMPLEX
TALLEST = "Agj"
LEAST_LETTER = 0.36
"""Scale of letters in a small picture: 8 pixels high, below which digits can't be told apart."""
OTHERS_SHARE = 0.35
"""A label may cover this part of another road user's box at most."""


class Rect(NamedTuple):
    """Left, top, right, bottom, in whole pixels."""

    x0: int
    y0: int
    x1: int
    y1: int


class Lettering(NamedTuple):
    """Letters that suit a picture. thickness: of a stroke."""

    scale: float
    thickness: int
    pad: int

    @classmethod
    def of(cls, height_px: int) -> Lettering:
        """For a picture of that height: half as high as a label is at 720."""
        scale = max(height_px / 1440.0, LEAST_LETTER)
        return cls(scale, max(round(scale * 1.3), 1), max(round(scale * 7), 2))

    def size(self, text: str) -> tuple[int, int]:
        """Width and height of a plate with that text; all plates are as high."""
        (width, _), _ = cv2.getTextSize(text, FONT, self.scale, self.thickness)
        (_, height), base = cv2.getTextSize(TALLEST, FONT, self.scale, self.thickness)
        return width + 2 * self.pad, height + base + self.pad

    def write(self, picture: NDArray[np.uint8], plate: Rect, text: str, ink: tuple[int, int, int]) -> None:
        """The text on its plate, which is there already."""
        _, base = cv2.getTextSize(TALLEST, FONT, self.scale, self.thickness)
        at = (plate.x0 + self.pad, plate.y1 - base)
        cv2.putText(picture, text, at, FONT, self.scale, ink, self.thickness, cv2.LINE_AA)


class Placer:
    """Finds a place for each label of one picture.

    boxes: (N, 4), what must be seen. taken: what stands there already.
    """

    def __init__(self, size_px: tuple[int, int], boxes: NDArray[np.floating], taken: Iterable[Rect] = ()) -> None:
        self._width, self._height = size_px
        self._boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        self._area = np.maximum((self._boxes[:, 2] - self._boxes[:, 0]) * (self._boxes[:, 3] - self._boxes[:, 1]), 1.0)
        self.taken = list(taken)

    def beside(self, row: int, size: tuple[int, int]) -> Rect | None:
        """A place beside the box in that row; None where the label would hide it, another label, or too much of other boxes."""
        own = self._boxes[row]
        best: tuple[float, Rect] | None = None
        for place in self._around(own, size):
            if self._is_taken(place) or _overlap(np.array([own]), place)[0] > 0:
                continue
            hidden = float((_overlap(self._boxes, place) / self._area).max(initial=0.0))
            if hidden == 0.0:
                return self._take(place)
            if hidden <= OTHERS_SHARE and (best is None or hidden < best[0]):
                best = hidden, place
        return None if best is None else self._take(best[1])

    def near(self, point: tuple[float, float], size: tuple[int, int]) -> Rect | None:
        """A place at a point of the ground, or a little off it; None where road users or labels are."""
        width, height = size
        for step in (0, -1, 1, -2, 2, -3, 3):
            x, y = point[0] - width / 2, point[1] - height / 2 + step * height * 1.2
            place = self._inside(x, y, size)
            if not self._is_taken(place) and not (_overlap(self._boxes, place) > 0).any():
                return self._take(place)
        return None

    def corner(self, corner: tuple[float, float], size: tuple[int, int]) -> Rect | None:
        """The place in a corner of the picture; None where road users or labels are."""
        place = self._inside(corner[0] - size[0] / 2, corner[1] - size[1] / 2, size)
        if self._is_taken(place) or (_overlap(self._boxes, place) > 0).any():
            return None
        return self._take(place)

    def _around(self, box: NDArray[np.float64], size: tuple[int, int]) -> Iterator[Rect]:
        """Above and below, at either side, then further away; all of them within the picture."""
        (x0, y0, x1, y1), (width, height) = box, size
        for gap in (0.0, height * 1.1, height * 2.2):
            for x in (x0, x1 - width, (x0 + x1 - width) / 2):
                yield self._inside(x, y0 - height - 1 - gap, size)
                yield self._inside(x, y1 + 1 + gap, size)
        for y in (y0, y1 - height, (y0 + y1 - height) / 2):
            yield self._inside(x1 + 1, y, size)
            yield self._inside(x0 - width - 1, y, size)

    def _inside(self, x: float, y: float, size: tuple[int, int]) -> Rect:
        width, height = size
        left = min(max(round(x), 0), max(self._width - width, 0))
        top = min(max(round(y), 0), max(self._height - height, 0))
        return Rect(left, top, left + width, top + height)

    def _is_taken(self, place: Rect) -> bool:
        return any(
            place.x0 < other.x1 and other.x0 < place.x1 and place.y0 < other.y1 and other.y0 < place.y1
            for other in self.taken
        )

    def _take(self, place: Rect) -> Rect:
        self.taken.append(place)
        return place


def _overlap(boxes: NDArray[np.float64], place: Rect) -> NDArray[np.float64]:
    """(N,): the area that each box has in common with a place."""
    wide = np.minimum(boxes[:, 2], place.x1) - np.maximum(boxes[:, 0], place.x0)
    high = np.minimum(boxes[:, 3], place.y1) - np.maximum(boxes[:, 1], place.y0)
    return np.asarray(np.maximum(wide, 0.0) * np.maximum(high, 0.0))
