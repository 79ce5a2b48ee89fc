"""The dashboards as files: fresh, without mistakes, readable by Grafana's own types, and honest about a flow."""

from __future__ import annotations

import copy
import importlib
import json
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

from flowrt.catalog import Catalog
from flowrt.contract import Contract
from flowrt.system.resources import share
from flowrt_ops import alerts, dashboards
from flowrt_ops.checks.lint import lint
from flowrt_ops.checks.queries import panels_of, queries_of
from flowrt_ops.grafana.influxql import LONG
from flowrt_ops.grafana.theme import RULES, look_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it would rather have the newest format, which Grafana 11 and 12 can't read
    from grafana_foundation_sdk.models.dashboard import Dashboard

BUILT = [dashboard.json() for dashboard in dashboards.DASHBOARDS]
register_default_plugins()


def test_the_committed_files_are_what_the_builder_makes() -> None:
    assert dashboards.drift(share("grafana") / "dashboards") == []
    assert alerts.drift(share("grafana") / "provisioning" / "alerting") == []


def test_every_module_of_the_folder_is_a_dashboard_and_its_file_has_its_name() -> None:
    modules = {
        one.name: importlib.import_module(f"{dashboards.__name__}.{one.name}")
        for one in iter_modules(dashboards.__path__)
    }
    found = {name: module.DASHBOARD for name, module in modules.items() if hasattr(module, "DASHBOARD")}
    assert set(found) | {"shared_panels"} == set(modules)
    assert {one.uid for one in found.values()} == {one.uid for one in dashboards.DASHBOARDS}
    for name, one in found.items():
        assert f"{name.replace('_', '-')}.json" in dashboards.texts()
        assert one.uid == f"flowrt-{name.replace('_', '-')}"


def test_nothing_is_wrong_with_them(contract: Contract) -> None:
    assert lint(BUILT, contract.measurements) == []
    assert alerts.lint(contract.measurements) == []


def lost(one: Any, other: Any, path: str = "") -> Iterator[str]:
    """Keys and values of `one` that `other` lacks."""
    if isinstance(one, dict):
        for key, value in one.items():
            if not isinstance(other, dict) or key not in other:
                yield f"{path}.{key}"
            else:
                yield from lost(value, other[key], f"{path}.{key}")
    elif isinstance(one, list):
        if not isinstance(other, list) or len(one) != len(other):
            yield path
        else:
            for i, (a, b) in enumerate(zip(one, other, strict=True)):
                yield from lost(a, b, f"{path}[{i}]")
    elif one != other:
        yield path


def round_trip(dashboard: dict[str, Any]) -> Any:
    """Through the types that Grafana publishes of its own dashboards."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))


@pytest.mark.parametrize("dashboard", BUILT, ids=lambda dashboard: dashboard["title"])
def test_grafanas_own_types_know_every_key(dashboard: dict[str, Any]) -> None:
    assert list(lost(dashboard, round_trip(dashboard))) == []


def test_the_round_trip_would_lose_a_misspelt_key() -> None:
    dashboard = copy.deepcopy(BUILT[0])
    dashboard["grafTooltip"] = 1
    panel = next(panel for panel in dashboard["panels"] if panel["type"] == "timeseries")
    panel["fieldConfig"]["defaults"]["custom"]["lineWidht"] = 2
    panel["options"]["tooltipp"] = {}
    assert len(list(lost(dashboard, round_trip(dashboard)))) == 3


def spoilt(change: Any) -> list[str]:
    """What the lint says after a change to the first dashboard."""
    built = copy.deepcopy(BUILT)
    change(built[0])
    return lint(built, Contract.load().measurements)


def first(dashboard: dict[str, Any], kind: str) -> Any:
    return next(panel for panel in panels_of(dashboard) if panel["type"] == kind)


MISTAKES = {
    "is used 2 times": lambda d: first(d, "stat").update(id=first(d, "table")["id"]),
    "overlap": lambda d: first(d, "stat")["gridPos"].update(w=5),
    "beyond the 24 columns": lambda d: first(d, "table")["gridPos"].update(x=20),
    "is not provisioned": lambda d: first(d, "stat")["targets"][0]["datasource"].update(uid="mine"),
    "is not in the contract": lambda d: first(d, "stat")["targets"][0].update(
        query='SELECT "a" FROM "perf" WHERE $timeFilter'
    ),
    "is no tag or field": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT "velocity" FROM "violation_events" WHERE $timeFilter AND "site" =~ /^${site:regex}$/'
    ),
    "can't be grouped by": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT sum("count") FROM "violation_events" WHERE $timeFilter AND "site" =~ /^${site:regex}$/ GROUP BY "severity_level"'
    ),
    "has no $timeFilter": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT "speed" FROM "violation_events" WHERE "site" =~ /^${site:regex}$/'
    ),
    "not bounded by the chosen intersection": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT "speed" FROM "violation_events" WHERE $timeFilter'
    ),
    "retention policy": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT "speed" FROM "violation_events"."autogen" WHERE $timeFilter AND "site" =~ /^${site:regex}$/'
    ),
    "is kept in the other bucket": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT "fps" FROM "fps_per_minute" WHERE $timeFilter AND "site" =~ /^${site:regex}$/'
    ),
    "SAMPLE(": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT SAMPLE("speed", 3) FROM "violation_events" WHERE $timeFilter AND "site" =~ /^${site:regex}$/'
    ),
    "'lane' is used and not defined": lambda d: first(d, "stat").update(title="Lane ${lane}"),
    "cameras may have the same names": lambda d: first(d, "table")["targets"][0].update(
        query='SELECT count("speed") FROM "violation_events" WHERE $timeFilter AND "site" =~ /^${site:regex}$/ GROUP BY "roi_id"'
    ),
    "has no unit": lambda d: first(d, "stat")["fieldConfig"]["defaults"].pop("unit"),
    "noValue": lambda d: first(d, "stat")["fieldConfig"]["defaults"].pop("noValue"),
    "do not ascend": lambda d: first(d, "stat")["fieldConfig"]["defaults"]["thresholds"]["steps"].extend(
        [{"color": "red", "value": 5}, {"color": "red", "value": 1}]
    ),
    "formats a column 'Pace'": lambda d: first(d, "table")["fieldConfig"]["overrides"][1]["matcher"].update(
        options="Pace"
    ),
    "InfluxDB 3 Core reads 3 days": lambda d: d.update(time={"from": "now-7d", "to": "now"}),
    "schemaVersion": lambda d: d.update(schemaVersion=36),
}


@pytest.mark.parametrize("said", MISTAKES)
def test_the_lint_finds(said: str) -> None:
    found = spoilt(MISTAKES[said])
    assert any(said in diagnostic for diagnostic in found), found


def test_a_file_edited_by_hand_is_named_with_its_place(tmp_path: Path) -> None:
    dashboards.write(tmp_path)
    file = tmp_path / "realtime.json"
    edited = json.loads(file.read_text())
    edited["panels"][1]["title"] = "My runtime"
    file.write_text(dashboards.as_text(edited))
    (tmp_path / "roi-analytics.json").unlink()
    (tmp_path / "mine.json").write_text("{}")
    found = dashboards.drift(tmp_path)
    assert len(found) == 3
    assert 'edited by hand at panels[1].title: has "My runtime", the builder makes "Runtime"' in found[0]
    assert "is missing" in found[1]
    assert "dashboards of your own belong in another folder" in found[2]
    (tmp_path / "realtime.json").write_text("{")
    assert "line 1: not JSON" in dashboards.drift(tmp_path)[0]


def test_the_dashboards_link_to_each_other_and_keep_choices() -> None:
    for dashboard in BUILT:
        (link,) = dashboard["links"]
        assert link["tags"] == ["flowrt"] == dashboard["tags"]
        assert link["includeVars"]
        assert link["keepTime"]
        names = [annotation["name"] for annotation in dashboard["annotations"]["list"]]
        assert names[1:] == ["Critical violations", "Near misses"]


def test_every_measurement_of_the_contract_is_shown(contract: Contract) -> None:
    shown = {name for dashboard in BUILT for query in queries_of(dashboard) for name in query.measurements}
    assert set(contract.measurements) - shown == set()


def test_the_home_dashboard_lists_alerts_and_how_old_the_newest_points_are() -> None:
    panels = {panel["title"]: panel for panel in panels_of(BUILT[0])}
    assert panels["Alerts"]["type"] == "alertlist"
    assert panels["Alerts"]["options"]["alertInstanceLabelFilter"] == '{app="flowrt"}'
    assert '"site"' in panels["Newest point"]["targets"][0]["query"].partition("GROUP BY")[2]
    assert panels["Newest point"]["timeFrom"] == "24h", "also where the page shows the last minutes"


def test_a_violation_leads_to_its_camera_in_its_minute() -> None:
    tables = [p for d in BUILT for p in panels_of(d) if p["title"] in ("Last violations", "All violations")]
    assert len(tables) == 2
    for table in tables:
        (override,) = [one for one in table["fieldConfig"]["overrides"] if one["matcher"]["options"] == "Time"]
        url = override["properties"][0]["value"][0]["url"]
        path, _, query = url.partition("?")
        assert path == f"/d/{BUILT[0]['uid']}"
        assert {part.partition("=")[0] for part in query.split("&")} == {
            "var-site",
            "var-camera",
            "time",
            "time.window",
        }
        named = set(re.findall(r"__data\.fields\.(\w+)", url))
        assert named <= set(table["transformations"][0]["options"]["renameByName"].values())


def test_panels_over_30_days_say_what_influxdb_3_can_answer() -> None:
    for dashboard in BUILT:
        for panel in panels_of(dashboard):
            if any(target["datasource"]["uid"] == LONG for target in panel.get("targets", ())):
                assert "--query-file-limit" in panel["description"], panel["title"]


def test_a_rule_that_nobody_chose_a_look_for_has_a_title_and_a_colour_of_its_own() -> None:
    """A new rule needs no entry among the dashboards."""
    look = look_of(["red_light", "wrong_way", "blocking_the_box", "u_turn_on_red"])
    assert look["blocking_the_box"][0] == "Blocking the box"
    assert len({color for _, color in look.values()}) == 4
    assert list(look)[:2] == ["red_light", "wrong_way"], "those with a chosen look come first"
    assert look_of(["u_turn_on_red"])["u_turn_on_red"][0] == "U turn on red"


def test_every_built_in_rule_is_named_on_the_panels() -> None:
    """The names that violations carry are those of the rules' modules, from which the panels have them."""
    types = {kind.cls.violation_type for kind in Catalog() if kind.name.startswith("violation.")}  # type: ignore[attr-defined]  # a rule's
    assert set(RULES) == types
    panel = next(panel for panel in panels_of(BUILT[0]) if panel["title"] == "Violations per minute")
    assert {one["matcher"]["options"] for one in panel["fieldConfig"]["overrides"]} == types
