"""The frame around the panels: variables, links, annotations, and the grid they are laid out in."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from flowrt_ops.grafana.influxql import CRITICAL, LIVE, NEAR_MISS, Query, Source, datasource, select, tag_values
from flowrt_ops.grafana.panel import Panel
from flowrt_ops.grafana.theme import BAD, POOR

TAG = "flowrt"
COLUMNS = 24
SCHEMA_VERSION = 39  # the last one before dashboards were split in versions; Grafana 11, 12 and 13 migrate it


class Variable(msgspec.Struct, frozen=True, kw_only=True):
    """A choice at the top of a dashboard, filled from a tag's values."""

    name: str
    label: str
    measurement: str
    tag: str
    source: Source = LIVE

    def json(self) -> dict[str, Any]:
        """As Grafana has it; everything is chosen at first."""
        query = tag_values(self.measurement, self.tag, of_site=self.name != "site")
        return {
            "name": self.name,
            "label": self.label,
            "type": "query",
            "datasource": datasource(self.source),
            "definition": query,
            "query": query,
            "refresh": 2,
            "regex": "/^(?!none$).*/",
            "sort": 1,
            "multi": True,
            "includeAll": True,
            "allValue": ".*",
            "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
            "options": [],
            "hide": 0,
            "skipUrlSync": False,
        }


class Row(msgspec.Struct, frozen=True):
    """Panels under a heading."""

    title: str
    panels: Sequence[Panel]


class Dashboard(msgspec.Struct, frozen=True, kw_only=True):
    """One dashboard. uid is also the file's name and part of its address, so it never changes."""

    uid: str
    title: str
    about: str
    rows: Sequence[Row]
    variables: Sequence[Variable]
    textboxes: Sequence[tuple[str, str, str]] = ()
    span: str
    refresh: str

    def json(self) -> dict[str, Any]:
        """The classic JSON that Grafana's file provisioning reads."""
        texts = [_textbox(*textbox) for textbox in self.textboxes]
        return {
            "uid": self.uid,
            "title": self.title,
            "description": self.about,
            "tags": [TAG],
            "schemaVersion": SCHEMA_VERSION,
            "version": 1,
            "editable": False,
            "graphTooltip": 1,
            "timezone": "browser",
            "weekStart": "",
            "fiscalYearStartMonth": 0,
            "liveNow": False,
            "refresh": self.refresh,
            "time": {"from": f"now-{self.span}", "to": "now"},
            "timepicker": {"refresh_intervals": ["5s", "10s", "30s", "1m", "5m", "15m", "1h"], "hidden": False},
            "templating": {"list": [*(variable.json() for variable in self.variables), *texts]},
            "annotations": {"list": _annotations()},
            "links": [_link()],
            "panels": list(_laid_out(self.rows)),
        }


def _laid_out(rows: Iterable[Row]) -> Iterable[Panel]:
    """Panels from left to right, a new line where the next one does not fit; ids in reading order."""
    number, top = 1, 0
    for row in rows:
        yield {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": False,
            "panels": [],
            "gridPos": {"x": 0, "y": top, "w": COLUMNS, "h": 1},
        }
        number, top, left, tallest = number + 1, top + 1, 0, 0
        for panel in row.panels:
            width, height = panel["size"]
            if left + width > COLUMNS:
                top, left, tallest = top + tallest, 0, 0
            place = {"x": left, "y": top, "w": width, "h": height}
            yield {"id": number, **{key: value for key, value in panel.items() if key != "size"}, "gridPos": place}
            number, left, tallest = number + 1, left + width, max(tallest, height)
        top += tallest


def _annotations() -> list[dict[str, Any]]:
    grafana = {
        "builtIn": 1,
        "datasource": {"type": "grafana", "uid": "-- Grafana --"},
        "enable": True,
        "hide": True,
        "iconColor": "rgba(0, 211, 255, 1)",
        "name": "Annotations & Alerts",
        "type": "dashboard",
    }
    what = '"violation_type", "severity_level", "camera_id"'
    grave = select(what, "violation_events", where=[CRITICAL])
    near = select(what, "violation_events", where=[NEAR_MISS])
    return [
        grafana,
        _annotation("Critical violations", grave, BAD, text="violation_type", tags="severity_level"),
        _annotation("Near misses", near, POOR, text="violation_type", tags="severity_level"),
    ]


def _annotation(name: str, query: Query, color: str, *, text: str, tags: str) -> dict[str, Any]:
    return {
        "name": name,
        "datasource": datasource(query.source),
        "enable": True,
        "hide": False,
        "iconColor": color,
        "target": {
            "refId": "Anno",
            "query": query.text,
            "rawQuery": True,
            "fromAnnotations": True,
            "textEditor": True,
            "textColumn": text,
            "tagsColumn": tags,
            "timeEndColumn": "",
        },
    }


def _link() -> dict[str, Any]:
    return {
        "title": "Dashboards",
        "type": "dashboards",
        "tags": [TAG],
        "asDropdown": False,
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "icon": "external link",
        "tooltip": "The other dashboards, with the same choices and time range",
        "url": "",
    }


def _textbox(name: str, label: str, value: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": label,
        "type": "textbox",
        "query": value,
        "current": {"selected": True, "text": value, "value": value},
        "options": [{"selected": True, "text": value, "value": value}],
        "hide": 0,
        "skipUrlSync": False,
    }
