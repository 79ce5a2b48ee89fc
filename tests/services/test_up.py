"""`flowrt services up`, `status` and `down` together: a real broker, and programs named `influxd`, `influxdb3` and `grafana` that are doubles."""

from __future__ import annotations

import argparse
import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from servers import free_port, need

from flowrt.commands import DONE, FAILED
from flowrt.services.environment import read_services_file
from flowrt_ops.commands import services as command
from flowrt_ops.influx_reader import Reader
from flowrt_ops.services import native
from flowrt_ops.services.home import Home

TESTS = Path(__file__).resolve().parents[1]
PROGRAMS = {
    "influxd": """
        if sys.argv[1:] == ["version"]:
            print("InfluxDB v2.9.1 (git: none)")
        else:
            from doubles.influx_2 import influx_2
            with influx_2(port=int(os.environ["INFLUXD_HTTP_BIND_ADDRESS"].rpartition(":")[2])):
                signal.pause()
    """,
    "influxdb3": """
        if sys.argv[1:] == ["version"]:
            print("influxdb3 3.9.6")
        else:
            import json
            from doubles.influx_3 import influx_3
            said = dict(word.lstrip("-").split("=", 1) for word in sys.argv[1:] if "=" in word)
            print("telemetry off:", os.environ.get("INFLUXDB3_TELEMETRY_DISABLE_UPLOAD"), flush=True)
            token = json.load(open(said["admin-token-file"]))["token"]
            with influx_3(token, port=int(said["http-bind"].rpartition(":")[2])):
                signal.pause()
    """,
    "grafana": """
        if sys.argv[1:] == ["-v"]:
            print("grafana version 12.2.0")
        else:
            import http.server
            class Health(http.server.BaseHTTPRequestHandler):
                def do_GET(self):
                    self.send_response(200)
                    self.end_headers()
                    self.wfile.write(b'{"database": "ok", "version": "12.2.0", "status": "OK"}')
            http.server.HTTPServer(("127.0.0.1", int(os.environ["GF_SERVER_HTTP_PORT"])), Health).serve_forever()
    """,
}


def install(folder: Path, *names: str) -> None:
    """Write programs of these names that serve the doubles."""
    folder.mkdir(exist_ok=True)
    for name in names:
        head = f"#!{sys.executable}\nimport os, signal, sys\nsys.path.insert(0, {str(TESTS)!r})\nif True:\n"
        (folder / name).write_text(head + PROGRAMS[name])
        (folder / name).chmod(0o755)


class Up:
    """One folder with secrets, ports of its own, and the command."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.ports = {name: free_port() for name in native.NAMES}

    def run(self, *words: str) -> int:
        parser = argparse.ArgumentParser()
        command.configure(parser)
        if words[0] == "up":
            ports = [f"--{name}-port={port}" for name, port in self.ports.items()]
            words = (*words, *ports, f"--tls-port={free_port()}")
        return command.run(parser.parse_args([*words, "--folder", str(self.home.folder)]))

    @property
    def influx_url(self) -> str:
        return f"http://127.0.0.1:{self.ports['influxdb']}"


@pytest.fixture(params=[2, 3])
def up(
    request: pytest.FixtureRequest, new_home: Callable[[int], Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Up]:
    """All three programs installed, for InfluxDB 2 and for 3; stopped at the end."""
    need("mosquitto")
    install(tmp_path / "bin", *PROGRAMS)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    for name in ("MQTT_URL", "INFLUX_URL", "INFLUX_TOKEN", "GRAFANA_URL", "FLOWRT_URL"):
        monkeypatch.delenv(name, raising=False)
    one = Up(new_home(request.param))
    yield one
    for name in native.NAMES:
        native.stop(one.home, name)


def test_up_starts_and_sets_up_all_three_and_says_how_to_run_flowrt(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    assert up.run("up") == DONE, capsys.readouterr().out
    said = capsys.readouterr().out
    assert "write token: created" in said
    last = said.strip().splitlines()[-1]
    assert last == f"flowrt with these services: flowrt run flows/intersection.yaml --services {up.home.folder}"
    written = read_services_file(up.home.folder)
    assert written["MQTT_URL"] == f"mqtt://127.0.0.1:{up.ports['mosquitto']}"
    assert written["INFLUX_URL"] == up.influx_url
    assert Path(written["INFLUX_TOKEN_FILE"]).read_text().strip() == up.home.influx_write_token != ""
    secrets = {up.home.secret(file.name) for file in up.home.secrets.iterdir()} - {""}
    assert not any(secret in (up.home.folder / "flowrt.env").read_text() for secret in secrets)
    reader = Reader(up.influx_url, user="grafana", password=up.home.secret("influx_read_password"))
    assert reader.query("SHOW MEASUREMENTS", "traffic_analytics") == []


def test_status_asks_the_ports_that_up_used(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    up.run("up")
    capsys.readouterr()
    up.run("status", "--format", "json", "--timeout", "3")
    said = capsys.readouterr().out
    for name in native.NAMES:
        assert f"127.0.0.1:{up.ports[name]}" in said
    assert '"verdict": "ok"' in said
    assert "refuses" not in said


def test_a_second_up_adds_what_is_missing_to_a_database_that_runs(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    up.run("up")
    capsys.readouterr()
    assert up.run("up") == DONE
    said = capsys.readouterr().out
    assert "influxdb: runs already on" in said
    assert "created" not in said
    up.home.write_token.unlink()
    assert up.run("up") == DONE
    assert "write token: created" in capsys.readouterr().out


def test_a_later_up_knows_the_ports_of_what_runs(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    up.run("up")
    native.stop(up.home, "grafana")
    capsys.readouterr()
    for name in ("influxdb", "mosquitto"):
        del up.ports[name]
    influx_url = read_services_file(up.home.folder)["INFLUX_URL"]
    assert up.run("up", "--dry-run") == DONE
    assert f"INFLUX_URL={influx_url} " in capsys.readouterr().out, "of Grafana's environment"
    assert up.run("up") == DONE
    assert read_services_file(up.home.folder)["INFLUX_URL"] == influx_url


def test_a_step_that_fails_is_said_and_the_exit_code_tells_it(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    up.run("up")
    capsys.readouterr()
    name = "influx3_admin_token" if up.home.influx_version == 3 else "influx_admin_token"
    secret = up.home.secrets / name
    before = secret.read_text()
    secret.write_text('{"token": "another"}' if up.home.influx_version == 3 else "another")
    try:
        assert up.run("up") == FAILED
    finally:
        secret.write_text(before)
    assert "failed: " in (said := capsys.readouterr().out)
    assert "does not know our administrator's token" in said


def test_down_stops_them_and_forgets_their_ports(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    up.run("up")
    assert up.run("down") == DONE
    assert capsys.readouterr().out.count(": stopped") == 3
    assert read_services_file(up.home.folder)["MQTT_URL"] == "mqtt://127.0.0.1:1883"
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(up.influx_url, timeout=2)


def test_telemetry_of_version_3_is_off(up: Up) -> None:
    if up.home.influx_version == 3:
        up.run("up")
        assert "telemetry off: true" in (up.home.native / "log" / "influxdb.log").read_text()


def test_up_fails_where_one_of_three_is_missing_and_starts_the_others(
    new_home: Callable[[int], Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    need("mosquitto")
    install(tmp_path / "bin", "influxd")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if native.find(native.PROGRAMS[2]):
        pytest.skip("a Grafana is installed")
    one = Up(new_home(2))
    try:
        assert one.run("up") == FAILED
        said = capsys.readouterr().out
        assert "mosquitto: started" in said
        assert "grafana: not installed: " in said
        assert "GRAFANA_URL" not in read_services_file(one.home.folder)
        exports = [line for line in said.splitlines() if line.startswith("export ")]
        assert exports[0] == f"export MQTT_URL=mqtt://127.0.0.1:{one.ports['mosquitto']}"
        assert f"export MQTT_PASSWORD_FILE={one.home.secrets / 'mqtt_password'}" in exports
        assert not any(one.home.secret("mqtt_password") in line for line in exports), "files of secrets, and no secrets"
    finally:
        one.run("down")


def test_another_version_than_init_chose_is_said(
    new_home: Callable[[int], Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path / "bin", "influxdb3")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(native, "PROGRAMS", tuple(_without_places(program) for program in native.PROGRAMS))
    database = {service.name: service for service in native.plan(new_home(2))}["influxdb"]
    assert "is InfluxDB 3, and `flowrt services init` chose 2: run it with `--influx 3`" in database.obstacle


def _without_places(program: native.Program) -> native.Program:

    return msgspec.structs.replace(program, places={})
