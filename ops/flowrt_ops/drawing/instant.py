"""Panels without a time axis: stats, bar gauges, pie charts, histograms, tables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from flowrt_ops.drawing.canvas import DIM, EDGE, GRID, LINK, TEXT, Canvas, black_on, text_width
from flowrt_ops.drawing.layout import Box
from flowrt_ops.drawing.values import PlotSeries, color_of, field_of, text_of, whole_ticks
from flowrt_ops.influx_reader import Series


def reduced(panel: Mapping[str, Any], curve: PlotSeries) -> Any:
    """One value of a series, as the panel's options say."""
    values = [value for value in curve.values if value is not None]
    if not values:
        return None
    if panel["options"]["reduceOptions"]["calcs"] == ["sum"]:
        return math.fsum(curve.numbers)
    return values[-1]


def stat(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[PlotSeries]) -> None:
    """Big numbers side by side, each with its recent course; without data, what the panel says then."""
    words = panel["options"]["colorMode"] == "background"
    if not series:
        field = panel["fieldConfig"]["defaults"]
        _number(canvas, box, field["noValue"], color_of(None, field), 0.5)
        return
    width = box.w / len(series)
    for i, curve in enumerate(series):
        own = Box(x=box.x + width * i + 2, y=box.y, w=width - 4, h=box.h)
        value = reduced(panel, curve)
        color = color_of(value, curve.field, i)
        text = text_of(value, curve.field)
        spark = False
        if words:
            canvas.rect(own.x, own.y, own.w, own.h, color, radius=4)
        elif panel["options"]["graphMode"] == "area":
            spark = _spark(canvas, own, curve, color)
        named = len(series) > 1 or words
        shown = ("#101214" if black_on(color) else "#FFFFFF") if words else color
        _number(canvas, own, text, shown, 0.34 if spark else 0.42 if named else 0.5)
        if named:
            label = shown if words else DIM
            canvas.label(
                own.x + own.w / 2,
                own.y + own.h - 8,
                curve.name,
                size=11,
                color=label,
                anchor="middle",
                max_width=own.w - 8,
            )


def _number(canvas: Canvas, box: Box, text: str, color: str, height: float) -> None:
    """A big text, its middle at a share of the box's height."""
    size = min(34.0, box.h * 0.45, 0.92 * box.w / max(text_width(text, 1.0), 0.1))
    y = box.y + box.h * height + size * 0.34
    canvas.label(box.x + box.w / 2, y, text, size=size, color=color, anchor="middle", bold=True)


def _spark(canvas: Canvas, box: Box, curve: PlotSeries, color: str) -> bool:
    """The recent course below the number; False where there are too few values for one."""
    points = [(t, v) for t, v in zip(curve.times_ms, curve.values, strict=True) if isinstance(v, int | float)]
    if len(points) < 3:
        return False
    low, high = min(v for _, v in points), max(v for _, v in points)
    first, last = points[0][0], points[-1][0]
    room, ground = box.h * 0.3, box.y + box.h
    path = [
        (box.x + box.w * (t - first) / (last - first), ground - room * (0.15 + 0.85 * (v - low) / (high - low or 1.0)))
        for t, v in points
    ]
    canvas.area(path, ground, color, 0.16)
    canvas.line(path, color, width=1.2, alpha=0.7)
    return True


def bar_gauge(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[PlotSeries]) -> None:
    """Horizontal bars."""
    rows = [(curve, value) for curve in series if isinstance(value := reduced(panel, curve), int | float)]
    if any(one["id"] == "sortBy" for one in panel["transformations"]):
        rows = sorted(rows, key=lambda row: -row[1])[: panel["options"]["reduceOptions"]["limit"]]
    names = [text_of(curve.name, field_of(panel, "Field")) for curve, _ in rows]
    top = max((value for _, value in rows), default=1.0) or 1.0
    height = min(box.h / max(len(rows), 1), 46.0)
    left = min(max((text_width(name, 12) for name in names), default=40.0) + 12, box.w * 0.4)
    for i, (name, (curve, value)) in enumerate(zip(names, rows, strict=True)):
        y = box.y + height * i
        color = color_of(value, curve.field, i, top)
        text = text_of(value, curve.field)
        room = box.w - left - 84
        canvas.label(
            box.x + left - 8, y + height * 0.5 + 4, name, size=12, color=TEXT, anchor="end", max_width=left - 10
        )
        canvas.rect(box.x + left, y + height * 0.18, room, height * 0.64, GRID, radius=2)
        canvas.rect(box.x + left, y + height * 0.18, room * value / top, height * 0.64, color, radius=2)
        canvas.label(box.x + box.w - 2, y + height * 0.5 + 5, text, size=13, color=color, anchor="end", bold=True)


def pie_chart(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[PlotSeries]) -> None:
    """Shares as a ring, with a legend of values and percentages."""
    rows = [
        (curve, math.fsum(curve.numbers), color_of(1, curve.field, i))
        for i, curve in enumerate(series)
        if curve.numbers
    ]
    whole = math.fsum(value for _, value, _ in rows) or 1.0
    radius = min(box.h * 0.46, box.w * 0.24)
    x, y = box.x + radius + 6, box.y + box.h / 2
    angle = -math.pi / 2
    for _, value, color in rows:
        turn = min(2 * math.pi * value / whole, 2 * math.pi - 1e-4)
        canvas.path(_arc(x, y, radius, radius * 0.6, angle, angle + turn), color)
        angle += turn
    left, right = x + radius + 16, box.x + box.w - 2
    for i, (curve, value, color) in enumerate(rows):
        top = box.y + box.h / 2 - 10 * len(rows) + 20 * i + 12
        canvas.rect(left, top - 8, 10, 10, color, radius=2)
        canvas.label(left + 16, top + 1, curve.name, size=11.5, color=TEXT, max_width=right - left - 92)
        canvas.label(right - 42, top + 1, f"{value:.0f}", size=11, color=TEXT, anchor="end")
        canvas.label(right, top + 1, f"{100 * value / whole:.0f} %", size=11, color=DIM, anchor="end")


def _arc(x: float, y: float, outer: float, inner: float, start: float, end: float) -> str:
    large = int(end - start > math.pi)

    def at(radius: float, angle: float) -> str:
        return f"{x + radius * math.cos(angle):.2f} {y + radius * math.sin(angle):.2f}"

    return (
        f"M{at(outer, start)}A{outer:.2f} {outer:.2f} 0 {large} 1 {at(outer, end)}"
        f"L{at(inner, end)}A{inner:.2f} {inner:.2f} 0 {large} 0 {at(inner, start)}Z"
    )


def histogram(canvas: Canvas, box: Box, panel: Mapping[str, Any], series: Sequence[PlotSeries]) -> None:
    """How many values fall into each interval."""
    values = [value for curve in series for value in curve.numbers]
    size = float(panel["options"]["bucketSize"])
    counts: dict[int, int] = {}
    for value in values:
        counts[int(value // size)] = counts.get(int(value // size), 0) + 1
    if not counts:
        return
    first, last = min(counts), max(counts)
    names = [text_of(size * i, {**series[0].field, "decimals": 0}) for i in range(first, last + 1)]
    color = color_of(1, series[0].field)
    top = max(counts.values()) * 1.05
    plot = Box(x=box.x + 34, y=box.y + 4, w=box.w - 40, h=box.h - 26)
    for level in whole_ticks(top, max(2, int(box.h / 45))):
        y = plot.y + plot.h * (1.0 - level / top)
        canvas.line([(plot.x, y), (plot.x + plot.w, y)], GRID)
        canvas.label(plot.x - 6, y + 3.5, text_of(level, {}), size=10.5, color=DIM, anchor="end")
    width = plot.w / len(names)
    every = math.ceil(max(text_width(name, 10.5) + 8 for name in names) / width)
    for i, name in enumerate(names):
        height = plot.h * counts.get(first + i, 0) / top
        x = plot.x + width * (i + 0.03)
        canvas.rect(x, plot.y + plot.h - height, width * 0.94, height, color, radius=2, alpha=0.9)
        if i % every == 0:
            middle = x + width * 0.47
            canvas.label(middle, plot.y + plot.h + 15, name, size=10.5, color=DIM, anchor="middle")


def table(canvas: Canvas, box: Box, panel: Mapping[str, Any], tables: Sequence[Series]) -> None:
    """Rows under their titles, as many as fit."""
    options = panel["transformations"][0]["options"]
    names: dict[str, str] = options["renameByName"]
    rows = [
        {
            "Time" if key == "time" else key: value
            for key, value in {**one.tags, **dict(zip(one.columns, row, strict=True))}.items()
        }
        for one in tables
        for row in one.values
    ]
    room = int((box.h - 26) / 26)
    shown = rows[:room]
    texts = {
        column: [_cell(column, row.get(column), field_of(panel, title)) for row in shown]
        for column, title in names.items()
    }
    wanted = {
        column: max([text_width(title, 11.5), *(text_width(text, 12) for text in texts[column])]) + 22
        for column, title in names.items()
    }
    factor = max((box.w - 4) / (math.fsum(wanted.values()) or 1.0), 1.0)  # what is too wide is scrolled
    x = box.x + 2
    notes = [f"{len(shown)} of {len(rows)}"] if len(rows) > room else []
    for number, (column, title) in enumerate(names.items()):
        width = wanted[column] * factor
        if number and x + width > box.x + box.w + 1:
            notes.append(f"{len(names) - number} more columns →")
            break
        canvas.label(x + 8, box.y + 15, title, size=11.5, color=LINK, bold=True, max_width=width - 10)
        field = field_of(panel, title)
        for i, text in enumerate(texts[column]):
            y = box.y + 26 + 26 * i
            color = TEXT
            if "custom.cellOptions" in field and text:
                back = color_of(shown[i].get(column), field)
                canvas.rect(x + 2, y + 2, width - 4, 22, back, radius=3)
                color = "#101214" if black_on(back) else "#FFFFFF"
            elif field.get("links") and text:
                color = LINK
            canvas.label(x + 8, y + 17, text, size=12, color=color, max_width=width - 12)
        x += width
    for i in range(len(shown)):
        canvas.line([(box.x, box.y + 26 + 26 * i), (box.x + box.w, box.y + 26 + 26 * i)], EDGE)
    canvas.label(box.x + box.w, box.y - 10, ", ".join(notes), size=10.5, color=DIM, anchor="end")


def _cell(column: str, value: Any, field: Mapping[str, Any]) -> str:
    if column == "Time":
        return datetime.fromtimestamp(value / 1000.0, UTC).strftime("%Y-%m-%d %H:%M:%S")
    return text_of(value, field)
