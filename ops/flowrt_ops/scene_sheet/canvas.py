"""Drawing with labels that hide nothing: each looks for a free place near what it names, with a leader to it."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowrt.message import Image

Colour = tuple[int, int, int]
Points = NDArray[np.float64]

WHITE: Colour = (255, 255, 255)
DARK: Colour = (30, 24, 20)
FONT = cv2.FONT_HERSHEY_SIMPLEX
_LETTER, _PAD = 0.45, 4
_WAYS = [(np.cos(a), np.sin(a)) for a in np.arange(16) * np.pi / 8]
_REACHES = (14, 26, 42, 64, 92, 128, 170)
_FAR = 1e5
"""OpenCV draws with 32-bit integers; points further off the picture than this are cut off."""
_SHIFT = 4
_LEADER_PX = 30.0
"""A label nearer than this to what it names needs no leader."""


class _Plate(NamedTuple):
    """A label with its place, and where its text goes."""

    text: str
    colour: Colour
    place: tuple[float, float]
    left: int
    top: int
    wide: int
    high: int


class Canvas:
    """A picture, and which of its pixels labels must leave free."""

    def __init__(self, picture: Image) -> None:
        self.picture = picture
        self._taken = np.zeros(picture.shape[:2], np.uint8)
        self._labels: list[tuple[str, tuple[float, float], Colour]] = []

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        return self.picture.shape[1], self.picture.shape[0]

    def path(self, points: ArrayLike, colour: Colour, width: int = 1, *, closed: bool = False, keep: int = 0) -> None:
        """Lines between points (N, 2); broken where a point is NaN. keep: labels stay so many pixels off; 0: they may cover it."""
        given = np.asarray(points, np.float64)
        if closed:
            given = np.vstack([given, given[:1]])
        for a, b in itertools.pairwise(given):
            if np.isfinite(a).all() and np.isfinite(b).all() and max(np.abs(a).max(), np.abs(b).max()) < _FAR:
                cv2.line(self.picture, _fine(a), _fine(b), colour, width, cv2.LINE_AA, _SHIFT)
                if keep:
                    cv2.line(self._taken, _at(a), _at(b), 1, width + 2 * keep)

    def dashes(self, points: ArrayLike, colour: Colour, dash_px: float = 9.0) -> None:
        """A dashed line through points (N, 2)."""
        given = np.asarray(points, np.float64)
        for a, b in itertools.pairwise(given):
            length = float(np.hypot(*(b - a)))
            if not np.isfinite(length) or length > _FAR:
                continue
            steps = max(int(length / dash_px), 1)
            for i in range(0, steps, 2):
                start, end = a + (b - a) * i / steps, a + (b - a) * min(i + 1, steps) / steps
                cv2.line(self.picture, _fine(start), _fine(end), colour, 1, cv2.LINE_AA, _SHIFT)

    def arrow(self, start: ArrayLike, end: ArrayLike, colour: Colour, width: int = 2) -> None:
        """An arrow, which labels leave free."""
        a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
        if np.isfinite(a).all() and np.isfinite(b).all() and max(np.abs(a).max(), np.abs(b).max()) < _FAR:
            tip = float(np.clip(8.0 / max(float(np.hypot(*(b - a))), 1.0), 0.05, 0.5))
            cv2.arrowedLine(self.picture, _at(a), _at(b), colour, width, cv2.LINE_AA, 0, tip)
            cv2.line(self._taken, _at(a), _at(b), 1, 7)

    def cross(self, place: ArrayLike, colour: Colour, arm: int = 6) -> None:
        """A point, which labels leave free."""
        x, y = _at(np.asarray(place, np.float64))
        for ink, width in ((DARK, 3), (colour, 1)):
            cv2.line(self.picture, (x - arm, y), (x + arm, y), ink, width)
            cv2.line(self.picture, (x, y - arm), (x, y + arm), ink, width)
        cv2.rectangle(self._taken, (x - arm - 2, y - arm - 2), (x + arm + 2, y + arm + 2), 1, cv2.FILLED)

    def circle(self, place: ArrayLike, radius: float, colour: Colour) -> None:
        """A circle, which labels leave free."""
        x, y = _at(np.asarray(place, np.float64))
        cv2.circle(self.picture, (x, y), max(round(radius), 2), colour, 1, cv2.LINE_AA)
        cv2.circle(self._taken, (x, y), max(round(radius), 2) + 5, 1, cv2.FILLED)

    def label(self, place: ArrayLike, text: str, colour: Colour) -> None:
        """Text for what is at a place; placed when all has been drawn."""
        x, y = np.asarray(place, np.float64).tolist()
        self._labels.append((text, (x, y), colour))

    def place_labels(self) -> None:
        """Put every label where it covers nothing that was to be left free, as near as there is room; leaders lie below all of them."""
        plates = [_Plate(text, colour, place, *self._room_for(text, place)) for text, place, colour in self._labels]
        for plate in plates:
            near = np.clip(plate.place, (plate.left, plate.top), (plate.left + plate.wide, plate.top + plate.high))
            if np.hypot(*(near - plate.place)) > _LEADER_PX:
                for ink, width in ((DARK, 3), (plate.colour, 1)):
                    cv2.line(self.picture, _at(np.array(plate.place)), _at(near), ink, width, cv2.LINE_AA)
        for text, colour, _, left, top, wide, high in plates:
            cv2.rectangle(self.picture, (left, top), (left + wide, top + high), DARK, cv2.FILLED)
            cv2.rectangle(self.picture, (left, top), (left + wide, top + high), colour, 1)
            base = cv2.getTextSize(text, FONT, _LETTER, 1)[1]
            corner = (left + _PAD, top + high - base - 1)
            cv2.putText(self.picture, text, corner, FONT, _LETTER, _lighter(colour), 1, cv2.LINE_AA)
        self._labels = []

    def _room_for(self, text: str, place: tuple[float, float]) -> tuple[int, int, int, int]:
        """Left, top, width and height of the text's plate, which others leave free from now on."""
        (wide, high), base = cv2.getTextSize(text, FONT, _LETTER, 1)
        wide, high = wide + 2 * _PAD, high + base + _PAD
        left, top = min(self._spots(place, wide, high), key=lambda spot: self._cost(spot, wide, high, place))
        cv2.rectangle(self._taken, (left - 2, top - 2), (left + wide + 2, top + high + 2), 1, cv2.FILLED)
        return left, top, wide, high

    def _spots(self, place: tuple[float, float], wide: int, high: int) -> Iterable[tuple[int, int]]:
        width, height = self.size
        for reach in _REACHES:
            for dx, dy in _WAYS:
                x = place[0] + dx * (reach + wide / 2) - wide / 2
                y = place[1] + dy * (reach + high / 2) - high / 2
                yield int(np.clip(x, 1, max(width - wide - 2, 1))), int(np.clip(y, 1, max(height - high - 2, 1)))

    def _cost(self, spot: tuple[int, int], wide: int, high: int, place: tuple[float, float]) -> float:
        left, top = spot
        covered = int(self._taken[top : top + high + 1, left : left + wide + 1].sum())
        away = float(np.hypot(left + wide / 2 - place[0], top + high / 2 - place[1]))
        return covered * 1000.0 + away


def _fine(point: NDArray[np.float64]) -> tuple[int, int]:
    """In sixteenths of a pixel, so that the pieces of a straight line do not waver."""
    return round(float(point[0]) * 2**_SHIFT), round(float(point[1]) * 2**_SHIFT)


def _at(point: NDArray[np.float64]) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _lighter(colour: Colour) -> Colour:
    blue, green, red = (round(part + (255 - part) * 0.6) for part in colour)
    return blue, green, red
