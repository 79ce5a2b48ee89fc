"""Panels: the kinds the dashboards are made of, as Grafana's classic JSON has them.

A panel is a dict without `id` and `gridPos`; the dashboard's frame adds them. `size` is (width, height) in Grafana's grid of 24 columns.
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from typing import Any

from flowrt_ops.grafana.influxql import Query, datasource
from flowrt_ops.grafana.theme import BLUE, QUIET, thresholds

_BARS_MOST = 25
_ROWS_MOST = 60
"""Rows of a timeline before it turns pages; Grafana's own choice, 20, hides zones of a large intersection."""

Panel = dict[str, Any]
Size = tuple[int, int]


def _panel(
    kind: str,
    title: str,
    about: str,
    queries: Sequence[Query],
    size: Size,
    *,
    options: dict[str, Any],
    custom: dict[str, Any] | None = None,
    unit: str = "short",
    overrides: Sequence[dict[str, Any]] = (),
    transformations: Sequence[dict[str, Any]] = (),
    min_step: str = "",
    back: str = "",
    empty: str = "no data",
    **defaults: Any,
) -> Panel:
    """min_step: the panel's shortest step in time; back: a time span of its own up to now, whatever the dashboard shows."""
    field: dict[str, Any] = {"unit": unit, "noValue": empty, "mappings": [], "thresholds": thresholds(), **defaults}
    field.setdefault("color", {"mode": "palette-classic"})
    if custom is not None:
        field["custom"] = custom
    panel: Panel = {
        "type": kind,
        "title": title,
        "description": about,
        "datasource": datasource(queries[0].source),
        "targets": [query.target(string.ascii_uppercase[i]) for i, query in enumerate(queries)],
        "fieldConfig": {"defaults": field, "overrides": list(overrides)},
        "options": options,
        "transformations": list(transformations),
        "size": size,
    }
    if min_step:
        panel["interval"] = min_step
    if back:
        panel["timeFrom"] = back
    return panel


def _reduce(calc: str) -> dict[str, Any]:
    return {"values": False, "calcs": [calc], "fields": ""}


def _legend(calcs: Sequence[str] = (), *, table: bool = False) -> dict[str, Any]:
    mode = "table" if table else "list"
    return {"displayMode": mode, "placement": "bottom", "showLegend": True, "calcs": list(calcs)}


TOOLTIP = {"mode": "multi", "sort": "desc"}


def stat(
    title: str,
    about: str,
    *queries: Query,
    size: Size = (4, 4),
    calc: str = "lastNotNull",
    words: bool = False,
    **more: Any,
) -> Panel:
    """One big number with its sparkline; `words`: a word on its colour."""
    options = {
        # `/.*/` would show the time of the word as a second number.
        "reduceOptions": {"values": False, "calcs": [calc], "fields": "/^(?!Time$).*/" if words else ""},
        "orientation": "auto",
        "textMode": "value" if words else "auto",
        "colorMode": "background" if words else "value",
        "graphMode": "none" if words or calc != "lastNotNull" else "area",
        "justifyMode": "center",
        "wideLayout": True,
        "showPercentChange": False,
    }
    more.setdefault("color", {"mode": "thresholds"})
    return _panel("stat", title, about, queries, size, options=options, **more)


def time_series(
    title: str,
    about: str,
    *queries: Query,
    size: Size = (12, 8),
    stacked: bool = False,
    bars: bool = False,
    points: bool = False,
    limit: bool = False,
    calcs: Sequence[str] = (),
    **more: Any,
) -> Panel:
    """Values over time. limit: draw the thresholds as lines."""
    style = "bars" if bars else "points" if points else "line"
    custom = {
        "drawStyle": style,
        "lineInterpolation": "linear",
        "lineWidth": 0 if bars else 2,
        # Areas of many series cover each other and turn grey.
        "fillOpacity": 85 if bars else 12 if all("$tag" not in query.alias for query in queries) else 0,
        "gradientMode": "none" if bars else "opacity",
        "showPoints": "always" if points else "auto",
        "pointSize": 7 if points else 4,
        "spanNulls": 60_000,
        "axisPlacement": "auto",
        "axisLabel": "",
        "axisSoftMin": 0,
        "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if limit else "off"},
    }
    options = {"legend": _legend(calcs, table=bool(calcs)), "tooltip": TOOLTIP}
    if bars:
        more.setdefault("decimals", 0)  # bars count things
    return _panel("timeseries", title, about, queries, size, options=options, custom=custom, **more)


def bar_gauge(
    title: str,
    about: str,
    *queries: Query,
    size: Size = (8, 8),
    calc: str = "lastNotNull",
    largest_first: bool = False,
    names: Sequence[dict[str, Any]] = (),
    **more: Any,
) -> Panel:
    """Horizontal bars, one per series.

    largest_first: sums, sorted; else the series' order. names: value mappings of the sorted series' names.
    """
    options = {
        "reduceOptions": {**_reduce("sum"), "values": True, "limit": _BARS_MOST} if largest_first else _reduce(calc),
        "orientation": "horizontal",
        "displayMode": "gradient",
        "valueMode": "color",
        "showUnfilled": True,
        "namePlacement": "auto",
        "sizing": "auto",
        "minVizWidth": 8,
        "minVizHeight": 16,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
    }
    more.setdefault("color", {"mode": "continuous-BlPu"})
    if largest_first:
        # A row per series, its name in the column "Field", its sum in "Total".
        more["transformations"] = [
            {"id": "reduce", "options": {"reducers": ["sum"], "mode": "seriesToRows", "includeTimeField": False}},
            {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": "Total", "desc": True}]}},
        ]
        more["overrides"] = [override("Field", mappings=list(names))] if names else []
    return _panel("bargauge", title, about, queries, size, options=options, min=0, **more)


def pie_chart(title: str, about: str, *queries: Query, size: Size = (6, 8), **more: Any) -> Panel:
    """Shares of a whole."""
    options = {
        "reduceOptions": _reduce("sum"),
        "pieType": "donut",
        "displayLabels": [],
        "legend": {**_legend(), "placement": "right", "displayMode": "table", "values": ["value", "percent"]},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    return _panel("piechart", title, about, queries, size, options=options, **more)


def state_timeline(
    title: str, about: str, *queries: Query, size: Size = (12, 7), colors: list[dict[str, Any]], **more: Any
) -> Panel:
    """States over time, one row per series."""
    options = {
        "mergeValues": True,
        "showValue": "auto",
        "alignValue": "left",
        "rowHeight": 0.85,
        "perPage": _ROWS_MOST,
        "legend": _legend(),
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"lineWidth": 0, "fillOpacity": 80, "spanNulls": 120_000}
    more.setdefault("color", {"mode": "thresholds"})
    return _panel(
        "state-timeline", title, about, queries, size,
        options=options, custom=custom, mappings=colors, **{**more, "thresholds": thresholds(base=QUIET)},
    )  # fmt: skip


def status_history(title: str, about: str, *queries: Query, size: Size = (24, 9), **more: Any) -> Panel:
    """One row per series, one cell per step, coloured by value."""
    options = {
        "showValue": "never",
        "rowHeight": 0.95,
        "colWidth": 0.95,
        "perPage": _ROWS_MOST,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": False, "calcs": []},
        "tooltip": {"mode": "single", "sort": "none"},
    }
    custom = {"lineWidth": 0, "fillOpacity": 90}
    more.setdefault("color", {"mode": "continuous-YlRd"})
    return _panel("status-history", title, about, queries, size, options=options, custom=custom, min=0, **more)


def histogram(title: str, about: str, *queries: Query, size: Size = (12, 8), width: float, **more: Any) -> Panel:
    """How often which value occurs. width: of one bar, in the field's unit."""
    options = {"bucketSize": width, "bucketOffset": 0, "combine": True, "legend": _legend(), "tooltip": TOOLTIP}
    custom = {"fillOpacity": 85, "lineWidth": 0, "gradientMode": "none", "stacking": {"mode": "none", "group": "A"}}
    more.setdefault("color", {"mode": "fixed", "fixedColor": BLUE})
    return _panel("histogram", title, about, queries, size, options=options, custom=custom, **more)


def table(
    title: str,
    about: str,
    query: Query,
    size: Size = (24, 9),
    *,
    names: dict[str, str],
    hide: Sequence[str] = (),
    newest_first: bool = False,
    **more: Any,
) -> Panel:
    """A table of rows. names: column to its title, in order."""
    options = {
        "showHeader": True,
        "cellHeight": "sm",
        "footer": {"show": False, "reducer": ["sum"], "countRows": False, "fields": ""},
        "sortBy": [{"displayName": names["Time"], "desc": True}] if newest_first else [],
    }
    custom = {"align": "auto", "cellOptions": {"type": "auto"}, "inspect": False, "filterable": True}
    shaped = [organize(hide=hide, names=names)]
    more.setdefault("color", {"mode": "thresholds"})
    return _panel("table", title, about, [query], size, options=options, custom=custom, transformations=shaped, **more)


def site_map(
    title: str, about: str, query: Query, size: Size = (24, 10), *, names: dict[str, str], color: str, **more: Any
) -> Panel:
    """A map of rows that have the columns Latitude and Longitude. names: column to its title; color: the title that colours a marker."""
    style = {
        "color": {"field": color, "fixed": QUIET},
        "opacity": 0.9,
        "size": {"fixed": 9, "min": 4, "max": 15},
        "symbol": {"mode": "fixed", "fixed": "img/icons/marker/circle.svg"},
        "text": {"mode": "field", "field": names["site"], "fixed": ""},
        "textConfig": {"fontSize": 12, "offsetX": 0, "offsetY": 18, "textAlign": "center", "textBaseline": "middle"},
    }
    markers = {
        "type": "markers",
        "name": title,
        "config": {"style": style, "showLegend": False},
        "location": {"mode": "coords", "latitude": "Latitude", "longitude": "Longitude"},
        "tooltip": True,
    }
    options = {
        "basemap": {"type": "default", "name": "Map", "config": {}},
        "controls": {"showZoom": True, "mouseWheelZoom": False, "showAttribution": True, "showScale": True},
        "layers": [markers],
        "tooltip": {"mode": "details"},
        "view": {"id": "fit", "lat": 0, "lon": 0, "zoom": 15, "allLayers": True},
    }
    shaped = [organize(names=names)]
    return _panel("geomap", title, about, [query], size, options=options, transformations=shaped, **more)


def alert_list(title: str, about: str, size: Size = (12, 8)) -> Panel:
    """The alerts of these rules that fire, wait to fire, or can't be evaluated; the newest first."""
    options = {
        "alertInstanceLabelFilter": '{app="flowrt"}',
        "alertName": "",
        "dashboardAlerts": False,
        "groupBy": [],
        "groupMode": "default",
        "maxItems": 20,
        "showInstances": True,
        "sortOrder": 5,
        "stateFilter": {"error": True, "firing": True, "noData": True, "normal": False, "pending": True},
        "viewMode": "list",
    }
    return {"type": "alertlist", "title": title, "description": about, "options": options, "size": size}


def organize(*, hide: Sequence[str] = (), names: dict[str, str] | None = None) -> dict[str, Any]:
    """Hide, order and rename columns."""
    order = {column: i for i, column in enumerate(names or {})}
    options = {"excludeByName": dict.fromkeys(hide, True), "indexByName": order, "renameByName": dict(names or {})}
    return {"id": "organize", "options": options}


def override(column: str, **properties: Any) -> dict[str, Any]:
    """Other properties for one column or series; `__` in a name stands for the dot (`custom__cellOptions`)."""
    found = [{"id": name.replace("__", "."), "value": value} for name, value in properties.items()]
    return {"matcher": {"id": "byName", "options": column}, "properties": found}


def colored_words(column: str, words: list[dict[str, Any]]) -> dict[str, Any]:
    """A column of words on their colours."""
    return override(column, mappings=words, custom__cellOptions={"type": "color-background", "mode": "basic"})


def named(names: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Series by their titles, each always in its own colour. names: series to title and colour."""
    return [
        override(series, displayName=title, color={"mode": "fixed", "fixedColor": color})
        for series, (title, color) in names.items()
    ]


def fixed(series: str, color: str) -> dict[str, Any]:
    """A series always in the same colour, whatever else is shown."""
    return override(series, color={"mode": "fixed", "fixedColor": color})
