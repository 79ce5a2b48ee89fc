"""Secrets from files that variables name, and `flowrt run --services`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from doubles.influx import Bucket
from doubles.influx_3 import influx_3

from flowrt.config import load, read
from flowrt.http import BadAddress, HttpServer
from flowrt.services import Influx, Mqtt
from flowrt.services.environment import Environment, UnreadableSecret, read_services_file, services_folder

FLOW = "flow: x\nnodes:\n  tick: {type: timer, every_s: 0.1}\n  print: {type: debug, from: tick}\n"


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "secret").write_text("s3cret word\n")
    return tmp_path / "flow.yaml"


def test_a_variable_goes_before_its_file_and_an_empty_one_does_not(flow: Path) -> None:
    file = str(flow.parent / "secret")
    assert Environment({"A": "own", "A_FILE": file})["A"] == "own"
    assert Environment({"A": "", "A_FILE": file})["A"] == "s3cret word"
    both = Environment({"A_FILE": file, "B": "b"})
    assert dict(both) == {"A": "s3cret word", "A_FILE": file, "B": "b"}
    assert len(both) == 3
    assert "C" not in both


def test_a_services_secret_comes_from_a_file_and_is_masked(flow: Path) -> None:
    file = str(flow.parent / "secret")
    given = {"MQTT_URL": "mqtt://h", "MQTT_PASSWORD_FILE": file, "INFLUX_URL": "http://h", "INFLUX_TOKEN_FILE": file}
    read = load(flow, environment=given)
    mqtt, influx = read.services["mqtt"], read.services["influx"]
    assert isinstance(mqtt, Mqtt)
    assert isinstance(influx, Influx)
    assert mqtt.password == influx.token == "s3cret word"
    assert "s3cret word" in read.secrets


def test_a_variable_of_the_flow_comes_from_a_file(flow: Path) -> None:
    flow.write_text(FLOW.replace("flow: x", "flow: x\nservices:\n  mqtt: {url: mqtt://h, password: '${env:MINE}'}"))
    mqtt = load(flow, environment={"MINE_FILE": str(flow.parent / "secret")}).services["mqtt"]
    assert isinstance(mqtt, Mqtt)
    assert mqtt.password == "s3cret word"


@pytest.mark.parametrize("text", ["flow: x", "flow: x\nservices:\n  influx: {token: '${env:INFLUX_TOKEN}'}"])
def test_a_file_that_can_not_be_read_is_said_with_its_variable(flow: Path, text: str) -> None:
    flow.write_text(FLOW.replace("flow: x", text))
    given = {"INFLUX_URL": "http://h", "INFLUX_TOKEN_FILE": str(flow.parent / "nowhere")}
    result, (problem,) = read(flow, environment=given)
    assert result is None
    assert f"INFLUX_TOKEN_FILE names {flow.parent / 'nowhere'}, which can't be read" in problem.message
    assert "flowrt services init" in problem.message
    if "token" in text:
        assert (problem.line, problem.column) == (3, 19)
    else:
        assert problem.file == "$INFLUX_TOKEN"


def test_a_file_that_is_not_text_is_said(flow: Path) -> None:
    (flow.parent / "secret").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UnreadableSecret, match="it is not text"):
        Environment({"A_FILE": str(flow.parent / "secret")})["A"]


def test_the_token_of_http_comes_from_a_file(flow: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLOWRT_HTTP_TOKEN", raising=False)
    monkeypatch.setenv("FLOWRT_HTTP_TOKEN_FILE", str(flow.parent / "nowhere"))
    with pytest.raises(BadAddress, match="FLOWRT_HTTP_TOKEN_FILE names"):
        HttpServer(None, None, "127.0.0.1:0", str)


def test_the_usual_folder_is_docker_in_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert services_folder() == tmp_path / ".flowrt" / "services"
    (tmp_path / "docker").mkdir()
    (tmp_path / "docker" / "compose.yaml").touch()
    assert services_folder() == tmp_path / "docker"
    assert services_folder(Path("other")) == tmp_path / "other"
    assert read_services_file(tmp_path) == {}


# -- flowrt run --services ------------------------------------------------------------------------------------------------


def run(flow: Path, *words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    own = {"MQTT_", "INFLUX_", "GRAFANA_"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith(tuple(own))}
    environment |= {"FLOWRT_DATA": str(flow.parent / "data"), **variables}
    command = [sys.executable, "-m", "flowrt", "run", str(flow), "--plain", "--http", "off", *words]
    return subprocess.run(command, cwd=flow.parent, env=environment, capture_output=True, text=True, timeout=60)


def test_run_takes_address_and_secret_from_the_folder(flow: Path) -> None:
    flow.write_text(
        "flow: x\nnodes:\n  health: {type: health_probe, every_s: 0.2}\n"
        "  to_history: {type: influx_out, from: health, flush_s: 0.1}\n"
    )
    folder = flow.parent / ".flowrt" / "services"
    folder.mkdir(parents=True)
    with influx_3("s3cret word") as database:
        for name in ("traffic_monitoring", "traffic_analytics"):
            database.buckets[name] = Bucket(name=name)
        (folder / "flowrt.env").write_text(
            f"# comment\nINFLUX_URL={database.url}\nINFLUX_TOKEN_FILE={flow.parent / 'secret'}\n"
        )
        done = run(flow, "--services", "--duration", "2")
        assert done.returncode == 0, done.stderr
        points = database.buckets["traffic_monitoring"].points
        assert any(name == "system_health" for name, _, _ in points)
        points.clear()
        elsewhere = run(flow, "--services", str(folder), "--duration", "1", INFLUX_URL="http://127.0.0.1:9")
        assert elsewhere.returncode == 0, elsewhere.stderr
        assert not points, "an address in the environment keeps its own secrets"
    assert "s3cret" not in done.stderr + done.stdout


def test_run_says_where_services_are_missing(flow: Path) -> None:
    done = run(flow, "--services")
    assert done.returncode == 3
    assert "flowrt.env is missing: run `flowrt services init`" in done.stderr
    assert "Traceback" not in done.stderr
