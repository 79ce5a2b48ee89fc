"""A flow's picture as PNG, drawn with OpenCV at twice the size of the SVG."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from flowrt.commands._graph_layout import Layout
from flowrt.message import Image

SCALE = 2
MAX_SIDE_PX = 16_000
INK, FAINT, STROKE = (42, 23, 15), (139, 116, 100), (105, 85, 71)  # blue, green, red
FILLS = {"source": (254, 234, 219), "inference": (254, 233, 237), "transform": (249, 245, 241), "sink": (231, 252, 220)}
FONT = cv2.FONT_HERSHEY_DUPLEX


def write_png(drawn: Layout, path: Path) -> None:
    """Draw and write. Raises OSError where the file can't be written, ValueError for a graph too large for a picture."""
    if max(drawn.width, drawn.height) * SCALE > MAX_SIDE_PX:
        raise ValueError(f"the graph needs {drawn.width:.0f} x {drawn.height:.0f} pixels: draw it as .svg")
    picture = np.full((int(drawn.height) * SCALE, int(drawn.width) * SCALE, 3), 255, np.uint8)
    for wire in drawn.wires:
        points = [_pixel(x, y) for x, y in wire.points]
        for first, second in pairwise(points[:-1]):
            cv2.line(picture, first, second, STROKE, SCALE, cv2.LINE_AA)
        length = max(float(np.hypot(*np.subtract(points[-1], points[-2]))), 1.0)
        cv2.arrowedLine(picture, points[-2], points[-1], STROKE, SCALE, cv2.LINE_AA, tipLength=8 * SCALE / length)
    for wire in drawn.wires:
        _text(picture, wire.label, wire.label_at[0], wire.label_at[1], 0.34, FAINT, halo=True)
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


def _text(
    picture: Image, text: str, x: float, y: float, size: float, colour: tuple[int, int, int], halo: bool = False
) -> None:
    """Centred text; y is its base line. halo: white around it, so that it can be read over lines."""
    (width, _), _ = cv2.getTextSize(text, FONT, size * SCALE, 1)
    left, base = _pixel(x, y)
    if halo:
        cv2.putText(
            picture, text, (left - width // 2, base), FONT, size * SCALE, (255, 255, 255), 5 * SCALE, cv2.LINE_AA
        )
    cv2.putText(picture, text, (left - width // 2, base), FONT, size * SCALE, colour, 1, cv2.LINE_AA)
