"""Each alert fires when it should and stays silent when it should, on a real database."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from msgspec.structs import replace
from servers import influx

from flowrt import CameraStatus, Health, Message, Performance
from flowrt.config import load as load_flow
from flowrt.contract import Contract
from flowrt.system.resources import share
from flowrt.traffic import Violation
from flowrt_ops.alerts import RULES, Rule, drift, panel_id, text
from flowrt_ops.alerts import write as write_rules
from flowrt_ops.checks.evaluate import fires, judge
from flowrt_ops.checks.queries import panels_of
from flowrt_ops.grafana.influxql import TARGET_FPS
from flowrt_ops.influx_reader import Reader
from flowrt_sim.uri import parse

NOW_S = 1_777_917_600.0
DAY_S = 86_400.0
HERE = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """A database with nothing in it; each test writes to its own site at its own time."""
    with influx(tmp_path_factory.mktemp("alerts")) as running:
        yield Reader(running.url)


def write(reader: Reader, contract: Contract, site: str, messages: Iterable[Message]) -> None:
    lines = [line for message in messages for line in contract.lines(message, site)]
    address = f"{reader.url}/api/v2/write?bucket=traffic_monitoring&precision=ns"
    with urllib.request.urlopen(urllib.request.Request(address, data=b"\n".join(lines), method="POST")) as answer:
        assert answer.status == 204


def violations(now_s: float, n: int, severity: str = "medium", kind: str = "speeding") -> Iterator[Violation]:
    from random import Random

    from busy_day import _violation

    for i in range(n):
        event = _violation(Random(i), now_s - 20.0 - i)
        yield replace(event, severity=severity, violation_type=kind, id=f"{event.id}-{i}")


def reports(
    now_s: float, *, fps: float = 15.0, pending: Callable[[int], int] = lambda minute: 3, camera: str = "north"
) -> Iterator[Performance]:
    """Ten minutes, one report each 5 s."""
    for tick in range(120):
        common: dict[str, Any] = {
            "time_s": now_s - 600.0 + 5.0 * tick,
            "fps": fps,
            "processing_time_ms": 8.0,
            "cpu_usage": 40.0,
            "memory_usage": 400.0,
        }
        yield Performance(**common, outbox_pending=pending(tick // 12))
        yield Performance(**common, camera_id=camera, service="camera")


def views(now_s: float, view: Literal["ok", "moved"]) -> Iterator[CameraStatus]:
    """Ten minutes, one status each 5 s; of the first minute the view is not known yet."""
    for tick in range(120):
        yield CameraStatus(
            time_s=now_s - 600.0 + 5.0 * tick,
            camera_id="north",
            status="online",
            fps=15.0,
            view=view if tick >= 12 else "",
        )


def health(now_s: float, *, status: str = "healthy", silent_s: float = 0.0) -> Iterator[Health]:
    """Ten minutes that end `silent_s` ago."""
    for tick in range(121):
        yield Health(
            time_s=now_s - silent_s - 600.0 + 5.0 * tick,
            status=status,
            active_cameras=1,
            services={},
            uptime_seconds=1000.0 + 5.0 * tick,
            host="edge-1",
        )


Case = Callable[[float], Iterable[Message]]
CASES: dict[str, tuple[Case, Case]] = {
    "Violation burst": (lambda t: violations(t, 14), lambda t: violations(t, 10)),
    "Critical violation": (lambda t: violations(t, 1, "critical"), lambda t: violations(t, 5, "high")),
    "Near miss": (lambda t: violations(t, 1, kind="near_miss"), lambda t: violations(t, 3)),
    "Camera offline": (lambda t: reports(t, fps=0.0), lambda t: reports(t, fps=2.0)),
    "Camera shows something else": (lambda t: views(t, "moved"), lambda t: views(t, "ok")),
    "Frame rate below target": (lambda t: reports(t, fps=3.6), lambda t: reports(t, fps=4.8)),
    "Runtime degraded": (lambda t: health(t, status="degraded"), lambda t: health(t)),
    "Outbox growing": (
        lambda t: reports(t, pending=lambda m: 40 * m),
        lambda t: reports(t, pending=lambda m: 400 - 40 * m),
    ),
    "No data at all": (lambda t: health(t, silent_s=400.0), lambda t: health(t)),
}
"""Title to what makes it fire, and what is near to it and must not."""


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.title)
def test_it_fires_and_it_does_not(empty: Reader, contract: Contract, rule: Rule) -> None:
    bad, good = CASES[rule.title]
    at = NOW_S + 2.0 * DAY_S * [one.title for one in RULES].index(rule.title)
    write(empty, contract, "good-site", good(at))
    assert not fires(empty, rule, at), [*judge(empty, rule, at)]
    write(empty, contract, "bad-site", bad(at))
    verdicts = judge(empty, rule, at)
    assert {verdict.tags["site"] for verdict in verdicts if verdict.fires} == {"bad-site"}, verdicts


def test_silence_is_an_alarm_only_where_signs_of_life_are_awaited(empty: Reader) -> None:
    long_before = NOW_S - 90 * DAY_S
    assert [rule.title for rule in RULES if fires(empty, rule, long_before)] == ["No data at all"]


def test_a_camera_that_is_off_is_not_called_slow_as_well(empty: Reader, contract: Contract) -> None:
    at = NOW_S + 300_000.0
    write(empty, contract, "bad-site", reports(at, fps=0.0))
    slow = next(rule for rule in RULES if rule.title == "Frame rate below target")
    assert not fires(empty, slow, at)


def test_a_site_stays_silent_while_others_speak(empty: Reader, contract: Contract) -> None:
    """The alert lasts for a day, not until the last sign of life is an hour old; after that the site is forgotten."""
    rule = next(rule for rule in RULES if rule.title == "No data at all")
    silent_s = NOW_S + 400_000.0
    write(empty, contract, "bad-site", health(silent_s))
    for hours, firing in ((0.1, True), (6.0, True), (23.0, True), (25.0, False)):
        now_s = silent_s + 3600.0 * hours
        write(empty, contract, "good-site", health(now_s))
        found = {verdict.tags["site"]: verdict.fires for verdict in judge(empty, rule, now_s)}
        assert found["good-site"] is False
        assert found.get("bad-site", False) is firing, hours


def test_the_shipped_flow_is_not_called_slow() -> None:
    """At the rate that its own camera gives, and at the lowest that the rules are measured at."""
    (camera,) = [
        spec.settings
        for spec in load_flow(share("flows") / "intersection.yaml").nodes.values()
        if spec.type.name == "camera"
    ]
    assert parse(camera.uri).fps > 2.0 * TARGET_FPS
    assert TARGET_FPS <= 0.8 * 5.0


# -- files ------------------------------------------------------------------------------------------------------------

PROVISIONING = share("grafana") / "provisioning"


def load(name: str) -> Any:
    return yaml.safe_load((PROVISIONING / name).read_text("utf-8"))


def test_each_rule_leads_to_a_panel_and_a_page_that_exist() -> None:
    """The panel by the number that its title has in the dashboard that Grafana reads; the page in the description."""
    (group,) = load("alerting/rules.yaml")["groups"]
    page = (HERE / "docs" / "watching.md").read_text("utf-8")
    headings = [line.lower().replace(" ", "-") for line in re.findall(r"^### (.+)$", page, re.MULTILINE)]
    files = [json.loads(file.read_text("utf-8")) for file in (share("grafana") / "dashboards").glob("*.json")]
    titles = {(one["uid"], str(panel["id"])): panel["title"] for one in files for panel in panels_of(one)}
    for rule, written in zip(RULES, group["rules"], strict=True):
        annotations = written["annotations"]
        assert titles[annotations["__dashboardUid__"], annotations["__panelId__"]] == rule.panel
        assert annotations["description"].rpartition("#")[2] in headings
        assert [step["refId"] for step in written["data"]] == ["A", "B", "C"]


def test_a_rule_of_a_panel_that_is_not_there_is_not_built() -> None:
    with pytest.raises(LookupError, match="there is no panel 'Nothing' in dashboard 'flowrt-realtime'"):
        panel_id(replace(RULES[-1], panel="Nothing"))


def test_only_the_rule_about_silence_fires_when_the_database_is_away() -> None:
    (group,) = load("alerting/rules.yaml")["groups"]
    states = {rule["title"]: rule["execErrState"] for rule in group["rules"]}
    assert states.pop("No data at all") == "Error"
    assert set(states.values()) == {"KeepLast"}


def test_rules_over_windows_keep_firing_when_an_event_leaves_the_window() -> None:
    (group,) = load("alerting/rules.yaml")["groups"]
    short = {rule["title"] for rule in group["rules"] if rule["keepFiringFor"] == "0s"}
    assert short == {"No data at all"}, "its window is a day"


def test_runbook_links_are_in_the_file_when_their_address_is_given(tmp_path: Path) -> None:
    assert "runbook_url" not in text(), "Grafana expands no address in an annotation"
    write_rules(tmp_path, "https://wiki.example/flowrt/docs/")
    (group,) = yaml.safe_load((tmp_path / "rules.yaml").read_text("utf-8"))["groups"]
    assert group["rules"][2]["annotations"]["runbook_url"] == "https://wiki.example/flowrt/docs/watching.md#near-miss"
    assert drift(tmp_path) == [], "the address is the user's own"


def test_a_notification_names_the_intersection_and_where_to_look() -> None:
    (template,) = load("alerting/templates.yaml")["templates"]
    for what in (
        ".Labels.site",
        ".Labels.camera_id",
        ".PanelURL",
        ".DashboardURL",
        ".SilenceURL",
        ".Annotations.runbook_url",
    ):
        assert what in template["template"]
    (point,) = load("alerting/contact-points.yaml")["contactPoints"]
    for receiver in point["receivers"]:
        assert receiver["settings"]["message"] == '{{ template "flowrt.message" . }}'


def test_the_data_sources_are_those_that_the_queries_name() -> None:
    from flowrt_ops.influx_reader import DATABASES

    sources = load("datasources/flowrt.yaml")["datasources"]
    assert {source["uid"]: source["jsonData"]["dbName"] for source in sources} == DATABASES
    for source in sources:
        assert source["secureJsonData"]["password"].startswith("$__file{"), "no password stands in the file"
