"""Panels with a time axis: lines and bars, words over time, cells over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from flowrt_ops.picture.canvas import DIM, GRID, Canvas, black_on, text_width
from flowrt_ops.picture.values import Line, color_of, text_of, ticks, time_ticks, whole_ticks

_LINE, _LINES_MOST = 16.0, 3
"""Height of one line of a legend, and how many lines one may take."""
_SCALE = 20.0


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


def _x(box: Box, times: Times, time_ms: float) -> float:
    return box.x + box.w * (time_ms - times.from_ms) / (times.to_ms - times.from_ms)


def time_axis(canvas: Canvas, box: Box, times: Times) -> None:
    """Labels below the box, and the annotations' marks."""
    for time_ms, label in time_ticks(times.from_ms, times.to_ms, max(2, int(box.w / 90))):
        x = _x(box, times, time_ms)
        canvas.line([(x, box.y), (x, box.y + box.h)], GRID, alpha=0.6)
        canvas.words(x, box.y + box.h + 14, label, size=10.5, color=DIM, anchor="middle")
    for time_ms, color in times.marks:
        if times.from_ms <= time_ms <= times.to_ms:
            x = _x(box, times, time_ms)
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
    shown = rows[:_LINES_MOST]
    height = _LINE * len(shown)
    for i, row in enumerate(shown):
        y = box.y + box.h - height + _LINE * (i + 1)
        for at, name, color in row:
            canvas.rect(box.x + at, y - 9, 14, 3.5, color, radius=1.5)
            canvas.words(box.x + at + 19, y - 4, name, size=11, color=DIM)
        if row is shown[-1] and len(rows) > len(shown):
            canvas.words(box.x + box.w, y - 4, "…", size=11, color=DIM, anchor="end")
    return Box(x=box.x, y=box.y, w=box.w, h=box.h - height)


def lines(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[Line], times: Times) -> None:
    """Values over time as lines, bars or points, stacked where the panel says so."""
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    bars = custom["drawStyle"] == "bars"
    shown = [line for line in series if line.numbers]
    colors = [color_of(line.numbers[-1], line.field, i) for i, line in enumerate(shown)]
    if bars:
        shown, times = _bucketed(shown, box, times)
    box = legend(canvas, box, [(line.name, color) for line, color in zip(shown, colors, strict=True)])
    stack = _stack(shown) if stacked else [dict(zip(line.times_ms, line.values, strict=True)) for line in shown]
    top = max((value for one in stack for value in one.values() if isinstance(value, int | float)), default=1.0)
    defaults = panel["fieldConfig"]["defaults"]
    drawn = [step for step in defaults["thresholds"]["steps"] if step["value"] is not None]
    limits = drawn if custom["thresholdsStyle"]["mode"] != "off" else []
    top = max(top, *(step["value"] for step in limits), 0.0) * 1.08 or 1.0
    if "max" in defaults:
        top = min(top, float(defaults["max"])) if top < 0.6 * float(defaults["max"]) else float(defaults["max"])
    plot = _plot(canvas, box, times, top, shown[0].field if shown else defaults)
    for step in limits:
        y = plot.y + plot.h * (1.0 - step["value"] / top)
        canvas.line([(plot.x, y), (plot.x + plot.w, y)], step["color"], dash="6 4", alpha=0.8)
    for i in reversed(range(len(shown))):
        below = stack[i - 1] if stacked and i else {}
        points = [
            (
                _x(plot, times, time_ms),
                plot.y + plot.h * (1.0 - value / top),
                plot.y + plot.h * (1.0 - below.get(time_ms, 0.0) / top),
            )
            for time_ms, value in sorted(stack[i].items())
            if isinstance(value, int | float) and times.from_ms <= time_ms <= times.to_ms
        ]
        if bars:
            _bars(canvas, plot, points, colors[i], times, i if not stacked else 0, 1 if stacked else len(shown))
        elif custom["drawStyle"] == "points":
            for x, y, _ in points:
                canvas.dot(x, y, 3.2, colors[i])
        else:
            for part in _without_gaps(points, plot, times):
                if custom["fillOpacity"]:
                    canvas.area(part, plot.y + plot.h, colors[i], 0.10)
                canvas.line(part, colors[i], width=1.8)
                if len(part) == 1:
                    canvas.dot(*part[0], 2.2, colors[i])


def _plot(canvas: Canvas, box: Box, times: Times, top: float, field: Mapping[str, Any]) -> Box:
    """Draw grid and axes; the box that is left for values."""
    wanted = max(2, int(box.h / 42))
    counts = field.get("decimals") == 0 and field.get("unit") == "short"
    levels = whole_ticks(top, wanted) if counts else ticks(0.0, top, wanted)
    factor = 100.0 if field.get("unit") == "percentunit" else 1.0
    labels = [text_of(level, {**field, "decimals": _decimals([factor * one for one in levels])}) for level in levels]
    left = max((text_width(label, 10.5) for label in labels), default=20.0) + 10
    plot = Box(x=box.x + left, y=box.y + 4, w=box.w - left - 6, h=box.h - 26)
    for level, label in zip(levels, labels, strict=True):
        y = plot.y + plot.h * (1.0 - level / top)
        canvas.line([(plot.x, y), (plot.x + plot.w, y)], GRID)
        canvas.words(plot.x - 6, y + 3.5, label, size=10.5, color=DIM, anchor="end")
    time_axis(canvas, plot, times)
    return plot


def _decimals(levels: Sequence[float]) -> int:
    step = levels[1] - levels[0] if len(levels) > 1 else 1.0
    return 0 if step >= 1.0 and step == round(step) else max(1, -math.floor(math.log10(step)))


def _bucketed(series: Sequence[Line], box: Box, times: Times) -> tuple[list[Line], Times]:
    """Bars need a few pixels each: sums over wider steps, where there are more steps than room."""
    factor = max(1, math.ceil((times.to_ms - times.from_ms) / times.step_ms / (box.w / 7.0)))
    step_ms = times.step_ms * factor
    wider = []
    for line in series:
        sums: dict[float, float] = {}
        for time_ms, value in zip(line.times_ms, line.values, strict=True):
            if isinstance(value, int | float):
                start = time_ms // step_ms * step_ms
                sums[start] = sums.get(start, 0.0) + value
        wider.append(msgspec.structs.replace(line, times_ms=list(sums), values=list(sums.values())))
    return wider, msgspec.structs.replace(times, step_ms=step_ms)


def _stack(series: Sequence[Line]) -> list[dict[float, float]]:
    """Each series on top of the ones before it."""
    moments = sorted({time_ms for line in series for time_ms in line.times_ms})
    ground = dict.fromkeys(moments, 0.0)
    levels = []
    for line in series:
        own = dict(zip(line.times_ms, line.values, strict=True))
        ground = {time_ms: level + float(own.get(time_ms) or 0.0) for time_ms, level in ground.items()}
        levels.append(ground)
    return levels


def _bars(
    canvas: Canvas,
    plot: Box,
    points: Sequence[tuple[float, float, float]],
    color: str,
    times: Times,
    slot: int,
    slots: int,
) -> None:
    """Bars that stand beside each other in `slots` places of one step, from y down to each one's own ground."""
    step = plot.w * times.step_ms / (times.to_ms - times.from_ms)
    width = max(1.2, step * 0.82 / slots)
    for x, y, ground in points:
        left = x + slot * width
        canvas.rect(left, y, min(width, plot.x + plot.w - left), ground - y, color, alpha=0.9)


def _without_gaps(
    points: Sequence[tuple[float, float, float]], plot: Box, times: Times
) -> list[list[tuple[float, float]]]:
    """The line, parted where more than a few steps are missing."""
    longest = max(plot.w * max(4 * times.step_ms, 61_000.0) / (times.to_ms - times.from_ms), 2.0)
    parts: list[list[tuple[float, float]]] = [[]]
    for x, y, _ in points:
        if parts[-1] and x - parts[-1][-1][0] > longest:
            parts.append([])
        parts[-1].append((x, y))
    return parts


def _rows(canvas: Canvas, box: Box, names: Sequence[str], times: Times) -> tuple[Box, float]:
    """Names on the left, the time axis below; what is left, and the height of one row."""
    left = min(max((text_width(name, 11) for name in names), default=30.0) + 12, box.w * 0.34)
    plot = Box(x=box.x + left, y=box.y + 4, w=box.w - left - 6, h=box.h - 24)
    height = plot.h / max(len(names), 1)
    for i, name in enumerate(names):
        canvas.words(
            plot.x - 8, plot.y + height * (i + 0.5) + 4, name, size=11, color=DIM, anchor="end", room=left - 10
        )
    time_axis(canvas, plot, times)
    return plot, height


def states(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[Line], times: Times) -> None:
    """Words over time: each lasts until the next, or for two minutes where none follows."""
    words = {str(word): color_of(word, line.field) for line in series for word in line.values if word is not None}
    box = legend(canvas, box, list(words.items()))
    plot, height = _rows(canvas, box, [line.name for line in series], times)
    for i, line in enumerate(series):
        y = plot.y + height * i + height * 0.1
        for start_ms, end_ms, word in _merged(line, times.to_ms):
            color = words[word]
            x, right = _x(plot, times, max(start_ms, times.from_ms)), _x(plot, times, min(end_ms, times.to_ms))
            canvas.rect(x, y, right - x, height * 0.8, color, radius=1.5, alpha=0.85)
            if right - x > text_width(word, 10.5) + 12 and height > 15:
                canvas.words(
                    x + 6, y + height * 0.4 + 4, word, size=10.5, color="#101214" if black_on(color) else "#FFFFFF"
                )


def _merged(line: Line, end_ms: float) -> list[tuple[float, float, str]]:
    merged: list[tuple[float, float, str]] = []
    stamps = [*line.times_ms[1:], min(end_ms, line.times_ms[-1] + 120_000.0)] if line.times_ms else []
    for start_ms, next_ms, word in zip(line.times_ms, stamps, line.values, strict=True):
        if merged and merged[-1][2] == word and merged[-1][1] == start_ms:
            merged[-1] = (merged[-1][0], next_ms, word)
        else:
            merged.append((start_ms, next_ms, str(word)))
    return merged


def heat(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[Line], times: Times) -> None:
    """One cell per step, coloured by value, with the scale below."""
    above = Box(x=box.x, y=box.y, w=box.w, h=box.h - _SCALE)
    plot, height = _rows(canvas, above, [line.name for line in series], times)
    top = max((value for line in series for value in line.numbers), default=1.0)
    width = plot.w * times.step_ms / (times.to_ms - times.from_ms)
    for i, line in enumerate(series):
        for time_ms, value in zip(line.times_ms, line.values, strict=True):
            if not isinstance(value, int | float) or time_ms + times.step_ms <= times.from_ms:
                continue
            color = color_of(value, line.field, top=top)
            x = max(_x(plot, times, time_ms), plot.x)
            canvas.rect(x, plot.y + height * i + 1, min(width, plot.x + plot.w - x) * 0.95, height - 2, color, radius=1)
    _scale(canvas, box, panel["fieldConfig"]["defaults"], top)


def _scale(canvas: Canvas, box: Box, field: Mapping[str, Any], top: float) -> None:
    x, y, width = box.x + box.w - 170, box.y + box.h - 12, 110.0
    for i in range(22):
        canvas.rect(x + width * i / 22, y, width / 22 + 0.5, 8, color_of(top * i / 21, field, top=top))
    canvas.words(x - 6, y + 8, "0", size=10.5, color=DIM, anchor="end")
    canvas.words(x + width + 6, y + 8, text_of(top, field), size=10.5, color=DIM)


__all__ = ["Box", "Times", "heat", "legend", "lines", "states"]
