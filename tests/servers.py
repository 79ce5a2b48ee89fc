"""Real servers for tests, on free ports of loopback: Mosquitto, InfluxDB 1.6 behind an nginx that takes v2 writes, VictoriaMetrics.

    with mosquitto(tmp_path) as broker: ...           # broker.url, broker.port; broker.kill(), broker.start()
    with influx(tmp_path) as database: ...            # database.url takes v2 writes; database.query("SELECT ...")
    with victoria(tmp_path) as store: ...             # store.url takes v2 writes; store.count()

A server that is not installed skips the test with a reason, or fails it where CI or FLOWRT_REQUIRE_TEST_DATA is set.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest


def need(*programs: str) -> list[str]:
    """Where the programs are; also looks into /usr/sbin."""
    places = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
    found = []
    for program in programs:
        where = shutil.which(program, path=places)
        if where is None:
            missing(
                f"{program} is not installed (Debian: apt-get install mosquitto influxdb victoria-metrics nginx prometheus)"
            )
        found.append(where)
    return found


def missing(what: str) -> NoReturn:
    """Something from outside is not there: skip, or fail where CI or FLOWRT_REQUIRE_TEST_DATA is set."""
    if os.environ.get("CI") or os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1":
        pytest.fail(what)
    pytest.skip(what)


def free_port() -> int:
    """A TCP port of loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_port(
    port: int, process: subprocess.Popen[bytes] | None = None, timeout_s: float = 20.0, host: str = "127.0.0.1"
) -> None:
    """Wait until somebody listens."""
    until = time.monotonic() + timeout_s
    while True:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
            return
        except OSError:
            if process is not None and process.poll() is not None:
                raise RuntimeError(f"the server ended with {process.returncode} before it listened") from None
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


class Server:
    """A child process that listens on `port`, can be killed and comes back on the same port."""

    def __init__(self, command: list[str], port: int, log: Path) -> None:
        self.command, self.port, self.log = command, port, log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start and wait until it listens."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(self.command, stdout=log, stderr=log)
        wait_for_port(self.port, self._process)

    def stop(self) -> None:
        """End it as an administrator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Stop the process without ending it: connections stay, answers don't come."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGCONT)
            self._process.send_signal(number)
            try:
                self._process.wait(10.0)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10.0)
        self._process = None


class Mosquitto(Server):
    """A Mosquitto broker. `url` is mqtt:// or, with certificates, mqtts://."""

    scheme = "mqtt"

    @property
    def url(self) -> str:
        """For the `services` block."""
        return f"{self.scheme}://localhost:{self.port}"


@contextmanager
def mosquitto(
    folder: Path,
    *,
    users: dict[str, str] | None = None,
    acl: str = "",
    tls: dict[str, Path] | None = None,
    require_certificate: bool = False,
    extra: str = "",
    persistence: bool = False,
) -> Iterator[Mosquitto]:
    """A running broker.

    users: user to password; without any, anonymous clients are let in. acl: content of an ACL file. tls: ca_file, cert_file and
    key_file of the server. extra: further configuration lines. persistence: keep sessions and messages in `folder`.
    """
    binary, passwd = need("mosquitto", "mosquitto_passwd")
    home = folder / f"mosquitto-{free_port()}"
    home.mkdir(parents=True)
    port = free_port()
    lines = [f"listener {port} 127.0.0.1", "set_tcp_nodelay true", "max_queued_messages 0"]
    if os.geteuid() == 0:
        lines.append("user root")
    if users:
        file = home / "passwd"
        file.touch(0o600)
        for name, password in users.items():
            subprocess.run([passwd, "-b", str(file), name, password], check=True, capture_output=True)
        lines += ["allow_anonymous false", f"password_file {file}"]
    elif require_certificate:
        lines.append("allow_anonymous false")
    else:
        lines.append("allow_anonymous true")
    if acl:
        (home / "acl").write_text(acl)
        (home / "acl").chmod(0o600)
        lines.append(f"acl_file {home / 'acl'}")
    if tls:
        lines += [f"cafile {tls['ca_file']}", f"certfile {tls['cert_file']}", f"keyfile {tls['key_file']}"]
        if require_certificate:
            lines += ["require_certificate true", "use_identity_as_username true"]
    if persistence:
        lines += ["persistence true", f"persistence_location {home}/", "autosave_interval 1"]
    config = home / "mosquitto.conf"
    config.write_text("\n".join([*lines, extra, ""]))
    broker = Mosquitto([binary, "-c", str(config)], port, home / "log")
    broker.scheme = "mqtts" if tls else "mqtt"
    broker.start()
    try:
        yield broker
    finally:
        broker.kill()


def certificates(folder: Path, *clients: str) -> dict[str, Path]:
    """A CA, a server certificate for localhost, and one per client name, made by openssl.

    Keys: ca_file, cert_file, key_file, and `<client>.crt`, `<client>.key`.
    """
    (openssl,) = need("openssl")
    folder.mkdir(parents=True, exist_ok=True)

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], check=True, capture_output=True, cwd=folder)

    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.crt", "-days", "2",
        "-subj", "/CN=flowrt test CA", "-addext", "keyUsage=critical,keyCertSign,cRLSign")  # fmt: skip
    for name in ("server", *clients):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name if name != 'server' else 'localhost'}")  # fmt: skip
        (folder / f"{name}.ext").write_text(
            "subjectAltName=DNS:localhost,IP:127.0.0.1\n" if name == "server" else "extendedKeyUsage=clientAuth\n"
        )
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2",
            "-out", f"{name}.crt", "-extfile", f"{name}.ext")  # fmt: skip
    made = {f"{name}.{kind}": folder / f"{name}.{kind}" for name in clients for kind in ("crt", "key")}
    return {"ca_file": folder / "ca.crt", "cert_file": folder / "server.crt", "key_file": folder / "server.key", **made}


class InfluxDB:
    """InfluxDB 1.6 (`server`) behind nginx (`front`), which rewrites v2 writes: bucket B is database B."""

    def __init__(self, server: Server, front: Server, password: str = "") -> None:
        self.server, self.front, self._password = server, front, password

    @property
    def url(self) -> str:
        """Takes `/api/v2/write`, `/query` and `/ping`."""
        return f"http://127.0.0.1:{self.front.port}"

    def query(self, text: str, database: str = "traffic_monitoring") -> list[dict[str, Any]]:
        """InfluxQL; the rows of all series as dicts, times in nanoseconds, tags of GROUP BY included."""
        form = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ns"}).encode()
        login = urllib.parse.urlencode({"u": "admin", "p": self._password} if self._password else {})
        with urllib.request.urlopen(f"{self.url}/query?{login}", data=form, timeout=20) as answer:
            result = json.load(answer)["results"][0]
        if "error" in result:
            raise ValueError(result["error"])
        return [
            {**series.get("tags", {}), **dict(zip(series["columns"], row, strict=True))}
            for series in result.get("series", ())
            for row in series["values"]
        ]


_INFLUX_CONF = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{home}/meta"
[data]
  dir = "{home}/data"
  wal-dir = "{home}/wal"
  series-id-set-cache-size = 0
[http]
  bind-address = "127.0.0.1:{http}"
  log-enabled = false
  auth-enabled = {auth}
[monitor]
  store-enabled = false
"""

_NGINX_CONF = """
daemon off; master_process off; pid {home}/nginx.pid; error_log {home}/nginx.log;
events {{ worker_connections 256; }}
http {{
  access_log off; client_body_temp_path {home}/body; proxy_temp_path {home}/proxy; fastcgi_temp_path {home}/f;
  uwsgi_temp_path {home}/u; scgi_temp_path {home}/s; client_max_body_size 64m;
  upstream influxd {{ server 127.0.0.1:{http}; keepalive 16; }}
  map $arg_bucket $db {{ default $arg_bucket; }}
  server {{
    listen 127.0.0.1:{front};
    location = /api/v2/write {{
      proxy_set_header Authorization ""; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_pass http://influxd/write?db=$db&precision=$precision;
    }}
    location / {{ proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://influxd; }}
  }}
  map $arg_precision $precision {{ us u; default $arg_precision; }}
}}
"""


@contextmanager
def influx(
    folder: Path, databases: tuple[str, ...] = ("traffic_monitoring", "traffic_analytics"), *, password: str = ""
) -> Iterator[InfluxDB]:
    """A running database with the given (empty) databases.

    password: of its user `admin`; nobody else is let in then, and no v2 write, since version 1 knows no tokens.
    """
    influxd, nginx = need("influxd", "nginx")
    home = folder / f"influx-{free_port()}"
    home.mkdir(parents=True)
    ports = {"http": free_port(), "rpc": free_port(), "front": free_port()}
    (home / "influx.conf").write_text(_INFLUX_CONF.format(home=home, auth=str(bool(password)).lower(), **ports))
    (home / "nginx.conf").write_text(_NGINX_CONF.format(home=home, **ports))
    server = Server([influxd, "-config", str(home / "influx.conf")], ports["http"], home / "influxd.log")
    front = Server([nginx, "-c", str(home / "nginx.conf"), "-p", str(home)], ports["front"], home / "front.log")
    database = InfluxDB(server, front, password)
    try:
        server.start()
        front.start()
        if password:
            database.query(f"CREATE USER \"admin\" WITH PASSWORD '{password}' WITH ALL PRIVILEGES")
        for name in databases:
            database.query(f'CREATE DATABASE "{name}"')
        yield database
    finally:
        front.kill()
        server.kill()


class Victoria(Server):
    """VictoriaMetrics: takes the v2 client's own writes, turns string fields to 0."""

    @property
    def url(self) -> str:
        """Takes `/api/v2/write` and `/ping`."""
        return f"http://127.0.0.1:{self.port}"

    def samples(self, match: str = '{__name__!=""}') -> list[dict[str, Any]]:
        """Everything stored, as exported: {"metric": {...}, "values": [...], "timestamps": [ms, ...]}."""
        urllib.request.urlopen(f"{self.url}/internal/force_flush", timeout=20).close()
        query = urllib.parse.urlencode({"match[]": match, "start": "0"})
        with urllib.request.urlopen(f"{self.url}/api/v1/export?{query}", timeout=20) as answer:
            return [json.loads(line) for line in answer if line.strip()]


@contextmanager
def victoria(folder: Path) -> Iterator[Victoria]:
    """A running store."""
    (binary,) = need("victoria-metrics")
    home = folder / f"victoria-{free_port()}"
    home.mkdir(parents=True)
    port = free_port()
    command = [binary, f"-storageDataPath={home}/data", f"-httpListenAddr=127.0.0.1:{port}", "-retentionPeriod=100y"]
    store = Victoria(command, port, home / "log")
    store.start()
    try:
        yield store
    finally:
        store.kill()
