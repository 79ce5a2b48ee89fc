"""`flowrt services init`, `up` and `down`: what is made, and a broker started with the very configuration."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from servers import free_port, need

from flowrt.commands import DONE, Failure, UsageError
from flowrt_ops.commands import services as command
from flowrt_ops.services import native
from flowrt_ops.services.home import MQTT_USERS, SECRETS, Home
from flowrt_ops.services.programs import PROGRAMS, Program, find, manager
from flowrt_ops.services.secrets import IMAGE_USER, initialise
from flowrt_ops.services.status.addresses import Addresses

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Initialised once: certificates take a moment."""
    made = Home(tmp_path_factory.mktemp("services"))
    initialise(made)
    return made


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


# -- init ---------------------------------------------------------------------------------------------------------------


def test_secrets_are_closed_to_others_and_different(home: Home) -> None:
    assert home.initialised
    assert home.secrets.stat().st_mode & 0o777 == 0o700
    for file in home.secrets.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file.name
    values = [home.secret(name) for name in SECRETS]
    assert len(set(values)) == len(values)
    assert min(map(len, values)) >= 32


def test_a_second_init_keeps_everything(home: Home) -> None:
    before = {file.name: file.read_bytes() for file in home.secrets.iterdir()}
    assert initialise(home) == []
    assert {file.name: file.read_bytes() for file in home.secrets.iterdir()} == before


def test_no_secret_stands_in_env_and_git_ignores_them_all(home: Home) -> None:
    text = (home.folder / ".env").read_text()
    assert not any(home.secret(name) in text for name in SECRETS)
    paths = ["docker/.env", "docker/secrets/mqtt_password", "docker/data/influxdb/x"]
    done = subprocess.run(["git", "check-ignore", *paths], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.split() == paths


@pytest.mark.parametrize("sudo", ["", "4321"])
def test_nothing_in_a_container_is_root(sudo: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files and containers are the caller's; behind sudo those of its caller, and for root the image's user."""
    for name in ("SUDO_UID", "SUDO_GID"):
        monkeypatch.setenv(name, sudo)
    home = Home(tmp_path)
    initialise(home)
    uid = os.getuid() or int(sudo or IMAGE_USER)
    assert f"FLOWRT_UID={uid}\n" in (tmp_path / ".env").read_text()
    files = [home.secrets, *home.secrets.iterdir(), *home.data.iterdir()]
    assert {file.stat().st_uid for file in files} == {uid}
    (home.secrets / "smtp_password").unlink()
    monkeypatch.setenv("SUDO_UID", "777")
    (made,) = initialise(home)
    assert made.stat().st_uid == uid, "what is made later belongs to the same"
    assert f"--uid {IMAGE_USER} " in (ROOT / "docker" / "Dockerfile").read_text()


def test_a_line_of_env_can_be_uncommented(home: Home) -> None:
    """Compose takes what stands behind a value for a part of it."""
    for line in (home.folder / ".env").read_text().splitlines():
        assert re.fullmatch(r"(# )?[A-Z_]+=\S+|# [A-Z][^=]*", line), line


def test_init_chooses_profiles(tmp_path: Path) -> None:
    home = Home(tmp_path)
    initialise(home, gpu=True, influx=3)
    text = (tmp_path / ".env").read_text()
    assert "COMPOSE_PROFILES=gpu,influx3" in text
    assert "INFLUX_URL=http://influxdb3:8181" in text
    assert Addresses.of(home, {}).influx == "http://127.0.0.1:8181"
    assert home.secret("influx_read_password") == home.influx3_token, "which takes a token for a password"
    assert initialise(home, gpu=True, influx=3) == initialise(home) == []
    with pytest.raises(Failure, match=r"was written for gpu,influx3, not for cpu,influx3: remove it"):
        initialise(home, influx=3)


# -- the broker with the very configuration -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker(home: Home) -> Iterator[tuple[int, int]]:
    """Mosquitto, started by `up`'s own code from docker/mosquitto/mosquitto.conf; its ports without and with TLS."""
    need("mosquitto", "mosquitto_pub", "mosquitto_sub")
    port, tls_port = free_port(), free_port()
    service = native.plan(home, {"mosquitto": port}, tls_port)[0]
    assert service.obstacle == ""
    native.start(home, service)
    yield port, tls_port
    assert native.stop(home, "mosquitto")


def client(program: str, port: int, *words: str) -> subprocess.CompletedProcess[str]:
    binary = need(program)[0]
    return subprocess.run(
        [binary, "-h", "localhost", "-p", str(port), *words], capture_output=True, text=True, timeout=20
    )


def login(home: Home, user: str) -> list[str]:
    return ["-u", user, "-P", home.secret(MQTT_USERS[user])]


def test_the_broker_refuses_clients_without_a_password(broker: tuple[int, int], home: Home) -> None:
    topic = ["-t", "smartintersection/violations", "-m", "{}", "-q", "1"]
    assert "not authorised" in client("mosquitto_pub", broker[0], *topic).stderr
    assert "not authorised" in client("mosquitto_pub", broker[0], "-u", "flowrt", "-P", "wrong", *topic).stderr
    assert client("mosquitto_pub", broker[0], *login(home, "flowrt"), *topic).returncode == 0


def arrives(broker: tuple[int, int], home: Home, sender: str, topic: str, reader: str = "reader") -> bool:
    """Whether a retained message of the sender is there for the reader."""
    word = f"{sender}-{time.time_ns()}"
    client("mosquitto_pub", broker[0], *login(home, sender), "-t", topic, "-m", word, "-q", "1", "-r")
    heard = client("mosquitto_sub", broker[0], *login(home, reader), "-t", topic, "-C", "1", "-W", "1")
    return heard.stdout.strip() == word


def test_the_access_list_holds(broker: tuple[int, int], home: Home) -> None:
    assert arrives(broker, home, "flowrt", "smartintersection/main-and-5th/violations")
    assert arrives(broker, home, "flowrt", "smartintersection/violations")
    assert not arrives(broker, home, "reader", "smartintersection/main-and-5th/system/health"), "readers only read"
    assert not arrives(broker, home, "flowrt", "smartintersection/no/such/topic"), (
        "flowrt writes the contract's topics only"
    )
    assert not arrives(broker, home, "signals", "smartintersection/traffic/flow"), (
        "signal controllers write signals only"
    )
    assert arrives(broker, home, "signals", "spat/main-and-5th", reader="flowrt")
    assert not arrives(broker, home, "signals", "spat/main-and-5th", reader="reader")


def test_tls_works_with_our_authority_and_not_without(broker: tuple[int, int], home: Home) -> None:
    words = [*login(home, "flowrt"), "-t", "smartintersection/violations", "-m", "{}", "-q", "1"]
    ca = str(home.secrets / "ca.crt")
    assert client("mosquitto_pub", broker[1], "--cafile", ca, *words).returncode == 0
    assert client("mosquitto_pub", broker[1], "--capath", "/etc/ssl/certs", *words).returncode != 0, (
        "an unknown authority"
    )
    for version, accepted in (("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)):
        ask = [
            need("openssl")[0],
            "s_client",
            "-connect",
            f"localhost:{broker[1]}",
            "-CAfile",
            ca,
            "-verify_return_error",
            version,
        ]
        done = subprocess.run(ask, stdin=subprocess.DEVNULL, capture_output=True, timeout=20)
        assert (done.returncode == 0) is accepted, version


def test_the_health_check_of_compose_works(broker: tuple[int, int], home: Home) -> None:
    heard = client("mosquitto_sub", broker[0], *login(home, "flowrt"), "-t", "$SYS/broker/uptime", "-C", "1", "-W", "5")
    assert re.match(r"\d+ seconds", heard.stdout)


def test_a_port_that_is_taken_is_named_with_its_owner(broker: tuple[int, int], home: Home) -> None:
    service = native.plan(home, {"mosquitto": broker[0]}, free_port())[0]
    with pytest.raises(Failure, match=rf"port {broker[0]} is taken by mosquitto \(process \d+\)"):
        native.start(home, service)


def test_a_service_that_ends_at_once_says_why(tmp_path: Path, home: Home) -> None:
    other = Home(tmp_path)
    service = native.plan(home, {"mosquitto": free_port()}, free_port())[0]
    broken = {path: text + "\nno_such_setting true\n" for path, text in service.files.items() if path.suffix == ".conf"}
    with pytest.raises(Failure, match="mosquitto ended at once"):
        native.start(other, msgspec.structs.replace(service, files={**service.files, **broken}))


def test_down_ends_nothing_that_it_did_not_start(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.native.mkdir(parents=True)
    (home.native / "grafana.pid").write_text(f"{os.getpid()} 1.00 3000\n")  # an id that now belongs to another process
    assert native.running(home, "grafana") is None
    assert not native.stop(home, "grafana")


# -- up -----------------------------------------------------------------------------------------------------------------


def test_up_prints_what_it_would_do_and_no_secret(
    new_home: Callable[[int], Home], capsys: pytest.CaptureFixture[str]
) -> None:
    home = new_home(2)
    assert run("up", "--dry-run", "--folder", str(home.folder)) == DONE
    said = capsys.readouterr().out
    assert "# mosquitto on 127.0.0.1:1883" in said
    assert f"password_file {home.secrets.as_posix()}/mosquitto_passwd" in said
    assert "/run/secrets" not in said, "paths of the container"
    assert not any(home.secret(name) in said for name in SECRETS)


def test_up_wants_init_first_and_different_ports(tmp_path: Path) -> None:
    with pytest.raises(Failure, match="run `flowrt services init` first"):
        run("up", "--folder", str(tmp_path))
    with pytest.raises(UsageError, match="two services on port 3000"):
        run("up", "--mosquitto-port", "3000", "--folder", str(tmp_path))


def test_an_old_influxdb_and_a_missing_grafana_are_told_with_the_line_to_type(home: Home) -> None:
    need("influxd")
    plans = {service.name: service for service in native.plan(home)}
    assert "takes no v2 writes" in plans["influxdb"].obstacle
    if plans["grafana"].obstacle:
        assert plans["grafana"].obstacle.startswith("not installed: ")


def fake(folder: Path, name: str, says: str) -> Path:
    """A program of that name that tells its version and nothing else."""
    file = folder / name
    file.write_text(f"#!/bin/sh\necho '{says}'\n")
    file.chmod(0o755)
    return file


def test_newer_programs_get_their_configuration(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake(tmp_path, "influxd", "InfluxDB v2.7.12 (git: 123)")
    fake(tmp_path, "grafana", "grafana version 12.2.0")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    plans = {service.name: service for service in native.plan(home, {"influxdb": 8087, "grafana": 3001})}
    database, grafana = plans["influxdb"], plans["grafana"]
    assert database.environment["INFLUXD_HTTP_BIND_ADDRESS"] == "127.0.0.1:8087"
    assert grafana.command[1:3] == ["server", "--homepath"]
    assert grafana.environment["INFLUX_URL"] == "http://127.0.0.1:8087"
    assert not any(name.endswith("__FILE") for name in grafana.environment), "only the image's start script reads those"
    for name, secret in (("SECURITY_ADMIN", "grafana_admin"), ("SMTP", "smtp")):
        (file,) = re.findall(r"^\$__file\{(.+)\}$", grafana.environment[f"GF_{name}_PASSWORD"])
        assert Path(file) == home.secrets / f"{secret}_password"
        assert Path(file).exists()
    sources = next(text for file, text in grafana.files.items() if file.parent.name == "datasources")
    assert f"$__file{{{home.secrets.as_posix()}/influx_read_password}}" in sources
    provider = next(text for file, text in grafana.files.items() if file.parent.name == "dashboards")
    (path,) = re.findall(r"path: (.+)", provider)
    assert (Path(path) / "realtime.json").exists()


@pytest.mark.parametrize(
    ("system", "line"), [("win32", "winget install"), ("darwin", "brew install"), ("linux", "apt")]
)
def test_there_is_an_install_line_for_every_system(system: str, line: str) -> None:
    for program in PROGRAMS:
        assert line in program.install[manager(system)]


def test_a_program_that_does_not_exist_is_not_found() -> None:
    assert find(Program(name="x", binaries=("no-such-program-x",), places={}, install={}, purpose="")) is None
