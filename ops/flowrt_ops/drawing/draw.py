"""Drawing dashboards without a Grafana server: the same JSON, the same queries, the database's own answers.

Only the panel types and options that this project uses are drawn, for documentation and for machines without Grafana.
"""

from __future__ import annotations

import math
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowrt_ops import dashboards
from flowrt_ops.checks.evaluate import Range, ask, range_of, seconds, step_of
from flowrt_ops.checks.queries import PlacedQuery, queries_of
from flowrt_ops.drawing import instant, time_series
from flowrt_ops.drawing.canvas import CARD, DIM, EDGE, LINK, PAGE, TEXT, Canvas, text_width
from flowrt_ops.drawing.layout import MARGIN, WIDTH, Box, Times, places
from flowrt_ops.drawing.values import PlotSeries, field_of
from flowrt_ops.influx_reader import Reader, Series

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")

_TIME_SERIES: dict[str, Callable[[Canvas, Box, Mapping[str, Any], Sequence[PlotSeries], Times], None]] = {
    "timeseries": time_series.time_series,
    "state-timeline": time_series.state_timeline,
    "status-history": time_series.status_history,
}
_INSTANT: dict[str, Callable[[Canvas, Box, Mapping[str, Any], Sequence[PlotSeries]], None]] = {
    "bargauge": instant.bar_gauge,
    "piechart": instant.pie_chart,
    "histogram": instant.histogram,
}


def draw_all(
    reader: Reader, folder: Path, *, site: str = "", to_s: float = 0.0, span: str = "", width: int = WIDTH
) -> list[Path]:
    """Draw every dashboard into `folder` as `dashboard-NAME.png`, or `.svg` where no browser is installed.

    Raises flowrt_ops.influx_reader.Refused where the database does not answer.
    """
    to_s = to_s or time.time()
    files = []
    for dashboard in dashboards.DASHBOARDS:
        canvas = draw(dashboard.json(), reader, site=site, to_s=to_s, span=span, width=width)
        folder.mkdir(parents=True, exist_ok=True)
        files.append(_save(canvas, folder / f"dashboard-{dashboard.uid.removeprefix('flowrt-')}"))
    return files


def draw(
    dashboard: Mapping[str, Any], reader: Reader, *, site: str = "", to_s: float, span: str = "", width: float = WIDTH
) -> Canvas:
    """One dashboard with the data of the time that ends at `to_s`. site: only this intersection; empty for all."""
    chosen = {"site": site} if site else {}
    shown = range_of(dashboard, to_s, span)
    canvas = Canvas(width)
    top = _head(canvas, dashboard, site or "All", shown)
    queries = list(queries_of(dashboard))
    marks = _marks(dashboard, reader, queries, shown, chosen)
    for panel, box in places(dashboard["panels"], width, top):
        canvas.height = max(canvas.height, box.y + box.h + MARGIN)
        if panel["type"] == "row":
            canvas.label(box.x + 4, box.y + 21, f"⌄  {panel['title']}", size=15, bold=True)
            continue
        own = [query for query in queries if query.where == "panel" and query.name == panel["title"]]
        _panel(canvas, box, panel, own, reader, shown, chosen, marks)
    return canvas


def _panel(
    canvas: Canvas,
    box: Box,
    panel: Mapping[str, Any],
    queries: Sequence[PlacedQuery],
    reader: Reader,
    shown: Range,
    chosen: Mapping[str, str],
    marks: Sequence[tuple[float, str]],
) -> None:
    canvas.rect(box.x, box.y, box.w, box.h, CARD, radius=4, edge=EDGE)
    canvas.label(box.x + 10, box.y + 20, panel["title"], size=13, color=TEXT, bold=True, max_width=box.w - 20)
    inner = Box(x=box.x + 10, y=box.y + 30, w=box.w - 20, h=box.h - 36)
    step = step_of(shown, panel)
    answers = [(query, ask(reader, query, shown, step, chosen)) for query in queries]
    kind = panel["type"]
    if kind == "alertlist":
        canvas.label(inner.x, inner.y + 14, "Grafana's own list of alerts", size=13, color=DIM)
        return
    if kind == "geomap":
        canvas.label(inner.x, inner.y + 14, "Grafana's own map of the intersections", size=13, color=DIM)
        return
    tables = [one for _, series in answers for one in series]
    if kind == "table" and tables:
        instant.table(canvas, inner, panel, tables)
        return
    series = _lines(panel, answers)
    if kind == "stat":
        instant.stat(canvas, inner, panel, series)
    elif not series:
        empty = panel["fieldConfig"]["defaults"]["noValue"]
        canvas.label(inner.x + inner.w / 2, inner.y + inner.h / 2 + 4, empty, size=13, color=DIM, anchor="middle")
    elif kind in _TIME_SERIES:
        fixed = next(
            (seconds(q.text.split("time(")[1].split(")")[0]) for q in queries if _has_own_step(q)), seconds(step)
        )
        times = Times(from_ms=shown.from_s * 1000, to_ms=shown.to_s * 1000, step_ms=fixed * 1000, marks=marks)
        _TIME_SERIES[kind](canvas, inner, panel, series, times)
    else:
        _INSTANT[kind](canvas, inner, panel, series)


def _has_own_step(query: PlacedQuery) -> bool:
    return "time(" in query.text and "time($__interval)" not in query.text


def _lines(panel: Mapping[str, Any], answers: Sequence[tuple[PlacedQuery, list[Series]]]) -> list[PlotSeries]:
    """The series of all queries, named as their alias says."""
    found = []
    for query, series in answers:
        alias = next(target["alias"] for target in panel["targets"] if target["refId"] == query.ref)
        for one in series:
            name = alias
            for tag, value in sorted(one.tags.items(), key=lambda item: -len(item[0])):
                name = name.replace(f"$tag_{tag}", value)
            times = [float(time_ms) for time_ms in one.column("time")]
            field = field_of(panel, name)
            shown = field.get("displayName", name)
            curve = PlotSeries(name=shown, times_ms=times, values=[row[1] for row in one.values], field=field)
            if any(value is not None for value in curve.values):
                found.append(curve)
    return found


def _marks(
    dashboard: Mapping[str, Any],
    reader: Reader,
    queries: Sequence[PlacedQuery],
    shown: Range,
    chosen: Mapping[str, str],
) -> list[tuple[float, str]]:
    colors = {one["name"]: one["iconColor"] for one in dashboard["annotations"]["list"]}
    marks = []
    for query in queries:
        if query.where == "annotation":
            for one in ask(reader, query, shown, "1s", chosen):
                marks += [(float(time_ms), colors[query.name]) for time_ms in one.column("time")]
    return marks


def _head(canvas: Canvas, dashboard: Mapping[str, Any], site: str, shown: Range) -> float:
    """Title, time, choices and links, on as many lines as the width wants; returns where the panels begin."""
    title = f"Smart intersection  /  {dashboard['title']}"
    times = [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (shown.from_s, shown.to_s)]
    when = f"{times[0]} to {times[1]} UTC"
    left, right, y = MARGIN + 4, canvas.width - MARGIN - 4, 30.0
    canvas.label(left, y, title, size=min(19.0, 19.0 * (right - left) / text_width(title, 19)), bold=True)
    if left + text_width(title, 19) + text_width(when, 13) + 20 < right:
        canvas.label(right, y, when, size=13, color=DIM, anchor="end")
    else:
        y += 24
        canvas.label(left, y, when, size=13, color=DIM)
    choices = []
    for variable in dashboard["templating"]["list"]:
        value = site if variable["name"] == "site" else str(variable["current"]["text"]).strip("[]'")
        choices.append(f"{variable['label']}:  {value}")
    links = [other.title for other in dashboards.DASHBOARDS if other.title != dashboard["title"]]
    y, x = _chips(canvas, choices, y + 16, left, fill=CARD, color=TEXT)
    wanted = math.fsum(_chip_width(link) + 8 for link in links) - 8
    if x + wanted > right:
        return _chips(canvas, links, y + 34, left, fill=PAGE, color=LINK)[0] + 38
    return _chips(canvas, links, y, right - wanted, fill=PAGE, color=LINK)[0] + 38


def _chips(
    canvas: Canvas, texts: Sequence[str], y: float, left: float, *, fill: str, color: str
) -> tuple[float, float]:
    """Texts in boxes from left to right, wrapped; returns the top of the last line and where its next box would stand."""
    x = left
    for text in texts:
        width = _chip_width(text)
        if x > left and x + width > canvas.width - MARGIN:
            x, y = left, y + 34
        canvas.rect(x, y, width, 26, fill, radius=4, edge=EDGE)
        canvas.label(x + 11, y + 17.5, text, size=12.5, color=color)
        x += width + 8
    return y, x


def _chip_width(text: str) -> float:
    return text_width(text, 12.5) + 22


def _save(canvas: Canvas, stem: Path) -> Path:
    """As PNG through a browser where one is installed, else as SVG."""
    browser = next((found for name in _BROWSERS if (found := shutil.which(name))), None)
    if browser is None:
        file = stem.with_suffix(".svg")
        file.write_text(canvas.text(), "utf-8")
        return file
    file = stem.with_suffix(".png").resolve()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(f'<body style="margin:0;background:{PAGE}">{canvas.text()}</body>', "utf-8")
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/profile",
            f"--window-size={canvas.width:.0f},{canvas.height:.0f}", f"--screenshot={file}", page.as_uri(),
        ]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True, timeout=120)
    return file
