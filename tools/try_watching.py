"""Try the whole of watching with real servers: compose, Grafana and InfluxDB, from the first start to an alert that fires.

python tools/try_watching.py [--grafana 12.2.0] [--influx 2.9|3.9-core] [--keep]

Needs a container engine with compose, and flowrt installed. It starts docker/compose.yaml with secrets of its own in docker/, waits
for health, reads Grafana's log for errors of provisioning, compares dashboards and alert rules with the built ones, runs the query of every
panel through Grafana, writes a critical violation, and waits until its alert fires. Each step prints what it found; the exit code is 1
where one failed. The servers are stopped at the end, unless --keep is given.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowrt.contract import Contract
from flowrt.traffic import Location, RoadUser, Violation
from flowrt_ops.alerts import RULES
from flowrt_ops.checks.queries import interpolated, queries_of
from flowrt_ops.dashboards import DASHBOARDS
from flowrt_ops.services.home import Home
from flowrt_ops.services.influx_setup import ORG

ROOT = Path(__file__).resolve().parents[1]
ALERT = "flowrt-critical-violation"
ALERT_WAIT_S = 240.0
DAY_MS = 86_400_000


class Failed(Exception):
    """A step found something wrong; the message says what."""


class Grafana:
    """As much of Grafana's HTTP API as the steps need."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url.rstrip("/")
        login = base64.b64encode(f"admin:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}", "Content-Type": "application/json"}

    def ask(self, path: str, body: Any = None) -> Any:
        """The JSON of an answer; GET without a body. Raises Failed."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data=data, headers=self._headers)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise Failed(f"{path} answers {error.code}: {error.read(500).decode('utf-8', 'replace')}") from error
        except OSError as error:
            raise Failed(f"{path}: {error}") from error


def provisioning_errors(log: str) -> list[str]:
    """Lines of Grafana's log that report an error of provisioning."""
    lines = (line for line in log.splitlines() if "provisioning" in line.lower() or "ngalert" in line)
    return [line.strip() for line in lines if "level=error" in line or '"level":"error"' in line]


def check_dashboards(grafana: Grafana) -> str:
    """Every dashboard is there, under its own uid."""
    found = {one["uid"] for one in grafana.ask("/api/search?type=dash-db&limit=500")}
    missing = {dashboard.uid for dashboard in DASHBOARDS} - found
    if missing:
        raise Failed(f"dashboards are missing: {', '.join(sorted(missing))}")
    return f"{len(DASHBOARDS)} dashboards"


def check_rules(grafana: Grafana) -> str:
    """Every alert rule is there."""
    found = {one["uid"] for one in grafana.ask("/api/v1/provisioning/alert-rules")}
    missing = {rule.uid for rule in RULES} - found
    if missing:
        raise Failed(f"alert rules are missing: {', '.join(sorted(missing))}")
    return f"{len(RULES)} alert rules"


def check_panels(grafana: Grafana, now_ms: int) -> str:
    """Every query of every dashboard is answered, through Grafana; at least one with data."""
    asked = with_data = 0
    for dashboard in DASHBOARDS:
        for query in queries_of(dashboard.json()):
            text = interpolated(query.text, from_ms=now_ms - DAY_MS, to_ms=now_ms, step="5m")
            target = {
                "refId": "A",
                "datasource": {"type": "influxdb", "uid": query.source},
                "query": text,
                "rawQuery": True,
                "resultFormat": "table" if query.table else "time_series",
                "intervalMs": 300_000,
                "maxDataPoints": 500,
            }
            body = {"from": str(now_ms - DAY_MS), "to": str(now_ms), "queries": [target]}
            result = grafana.ask("/api/ds/query", body)["results"]["A"]
            if result.get("error"):
                raise Failed(f"{query.place}: {result['error']}")
            asked += 1
            with_data += any(frame["data"]["values"] for frame in result.get("frames", ()))
    if not with_data:
        raise Failed(f"none of {asked} queries has data")
    return f"{asked} queries, {with_data} with data"


def write_violation(url: str, token: str, now_s: float) -> str:
    """Write one critical violation, as flowrt would."""
    violation = Violation(
        id=f"try-watching-{now_s:.0f}",
        time_s=now_s,
        started_s=now_s,
        camera_id="north",
        violation_type="red_light",
        severity="critical",
        phase="new",
        location=Location(x_px=0.0, y_px=0.0),
        object=RoadUser(track_id=1, label="car", confidence=0.9, box_px=(0.0, 0.0, 1.0, 1.0)),
        evidence={},
    )
    body = b"\n".join(Contract.load().lines(violation, "try-watching"))
    address = f"{url}/api/v2/write?org={ORG}&bucket=traffic_monitoring&precision=ns"
    request = urllib.request.Request(address, data=body, headers={"Authorization": f"Token {token}"})
    try:
        urllib.request.urlopen(request, timeout=20).close()
    except urllib.error.HTTPError as error:
        with error:
            raise Failed(
                f"the violation is refused, {error.code}: {error.read(500).decode('utf-8', 'replace')}"
            ) from error
    return "one critical violation"


def fires(grafana: Grafana) -> bool:
    """Whether the alert of the written violation fires."""
    groups = grafana.ask("/api/prometheus/grafana/api/v1/rules")["data"]["groups"]
    title = next(rule.title for rule in RULES if rule.uid == ALERT)
    return any(rule["name"] == title and rule["state"] == "firing" for group in groups for rule in group["rules"])


def wait_for_alert(grafana: Grafana, wait_s: float = ALERT_WAIT_S, sleep: Callable[[float], None] = time.sleep) -> str:
    """Rules are evaluated twice a minute."""
    until = time.monotonic() + wait_s
    while not fires(grafana):
        if time.monotonic() > until:
            raise Failed(f"'{ALERT}' does not fire within {wait_s:g} s")
        sleep(5.0)
    return f"'{ALERT}' fires"


def compose(environment: Mapping[str, str], *words: str) -> str:
    """Run `docker compose`; returns what it wrote. Raises Failed."""
    command = ["docker", "compose", "--file", str(ROOT / "docker" / "compose.yaml"), *words]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    if done.returncode != 0:
        raise Failed(f"`docker compose {words[0]}` failed: {done.stderr.strip()[-2000:]}")
    return done.stdout


def step(name: str, action: Callable[[], str]) -> bool:
    """Run one step and print the result; returns whether it went well."""
    try:
        print(f"ok      {name}: {action()}", flush=True)
    except Failed as error:
        print(f"FAILED  {name}: {error}", flush=True)
        return False
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--grafana", default="12.2.0", metavar="TAG", help="of the image grafana/grafana")
    parser.add_argument("--influx", default="2.9", metavar="TAG", help="of the image influxdb, such as 2.7 or 3.9-core")
    parser.add_argument("--keep", action="store_true", help="leave the servers running")
    args = parser.parse_args()
    version = args.influx.partition(".")[0]
    environment = {
        "GRAFANA_TAG": args.grafana,
        "INFLUXDB_TAG" if version == "2" else "INFLUXDB3_TAG": args.influx,
    }
    home = Home(ROOT / "docker")
    subprocess.run(["flowrt", "services", "init", "--folder", str(home.folder), "--influx", version], check=True)
    influx = f"http://127.0.0.1:{home.ports['influxdb']}"
    grafana = Grafana(f"http://127.0.0.1:{home.ports['grafana']}", home.secret("grafana_admin_password"))

    def provisioning() -> str:
        if errors := provisioning_errors(compose(environment, "logs", "--no-color", "grafana")):
            raise Failed("; ".join(errors)[:2000])
        return "no error in the log"

    def violation() -> str:
        return write_violation(influx, home.influx_write_token, time.time())

    print(f"Grafana {args.grafana}, InfluxDB {args.influx}", flush=True)
    try:
        if not step("start", lambda: compose(environment, "up", "--detach", "--build", "--wait") or "all healthy"):
            print(compose(environment, "logs", "--no-color", "--tail", "50"))
            return 1
        results = [
            step("provisioning", provisioning),
            step("dashboards", lambda: check_dashboards(grafana)),
            step("rules", lambda: check_rules(grafana)),
            step("violation", violation),
            step("alert", lambda: wait_for_alert(grafana)),
            step("panels", lambda: check_panels(grafana, int(time.time() * 1000))),
        ]
    finally:
        if not args.keep:
            compose(environment, "down", "--volumes")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
