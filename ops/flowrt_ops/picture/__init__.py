"""Dashboards drawn without a Grafana: the same JSON, the same queries, the database's own answers.

It draws what the panels of this project use, so that a dashboard can be looked at where no Grafana can be had (and put on
paper). It is no replacement: nothing can be clicked.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flowrt_ops import dashboards
from flowrt_ops.dashboards.found import Found, queries_of
from flowrt_ops.evaluate import Range, ask, range_of, seconds, step_of
from flowrt_ops.influx import Reader, Series
from flowrt_ops.picture import atonce, overtime
from flowrt_ops.picture.canvas import CARD, DIM, EDGE, PAGE, TEXT, Canvas, text_width
from flowrt_ops.picture.overtime import Box, Times
from flowrt_ops.picture.values import Line, field_of

WIDTH = 1680.0
_MARGIN, _HEAD, _ROW, _GAP = 12.0, 84.0, 38.0, 8.0
_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")

_OVER_TIME: dict[str, Callable[[Canvas, Box, Mapping[str, Any], Sequence[Line], Times], None]] = {
    "timeseries": overtime.lines,
    "state-timeline": overtime.states,
    "status-history": overtime.heat,
}
_AT_ONCE: dict[str, Callable[[Canvas, Box, Mapping[str, Any], Sequence[Line]], None]] = {
    "stat": atonce.stat,
    "bargauge": atonce.ranked,
    "piechart": atonce.ring,
    "histogram": atonce.distribution,
}


def draw_all(url: str, folder: Path, *, site: str = "", to_s: float = 0.0, span: str = "") -> list[Path]:
    """Draw every dashboard into `folder` as `dashboard-NAME.png`, or `.svg` where no browser is installed.

    Raises flowrt_ops.influx.Refused where the database does not answer.
    """
    reader = Reader(url)
    folder.mkdir(parents=True, exist_ok=True)
    return [
        _save(
            draw(dashboard.json(), reader, site=site, to_s=to_s or time.time(), span=span), folder / f"dashboard-{name}"
        )
        for name, dashboard in ((d.uid.removeprefix("flowrt-"), d) for d in dashboards.DASHBOARDS)
    ]


def draw(dashboard: Mapping[str, Any], reader: Reader, *, site: str = "", to_s: float, span: str = "") -> Canvas:
    """One dashboard with the data of the time that ends at `to_s`. site: only this intersection; empty for all."""
    chosen = {"site": site} if site else {}
    shown = range_of(dashboard, to_s, span)
    bottom = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in dashboard["panels"])
    canvas = Canvas(WIDTH, _HEAD + bottom * _ROW + _MARGIN)
    canvas.rect(0, 0, canvas.width, canvas.height, PAGE)
    _head(canvas, dashboard, site or "All", shown)
    queries = list(queries_of(dashboard))
    marks = _marks(dashboard, reader, queries, shown, chosen)
    column = (WIDTH - 2 * _MARGIN + _GAP) / 24
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        box = Box(
            x=_MARGIN + place["x"] * column,
            y=_HEAD + place["y"] * _ROW,
            w=place["w"] * column - _GAP,
            h=place["h"] * _ROW - _GAP,
        )
        if panel["type"] == "row":
            canvas.words(box.x + 4, box.y + 21, f"⌄  {panel['title']}", size=15, bold=True)
            continue
        own = [query for query in queries if query.where == "panel" and query.name == panel["title"]]
        _panel(canvas, box, panel, own, reader, shown, chosen, marks)
    return canvas


def _panel(
    canvas: Canvas,
    box: Box,
    panel: Mapping[str, Any],
    queries: Sequence[Found],
    reader: Reader,
    shown: Range,
    chosen: Mapping[str, str],
    marks: Sequence[tuple[float, str]],
) -> None:
    canvas.rect(box.x, box.y, box.w, box.h, CARD, radius=4, edge=EDGE)
    canvas.words(box.x + 10, box.y + 20, panel["title"], size=13, color=TEXT, bold=True, room=box.w - 20)
    inner = Box(x=box.x + 10, y=box.y + 30, w=box.w - 20, h=box.h - 36)
    step = step_of(shown, panel)
    answers = [(query, ask(reader, query, shown, step, chosen)) for query in queries]
    kind = panel["type"]
    tables = [one for _, series in answers for one in series]
    if kind == "table" and tables:
        atonce.table(canvas, inner, panel, tables)
        return
    series = _lines(panel, answers)
    if not series:
        empty = panel["fieldConfig"]["defaults"]["noValue"]
        canvas.words(inner.x + inner.w / 2, inner.y + inner.h / 2 + 4, empty, size=13, color=DIM, anchor="middle")
    elif kind in _OVER_TIME:
        fixed = next(
            (seconds(q.text.split("time(")[1].split(")")[0]) for q in queries if _has_own_step(q)), seconds(step)
        )
        times = Times(from_ms=shown.from_s * 1000, to_ms=shown.to_s * 1000, step_ms=fixed * 1000, marks=marks)
        _OVER_TIME[kind](canvas, inner, panel, series, times)
    else:
        _AT_ONCE[kind](canvas, inner, panel, series)


def _has_own_step(query: Found) -> bool:
    return "time(" in query.text and "time($__interval)" not in query.text


def _lines(panel: Mapping[str, Any], answers: Sequence[tuple[Found, list[Series]]]) -> list[Line]:
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
            line = Line(name=shown, times_ms=times, values=[row[1] for row in one.values], field=field)
            if any(value is not None for value in line.values):
                found.append(line)
    return found


def _marks(
    dashboard: Mapping[str, Any], reader: Reader, queries: Sequence[Found], shown: Range, chosen: Mapping[str, str]
) -> list[tuple[float, str]]:
    colors = {one["name"]: one["iconColor"] for one in dashboard["annotations"]["list"]}
    marks = []
    for query in queries:
        if query.where == "annotation":
            for one in ask(reader, query, shown, "1s", chosen):
                marks += [(float(time_ms), colors[query.name]) for time_ms in one.column("time")]
    return marks


def _head(canvas: Canvas, dashboard: Mapping[str, Any], site: str, shown: Range) -> None:
    canvas.words(_MARGIN + 4, 30, f"Smart intersection  /  {dashboard['title']}", size=19, bold=True)
    times = [datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M") for at in (shown.from_s, shown.to_s)]
    canvas.words(WIDTH - _MARGIN - 4, 30, f"{times[0]} to {times[1]} UTC", size=13, color=DIM, anchor="end")
    x = _MARGIN + 4
    for variable in dashboard["templating"]["list"]:
        value = site if variable["name"] == "site" else str(variable["current"]["text"]).strip("[]'")
        text = f"{variable['label']}:  {value}"
        width = text_width(text, 12.5) + 22
        canvas.rect(x, 46, width, 26, CARD, radius=4, edge=EDGE)
        canvas.words(x + 11, 63.5, text, size=12.5)
        x += width + 8
    others = [other.title for other in dashboards.DASHBOARDS if other.title != dashboard["title"]]
    x = WIDTH - _MARGIN
    for title in reversed(others):
        width = text_width(title, 12.5) + 22
        x -= width + 8
        canvas.rect(x, 46, width, 26, PAGE, radius=4, edge=EDGE)
        canvas.words(x + 11, 63.5, title, size=12.5, color="#6E9FFF")


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
