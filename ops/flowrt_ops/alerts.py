"""Alert rules, as Grafana's file provisioning reads them.

Each rule is one InfluxQL query in steps of a minute, reduced to one number per intersection, compared with a limit. `without_data` is
set per rule: no data is normal for a rule that counts violations, and the failure itself for the rule that watches for signs of life.

What Grafana's provisioning makes of the file, and `flowrt_ops.checks.provisioning` checks:
- A rule names a dashboard and a panel, or neither; with one of both Grafana does not start.
- Annotations are taken as they are: `{{ $labels.site }}` has a single `$`, and no address can come from the environment.
- A rule whose query fails keeps its state. Else a database that is away would fire all of them at once; one does, and that one says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from flowrt_ops import dashboards, generated
from flowrt_ops.checks.lint import Measurements, lint_query
from flowrt_ops.checks.queries import PlacedQuery, panels_of
from flowrt_ops.grafana.influxql import (
    CAMERA,
    CRITICAL,
    ITSELF,
    LIVE,
    NEAR_MISS,
    NOT_AS_DRAWN,
    RUNTIME,
    TARGET_FPS,
    sentence,
)

FOLDER = "Smart intersection"
PAGE = "watching.md"
FILE = "rules.yaml"

Reducer = Literal["last", "sum", "min", "max", "mean"]
Test = Literal["gt", "lt", "within_range"]
Severity = Literal["info", "warning", "critical"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. range_s: how far back the query looks; hold: how long the condition must last before it fires.

    keep_firing: how long it still fires when the condition is over, where events come and go faster than people answer.
    on_error: the state while the database does not answer. dashboard, panel: the uid and the title of what shows the reason.

    query: InfluxQL with `$timeFilter`; reduced by `reducer` to one number per series, then compared with `limits` by `test`.
    """

    uid: str
    title: str
    query: str
    range_s: int
    reducer: Reducer
    test: Test
    limits: tuple[float, ...]
    hold: str
    keep_firing: str
    without_data: Literal["OK", "NoData", "Alerting"]
    on_error: Literal["KeepLast", "Error"] = "KeepLast"
    severity: Severity
    dashboard: str
    panel: str
    summary: str
    todo: str

    @property
    def placed_query(self) -> PlacedQuery:
        """The query and where it is, for the same checks as the dashboards' queries."""
        return PlacedQuery(dashboard="Alerts", where="alert", name=self.title, text=self.query, source=LIVE)


def _by_minute(what: str, measurement: str, *where: str, by: tuple[str, ...] = ("site",), fill: str = "none") -> str:
    return sentence(what, measurement, where, by=by, every="1m", fill=fill)


RULES = (
    Rule(
        uid="flowrt-violation-burst",
        title="Violation burst",
        query=_by_minute('sum("count")', "violation_events"),
        range_s=300,
        reducer="sum",
        test="gt",
        limits=(10.0,),
        hold="0s",
        keep_firing="5m",
        without_data="OK",
        severity="warning",
        dashboard="flowrt-violations",
        panel="Violations by type",
        summary="{n} violations within 5 minutes at {site}",
        todo="Look at the table of violations: many of one rule in one zone mean a moved camera, a dark signal, or an incident.",
    ),
    Rule(
        uid="flowrt-critical-violation",
        title="Critical violation",
        query=_by_minute('sum("count")', "violation_events", CRITICAL),
        range_s=300,
        reducer="sum",
        test="gt",
        limits=(0.0,),
        hold="0s",
        keep_firing="5m",
        without_data="OK",
        severity="critical",
        dashboard="flowrt-violations",
        panel="Violations by severity",
        summary="A critical violation at {site}",
        todo="Open the event's evidence in the dashboard's table, and inform the control room where people are in danger.",
    ),
    Rule(
        uid="flowrt-near-miss",
        title="Near miss",
        query=_by_minute('sum("count")', "violation_events", NEAR_MISS),
        range_s=300,
        reducer="sum",
        test="gt",
        limits=(0.0,),
        hold="0s",
        keep_firing="5m",
        without_data="OK",
        severity="warning",
        dashboard="flowrt-violations",
        panel="How near",
        summary="Two road users nearly met at {site}",
        todo="Look at the encounter's time to collision; several at one place within a week are a reason to look at its signals.",
    ),
    Rule(
        uid="flowrt-camera-offline",
        title="Camera offline",
        query=_by_minute('max("fps")', "performance", CAMERA, by=("site", "camera_id")),
        range_s=120,
        reducer="max",
        test="lt",
        limits=(0.1,),
        hold="1m",
        keep_firing="2m",
        without_data="OK",
        severity="critical",
        dashboard="flowrt-performance",
        panel="Cameras",
        summary="{camera} at {site} gives no pictures",
        todo="Check the camera's power, network and address; `flowrt services status` shows what the runtime found.",
    ),
    Rule(
        uid="flowrt-camera-view",
        title="Camera shows something else",
        query=_by_minute(
            'count("fps")',
            "camera_status",
            NOT_AS_DRAWN,
            by=("site", "camera_id"),
        ),
        range_s=180,
        reducer="sum",
        test="gt",
        limits=(0.0,),
        hold="1m",
        keep_firing="5m",
        without_data="OK",
        severity="warning",
        dashboard="flowrt-performance",
        panel="Views of cameras",
        summary="{camera} at {site} has moved, or sees badly",
        todo="The topic cameras/status says which. Rules of that camera are silent until it is as before, or its scene is drawn anew.",
    ),
    Rule(
        uid="flowrt-fps-below-target",
        title="Frame rate below target",
        query=_by_minute('mean("fps")', "performance", CAMERA, by=("site", "camera_id")),
        range_s=300,
        reducer="mean",
        test="within_range",
        limits=(0.1, TARGET_FPS),
        hold="5m",
        keep_firing="5m",
        without_data="OK",
        severity="warning",
        dashboard="flowrt-performance",
        panel="Frame rate by camera",
        summary="{camera} at {site} runs at {n1} pictures a second",
        todo="Compare processor and processing time: lower other cameras' fps, use `every` at their detectors, or a faster device.",
    ),
    Rule(
        uid="flowrt-runtime-degraded",
        title="Runtime degraded",
        query=_by_minute('count("uptime_seconds")', "system_health", ITSELF, "\"service_status\" != 'healthy'"),
        range_s=120,
        reducer="sum",
        test="gt",
        limits=(0.0,),
        hold="2m",
        keep_firing="5m",
        without_data="OK",
        severity="warning",
        dashboard="flowrt-realtime",
        panel="Services",
        summary="The runtime at {site} is not healthy",
        todo="The reasons are in the topic system/health, in `/readyz`, and in `flowrt services status`.",
    ),
    Rule(
        uid="flowrt-outbox-growing",
        title="Outbox growing",
        query=_by_minute('derivative(mean("outbox_pending"), 1m)', "performance", RUNTIME),
        range_s=600,
        reducer="min",
        test="gt",
        limits=(10.0,),
        hold="5m",
        keep_firing="5m",
        without_data="OK",
        severity="warning",
        dashboard="flowrt-performance",
        panel="Queues and outbox",
        summary="The outbox at {site} grows by {n} messages a minute or more",
        todo="A service is away or too slow. Nothing is lost while the disk has room: see `flowrt outbox` and `flowrt services status`.",
    ),
    Rule(
        uid="flowrt-no-data",
        title="No data at all",
        query=_by_minute('count("uptime_seconds")', "system_health", ITSELF, fill="0"),
        range_s=86_400,  # a site that is silent for longer is forgotten, and its alert with it
        reducer="last",
        test="lt",
        limits=(1.0,),
        hold="2m",
        keep_firing="0s",
        without_data="Alerting",
        on_error="Error",
        severity="critical",
        dashboard="flowrt-realtime",
        panel="Newest point",
        summary="No data from {site} for two minutes",
        todo="Is the machine on, does `flowrt run` run, is the database up? `flowrt services status` tells them apart.",
    ),
)


def as_json(docs: str = "") -> dict[str, Any]:
    """The provisioning file's content. docs: address of a copy of the folder docs, for the rules' runbook links; empty for none."""
    rules = [_rule(rule, docs) for rule in RULES]
    return {
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": "flowrt", "folder": FOLDER, "interval": "30s", "rules": rules}],
    }


def _rule(rule: Rule, docs: str) -> dict[str, Any]:
    words = {
        "n": '{{ printf "%.0f" $values.B.Value }}',
        "n1": '{{ printf "%.1f" $values.B.Value }}',
        # Without any data an alert has no labels.
        "site": "{{ with $labels.site }}{{ . }}{{ else }}any intersection{{ end }}",
        "camera": "{{ $labels.camera_id }}",
    }
    page = f"{PAGE}#{rule.title.lower().replace(' ', '-')}"
    query = {"refId": "A", "query": rule.query, "rawQuery": True, "resultFormat": "time_series", "intervalMs": 60_000}
    reduce = {
        "refId": "B",
        "type": "reduce",
        "expression": "A",
        "reducer": rule.reducer,
        "settings": {"mode": "dropNN"},
    }
    limit = {"evaluator": {"type": rule.test, "params": list(rule.limits)}}
    threshold = {"refId": "C", "type": "threshold", "expression": "B", "conditions": [limit]}
    return {
        "uid": rule.uid,
        "title": rule.title,
        "condition": "C",
        "for": rule.hold,
        "keepFiringFor": rule.keep_firing,
        "noDataState": rule.without_data,
        "execErrState": rule.on_error,
        "data": [
            _step(query, LIVE, rule.range_s),
            _step(reduce, "__expr__", 0),
            _step(threshold, "__expr__", 0),
        ],
        "annotations": {
            "summary": rule.summary.format(**words),
            "description": f"{rule.todo} More: docs/{page}",
            **({"runbook_url": f"{docs.rstrip('/')}/{page}"} if docs else {}),
            "__dashboardUid__": rule.dashboard,
            "__panelId__": str(panel_id(rule)),
        },
        "labels": {"severity": rule.severity, "app": "flowrt"},
        "isPaused": False,
    }


def panel_id(rule: Rule) -> int:
    """The number that the rule's panel has in the built dashboard; titles are unique there. Raises LookupError."""
    for dashboard in dashboards.DASHBOARDS:
        if dashboard.uid == rule.dashboard:
            for panel in panels_of(dashboard.json()):
                if panel["title"] == rule.panel:
                    return int(panel["id"])
    raise LookupError(f"alert '{rule.title}': there is no panel '{rule.panel}' in dashboard '{rule.dashboard}'")


def _step(model: dict[str, Any], source: str, range_s: int) -> dict[str, Any]:
    return {
        "refId": model["refId"],
        "relativeTimeRange": {"from": range_s, "to": 0},
        "datasourceUid": source,
        "model": model,
    }


def text(docs: str = "") -> str:
    """The provisioning file; docs: as in `as_json`."""
    head = "# Generated by `flowrt dashboards build` from ops/flowrt_ops/alerts.py: change it there.\n"
    return head + yaml.dump(as_json(docs), Dumper=_Indented, sort_keys=False, allow_unicode=True, width=118)


class _Indented(yaml.SafeDumper):
    """Lists are indented below their keys, as in the files written by hand."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def write(folder: Path, docs: str = "") -> list[Path]:
    """Write the rules; returns the file where it changed. docs: as in `as_json`."""
    return generated.write(folder, {FILE: text(docs)})


def drift(folder: Path) -> list[str]:
    """Where the file differs from the generated one, whichever address its runbook links have."""
    file = folder / FILE
    found = re.search(rf"runbook_url: (\S+)/{re.escape(PAGE)}#", file.read_text("utf-8")) if file.exists() else None
    return generated.text_drift(file, text(found.group(1) if found else ""), "ops/flowrt_ops/alerts.py")


def lint(measurements: Measurements) -> list[str]:
    """What is wrong with the rules' queries."""
    return list(_lint(measurements))


def _lint(measurements: Measurements) -> Iterator[str]:
    for rule in RULES:
        for diagnostic in lint_query(rule.placed_query, measurements):
            yield f"{rule.placed_query.place}: {diagnostic}"
        if "GROUP BY time(1m)" not in rule.query:
            yield f"{rule.placed_query.place}: alert queries go in steps of a minute"
