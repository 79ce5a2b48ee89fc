"""`flowrt services status`: what it says of real services, of missing ones, and of programs that are something else."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from busy_day import day, write
from servers import InfluxDB, free_port, influx, mosquitto

from flowrt import Health, cli
from flowrt.commands import FAILED
from flowrt.contract import Contract
from flowrt_ops.services.status.addresses import Addresses
from flowrt_ops.services.status.rows import Row
from flowrt_ops.services.status.survey import survey


def addresses(**given: str) -> Addresses:
    nowhere = f"127.0.0.1:{free_port()}"
    usual = {
        "mqtt": f"mqtt://{nowhere}",
        "influx": "http://127.0.0.1:9",
        "grafana": "http://127.0.0.1:8",
        "flowrt": "http://127.0.0.1:7",
    }
    return Addresses(**{**usual, **given})


def rows(at: Addresses) -> dict[str, Row]:
    return {row.service: row for row in survey(at, 2.0)}


def test_where_nothing_runs_every_line_says_what_to_do() -> None:
    found = rows(addresses())
    assert {row.verdict for row in found.values()} == {"down"}
    assert all(row.wrong and row.todo for row in found.values()), found
    assert found["flowrt"].todo == "start it: `flowrt run flows/intersection.yaml --services`"


def test_the_brokers_password_is_checked(tmp_path: Path) -> None:
    with mosquitto(tmp_path, users={"flowrt": "right"}) as broker:
        at = addresses(mqtt=broker.url, mqtt_user="flowrt", mqtt_password="right")
        right, wrong = rows(at)["broker"], rows(msgspec.structs.replace(at, mqtt_password="guess"))["broker"]
    assert (right.verdict, right.todo) == ("ok", "")
    assert (wrong.verdict, wrong.wrong) == ("down", "the broker refuses user or password")
    assert "MQTT_PASSWORD" in wrong.todo


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    with influx(tmp_path_factory.mktemp("status")) as database:
        yield database


def test_empty_dashboards_are_explained_until_points_are_there(running: InfluxDB, contract: Contract) -> None:
    at = addresses(influx=running.url, influx_token="any")
    found = rows(at)
    assert found["database"].verdict == "ok", found["database"]
    assert found["database"].version.startswith("1.6")
    assert found["data"].wrong == "nothing has been written yet: dashboards are empty"
    old = Health(
        time_s=time.time() - 7300.0, status="healthy", active_cameras=1, services={}, uptime_seconds=1.0, host="h"
    )
    write(running.url, contract, "main-and-5th", [old])
    assert rows(at)["data"].wrong == "the newest point is 2 h old"
    write(running.url, contract, "main-and-5th", [m for m in day(end_s=time.time()) if isinstance(m, Health)])
    assert rows(at)["data"].verdict == "ok"


def test_a_missing_bucket_and_a_missing_token_are_told(tmp_path: Path) -> None:
    with influx(tmp_path, databases=("traffic_monitoring",)) as database:
        lacking = rows(addresses(influx=database.url, influx_token="any"))
    assert lacking["database"].wrong == "there is no bucket 'traffic_analytics'"
    assert lacking["data"].verdict == "down"


def test_no_token_is_a_warning(running: InfluxDB) -> None:
    row = rows(addresses(influx=running.url))["database"]
    assert (row.verdict, row.wrong) == ("warning", "no token to write with")


def test_a_wrong_token_and_a_wrong_password_of_the_reader_are_told(tmp_path: Path) -> None:
    """With a database that wants accounts: its own answers, 401 and 403."""
    with influx(tmp_path, password="of-admin") as database:
        database.query("CREATE USER \"grafana\" WITH PASSWORD 'reads'")
        at = addresses(influx=database.url, influx_token="guess", read_user="grafana", read_password="guess")
        found = rows(at)
        assert found["database"].wrong == "the token may not write to 'traffic_monitoring'"
        assert "INFLUX_TOKEN" in found["database"].todo
        assert found["data"].wrong == "the database refuses the account (401)"
        not_granted = rows(msgspec.structs.replace(at, read_password="reads"))["data"]
        assert not_granted.wrong == "the database refuses the account (403)"
        for bucket in ("traffic_monitoring", "traffic_analytics"):
            database.query(f'GRANT READ ON "{bucket}" TO "grafana"')
        granted = rows(msgspec.structs.replace(at, read_password="reads"))["data"]
        assert granted.wrong == "nothing has been written yet: dashboards are empty"


def test_another_program_on_a_port_is_noticed() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        found = rows(addresses(influx=url, grafana=url.replace("127.0.0.1", "localhost")))
        other.shutdown()
    for name, what in (("database", "the database"), ("grafana", "Grafana")):
        row = found[name]
        assert f"something else than {what} answers here" in row.wrong + row.todo
        assert "correct the address" in row.todo


class Grafana(BaseHTTPRequestHandler):
    """As much of Grafana's documented HTTP API as `status` asks; what it says of data sources is the test's."""

    def do_GET(self) -> None:
        if self.path == "/api/health":
            return self.say(200, {"database": "ok", "version": "12.2.0"})
        assert re.fullmatch(r"/api/datasources/uid/flowrt-(monitoring|analytics)/health", self.path)
        return self.say(*self.server.says)

    def say(self, status: int, content: dict[str, str]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.mark.parametrize(
    ("status", "content", "verdict", "said"),
    [
        (200, {"status": "OK", "message": "datasource is working. 12 measurements found"}, "ok", ""),
        (404, {"message": "data source not found"}, "down", "the data source flowrt-monitoring is missing"),
        (401, {"message": "Invalid username or password"}, "warning", "Grafana refuses the password"),
        (400, {"status": "ERROR", "message": "connection refused"}, "down", "flowrt-monitoring: connection refused"),
        (200, {"status": "ERROR", "message": "error reading"}, "down", "flowrt-monitoring: error reading"),
    ],
)
def test_a_data_source_that_does_not_work_is_told(
    status: int, content: dict[str, str], verdict: str, said: str
) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Grafana) as grafana:
        grafana.says = status, content
        threading.Thread(target=grafana.serve_forever, daemon=True).start()
        row = rows(addresses(grafana=f"http://127.0.0.1:{grafana.server_port}", grafana_password="any"))["grafana"]
        grafana.shutdown()
    assert (row.verdict, row.version) == (verdict, "12.2.0")
    assert row.wrong.endswith(said)
    assert bool(row.todo) is (verdict != "ok")


def test_an_address_that_is_none_is_told() -> None:
    found = rows(addresses(influx="nonsense", grafana="rubbish"))
    assert found["database"].wrong == "the host name nonsense is unknown"
    assert not any("are both said to be at" in row.wrong for row in found.values())


def test_two_services_on_one_port_are_noticed() -> None:
    same = "http://localhost:3000"
    found = survey(addresses(influx=same, grafana=same), 0.5)
    assert any(row.wrong == "database and grafana are both said to be at localhost:3000" for row in found)


def test_status_prints_a_table_and_fails_where_something_is_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("MQTT_URL", "INFLUX_URL", "GRAFANA_URL", "FLOWRT_URL"):
        monkeypatch.setenv(name, f"{'mqtt' if name == 'MQTT_URL' else 'http'}://127.0.0.1:{free_port()}")
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["services", "status", "--folder", str(tmp_path), "--timeout", "1"]) == FAILED
    said: Any = capsys.readouterr().out
    for word in ("broker", "database", "data", "grafana", "flowrt", "what is wrong, and what to do"):
        assert word in said
