"""`flowrt dashboards check --grafana 12`: the shipped files follow Grafana's rules, and one broken file per rule is found and named."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from flowrt.cli import main
from flowrt.system.resources import share
from flowrt_ops.checks.conformance import VERSIONS, check
from flowrt_ops.checks.finding import SOURCES
from flowrt_ops.checks.queries import panels_of

RULES = "provisioning/alerting/rules.yaml"
POINTS = "provisioning/alerting/contact-points.yaml"
POLICIES = "provisioning/alerting/policies.yaml"
TEMPLATES = "provisioning/alerting/templates.yaml"
SOURCES_FILE = "provisioning/datasources/flowrt.yaml"
PROVIDER = "provisioning/dashboards/flowrt.yaml"
HOME = "dashboards/realtime.json"

Content = dict[str, Any]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_shipped_files_follow_every_rule(version: int) -> None:
    report = check(share("grafana"), version)
    assert report.lines == ()
    assert report.files == 5 + len(list((share("grafana") / "provisioning").rglob("*.yaml")))


def rule(content: Content, title: str = "Near miss") -> Content:
    found: Content = next(rule for rule in content["groups"][0]["rules"] if rule["title"] == title)
    return found


def panel(content: Content, kind: str) -> Content:
    return next(panel for panel in panels_of(content) if panel["type"] == kind)


def defaults(content: Content, kind: str) -> Content:
    found: Content = panel(content, kind)["fieldConfig"]["defaults"]
    return found


Change = Callable[[Content], Any]
BROKEN: list[tuple[str, str, Change, str]] = [
    # The forms in which flowrt's own files were until they were held against the sources.
    ("annotation-pair", RULES, lambda c: rule(c)["annotations"].pop("__panelId__"), "does not start"),
    ("annotations-raw", RULES, lambda c: rule(c)["annotations"].update(summary="{{ $$labels.site }}"), "U+0024"),
    (
        "annotations-raw",
        RULES,
        lambda c: rule(c)["annotations"].update(runbook_url="$DOCS/a.md"),
        "$DOCS stays as it is",
    ),
    ("one-folder", PROVIDER, lambda c: c["providers"][0].update(folderUid="flowrt"), "leave folderUid out"),
    ("stat-time", HOME, lambda c: panel(c, "stat")["options"]["reduceOptions"].update(fields="/.*/"), "'Runtime'"),
    ("rows-per-page", HOME, lambda c: panel(c, "state-timeline")["options"].pop("perPage"), "after 20 rows"),
    ("units", HOME, lambda c: defaults(c, "stat").update(unit="fps"), "'suffix: fps'"),
    # The others.
    ("annotation-pair", RULES, lambda c: rule(c)["annotations"].pop("__dashboardUid__"), "without __dashboardUid__"),
    ("annotation-pair", RULES, lambda c: rule(c)["annotations"].update(__panelId__="900"), "has no panel 900"),
    ("annotation-pair", RULES, lambda c: rule(c)["annotations"].update(__panelId__=7), "as a text"),
    ("annotation-pair", RULES, lambda c: rule(c)["annotations"].update(__dashboardUid__="mine"), "no dashboard 'mine'"),
    (
        "annotations-raw",
        RULES,
        lambda c: rule(c)["annotations"].update(summary="{{ $label.site }}"),
        "$label is not defined",
    ),
    ("labels-expanded", RULES, lambda c: rule(c)["labels"].update(team="{{ $labels.site }}"), "write $$labels"),
    ("rule-states", RULES, lambda c: rule(c).update(execErrState="keepLast"), "known: Alerting, Error, OK, KeepLast"),
    ("rule-states", RULES, lambda c: rule(c).update(noDataState="Ok"), "noDataState is 'Ok'"),
    ("rule-durations", RULES, lambda c: rule(c).update({"for": "5 minutes"}), "for '5 minutes'"),
    ("rule-durations", RULES, lambda c: rule(c).update(keepFiringFor="long"), "keepFiringFor 'long'"),
    ("rule-durations", RULES, lambda c: c["groups"][0].update(interval="often"), "interval 'often'"),
    ("rule-steps", RULES, lambda c: rule(c).update(condition="D"), "condition is 'D'"),
    ("rule-steps", RULES, lambda c: rule(c)["data"][1]["model"].update(expression="X"), "B reads 'X'"),
    ("rule-query-raw", RULES, lambda c: rule(c)["data"][0]["model"].update(query="SELECT $$timeFilter"), "with one $"),
    ("rule-unique", RULES, lambda c: rule(c).update(title="Violation burst"), "'Violation burst'"),
    ("uids", RULES, lambda c: rule(c).update(uid="flowrt-violation-burst"), "2 rules have the uid"),
    ("uids", RULES, lambda c: rule(c).update(uid="near miss"), "up to 40 letters"),
    ("uids", HOME, lambda c: c.update(uid="x" * 41), "up to 40 letters"),
    ("contact-points", POINTS, lambda c: c["contactPoints"][0]["receivers"][0]["settings"].pop("url"), "has no url"),
    (
        "contact-points",
        POINTS,
        lambda c: c["contactPoints"][0]["receivers"][0]["settings"].update(title="{{ $x }}"),
        "write $$",
    ),
    ("policies", POLICIES, lambda c: c["policies"][0].update(receiver="nobody"), "'nobody' is no contact point"),
    ("policies", POLICIES, lambda c: c["policies"][0]["routes"][1].update(mute_time_intervals=["night"]), "'night'"),
    ("policies", POLICIES, lambda c: c["policies"][0]["routes"][0].update(object_matchers=[["a", "==", "b"]]), "'=='"),
    (
        "templates",
        TEMPLATES,
        lambda c: c["templates"][0].update(template='{{ define "flowrt.title" }}{{ end }}'),
        "flowrt.message",
    ),
    (
        "templates",
        TEMPLATES,
        lambda c: c["templates"][0].update(template="{{ range .Alerts }}"),
        "1 blocks are opened, 0 closed",
    ),
    ("templates", TEMPLATES, lambda c: c["templates"][0].update(template="{{ define"), "not as many"),
    ("datasources", SOURCES_FILE, lambda c: c["datasources"][0].update(database="traffic"), "jsonData.dbName"),
    ("datasources", SOURCES_FILE, lambda c: c["datasources"][0]["jsonData"].pop("dbName"), "has no jsonData.dbName"),
    (
        "datasources",
        SOURCES_FILE,
        lambda c: c["datasources"][0]["secureJsonData"].update(password="hunter2"),
        "stands in the file",
    ),
    ("providers", PROVIDER, lambda c: c["providers"][0].pop("options"), "no options.path"),
    ("providers", PROVIDER, lambda c: c.update(apiVersion=2), "not 1"),
    ("known-datasource", HOME, lambda c: panel(c, "stat")["targets"][0]["datasource"].update(uid="mine"), "'mine'"),
    (
        "classic-json",
        HOME,
        lambda c: c.update(apiVersion="dashboard.grafana.app/v2beta1", spec={}),
        "export it as classic",
    ),
    ("classic-json", HOME, lambda c: c.update(schemaVersion=60), "leaves newer ones"),
    ("panel-type", HOME, lambda c: panel(c, "stat").update(type="singlestat"), "'singlestat'"),
    ("panel-options", HOME, lambda c: panel(c, "stat")["options"].update(colourMode="value"), "'colourMode'"),
    ("panel-options", HOME, lambda c: defaults(c, "timeseries")["custom"].update(lineWidht=1), "'lineWidht'"),
    ("transformations", HOME, lambda c: panel(c, "table")["transformations"][0].update(id="organise"), "'organise'"),
    (
        "matchers",
        HOME,
        lambda c: panel(c, "table")["fieldConfig"]["overrides"][0]["matcher"].update(id="byTitle"),
        "'byTitle'",
    ),
    (
        "properties",
        HOME,
        lambda c: panel(c, "table")["fieldConfig"]["overrides"][0]["properties"][0].update(id="mapping"),
        "'mapping'",
    ),
    ("colors", HOME, lambda c: defaults(c, "stat").update(color={"mode": "rainbow"}), "'rainbow'"),
    (
        "macros",
        HOME,
        lambda c: panel(c, "stat")["targets"][0].update(query="SELECT a WHERE $__timeFilter"),
        "'$__timeFilter'",
    ),
    ("variables", HOME, lambda c: panel(c, "stat").update(title="${lane}"), "'lane' is used and not defined"),
    ("variables", HOME, lambda c: panel(c, "stat").update(title="${site:regexp}"), "unknown format 'regexp'"),
    ("variables", HOME, lambda c: panel(c, "stat").update(title="[[site]]"), "form of long ago"),
]


@pytest.mark.parametrize(("name", "file", "change", "said"), BROKEN, ids=[f"{one[0]}-{one[3]}" for one in BROKEN])
def test_a_broken_file_is_found(tmp_path: Path, name: str, file: str, change: Change, said: str) -> None:
    folder = tmp_path / "grafana"
    shutil.copytree(share("grafana"), folder)
    content = json.loads((folder / file).read_text()) if file == HOME else yaml.safe_load((folder / file).read_text())
    change(content)
    (folder / file).write_text(json.dumps(content) if file == HOME else yaml.safe_dump(content))
    lines = check(folder, 12).lines
    found = [line for line in lines if f"[{name}: " in line]
    assert any(said in line for line in found), lines
    assert all(f"grafana/grafana/blob/{VERSIONS[12]}/{SOURCES[name]}" in line for line in found)
    assert re.match(re.escape(str(folder)), found[0])


@pytest.mark.parametrize(("file", "text"), [(HOME, "{"), (RULES, "a: [1"), (RULES, "- 1")])
def test_a_file_that_cannot_be_read_is_said(tmp_path: Path, file: str, text: str) -> None:
    shutil.copytree(share("grafana"), tmp_path / "grafana")
    (tmp_path / "grafana" / file).write_text(text)
    assert any(f"{file}: " in line and "[readable: " in line for line in check(tmp_path / "grafana", 12).lines)


def test_every_rule_has_a_broken_file() -> None:
    assert {one[0] for one in BROKEN} | {"readable"} == set(SOURCES)


def test_the_command_takes_the_version_and_fails_on_a_broken_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "grafana"
    shutil.copytree(share("grafana"), folder)
    assert main(["dashboards", "check", "--grafana", "13", "--folder", str(folder)]) == 0
    assert "follow the rules of Grafana 13" in capsys.readouterr().out
    provider = folder / PROVIDER
    provider.write_text(provider.read_text().replace("    type: file\n", "    type: file\n    folderUid: flowrt\n"))
    assert main(["dashboards", "check", "--folder", str(folder)]) == 1
    assert "blob/v12.2.0/pkg/services/provisioning/alerting/rules_provisioner.go" in capsys.readouterr().out
