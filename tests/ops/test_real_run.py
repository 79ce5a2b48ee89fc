"""The shipped flow, run for three intersections into one broker and one database; then every query of the dashboards.

One runs as users run it: pictures are rendered, the bundled model looks at them, rules judge. The other two show what a minute
seldom has (a wrong-way driver, a narrow escape), with the truth's boxes, so that it is surely there to be shown.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from servers import influx, mosquitto, need

from flowrt.config import load
from flowrt.contract import Contract
from flowrt.system.resources import share
from flowrt_ops import dashboards
from flowrt_ops.alerts import RULES
from flowrt_ops.checks.coverage import compare
from flowrt_ops.checks.evaluate import Range, ask, judge, step_of
from flowrt_ops.checks.queries import panels_of, queries_of
from flowrt_ops.drawing.draw import draw
from flowrt_ops.influx_reader import Reader

ROOT = Path(__file__).resolve().parents[2]
VIRTUAL_RUN = Path(__file__).parent / "virtual_run.py"
LIVE_SITE = "main-and-5th"
"""Runs on the machine's clock, by the command that users run."""
SITES = {
    LIVE_SITE: {"north.uri": "sim://four-way?seed=7&scenario=speeding&rate=1.3&fps=5"},
    "harbour.square": {
        # What counts as narrow is widened: real escapes with a time to collision are rarer than one a minute.
        "north.uri": "sim://four-way?seed=7&scenario=jaywalking_midblock&rate=1.3&start=20",
        "near_misses.ttc_s": "4",
        "near_misses.closing_m_s": "1",
        "near_misses.passing_m": "6",
    },
    "3rd_east": {"north.uri": "sim://four-way?seed=4&scenario=wrong_way&start=20"},
}
"""Site to what it changes in the shipped flow."""
SIMULATED_S = 45
BUILT = [dashboard.json() for dashboard in dashboards.DASHBOARDS]

EMPTY = {"Graphics processor": "machines that run tests have none"}
"""Panels that may be empty here, with the reason. That their queries are right is shown in test_queries.py."""

pytestmark = pytest.mark.slow


class Ran(msgspec.Struct, frozen=True):
    """What three runs left behind."""

    reader: Reader
    shown: Range
    topics: set[str]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    folder = tmp_path_factory.mktemp("sites")
    listen = need("mosquitto_sub")[0]
    with influx(folder) as database, mosquitto(folder) as broker:
        heard = folder / "heard"
        with heard.open("wb") as out:
            listener = subprocess.Popen(
                [listen, "-p", str(broker.port), "-t", "smartintersection/#", "-F", "%t"], stdout=out
            )
        begun_s = time.time() - SIMULATED_S
        try:
            runs = [
                _start(folder / f"flow{i}", site, begun_s, database.url, broker.url) for i, site in enumerate(SITES)
            ]
            for process in runs:
                said = process.communicate(timeout=400)[1]
                assert process.returncode == 0, said.decode()[-2000:]
        finally:
            listener.terminate()
            listener.wait()
        shown = Range(from_s=begun_s - 60.0, to_s=time.time() + 60.0)
        yield Ran(Reader(database.url), shown, set(heard.read_text().split("\n")) - {""})


def _start(folder: Path, site: str, begin_s: float, influx_url: str, mqtt_url: str) -> subprocess.Popen[bytes]:
    """The shipped flow for another site, as its own process."""
    shutil.copytree(share("flows"), folder)
    flow = folder / "intersection.yaml"
    text = flow.read_text("utf-8")
    assert "site: main-and-5th" in text
    prefix = 'services: {mqtt: {prefix: "smartintersection/{site}"}}\n'
    flow.write_text(text.replace("site: main-and-5th", f'site: "{site}"\n{prefix}'), "utf-8")
    settings = [f"{name}={value}" for name, value in _settings(site).items()]
    if site == LIVE_SITE:
        options = [word for setting in settings for word in ("--set", setting)]
        command = [sys.executable, "-m", "flowrt.cli", "run", str(flow), "--plain", "--http", "off", *options]
    else:
        command = [sys.executable, str(VIRTUAL_RUN), str(flow), str(begin_s), *settings]
    environment = {
        **os.environ,
        "INFLUX_URL": influx_url,
        "INFLUX_TOKEN": "any",
        "MQTT_URL": mqtt_url,
        "FLOWRT_DATA": str(folder / "data"),
    }
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _settings(site: str) -> dict[str, str]:
    world = SITES[site]["north.uri"]
    camera = f"{world}&camera=north&duration_s={SIMULATED_S}"
    return {**SITES[site], "north.uri": camera, "signals.uri": world, "lanes.interval_s": "15", "health.every_s": "2"}


def test_every_panel_has_data(ran: Ran) -> None:
    empty = []
    for dashboard in BUILT:
        panels = {panel["title"]: panel for panel in panels_of(dashboard)}
        answered: dict[str, bool] = {}
        for query in queries_of(dashboard):
            series = ask(ran.reader, query, ran.shown, step_of(ran.shown, panels.get(query.name)))
            has = any(value is not None for one in series for row in one.values for value in row[1:])
            key = query.name if query.where == "panel" else f"{query.where} {query.name}"
            answered[key] = answered.get(key, False) or has
        empty += [f"{dashboard['title']} / {name}" for name, has in answered.items() if not has and name not in EMPTY]
    assert empty == []


def test_the_check_of_the_flow_says_the_same(contract: Contract) -> None:
    coverage = compare(load(share("flows") / "intersection.yaml"), contract, BUILT)
    assert coverage.panels > 80
    assert coverage.gaps == ()


@pytest.mark.parametrize("site", SITES)
def test_each_intersection_is_found_alone(ran: Ran, site: str) -> None:
    for dashboard in BUILT:
        for query in queries_of(dashboard):
            if query.where == "panel" and '"site"' in query.text.partition("GROUP BY")[2]:
                series = ask(ran.reader, query, ran.shown, "10s", {"site": site})
                assert {one.tags["site"] for one in series} <= {site}, query.place
    (vehicles,) = ran.reader.query(
        f'SELECT sum("vehicle_count") FROM "traffic_flow" WHERE "site" = \'{site}\'', "traffic_monitoring"
    )
    assert vehicles.values[0][1] > 0
    assert any(topic.startswith(f"smartintersection/{site}/") for topic in ran.topics), "its topics too"


def test_topics_of_the_sites_do_not_mix(ran: Ran) -> None:
    sites = {topic.split("/")[1] for topic in ran.topics}
    assert sites == set(SITES)
    for topic in ("system/health", "traffic/flow", "roi/events", "detection"):
        assert {f"smartintersection/{site}/{topic}" for site in SITES} <= ran.topics


def test_alerts_are_evaluated_for_each_intersection(ran: Ran) -> None:
    """In its last minute each is alive; ten minutes later the silence of all three is noticed."""
    silence = next(rule for rule in RULES if rule.title == "No data at all")
    ends = ran.reader.query('SELECT last("uptime_seconds") FROM "system_health" GROUP BY "site"', "traffic_monitoring")
    last_s = {one.tags["site"]: one.values[0][0] / 1000.0 for one in ends}
    for site, end_s in last_s.items():
        alive = judge(ran.reader, silence, end_s // 60 * 60 + 59.0)
        assert [verdict.fires for verdict in alive if verdict.tags["site"] == site] == [False]
    silent = judge(ran.reader, silence, max(last_s.values()) + 600.0)
    assert {verdict.tags["site"] for verdict in silent if verdict.fires} == set(SITES)


def test_the_pictures_can_be_drawn(ran: Ran) -> None:
    for dashboard in BUILT:
        text = draw(dashboard, ran.reader, to_s=ran.shown.to_s, span="5m").text()
        titles = {panel["title"] for panel in panels_of(dashboard)}
        assert all(title[:12] in text for title in titles)
        assert text.count("<text") > 60
        assert dashboard["title"] in text


def test_the_command_tells_what_a_smaller_flow_leaves_empty(tmp_path: Path, contract: Contract) -> None:
    small = tmp_path / "small.yaml"
    small.write_text(
        "flow: small\nsite: here\nnodes:\n"
        "  tick: {type: health_probe}\n"
        "  history: {type: influx_out, from: tick.health}\n"
        "  lonely: {type: mqtt_out, from: tick.performance}\n"
    )
    coverage = compare(load(small), contract, BUILT)
    why = {f"{gap.dashboard} / {gap.panel}": gap.why for gap in coverage.gaps}
    assert "Real-time monitoring / Runtime" not in why
    assert (
        why["Violations / Critical"] == "no node of the flow produces Violation, so 'violation_events' is never written"
    )
    assert why["Performance / Outbox"] == "'tick' produces Performance, but is not an input of 'history'"
