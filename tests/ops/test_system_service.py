"""flowrt as a service of three systems, and the first set-up of an InfluxDB without Docker."""

from __future__ import annotations

import argparse
import json
import plistlib
import shutil
import subprocess
import threading
import xml.etree.ElementTree as xml
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from flowrt.commands import DONE, Failure
from flowrt_ops.commands import doctor, service
from flowrt_ops.services.home import Home
from flowrt_ops.services.influx_setup import set_up, set_up_3
from flowrt_ops.services.secrets import initialise
from flowrt_ops.services.system_service import App, render, system_of


@pytest.fixture
def app(tmp_path: Path) -> App:
    """Paths with a blank and a percent sign: systemd, shells and XML all want them treated."""
    folder = tmp_path / "my 100% flows"
    folder.mkdir()
    (folder / "flow.yaml").write_text("flow: x\n")
    (folder / "secret").write_text("it's $ecret\n")
    program = folder / "flowrt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return App(
        program=program,
        flow=folder / "flow.yaml",
        data=folder / "data",
        user="root",
        environment={"MQTT_URL": "mqtt://localhost:1883"},
        credentials={"MQTT_PASSWORD": folder / "secret"},
    )


def test_systemd_finds_nothing_wrong_with_the_unit(app: App, tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / "flowrt.service"
    unit.write_text(render(app, "systemd"))
    done = subprocess.run([verify, "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60)
    assert [line for line in done.stderr.splitlines() if "flowrt.service" in line] == []


def test_the_unit_is_told_apart_from_its_secrets(app: App) -> None:
    text = render(app, "systemd")
    assert "Type=notify" in text
    assert "WatchdogSec=60" in text
    assert "ProtectSystem=strict" in text
    assert f"LoadCredential=MQTT_PASSWORD:{app.credentials['MQTT_PASSWORD']}".replace("%", "%%") in text
    assert "it's $ecret" not in text


def test_the_property_list_is_one_and_its_shell_line_works(app: App) -> None:
    content = plistlib.loads(render(app, "launchd").encode())
    assert content["KeepAlive"] == {"SuccessfulExit": False}
    assert content["EnvironmentVariables"]["MQTT_URL"] == "mqtt://localhost:1883"
    app.program.write_text('#!/bin/sh\necho "$MQTT_PASSWORD|$2"\n')
    done = subprocess.run(content["ProgramArguments"], capture_output=True, text=True)
    assert done.stdout == f"it's $ecret|{app.flow}\n", done.stderr


def test_winsw_gets_xml_with_quoted_arguments(app: App) -> None:
    root = xml.fromstring(render(app, "winsw"))
    assert root.findtext("id") == "flowrt"
    assert root.findtext("executable") == str(app.program)
    assert f'"{app.flow}"' in str(root.findtext("arguments"))
    assert {env.get("name") for env in root.findall("env")} == {"FLOWRT_DATA", "MQTT_URL"}
    assert root.find("onfailure") is not None


def test_each_platform_has_its_system() -> None:
    assert [system_of(platform) for platform in ("linux", "darwin", "win32")] == ["systemd", "launchd", "winsw"]


@pytest.mark.parametrize("system", ["systemd", "launchd", "winsw"])
def test_a_dry_run_prints_file_and_commands(app: App, system: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    service.configure(parser)
    words = ["install", str(app.flow), "--dry-run", "--system", system, "--folder", str(app.flow.parent)]
    assert service.run(parser.parse_args(words)) == DONE
    assert "# then: " in capsys.readouterr().out
    with pytest.raises(Failure, match="there is no flow file"):
        service.run(parser.parse_args(["install", str(app.flow) + "x", "--dry-run"]))


def test_the_doctor_names_what_is_missing_and_how_to_get_it(capsys: pytest.CaptureFixture[str]) -> None:
    for system, line in (("win32", "winget install GrafanaLabs"), ("darwin", "brew install grafana")):
        parser = argparse.ArgumentParser()
        doctor.configure(parser)
        assert doctor.run(parser.parse_args(["--for", system])) == DONE
        said = capsys.readouterr().out
        assert line in said
        assert "openvino" in said


# -- InfluxDB 2 without Docker ----------------------------------------------------------------------------------------------


class Api(BaseHTTPRequestHandler):
    """As much of the documented HTTP API of InfluxDB 2 and 3 as the first set-up needs; it keeps what it is told."""

    def do_GET(self) -> None:
        kept = self.server.kept  # type: ignore[attr-defined]
        path = self.path.partition("?")[0]
        if path == "/api/v2/setup":
            return self.say(200, {"allowed": "/api/v2/setup" not in kept})
        if self.headers["Authorization"] != f"Token {kept['/api/v2/setup'][0]['token']}":
            return self.say(401, {"code": "unauthorized"})
        if path == "/api/v2/orgs":
            return self.say(200, {"orgs": [{"id": "0rg"}]})
        if path == "/api/v2/buckets":
            first = {"name": kept["/api/v2/setup"][0]["bucket"], "id": "b0"}
            return self.say(
                200, {"buckets": [first, *({"name": b["name"], "id": "b1"} for b in kept.get("/api/v2/buckets", ()))]}
            )
        return self.say(200, {"authorizations": kept.get("/private/legacy/authorizations", [])})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if "db" in body and body in self.server.kept.get(self.path, ()):  # type: ignore[attr-defined]
            return self.say(409, {"error": "database already exists"})
        self.server.kept.setdefault(self.path, []).append(body)  # type: ignore[attr-defined]
        return self.say(201, {"id": "b1" if "buckets" in self.path else "a1", "token": "made-by-the-database"})

    def say(self, status: int, content: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.fixture
def api() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Api) as server:
        server.kept = {}  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_first_start_makes_buckets_writer_and_reader_and_the_second_nothing(
    api: ThreadingHTTPServer, tmp_path: Path
) -> None:
    home = Home(tmp_path / "one")
    initialise(home)
    url = f"http://127.0.0.1:{api.server_port}"
    assert len(set_up(url, home)) == 4
    kept: Any = api.kept  # type: ignore[attr-defined]
    (setup,) = kept["/api/v2/setup"]
    assert (setup["bucket"], setup["retentionPeriodSeconds"]) == ("traffic_monitoring", 7 * 86400)
    (bucket,) = kept["/api/v2/buckets"]
    assert (bucket["name"], bucket["retentionRules"][0]["everySeconds"]) == ("traffic_analytics", 30 * 86400)
    (writer,) = kept["/api/v2/authorizations"]
    (reader,) = kept["/private/legacy/authorizations"]
    assert {permission["action"] for permission in writer["permissions"]} == {"write"}
    assert {permission["action"] for permission in reader["permissions"]} == {"read"}
    assert {permission["resource"]["id"] for permission in reader["permissions"]} == {"b0", "b1"}
    (password,) = kept["/private/legacy/authorizations/a1/password"]
    assert password["password"] == home.secret("influx_read_password")
    token = home.data / "tokens" / "influx_write_token"
    assert token.read_text() == "made-by-the-database\n"
    assert token.stat().st_mode & 0o777 == 0o600
    assert set_up(url, home) == []


def test_influxdb_3_gets_its_databases_and_the_second_time_nothing(api: ThreadingHTTPServer, tmp_path: Path) -> None:
    home = Home(tmp_path / "three")
    initialise(home, influx=3)
    url = f"http://127.0.0.1:{api.server_port}"
    assert set_up_3(url, home) == ["database traffic_monitoring", "database traffic_analytics", "write token"]
    kept: Any = api.kept  # type: ignore[attr-defined]
    assert [(db["db"], db["retention_period"]) for db in kept["/api/v3/configure/database"]] == [
        ("traffic_monitoring", "7d"),
        ("traffic_analytics", "30d"),
    ]
    assert (home.data / "tokens" / "influx_write_token").read_text().strip() == home.influx3_token
    assert set_up_3(url, home) == []


def test_a_database_set_up_by_somebody_else_says_so(api: ThreadingHTTPServer, tmp_path: Path) -> None:
    one, other = Home(tmp_path / "one"), Home(tmp_path / "other")
    initialise(one)
    initialise(other)
    url = f"http://127.0.0.1:{api.server_port}"
    set_up(url, one)
    with pytest.raises(Failure, match="it was set up before, by someone else"):
        set_up(url, other)
