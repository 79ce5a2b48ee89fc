"""`docker/compose.yaml` as it is, started by podman-compose: flowrt and the broker, without database and dashboards."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from container.engine import Engine, wait_until
from harness import PROJECT

from flowrt.cli import main

pytestmark = [pytest.mark.container, pytest.mark.slow, pytest.mark.timeout(1200)]
PROJECT_NAME = f"flowrt-test-{os.getpid()}"
FLOWRT, BROKER = f"{PROJECT_NAME}_flowrt_1", f"{PROJECT_NAME}_mosquitto_1"
TOKEN = "a token that no database ever reads"


class Site:
    """One checkout whose compose project runs."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.secrets = folder / "docker" / "secrets"
        self.ports = {name: str(_free_port()) for name in ("FLOWRT_PORT", "MQTT_PORT", "MQTTS_PORT")}

    def up(self) -> None:
        """Start the broker, and flowrt once the broker is healthy: podman-compose does not wait for that by itself."""
        self._start("mosquitto")
        wait_until(lambda: self._check(BROKER), "the health check of the broker")
        self._start("flowrt")
        wait_until(self.healthy, "the health check of a flow that runs")
        wait_until(lambda: self.status()["state"] == "running", "a flow whose nodes are all open")

    def _start(self, service: str) -> None:
        environment = {"COMPOSE_PROFILES": "cpu", "COMPOSE_PROJECT_NAME": PROJECT_NAME, **self.ports}
        self.engine.compose(self.folder, "up", "--detach", "--no-deps", service, environment=environment)

    def _check(self, container: str) -> bool:
        return self.engine.try_podman("healthcheck", "run", container).returncode == 0

    def status(self) -> dict[str, Any]:
        request = urllib.request.Request(f"http://127.0.0.1:{self.ports['FLOWRT_PORT']}/api/status")
        request.add_header("Authorization", f"Bearer {(self.secrets / 'flowrt_http_token').read_text().strip()}")
        with urllib.request.urlopen(request, timeout=10) as answer:
            found = json.loads(answer.read())
        assert isinstance(found, dict)
        return found

    def healthy(self) -> bool:
        return self._check(FLOWRT)

    def log(self) -> str:
        done = self.engine.try_podman("logs", FLOWRT)
        return done.stdout + done.stderr

    def inside(self, *command: str) -> subprocess.CompletedProcess[str]:
        return self.engine.try_podman("exec", FLOWRT, *command)

    def waiting(self, sink: str) -> int:
        """Messages that wait for delivery to a sink."""
        return int(self.status()["sinks"][sink]["pending"])


@pytest.fixture(scope="module")
def site(engine: Engine, image: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site") / "checkout"
    subprocess.run(["git", "clone", "--quiet", str(PROJECT), str(folder)], check=True)
    for name in ("docker/compose.yaml", "docker/mosquitto/mosquitto.conf", "flows/intersection.yaml"):
        (folder / name).write_text((PROJECT / name).read_text())  # also what is not committed yet
    assert main(["services", "init", "--folder", str(folder / "docker")]) == 0
    tokens = folder / "docker" / "data" / "tokens"
    (tokens / "influx_write_token").write_text(TOKEN + "\n")
    site = Site(engine, folder)
    site.up()
    yield site
    engine.try_podman("rm", "--force", "--time", "5", FLOWRT, BROKER)
    engine.try_podman("network", "rm", "--force", f"{PROJECT_NAME}_intersection")


def test_it_runs_without_any_right_that_it_does_not_need(site: Site) -> None:
    facts = site.inside("cat", "/proc/1/status").stdout
    rows = dict(line.split(":\t", 1) for line in facts.splitlines())
    assert rows["Uid"].split() == ["10001"] * 4
    assert int(rows["CapEff"], 16) == 0
    assert rows["NoNewPrivs"] == "1"
    assert "Read-only" in site.inside("touch", "/opt/flowrt/here").stderr


def test_it_detects_and_delivers_to_the_broker(site: Site) -> None:
    password = (site.secrets / "mqtt_reader_password").read_text().strip()
    done = site.engine.try_podman(
        "exec", BROKER, "mosquitto_sub", "-u", "reader", "-P", password, "-t", "#", "-C", "5", "-W", "60", "-v",
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stderr}\n{site.log()[-2000:]}"
    assert "main-and-5th" in done.stdout
    wait_until(lambda: site.status()["nodes"]["objects"]["out"] > 0, "the detector's first picture")
    assert site.status()["nodes"]["objects"]["status"]["device"] == "CPU"


def test_an_edit_of_the_mounted_flow_takes_force(site: Site) -> None:
    file = site.folder / "flows" / "intersection.yaml"
    text = file.read_text()
    changed = text.replace("grace_s: 0.3", "grace_s: 0.4")
    assert changed != text
    file.write_text(changed)
    wait_until(lambda: "reload 1 " in site.log(), "the reload of an edited flow", timeout_s=20)
    assert "grace_s 0.3 → 0.4" in site.log()
    file.write_text(text + "\nnodes: 3\n")
    wait_until(lambda: "refused" in site.log(), "the refusal of a bad edit", timeout_s=20)
    assert site.healthy()
    file.write_text(text)


def test_no_secret_is_in_its_log(site: Site) -> None:
    log = site.log()
    assert TOKEN not in log
    for file in site.secrets.iterdir():
        if len(secret := file.read_text().strip()) >= 12:
            assert secret not in log, file.name


def test_what_waits_survives_a_kill(site: Site) -> None:
    wait_until(lambda: site.waiting("to_history") > 100, "messages for a database that is not there")
    before = site.waiting("to_history")
    site.engine.podman("kill", "--signal", "KILL", FLOWRT)
    site.up()
    assert site.waiting("to_history") >= before


def test_a_flow_that_hangs_is_unhealthy(site: Site) -> None:
    stop = "import os, signal; os.kill(int(open('/proc/1/task/1/children').read().split()[0]), signal.{})"
    assert site.inside("python", "-c", stop.format("SIGSTOP")).returncode == 0
    try:
        assert not site.healthy()
    finally:
        assert site.inside("python", "-c", stop.format("SIGCONT")).returncode == 0
    wait_until(site.healthy, "the health check of a flow that goes on")


def test_it_stops_when_asked(site: Site) -> None:
    start = time.monotonic()
    site.engine.podman("stop", "--time", "15", FLOWRT)
    assert time.monotonic() - start < 10
    assert site.engine.podman("inspect", "--format", "{{.State.ExitCode}}", FLOWRT).strip() == "0"
    assert "stopped after" in site.log()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
