"""Panels with a time axis: time series, state timelines, status histories."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from flowrt_ops.drawing.canvas import DIM, GRID, Canvas, black_on, text_width
from flowrt_ops.drawing.layout import Box, Times, legend, time_axis, x_of
from flowrt_ops.drawing.values import PlotSeries, color_of, text_of, ticks, whole_ticks

_SCALE = 20.0


def time_series(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[PlotSeries], times: Times) -> None:
    """Values over time as lines, bars or points, stacked where the panel says so."""
    custom = panel["fieldConfig"]["defaults"]["custom"]
    stacked = custom["stacking"]["mode"] == "normal"
    bars = custom["drawStyle"] == "bars"
    shown = [curve for curve in series if curve.numbers]
    colors = [color_of(curve.numbers[-1], curve.field, i) for i, curve in enumerate(shown)]
    if bars:
        shown, times = _bucketed(shown, box, times)
    box = legend(canvas, box, [(curve.name, color) for curve, color in zip(shown, colors, strict=True)])
    stack = _stack(shown) if stacked else [dict(zip(curve.times_ms, curve.values, strict=True)) for curve in shown]
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
                x_of(plot, times, time_ms),
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
        canvas.label(plot.x - 6, y + 3.5, label, size=10.5, color=DIM, anchor="end")
    time_axis(canvas, plot, times)
    return plot


def _decimals(levels: Sequence[float]) -> int:
    step = levels[1] - levels[0] if len(levels) > 1 else 1.0
    return 0 if step >= 1.0 and step == round(step) else max(1, -math.floor(math.log10(step)))


def _bucketed(series: Sequence[PlotSeries], box: Box, times: Times) -> tuple[list[PlotSeries], Times]:
    """Bars need a few pixels each: sums over wider steps where the box is too narrow."""
    factor = max(1, math.ceil((times.to_ms - times.from_ms) / times.step_ms / (box.w / 7.0)))
    step_ms = times.step_ms * factor
    wider = []
    for curve in series:
        sums: dict[float, float] = {}
        for time_ms, value in zip(curve.times_ms, curve.values, strict=True):
            if isinstance(value, int | float):
                start = time_ms // step_ms * step_ms
                sums[start] = sums.get(start, 0.0) + value
        wider.append(msgspec.structs.replace(curve, times_ms=list(sums), values=list(sums.values())))
    return wider, msgspec.structs.replace(times, step_ms=step_ms)


def _stack(series: Sequence[PlotSeries]) -> list[dict[float, float]]:
    """Each series on top of the ones before it."""
    moments = sorted({time_ms for curve in series for time_ms in curve.times_ms})
    ground = dict.fromkeys(moments, 0.0)
    levels = []
    for curve in series:
        own = dict(zip(curve.times_ms, curve.values, strict=True))
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
    """The curve, split where more than a few steps are missing."""
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
        canvas.label(
            plot.x - 8, plot.y + height * (i + 0.5) + 4, name, size=11, color=DIM, anchor="end", max_width=left - 10
        )
    time_axis(canvas, plot, times)
    return plot, height


def state_timeline(
    canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[PlotSeries], times: Times
) -> None:
    """States over time: each lasts until the next, or for two minutes where none follows."""
    words = {str(word): color_of(word, curve.field) for curve in series for word in curve.values if word is not None}
    box = legend(canvas, box, list(words.items()))
    plot, height = _rows(canvas, box, [curve.name for curve in series], times)
    for i, curve in enumerate(series):
        y = plot.y + height * i + height * 0.1
        for start_ms, end_ms, word in _merged(curve, times.to_ms):
            color = words[word]
            x, right = x_of(plot, times, max(start_ms, times.from_ms)), x_of(plot, times, min(end_ms, times.to_ms))
            canvas.rect(x, y, right - x, height * 0.8, color, radius=1.5, alpha=0.85)
            if right - x > text_width(word, 10.5) + 12 and height > 15:
                canvas.label(
                    x + 6, y + height * 0.4 + 4, word, size=10.5, color="#101214" if black_on(color) else "#FFFFFF"
                )


def _merged(curve: PlotSeries, end_ms: float) -> list[tuple[float, float, str]]:
    merged: list[tuple[float, float, str]] = []
    stamps = [*curve.times_ms[1:], min(end_ms, curve.times_ms[-1] + 120_000.0)] if curve.times_ms else []
    for start_ms, next_ms, word in zip(curve.times_ms, stamps, curve.values, strict=True):
        if merged and merged[-1][2] == word and merged[-1][1] == start_ms:
            merged[-1] = (merged[-1][0], next_ms, word)
        else:
            merged.append((start_ms, next_ms, str(word)))
    return merged


def status_history(
    canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[PlotSeries], times: Times
) -> None:
    """One cell per step, coloured by value, with the scale below."""
    above = Box(x=box.x, y=box.y, w=box.w, h=box.h - _SCALE)
    plot, height = _rows(canvas, above, [curve.name for curve in series], times)
    top = max((value for curve in series for value in curve.numbers), default=1.0)
    width = plot.w * times.step_ms / (times.to_ms - times.from_ms)
    for i, curve in enumerate(series):
        for time_ms, value in zip(curve.times_ms, curve.values, strict=True):
            if not isinstance(value, int | float) or time_ms + times.step_ms <= times.from_ms:
                continue
            color = color_of(value, curve.field, top=top)
            x = max(x_of(plot, times, time_ms), plot.x)
            canvas.rect(x, plot.y + height * i + 1, min(width, plot.x + plot.w - x) * 0.95, height - 2, color, radius=1)
    _scale(canvas, box, panel["fieldConfig"]["defaults"], top)


def _scale(canvas: Canvas, box: Box, field: Mapping[str, Any], top: float) -> None:
    x, y, width = box.x + box.w - 170, box.y + box.h - 12, 110.0
    for i in range(22):
        canvas.rect(x + width * i / 22, y, width / 22 + 0.5, 8, color_of(top * i / 21, field, top=top))
    canvas.label(x - 6, y + 8, "0", size=10.5, color=DIM, anchor="end")
    canvas.label(x + width + 6, y + 8, text_of(top, field), size=10.5, color=DIM)
