"""Mistakes in dashboards, found without a Grafana server.

Invariants checked: ids are unique and panels do not overlap; data sources are the two that are provisioned; every measurement,
tag and field is in the contract, what is grouped by is a tag, and zones and lanes of two cameras are told apart; queries are
bounded by time and site and use only what InfluxDB 1.8, 2.7 and 3 have in common.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from flowrt.contract.spec import MeasurementSpec
from flowrt_ops.checks.queries import PlacedQuery, panels_of, queries_of
from flowrt_ops.grafana.frame import COLUMNS, SCHEMA_VERSION, TAG
from flowrt_ops.grafana.influxql import LIVE, LONG

BUCKETS = {LIVE: "monitoring", LONG: "analytics"}
_NOT_IN_EVERY_VERSION = ("SHOW DATABASES", "SHOW SERIES", "SLIMIT", "SOFFSET", "SAMPLE(", "HOLT_WINTERS", " INTO ")
_RETENTION_POLICY = re.compile(r'FROM\s+"[^"]+"\s*\.', re.IGNORECASE)
_DAYS_MOST = 3
_OF_A_CAMERA = {"roi_id": {"camera_id"}, "lane_id": {"camera_id", "camera_position"}}
_BUILT_IN = {"__interval", "__interval_ms", "__value", "__data"}

Measurements = Mapping[str, MeasurementSpec]


def lint(dashboards: Sequence[Mapping[str, Any]], measurements: Measurements) -> list[str]:
    """Every mistake, one line each."""
    found = [f"uid '{uid}' is used {n} times" for uid, n in Counter(d.get("uid") for d in dashboards).items() if n > 1]
    for dashboard in dashboards:
        found += [f"{dashboard.get('title')}: {diagnostic}" for diagnostic in (*_frame(dashboard), *_panels(dashboard))]
        for query in queries_of(dashboard):
            found += [f"{query.place}: {diagnostic}" for diagnostic in lint_query(query, measurements)]
    return found


def lint_query(query: PlacedQuery, measurements: Measurements) -> Iterator[str]:
    """What is wrong with one query."""
    if query.source not in BUCKETS:
        yield f"data source '{query.source}' is not provisioned; known: {', '.join(BUCKETS)}"
        return
    text = query.text
    for word in _NOT_IN_EVERY_VERSION:
        if word in text.upper():
            yield f"{word.strip()} does not run on every version of InfluxDB"
    if _RETENTION_POLICY.search(text):
        yield "names a retention policy or database, which the data source decides"
    if query.where != "variable" and "$timeFilter" not in text:
        yield "has no $timeFilter"
    if "*" in re.sub(r"/[^/]*/", "", text):
        yield "selects everything (*); name the fields"
    for name in query.measurements:
        if name not in measurements:
            yield f"measurement '{name}' is not in the contract"
        elif measurements[name].bucket != BUCKETS[query.source]:
            yield f"measurement '{name}' is kept in the other bucket"
    known = [measurements[name] for name in query.measurements if name in measurements]
    tags = {tag for spec in known for tag in spec.tags}
    fields = {field for spec in known for field in spec.fields}
    for name in sorted(query.names - tags - fields):
        yield f"'{name}' is no tag or field of {', '.join(query.measurements)}"
    for name in sorted((query.tags & fields) - tags):
        yield f"'{name}' is a field and can't be grouped by or offered as a choice"
    for name, camera in _OF_A_CAMERA.items():
        if name in query.groups and not query.groups & camera:
            yield f"groups by '{name}' without {' or '.join(sorted(camera))}: cameras may have the same names"
    if query.where == "panel" and "site" not in query.variables:
        yield "is not bounded by the chosen intersection"


def _frame(dashboard: Mapping[str, Any]) -> Iterator[str]:
    if dashboard.get("schemaVersion") != SCHEMA_VERSION:
        yield f"schemaVersion is {dashboard.get('schemaVersion')}, not {SCHEMA_VERSION}"
    if TAG not in dashboard.get("tags", ()):
        yield f"has no tag '{TAG}', so that the other dashboards do not link to it"
    variables = {variable["name"] for variable in dashboard.get("templating", {}).get("list", ())}
    own = str(dashboard.get("time", {}).get("from", ""))
    if own.endswith("d") and int(own.removeprefix("now-")[:-1]) > _DAYS_MOST:
        yield f"opens with {own}; InfluxDB 3 Core reads {_DAYS_MOST} days at most"
    text = str(dashboard)
    used = set(re.findall(r"\$\{(\w+)", text)) - _BUILT_IN
    for name in sorted(used - variables):
        yield f"variable '{name}' is used and not defined"
    for name in sorted(variables - used):
        yield f"variable '{name}' is defined and not used"


def _panels(dashboard: Mapping[str, Any]) -> Iterator[str]:
    everything = list(_flat(dashboard.get("panels", ())))
    for number, n in Counter(panel.get("id") for panel in everything).items():
        if n > 1:
            yield f"panel id {number} is used {n} times"
    for one, other in combinations(everything, 2):
        if _overlap(one["gridPos"], other["gridPos"]):
            yield f"panels '{one.get('title')}' and '{other.get('title')}' overlap"
    for title, n in Counter(panel["title"] for panel in panels_of(dashboard)).items():
        if n > 1 and title:
            yield f"{n} panels are called '{title}'"
    for panel in panels_of(dashboard):
        yield from (f"panel '{panel.get('title')}' {diagnostic}" for diagnostic in _panel(panel))


def _panel(panel: Mapping[str, Any]) -> Iterator[str]:
    place = panel["gridPos"]
    if place["x"] < 0 or place["x"] + place["w"] > COLUMNS:
        yield f"reaches beyond the {COLUMNS} columns"
    if not panel.get("title") or not panel.get("description"):
        yield "has no title or no description"
    if panel["type"] in ("text", "alertlist"):  # they have no fields
        return
    defaults = panel.get("fieldConfig", {}).get("defaults", {})
    if not defaults.get("unit"):
        yield "has no unit"
    if not defaults.get("noValue"):
        yield "does not say what it shows without data (noValue)"
    values = [step["value"] for step in defaults.get("thresholds", {}).get("steps", ())]
    if values and (values[0] is not None or values[1:] != sorted(values[1:])):
        yield "has thresholds that do not ascend from a first one without value"
    for ref, n in Counter(target["refId"] for target in panel.get("targets", ())).items():
        if n > 1:
            yield f"has {n} queries {ref}"
    if panel["type"] == "table":
        yield from _columns(panel)


def _columns(panel: Mapping[str, Any]) -> Iterator[str]:
    """Overrides of a table name columns that it has."""
    shown: set[str] = set()
    for transformation in panel.get("transformations", ()):
        shown |= set(transformation.get("options", {}).get("renameByName", {}).values())
    for override in panel["fieldConfig"]["overrides"]:
        column = override["matcher"]["options"]
        if shown and column not in shown:
            yield f"formats a column '{column}' that it does not have"


def _flat(panels: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    for panel in panels:
        yield panel
        yield from _flat(panel.get("panels", ()))


def _overlap(one: Mapping[str, int], other: Mapping[str, int]) -> bool:
    apart = (
        one["x"] + one["w"] <= other["x"]
        or other["x"] + other["w"] <= one["x"]
        or one["y"] + one["h"] <= other["y"]
        or other["y"] + other["h"] <= one["y"]
    )
    return not apart
