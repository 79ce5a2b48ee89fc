"""Where the panels stand: in Grafana's grid, or one below the other where the page is as narrow as a phone's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from flowrt_ops.dashboards.frame import COLUMNS
from flowrt_ops.picture.overtime import Box

WIDTH = 1680
STACKED_BELOW = 769
"""Pixels; Grafana's own limit."""
NARROWEST = 320
MARGIN = 12.0
_ROW, _GAP = 38.0, 8.0


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
