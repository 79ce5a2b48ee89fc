"""tools/try_watching.py without an engine: its steps against a double of Grafana's API, its workflow against schema and linter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml
from doubles.influx import Bucket
from doubles.influx_3 import influx_3

from flowrt_ops.alerts import RULES
from flowrt_ops.dashboards import DASHBOARDS
from flowrt_ops.services.programs import GRAFANA_NEWEST
from tools import try_watching
from tools.try_watching import Failed, Grafana

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "watching.yml"


class GrafanaDouble(ThreadingHTTPServer):
    """Answers as much of Grafana's documented HTTP API as the steps ask. says: path to another answer, by the request's body."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.says: dict[str, Callable[[Any], Any]] = {}


class Answers(BaseHTTPRequestHandler):
    server: GrafanaDouble

    def _serve(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        path = self.path.partition("?")[0]
        said = self.server.says.get(path)
        content = said(body) if said else self._usual(path)
        self.send_response(200 if content is not None else 404)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    do_GET = do_POST = _serve

    def _usual(self, path: str) -> Any:
        title = next(rule.title for rule in RULES if rule.uid == try_watching.ALERT)
        firing = {"groups": [{"rules": [{"name": title, "state": "firing"}]}]}
        return {
            "/api/search": [{"uid": dashboard.uid} for dashboard in DASHBOARDS],
            "/api/v1/provisioning/alert-rules": [{"uid": rule.uid} for rule in RULES],
            "/api/ds/query": {"results": {"A": {"frames": [{"data": {"values": [[1], [2]]}}]}}},
            "/api/prometheus/grafana/api/v1/rules": {"data": firing},
        }.get(path)

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def server() -> Iterator[GrafanaDouble]:
    with GrafanaDouble() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def grafana(server: GrafanaDouble) -> Grafana:
    return Grafana(f"http://127.0.0.1:{server.server_port}", "secret")


def test_every_step_passes_on_a_grafana_that_has_everything(grafana: Grafana) -> None:
    assert try_watching.check_dashboards(grafana) == f"{len(DASHBOARDS)} dashboards"
    assert try_watching.check_rules(grafana) == f"{len(RULES)} alert rules"
    assert re.fullmatch(r"(\d+) queries, \1 with data", try_watching.check_panels(grafana, 1_796_042_097_149))
    assert try_watching.wait_for_alert(grafana, 1.0).endswith("fires")


@pytest.mark.parametrize(
    ("path", "content", "said"),
    [
        ("/api/search", [], "dashboards are missing: flowrt-"),
        ("/api/v1/provisioning/alert-rules", [], "alert rules are missing: flowrt-"),
        ("/api/ds/query", {"results": {"A": {"error": "bad query"}}}, "'.*: bad query"),
        ("/api/ds/query", {"results": {"A": {"frames": []}}}, "none of .* queries has data"),
        ("/api/prometheus/grafana/api/v1/rules", {"data": {"groups": []}}, "does not fire within"),
        ("/api/search", None, "/api/search.* answers 404"),
    ],
)
def test_what_is_missing_is_said(server: GrafanaDouble, grafana: Grafana, path: str, content: Any, said: str) -> None:
    server.says[path] = lambda _: content
    with pytest.raises(Failed, match=said):
        every_step(grafana)


def every_step(grafana: Grafana) -> None:
    try_watching.check_dashboards(grafana)
    try_watching.check_rules(grafana)
    try_watching.check_panels(grafana, 1_796_042_097_149)
    try_watching.wait_for_alert(grafana, 0.0)


def test_no_query_reaches_grafana_with_a_variable_in_it(server: GrafanaDouble, grafana: Grafana) -> None:
    seen: list[str] = []

    def answer(body: Any) -> Any:
        seen.append(body["queries"][0]["query"])
        return {"results": {"A": {"frames": [{"data": {"values": [[1]]}}]}}}

    server.says["/api/ds/query"] = answer
    try_watching.check_panels(grafana, 1_796_042_097_149)
    assert len(seen) > 100
    assert not [text for text in seen if re.search(r"\$[\w{]", text)]


def test_errors_of_provisioning_are_found_in_the_log() -> None:
    log = (
        'logger=provisioning.alerting t=1 level=info msg="starting to provision alerting"\n'
        'logger=provisioning.alerting t=2 level=error msg="Failed to provision alerting" error="both annotations"\n'
        'logger=http level=error msg="something else"\n'
    )
    (found,) = try_watching.provisioning_errors(log)
    assert "both annotations" in found


def test_the_written_violation_is_one_that_the_alert_asks_for() -> None:
    with influx_3("token") as database:
        database.buckets["traffic_monitoring"] = Bucket(name="traffic_monitoring", retention_s=7 * 86_400)
        try_watching.write_violation(database.url, "token", time.time())
        ((_, tags, _), fields), *rest = database.buckets["traffic_monitoring"].points.items()
        assert rest == []
        assert (dict(tags)["violation_category"], fields["severity_level"]) == ("red_light", "critical")
        with pytest.raises(Failed, match="the violation is refused, 401"):
            try_watching.write_violation(database.url, "guess", time.time())


def test_the_script_runs_as_a_program() -> None:
    done = subprocess.run(
        [sys.executable, "tools/try_watching.py", "--help"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "--grafana TAG" in done.stdout


def test_the_workflow_is_valid_and_tries_each_version() -> None:
    beside = Path(sys.executable).parent
    for words in (
        ["check-jsonschema", "--builtin-schema", "vendor.github-workflows", str(WORKFLOW)],
        ["yamllint", "--strict", "-d", "{extends: default, rules: {line-length: {max: 150}, document-start: disable, braces: disable}}", str(WORKFLOW)],
    ):  # fmt: skip
        done = subprocess.run([beside / words[0], *words[1:]], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
    matrix = yaml.safe_load(WORKFLOW.read_text("utf-8"))["jobs"]["try"]["strategy"]["matrix"]
    grafana = {one.partition(".")[0] for one in matrix["grafana"]}
    assert grafana == {str(version) for version in range(11, GRAFANA_NEWEST + 1)}
    influx = {*matrix["influx"], *(one["influx"] for one in matrix["include"])}
    assert influx == {"2.7", "2.9", "3.9-core"}
