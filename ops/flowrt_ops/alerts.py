"""Alert rules, as Grafana's file provisioning reads them.

Each rule is one InfluxQL query in steps of a minute, reduced to one number per intersection, compared with a limit. `without_data` is
set per rule: no data is normal for a rule that counts violations, and the failure itself for the rule that watches for signs of life.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml

from flowrt_ops import generated
from flowrt_ops.checks.lint import Measurements, lint_query
from flowrt_ops.checks.queries import PlacedQuery
from flowrt_ops.grafana.influxql import CAMERA, CRITICAL, ITSELF, LIVE, NEAR_MISS, RUNTIME, TARGET_FPS, sentence

FOLDER = "Smart intersection"
RUNBOOK = "$FLOWRT_DOCS_URL/watching.md#{anchor}"  # from the environment of Grafana's server
FILE = "rules.yaml"

Reducer = Literal["last", "sum", "min", "max", "mean"]
Test = Literal["gt", "lt", "within_range"]
Severity = Literal["info", "warning", "critical"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One alert. range_s: how far back the query looks; hold: how long the condition must last before it fires.

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
    without_data: Literal["OK", "NoData", "Alerting"]
    severity: Severity
    dashboard: str
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
        without_data="OK",
        severity="warning",
        dashboard="flowrt-violations",
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
        without_data="OK",
        severity="critical",
        dashboard="flowrt-violations",
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
        without_data="OK",
        severity="warning",
        dashboard="flowrt-violations",
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
        without_data="OK",
        severity="critical",
        dashboard="flowrt-realtime",
        summary="{camera} at {site} gives no pictures",
        todo="Check the camera's power, network and address; `flowrt services status` shows what the runtime found.",
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
        without_data="OK",
        severity="warning",
        dashboard="flowrt-performance",
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
        without_data="OK",
        severity="warning",
        dashboard="flowrt-realtime",
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
        without_data="OK",
        severity="warning",
        dashboard="flowrt-performance",
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
        without_data="Alerting",
        severity="critical",
        dashboard="flowrt-realtime",
        summary="No data from {site} for two minutes",
        todo="Is the machine on, does `flowrt run` run, is the database up? `flowrt services status` tells them apart.",
    ),
)


def as_json() -> dict[str, Any]:
    """The provisioning file's content."""
    rules = [_rule(rule) for rule in RULES]
    return {
        "apiVersion": 1,
        "groups": [{"orgId": 1, "name": "flowrt", "folder": FOLDER, "interval": "30s", "rules": rules}],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    # `$$` is a `$` in a provisioning file; only the queries' models are taken as they are.
    words = {
        "n": '{{ printf "%.0f" $$values.B.Value }}',
        "n1": '{{ printf "%.1f" $$values.B.Value }}',
        # Without any data an alert has no labels.
        "site": "{{ with $$labels.site }}{{ . }}{{ else }}any intersection{{ end }}",
        "camera": "{{ $$labels.camera_id }}",
    }
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
        "noDataState": rule.without_data,
        "execErrState": "Error",
        "data": [
            _step(query, LIVE, rule.range_s),
            _step(reduce, "__expr__", 0),
            _step(threshold, "__expr__", 0),
        ],
        "annotations": {
            "summary": rule.summary.format(**words),
            "description": rule.todo,
            "runbook_url": RUNBOOK.format(anchor=rule.title.lower().replace(" ", "-")),
            "__dashboardUid__": rule.dashboard,
        },
        "labels": {"severity": rule.severity, "app": "flowrt"},
        "isPaused": False,
    }


def _step(model: dict[str, Any], source: str, range_s: int) -> dict[str, Any]:
    return {
        "refId": model["refId"],
        "relativeTimeRange": {"from": range_s, "to": 0},
        "datasourceUid": source,
        "model": model,
    }


def text() -> str:
    """The provisioning file."""
    head = "# Generated by `flowrt dashboards build` from ops/flowrt_ops/alerts.py: change it there.\n"
    return head + yaml.dump(as_json(), Dumper=_Indented, sort_keys=False, allow_unicode=True, width=118)


class _Indented(yaml.SafeDumper):
    """Lists are indented below their keys, as in the files written by hand."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)


def write(folder: Path) -> list[Path]:
    """Write the rules; returns the file where it changed."""
    return generated.write(folder, {FILE: text()})


def drift(folder: Path) -> list[str]:
    """Where the file differs from the generated one."""
    return generated.text_drift(folder / FILE, text(), "ops/flowrt_ops/alerts.py")


def lint(measurements: Measurements) -> list[str]:
    """What is wrong with the rules' queries."""
    return list(_lint(measurements))


def _lint(measurements: Measurements) -> Iterator[str]:
    for rule in RULES:
        for diagnostic in lint_query(rule.placed_query, measurements):
            yield f"{rule.placed_query.place}: {diagnostic}"
        if "GROUP BY time(1m)" not in rule.query:
            yield f"{rule.placed_query.place}: alert queries go in steps of a minute"
