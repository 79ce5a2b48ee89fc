"""Every panel through Grafana's own data code (npm `@grafana/data` 12, in Node), on the database's real answers."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from busy_day import CAMERAS, END_S, SITES
from servers import missing, need

from flowrt_ops import dashboards
from flowrt_ops.checks import grafana_names
from flowrt_ops.checks.evaluate import ask, range_of, step_of
from flowrt_ops.checks.queries import panels_of, queries_of
from flowrt_ops.influx_reader import Reader, Series

ROOT = Path(__file__).resolve().parents[2]
BUILT = [dashboard.json() for dashboard in dashboards.DASHBOARDS]
Answer = dict[str, Any]


def frames(panel: Mapping[str, Any], ref: str, series: Sequence[Series]) -> list[dict[str, Any]]:
    """A query's answer as Grafana's data source hands it on: a frame for each series, or one frame with the tags as columns."""
    target = next(target for target in panel["targets"] if target["refId"] == ref)
    if target["resultFormat"] == "table":
        return _table(ref, series)
    found = []
    for one in series:
        name = target["alias"]
        for tag, value in sorted(one.tags.items(), key=lambda item: -len(item[0])):
            name = name.replace(f"$tag_{tag}", value)
        values = [row[1] for row in one.values]
        fields = [
            {"name": "Time", "type": "time", "values": one.column("time"), "config": {}},
            {
                "name": "Value",
                "type": _kind(values),
                "values": values,
                "config": {"displayNameFromDS": name},
                "labels": one.tags,
            },
        ]
        found.append({"name": name, "refId": ref, "fields": fields})
    return found


def _table(ref: str, series: Sequence[Series]) -> list[dict[str, Any]]:
    if not series:
        return []
    columns: dict[str, list[Any]] = {
        "Time": [],
        **{tag: [] for tag in series[0].tags},
        **{c: [] for c in series[0].columns[1:]},
    }
    for one in series:
        for row in one.values:
            for name, value in {"Time": row[0], **one.tags, **dict(zip(one.columns[1:], row[1:], strict=True))}.items():
                columns[name].append(value)
    fields = [
        {"name": name, "type": "time" if name == "Time" else _kind(values), "values": values, "config": {}}
        for name, values in columns.items()
    ]
    return [{"name": ref, "refId": ref, "fields": fields}]


def _kind(values: Sequence[Any]) -> str:
    first = next((value for value in values if value is not None), None)
    return "string" if isinstance(first, str) else "number"


def through_grafana(panels: Sequence[Mapping[str, Any]]) -> Answer:
    modules = Path(os.environ.get("FLOWRT_NODE_MODULES", ROOT / "tests" / "nodejs" / "node_modules"))
    (node,) = need("node")
    if not (modules / "@grafana" / "data").is_dir():
        missing(f"@grafana/data is not in {modules}: run `npm install` in tests/nodejs")
    command = [node, str(ROOT / "tests" / "nodejs" / "grafana_data.mjs"), str(modules)]
    done = subprocess.run(command, input=json.dumps({"panels": panels}), capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-3000:]
    found: Answer = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def asked(database: Reader) -> list[dict[str, Any]]:
    """Each panel with the frames that the database's answers make."""
    found = []
    for dashboard in BUILT:
        shown = range_of(dashboard, END_S)
        queries = list(queries_of(dashboard))
        for panel in panels_of(dashboard):
            own = [query for query in queries if query.where == "panel" and query.name == panel["title"]]
            if own:
                data = [
                    frame for q in own for frame in frames(panel, q.ref, ask(database, q, shown, step_of(shown, panel)))
                ]
                found.append({"panel": {**panel, "dashboard": dashboard["title"]}, "frames": data})
    return found


@pytest.fixture(scope="module")
def answer(asked: list[dict[str, Any]]) -> Answer:
    return through_grafana(asked)


def test_the_names_that_the_check_knows_are_those_of_the_package(answer: Answer) -> None:
    assert set(answer["units"]) == grafana_names.UNITS
    assert set(answer["transformations"]) == grafana_names.TRANSFORMATIONS
    assert set(answer["matchers"]) == grafana_names.MATCHERS
    assert set(answer["colors"]) == grafana_names.COLOR_MODES


def test_every_panel_shows_values_with_their_unit(asked: list[dict[str, Any]], answer: Answer) -> None:
    assert len(answer["panels"]) == len(asked) > 70
    for one, shown in zip(asked, answer["panels"], strict=True):
        panel = one["panel"]
        place = f"{panel['dashboard']} / {panel['title']}"
        texts = [v["text"] for frame in shown["frames"] for column in frame["columns"] for v in column["values"]]
        assert texts, place
        assert not [text for text in texts if re.search(r"NaN|undefined|\[object|Invalid", text)], place
        unit = panel["fieldConfig"]["defaults"]["unit"]
        if unit.startswith("suffix:"):
            numbers = [
                v["text"] for f in shown["frames"] for c in f["columns"] if c["type"] == "number" for v in c["values"]
            ]
            word = unit.removeprefix("suffix:").strip()
            assert all(
                text.endswith(word) for text in numbers if text != panel["fieldConfig"]["defaults"]["noValue"]
            ), place


def test_tables_have_the_columns_that_they_name_in_order(asked: list[dict[str, Any]], answer: Answer) -> None:
    checked = 0
    for one, shown in zip(asked, answer["panels"], strict=True):
        panel = one["panel"]
        if panel["type"] == "table":
            (frame,) = shown["frames"]
            names = [column["name"] for column in frame["columns"]]
            assert names == list(panel["transformations"][0]["options"]["renameByName"].values()), panel["title"]
            for override in panel["fieldConfig"]["overrides"]:
                assert override["matcher"]["options"] in names, panel["title"]
            checked += 1
    assert checked >= 6


def shown_as(answer: Answer, title: str) -> Answer:
    return next(panel for panel in answer["panels"] if panel["title"] == title)


def column(shown: Answer, name: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = next(c["values"] for c in shown["frames"][0]["columns"] if c["name"] == name)
    return found


def test_words_are_mapped_and_coloured(answer: Answer) -> None:
    violations = shown_as(answer, "Last violations")
    assert {value["text"] for value in column(violations, "Violation")} <= {"Red light", "Speeding", "Failure to yield", "Jaywalking", "Wrong way", "Near miss"}  # fmt: skip
    assert len({value["color"] for value in column(violations, "Severity")}) > 1
    assert all(value["text"].endswith("km/h") for value in column(violations, "Speed") if value["text"])
    assert all(value["text"].endswith("ago") for value in column(shown_as(answer, "Newest point"), "Newest point"))


def test_a_violation_leads_to_its_camera_and_its_minute(asked: list[dict[str, Any]], answer: Answer) -> None:
    for title in ("Last violations", "All violations"):
        frame = shown_as(answer, title)["frames"][0]
        url = next(link for link in frame["links"] if link.startswith("/d/"))
        query = parse_qs(urlsplit(url).query)
        assert query["var-site"][0] in SITES
        assert query["var-camera"][0] in CAMERAS
        assert abs(float(query["time"][0]) / 1000 - END_S) < 86_400
        assert "${" not in unquote(url)


def test_the_state_of_the_runtime_is_shown_once_for_each_intersection(
    asked: list[dict[str, Any]], answer: Answer
) -> None:
    runtime = shown_as(answer, "Runtime")
    assert sorted(value["title"] for value in runtime["values"]) == sorted(SITES)
    assert {value["text"] for value in runtime["values"]} <= {"healthy", "degraded", "critical"}
    before = copy.deepcopy(next(one for one in asked if one["panel"]["title"] == "Runtime"))
    before["panel"]["options"]["reduceOptions"]["fields"] = "/.*/"
    (with_time,) = through_grafana([before])["panels"]
    assert len(with_time["values"]) == 2 * len(SITES), "the time of each word was a value of its own"


def test_bars_are_sorted_by_what_they_sum(answer: Answer) -> None:
    for title in ("Busiest zones", "By zone"):
        values = [value["text"] for value in column(shown_as(answer, title), "Total")]
        numbers = [float(text.replace(" K", "e3").split()[0]) for text in values]
        assert len(numbers) > 2
        assert numbers == sorted(numbers, reverse=True)


def test_series_of_rules_have_their_titles(answer: Answer) -> None:
    names = {c["name"] for frame in shown_as(answer, "Violations by type")["frames"] for c in frame["columns"]}
    assert {"Red light", "Near miss"} <= names
    assert "red_light" not in names
