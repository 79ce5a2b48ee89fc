"""Services without Docker: their configuration rendered from the same files that compose uses, and their processes.

`plan` is pure: it says what would be started and with which files. `start` and `stop` do it. Only a process that `start` started is
ended: its id and the time of its start have to match the recorded ones.
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import msgspec
import psutil

from flowrt.commands import Failure
from flowrt.system.resources import share
from flowrt_ops.services.home import SMTP_PASSWORD, Home, template
from flowrt_ops.services.programs import (
    INSTALL_INFLUXDB_3,
    PROGRAMS,
    Installed,
    Program,
    bundled_plugins_of_grafana,
    find,
    home_of_grafana,
    manager,
)

NAMES = ("mosquitto", "influxdb", "grafana")
TLS_PORT = 8883
QUERY_FILES = 5000
"""InfluxDB 3 Core refuses queries over more Parquet files; one holds ten minutes, and its default ends at three days."""


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One service to start. files: content by path. obstacle: why it can't be started; empty where it can."""

    name: str
    port: int
    command: list[str] = []
    environment: dict[str, str] = {}
    folder: Path = Path()
    files: dict[Path, str] = {}
    folders: list[Path] = []
    obstacle: str = ""


def plan(
    home: Home, ports: dict[str, int] | None = None, tls_port: int = TLS_PORT, system: str = sys.platform
) -> list[Service]:
    """What `up` would do on this machine. ports: other than the usual ones, by service."""
    at = {**home.ports, **(ports or {})}
    services = []
    for program in PROGRAMS:
        installed = find(program, system, home.influx_version if program.name == "influxdb" else 0)
        port = at[program.name]
        if installed is None:
            services.append(Service(name=program.name, port=port, obstacle=_not_installed(home, program, system)))
        elif program.name == "mosquitto":
            services.append(_mosquitto(home, installed, port, tls_port))
        elif program.name == "influxdb":
            services.append(_influxdb(home, program, installed, port, system))
        else:
            services.append(_grafana(home, installed, port, at["influxdb"]))
    return services


def _not_installed(home: Home, program: Program, system: str) -> str:
    line = program.install[manager(system)]
    if program.name != "influxdb":
        return f"not installed: {line}"
    chosen, other = home.influx_version, 5 - home.influx_version
    if there := find(program, system, other):
        return (
            f"{there.path} is InfluxDB {other}, and `flowrt services init` chose {chosen}: run it with `--influx {other}` and another "
            "--folder"
        )
    return f"not installed: {INSTALL_INFLUXDB_3 if chosen == 3 else line}"


def _mosquitto(home: Home, installed: Installed, port: int, tls_port: int) -> Service:
    config = home.native / "mosquitto.conf"
    data = home.data / "mosquitto"
    replaced = {
        "listener 1883 0.0.0.0": f"listener {port} 127.0.0.1",
        "listener 8883 0.0.0.0": f"listener {tls_port} 127.0.0.1",
        "/run/secrets/": f"{home.secrets.as_posix()}/",
        "/mosquitto/config/acl": (home.native / "acl").as_posix(),
        "/mosquitto/data/": f"{data.as_posix()}/",
    }
    text = template("mosquitto/mosquitto.conf")
    for old, new in replaced.items():
        if old not in text:
            raise Failure(
                f"docker/mosquitto/mosquitto.conf has no `{old}` any more, which a start without Docker replaces by `{new}`"
            )
        text = text.replace(old, new)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        text += "\n# Started by root: it stays root, since the secrets are root's.\nuser root\n"
    return Service(
        name="mosquitto",
        port=port,
        command=[installed.path, "-c", str(config)],
        folder=home.native,
        files={config: text, home.native / "acl": template("mosquitto/acl")},
        folders=[data],
    )


def _influxdb(home: Home, program: Program, installed: Installed, port: int, system: str) -> Service:
    data = home.data / "influxdb"
    if Path(installed.path).stem == "influxdb3":
        command = [
            installed.path, "serve", "--node-id=flowrt", "--object-store=file", f"--data-dir={home.data / 'influxdb3'}",
            f"--http-bind=127.0.0.1:{port}", f"--admin-token-file={home.secrets / 'influx3_admin_token'}",
            f"--query-file-limit={QUERY_FILES}",
        ]  # fmt: skip
        return Service(
            name="influxdb",
            port=port,
            command=command,
            environment={"INFLUXDB3_TELEMETRY_DISABLE_UPLOAD": "true"},
            folder=home.native,
            folders=[home.data / "influxdb3"],
        )
    if installed.version and installed.version < (1, 8):
        line = program.install[manager(system)]
        why = f"{installed.path} is version {installed.version_text}, which takes no v2 writes: {line}"
        return Service(name="influxdb", port=port, obstacle=why)
    environment = {
        "INFLUXD_BOLT_PATH": str(data / "influxd.bolt"),
        "INFLUXD_SQLITE_PATH": str(data / "influxd.sqlite"),
        "INFLUXD_ENGINE_PATH": str(data / "engine"),
        "INFLUXD_HTTP_BIND_ADDRESS": f"127.0.0.1:{port}",
        "INFLUXD_REPORTING_DISABLED": "true",
    }
    return Service(
        name="influxdb",
        port=port,
        command=[installed.path],
        environment=environment,
        folder=home.native,
        folders=[data],
    )


def _grafana(home: Home, installed: Installed, port: int, influx_port: int) -> Service:
    data = home.data / "grafana"
    provisioning = home.native / "provisioning"
    dashboards = share("grafana") / "dashboards"
    files = {}
    for file in sorted((share("grafana") / "provisioning").rglob("*.yaml")):
        text = file.read_text("utf-8")
        text = text.replace("/run/secrets/", f"{home.secrets.as_posix()}/").replace(
            "/etc/flowrt/dashboards", dashboards.as_posix()
        )
        files[provisioning / file.relative_to(share("grafana") / "provisioning")] = text
    settings = {
        "GF_PATHS_DATA": str(data),
        "GF_PATHS_LOGS": str(home.native / "log"),
        "GF_PATHS_PROVISIONING": str(provisioning),
        "GF_SERVER_HTTP_ADDR": "127.0.0.1",
        "GF_SERVER_HTTP_PORT": str(port),
        "GF_SERVER_ROOT_URL": os.environ.get("GRAFANA_ROOT_URL", f"http://localhost:{port}/"),
        # Only the image's start script knows GF_…__FILE; the server itself reads files by `$__file{}`.
        "GF_SECURITY_ADMIN_PASSWORD": f"$__file{{{(home.secrets / 'grafana_admin_password').as_posix()}}}",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(dashboards / "realtime.json"),
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "INFLUX_URL": f"http://127.0.0.1:{influx_port}",
        "INFLUX_READ_USER": "grafana",
        "ALERT_WEBHOOK_URL": os.environ.get("ALERT_WEBHOOK_URL", "http://127.0.0.1:9/no-receiver"),
        "ALERT_EMAIL": os.environ.get("ALERT_EMAIL", "alerts@localhost"),
        "GF_SMTP_ENABLED": os.environ.get("SMTP_ENABLED", "false"),
        "GF_SMTP_HOST": os.environ.get("SMTP_HOST", "localhost:25"),
        "GF_SMTP_USER": os.environ.get("SMTP_USER", ""),
        "GF_SMTP_FROM_ADDRESS": os.environ.get("SMTP_FROM", "grafana@localhost"),
        "GF_SMTP_PASSWORD": f"$__file{{{(home.secrets / SMTP_PASSWORD).as_posix()}}}",
    }
    server = ["server"] if Path(installed.path).stem == "grafana" else []
    root = home_of_grafana(installed)
    if bundled := bundled_plugins_of_grafana(root):
        settings["GF_PATHS_BUNDLED_PLUGINS"] = str(bundled)
    command = [installed.path, *server, "--homepath", str(root)]
    return Service(
        name="grafana", port=port, command=command, environment=settings, folder=root, files=files, folders=[data]
    )


def start(home: Home, service: Service, wait_s: float = 30.0) -> int:
    """Write the files, start the process, wait until it listens; returns its id. Raises Failure with what to do."""
    if _listens(service.port):
        raise Failure(
            f"{service.name}: port {service.port} is taken{_owner_of(service.port)}: stop that, or choose another port"
        )
    for folder in (home.native / "log", *service.folders):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file, text in service.files.items():
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file.write_text(text, "utf-8")
        file.chmod(0o600)
    log = home.native / "log" / f"{service.name}.log"
    process = _spawn(service, log)
    _pid_file(home, service.name).write_text(f"{process.pid} {process.create_time():.2f} {service.port}\n", "utf-8")
    until = time.monotonic() + wait_s
    while not _listens(service.port):
        if _ended(process):
            _pid_file(home, service.name).unlink(missing_ok=True)
            raise Failure(f"{service.name} ended at once: {_last_line(log)} (all of it: {log})")
        if time.monotonic() > until:
            raise Failure(f"{service.name} does not listen on port {service.port} after {wait_s:g} s: see {log}")
        time.sleep(0.1)
    return process.pid


def _spawn(service: Service, log: Path) -> psutil.Process:
    with log.open("ab") as out:
        child = subprocess.Popen(
            service.command,
            cwd=service.folder,
            env={**os.environ, **service.environment},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    process = psutil.Process(child.pid)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # the service outlives this command on purpose
        del child
    return process


def _ended(process: psutil.Process) -> bool:
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def stop(home: Home, name: str, wait_s: float = 10.0) -> bool:
    """End a service that `start` started; False where it does not run."""
    process = running(home, name)
    if process is None:
        _pid_file(home, name).unlink(missing_ok=True)
        return False
    process.terminate()
    try:
        process.wait(wait_s)
    except psutil.TimeoutExpired:
        process.kill()
        process.wait(wait_s)
    _pid_file(home, name).unlink(missing_ok=True)
    return True


class _Started(NamedTuple):
    """What `start` recorded."""

    process_id: int
    created_s: float
    port: int


def running(home: Home, name: str) -> psutil.Process | None:
    """The process that `start` started, if it still runs. Ids are reused: the time of its start has to match."""
    started = _recorded(home, name)
    if started is None:
        return None
    try:
        process = psutil.Process(started.process_id)
        same = abs(process.create_time() - started.created_s) < 0.1
    except psutil.NoSuchProcess:
        return None
    return process if same and not _ended(process) else None


def port_of(home: Home, name: str) -> int:
    """The port that `start` recorded; 0 where there is no record."""
    started = _recorded(home, name)
    return started.port if started else 0


def _recorded(home: Home, name: str) -> _Started | None:
    file = _pid_file(home, name)
    found = re.fullmatch(r"(\d+) ([\d.]+) (\d+)", file.read_text("utf-8").strip()) if file.exists() else None
    return _Started(int(found[1]), float(found[2]), int(found[3])) if found else None


def _pid_file(home: Home, name: str) -> Path:
    return home.native / f"{name}.pid"


def _listens(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(1.0)
        return attempt.connect_ex(("127.0.0.1", port)) == 0


def _owner_of(port: int) -> str:
    """The program that listens on the port, where the system tells."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.AccessDenied, psutil.NoSuchProcess):
        pass
    return ""


def _last_line(log: Path) -> str:
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it wrote nothing"
