"""Where panels go on the page and what all charts share: boxes, the time axis, the legend."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from flowrt_ops.drawing.canvas import DIM, GRID, Canvas, text_width
from flowrt_ops.drawing.values import time_ticks
from flowrt_ops.grafana.frame import COLUMNS

WIDTH = 1680
STACKED_BELOW = 769
"""Pixels; Grafana's own limit."""
NARROWEST = 320
MARGIN = 12.0
_ROW, _GAP = 38.0, 8.0
_LEGEND_ROW, _LEGEND_ROWS_MOST = 16.0, 3
"""Height of one row of a legend in pixels, and how many rows one may take."""


class Box(msgspec.Struct, frozen=True, kw_only=True):
    """A rectangle to draw into."""

    x: float
    y: float
    w: float
    h: float


class Times(msgspec.Struct, frozen=True, kw_only=True):
    """The time shown, and the marks of annotations: (time, colour). step_ms: distance of two values."""

    from_ms: float
    to_ms: float
    step_ms: float
    marks: Sequence[tuple[float, str]] = ()


def x_of(box: Box, times: Times, time_ms: float) -> float:
    return box.x + box.w * (time_ms - times.from_ms) / (times.to_ms - times.from_ms)


def time_axis(canvas: Canvas, box: Box, times: Times) -> None:
    """Labels below the box, and the annotations' marks."""
    for time_ms, label in time_ticks(times.from_ms, times.to_ms, max(2, int(box.w / 90))):
        x = x_of(box, times, time_ms)
        canvas.line([(x, box.y), (x, box.y + box.h)], GRID, alpha=0.6)
        canvas.label(x, box.y + box.h + 14, label, size=10.5, color=DIM, anchor="middle")
    for time_ms, color in times.marks:
        if times.from_ms <= time_ms <= times.to_ms:
            x = x_of(box, times, time_ms)
            canvas.line([(x, box.y), (x, box.y + box.h)], color, dash="3 3", alpha=0.55)
            canvas.path(f"M{x - 3.5:.1f} {box.y + box.h + 5:.1f}h7l-3.5 -5z", color)


def legend(canvas: Canvas, box: Box, entries: Sequence[tuple[str, str]]) -> Box:
    """Names with their colours at the bottom of the box; what is left of the box above them."""
    rows: list[list[tuple[float, str, str]]] = [[]]
    x = 0.0
    for name, color in entries:
        width = text_width(name, 11) + 30
        if x + width > box.w + 8 and rows[-1]:
            rows.append([])
            x = 0.0
        rows[-1].append((x, name, color))
        x += width
    shown = rows[:_LEGEND_ROWS_MOST]
    height = _LEGEND_ROW * len(shown)
    for i, row in enumerate(shown):
        y = box.y + box.h - height + _LEGEND_ROW * (i + 1)
        for at, name, color in row:
            canvas.rect(box.x + at, y - 9, 14, 3.5, color, radius=1.5)
            canvas.label(box.x + at + 19, y - 4, name, size=11, color=DIM)
        if row is shown[-1] and len(rows) > len(shown):
            canvas.label(box.x + box.w, y - 4, "…", size=11, color=DIM, anchor="end")
    return Box(x=box.x, y=box.y, w=box.w, h=box.h - height)


def places(panels: Sequence[Mapping[str, Any]], width: float, top: float) -> Iterator[tuple[Mapping[str, Any], Box]]:
    """Each panel (and row heading) with its rectangle, in pixels. top: where the first begins."""
    column = (width - 2 * MARGIN + _GAP) / COLUMNS
    y = top
    for panel in panels:
        grid = panel["gridPos"]
        height = grid["h"] * _ROW - _GAP
        if width < STACKED_BELOW:
            yield panel, Box(x=MARGIN, y=y, w=width - 2 * MARGIN, h=height)
            y += height + _GAP
        else:
            x = MARGIN + grid["x"] * column
            yield panel, Box(x=x, y=top + grid["y"] * _ROW, w=grid["w"] * column - _GAP, h=height)
