"""A flow's picture as PNG, drawn with OpenCV at twice the size of the SVG."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from flowrt.commands.graph._layout import DASH, LABEL_HEIGHT, Connector, Layout, label_width
from flowrt.message import Image

SCALE = 2
MAX_SIDE_PX = 16_000
INK, FAINT, STROKE = (42, 23, 15), (139, 116, 100), (105, 85, 71)  # blue, green, red
FILLS = {"source": (254, 234, 219), "inference": (254, 233, 237), "transform": (249, 245, 241), "sink": (231, 252, 220)}
FONT = cv2.FONT_HERSHEY_DUPLEX
LABEL_SIZE, TIP = 0.34, 7
Pixel = tuple[int, int]


def write_png(drawn: Layout, path: Path) -> None:
    """Draw and write. Raises OSError where the file can't be written, ValueError for a graph too large for a picture."""
    if max(drawn.width, drawn.height) * SCALE > MAX_SIDE_PX:
        raise ValueError(f"the graph needs {drawn.width:.0f} x {drawn.height:.0f} pixels: draw it as .svg")
    picture = np.full((int(drawn.height) * SCALE, int(drawn.width) * SCALE, 3), 255, np.uint8)
    for wire in drawn.wires:
        points = [_pixel(x, y) for x, y in wire.points]
        for first, second in _dashes(points) if wire.side_input else pairwise(points):
            cv2.line(picture, first, second, STROKE, SCALE, cv2.LINE_AA)
        _tip(picture, points[-2], points[-1])
    for wire in drawn.wires:
        _label(picture, wire)
    for box in drawn.boxes:
        top_left, bottom_right = _pixel(box.x, box.y), _pixel(box.x + box.width, box.y + box.height)
        cv2.rectangle(picture, top_left, bottom_right, FILLS[box.role], -1)
        cv2.rectangle(picture, top_left, bottom_right, STROKE, SCALE // 2, cv2.LINE_AA)
        _text(picture, box.name, box.x + box.width / 2, box.y + 20, 0.45, INK)
        _text(picture, box.type, box.x + box.width / 2, box.y + 37, 0.36, FAINT)
    done, data = cv2.imencode(".png", picture)
    assert done  # an array of this shape can always be encoded
    path.write_bytes(data.tobytes())


def _pixel(x: float, y: float) -> tuple[int, int]:
    return round(x * SCALE), round(y * SCALE)


def _dashes(points: list[Pixel]) -> Iterator[tuple[Pixel, Pixel]]:
    """A line through the points in strokes of `DASH`, which go round its corners as in the SVG."""
    drawn, on_px, off_px = 0.0, DASH[0] * SCALE, DASH[1] * SCALE
    for first, second in pairwise(points):
        along = np.subtract(second, first)
        length = float(np.hypot(*along))
        at = 0.0
        while at < length:
            phase = (drawn + at) % (on_px + off_px)
            left = on_px - phase if phase < on_px else on_px + off_px - phase
            end = min(at + max(left, 0.5), length)
            if phase < on_px:
                start_px, end_px = (np.rint(first + along * (t / length)).astype(int) for t in (at, end))
                yield (int(start_px[0]), int(start_px[1])), (int(end_px[0]), int(end_px[1]))
            at = end
        drawn += length


def _tip(picture: Image, before: Pixel, end: Pixel) -> None:
    along = np.subtract(end, before) / max(float(np.hypot(*np.subtract(end, before))), 1.0)
    across = np.array([-along[1], along[0]])
    back = end - along * TIP * SCALE
    corners = np.stack([np.asarray(end), back + across * TIP * SCALE / 2, back - across * TIP * SCALE / 2])
    cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], STROKE, cv2.LINE_AA)


def _label(picture: Image, wire: Connector) -> None:
    """A label on white, so that it can be read over lines, in the room that the layout has for it."""
    if not wire.label:
        return
    (wide, _), _ = cv2.getTextSize(wire.label, FONT, LABEL_SIZE * SCALE, 1)
    room = label_width(wire.label) * SCALE
    x, y = wire.label_at
    left, top = _pixel(x - label_width(wire.label) / 2, y - LABEL_HEIGHT + 2)
    cv2.rectangle(picture, (left, top), (left + round(room), top + round(LABEL_HEIGHT * SCALE)), (255, 255, 255), -1)
    _text(picture, wire.label, x, y, LABEL_SIZE * min(1.0, room / max(wide, 1)), FAINT)


def _text(picture: Image, text: str, x: float, y: float, size: float, colour: tuple[int, int, int]) -> None:
    """Centred text; y is its base line."""
    (width, _), _ = cv2.getTextSize(text, FONT, size * SCALE, 1)
    left, base = _pixel(x, y)
    cv2.putText(picture, text, (left - width // 2, base), FONT, size * SCALE, colour, 1, cv2.LINE_AA)
