"""Whether a service answers: one check per kind of service, each with a time limit, none that changes anything.

`health_probe` runs them during a flow, `flowrt services status` from the command line. A check never raises: `CheckResult.error`
says what is wrong and what to do. Clients and TLS are imported by the first check, so that a flow that is only validated does not
load them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, unquote, urlsplit

import msgspec

from flowrt.services import Grafana, Influx, Mqtt
from flowrt.services.tcp_look import looks_like

if TYPE_CHECKING:
    import ssl

    import paho.mqtt.client as mqtt

PORTS = {"mqtt": 1883, "mqtts": 8883, "tcp": 1883, "ssl": 8883, "http": 80, "https": 443}
_TITLES = {"mqtt": "the broker", "influxdb": "the database", "grafana": "Grafana"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A service to check. kind: `mqtt`, `influxdb`, `grafana`, or empty for any other HTTP address. cert_file, key_file: of the client."""

    name: str
    kind: str
    url: str
    user: str = ""
    password: str = ""
    token: str = ""
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a check. error: what is wrong and what to do, empty where the service is up; latency_ms: None where it is down.

    version: what the service reports, empty where it reports none.
    """

    error: str = ""
    latency_ms: float | None = None
    version: str = ""

    @property
    def up(self) -> bool:
        """Whether the service answered as it should."""
        return not self.error


class _Unexpected(ValueError):
    """The service answers, but not as it should; the message says what to do."""


def targets(services: Mapping[str, Any], folder: Path = Path()) -> list[Target]:
    """Broker, database and dashboards of a flow's `services` block; those without an address are left out.

    folder: of the flow file, from which the files that services name begin.
    """

    def file(name: str | None) -> str:
        return str(folder / name) if name else ""

    found = []
    for service in services.values():
        if isinstance(service, Mqtt) and service.url:
            found.append(
                Target(
                    name="mqtt",
                    kind="mqtt",
                    url=service.url,
                    user=service.username,
                    password=service.password,
                    ca_file=file(service.ca_file),
                    cert_file=file(service.cert_file),
                    key_file=file(service.key_file),
                )
            )
        elif isinstance(service, Influx) and service.url:
            found.append(
                Target(
                    name="influxdb",
                    kind="influxdb",
                    url=service.url,
                    token=service.token,
                    ca_file=file(service.ca_file),
                )
            )
        elif isinstance(service, Grafana) and service.url:
            found.append(Target(name="grafana", kind="grafana", url=service.url))
    return found


def check(target: Target, timeout_s: float) -> CheckResult:
    """Check one service; takes at most a little longer than `timeout_s`."""
    started_s = time.monotonic()
    try:
        if target.kind == "mqtt":
            version = _mqtt(target, timeout_s)
        else:
            version = _http(target, timeout_s)
    except (OSError, ValueError) as error:
        return CheckResult(error=explain(target, error))
    latency_ms = round((time.monotonic() - started_s) * 1000.0, 2)
    return CheckResult(latency_ms=latency_ms, version=version)


def explain(target: Target, error: Exception) -> str:
    """What went wrong and what to do, without a secret in it."""
    import ssl

    what = _TITLES.get(target.kind, "the service")
    host, port, _ = _address(target.url)
    if isinstance(error, ConnectionRefusedError):
        return f"nothing listens on {host}:{port}: start {what} (flowrt services up)"
    if isinstance(error, TimeoutError):
        return f"no answer from {host}:{port}: look at the firewall and at the log of {what}"
    if isinstance(error, socket.gaierror):
        return f"the host name {host} is unknown: correct the address of {what}"
    if isinstance(error, ssl.SSLError):
        return f"TLS with {host}:{port} failed: {error.reason or error}: check the CA file and the host name"
    return str(error) if isinstance(error, _Unexpected) else f"{host}:{port}: {error}"


def _address(url: str) -> tuple[str, int, bool]:
    parts = _parts(url)
    scheme = parts.scheme or "mqtt"
    return parts.hostname or "localhost", parts.port or PORTS.get(scheme, 80), scheme in ("mqtts", "ssl", "https")


def _parts(url: str) -> SplitResult:
    """Of an address with or without a scheme."""
    return urlsplit(url if "//" in url else f"//{url}")


def _tls(target: Target) -> ssl.SSLContext:
    import ssl

    context = ssl.create_default_context(cafile=target.ca_file or None)
    if target.cert_file:
        context.load_cert_chain(target.cert_file, target.key_file or None)
    return context


def _mqtt(target: Target, timeout_s: float) -> str:
    """Connect as a client does, so that wrong credentials are found too."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    host, port, tls = _address(target.url)
    parts = urlsplit(target.url)
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"flowrt-probe-{os.getpid()}-{threading.get_ident()}")
    user, password = target.user or unquote(parts.username or ""), target.password or unquote(parts.password or "")
    if user:
        client.username_pw_set(user, password or None)
    if tls:
        client.tls_set_context(_tls(target))
    answers: list[str] = []

    def connected(_client: mqtt.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        answers.append(str(reason) if reason.is_failure else "")

    client.on_connect = connected
    client.connect_timeout = timeout_s
    until = time.monotonic() + timeout_s
    what = "does not answer"
    try:
        client.connect(host, port, keepalive=max(int(timeout_s), 1))
        while not answers and time.monotonic() < until:
            if client.loop(0.2) != mqtt.MQTT_ERR_SUCCESS:
                what = "closes the connection without an answer"
                break
    except OSError:
        raise
    except Exception as error:  # whatever paho raises over bytes that it can't read
        what = f"sends what is no MQTT ({type(error).__name__})"
    finally:
        with contextlib.suppress(Exception):  # the same
            client.disconnect()
        sock: Any = client.socket()
        if sock is not None:
            sock.close()
    if not answers:
        look = looks_like(host, port)
        advice = "write mqtts:// in its address" if look == "a server that speaks TLS" else "correct host and port"
        raise _Unexpected(f"{host}:{port} {what}; it looks like {look}: {advice}")
    if answers[0]:
        raise _Unexpected(f"the broker refuses the connection ({answers[0]}): check user and password")
    return ""


def _http(target: Target, timeout_s: float) -> str:
    """Request `/ping` of InfluxDB (3 wants its token even there), `/api/health` of Grafana, or the address itself."""
    from flowrt.system.http_client import HttpClient, HttpError  # heavy: a flow that is only validated does not need it

    host, port, tls = _address(target.url)
    prefix = _parts(target.url).path.rstrip("/")
    path = {"influxdb": "/ping", "grafana": "/api/health"}.get(target.kind, "" if prefix else "/")
    server = f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}{prefix}"
    authorization = f"Token {target.token}" if target.token else ""
    try:
        with HttpClient(server, timeout_s=timeout_s, ca_file=target.ca_file, authorization=authorization) as client:
            answer = client.request("GET", path)
    except HttpError as error:
        if isinstance(error.cause, OSError):
            raise error.cause from error  # for `explain`
        raise
    what = _TITLES.get(target.kind, "the service")
    if answer.status in (401, 403):
        if target.kind == "influxdb" and not target.token:
            return ""  # it answers: InfluxDB 3 wants a token even for a ping
        raise _Unexpected(f"{what} refuses the token ({answer.status}): check the token")
    if answer.status >= 400:
        raise _Unexpected(
            f"something else than {what} answers here ({answer.status} to {prefix + path}): correct the address, or end the other program"
        )
    if target.kind == "grafana":
        try:
            facts = answer.json()
        except ValueError:
            raise _Unexpected(
                "something else than Grafana answers here: is the port taken by another program?"
            ) from None
        if facts.get("database") != "ok":
            raise _Unexpected(f"Grafana's own database is {facts.get('database')}: read Grafana's log")
        return str(facts.get("version", ""))
    if target.kind == "influxdb":
        return answer.headers.get("X-Influxdb-Version", "")
    return ""
