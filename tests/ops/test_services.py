"""`flowrt services`: what init makes, a broker started with the very configuration, and what status says of real services."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest
from busy_day import day, write
from servers import InfluxDB, free_port, influx, need

from flowrt import Health
from flowrt.commands import DONE, FAILED, Failure, UsageError
from flowrt.contract import Contract
from flowrt_ops.commands import services as command
from flowrt_ops.services import native
from flowrt_ops.services.home import MQTT_USERS, SECRETS, Home
from flowrt_ops.services.programs import PROGRAMS, Program, find, manager
from flowrt_ops.services.secrets import IMAGE_USER, initialise
from flowrt_ops.services.state import Addresses, Row, survey

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
    """Files and containers are the caller's; behind sudo those of who called it, and for root himself the image's user."""
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
    with pytest.raises(Failure, match=r"was made for gpu,influx3, not for cpu,influx3: remove it"):
        initialise(home, influx=3)


# -- the broker with the very configuration -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def broker(home: Home) -> Iterator[tuple[int, int]]:
    """Mosquitto, started by `up`'s own code from docker/mosquitto/mosquitto.conf; its ports without and with TLS."""
    need("mosquitto", "mosquitto_pub", "mosquitto_sub")
    port, tls_port = free_port(), free_port()
    service = native.plan(home, {"mosquitto": port}, tls_port)[0]
    assert service.hindrance == ""
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


def test_nobody_comes_in_without_a_password(broker: tuple[int, int], home: Home) -> None:
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
    (home.native / "grafana.pid").write_text(f"{os.getpid()} 1.00\n")  # an id that now belongs to somebody else
    assert native.running(home, "grafana") is None
    assert not native.stop(home, "grafana")


# -- up -----------------------------------------------------------------------------------------------------------------


def test_up_prints_what_it_would_do_and_no_secret(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
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
    assert "takes no v2 writes" in plans["influxdb"].hindrance
    if plans["grafana"].hindrance:
        assert plans["grafana"].hindrance.startswith("not installed: ")


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


# -- status -------------------------------------------------------------------------------------------------------------


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
    assert found["flowrt"].todo == "start it: `flowrt run flows/intersection.yaml`"


def test_the_brokers_password_is_checked(broker: tuple[int, int], home: Home) -> None:
    url = f"mqtt://127.0.0.1:{broker[0]}"
    right = rows(addresses(mqtt=url, mqtt_user="flowrt", mqtt_password=home.secret("mqtt_password")))["broker"]
    assert (right.verdict, right.todo) == ("ok", "")
    wrong = rows(addresses(mqtt=url, mqtt_user="flowrt", mqtt_password="guess"))["broker"]
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
    """With a database that lets nobody in: its own answers, 401 and 403."""
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
    assert run("status", "--folder", str(tmp_path), "--timeout", "1") == FAILED
    said: Any = capsys.readouterr().out
    for word in ("broker", "database", "data", "grafana", "flowrt", "what is wrong, and what to do"):
        assert word in said
