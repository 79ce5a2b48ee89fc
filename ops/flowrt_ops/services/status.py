"""How every service is, and what to do about what is wrong: the troubleshooting that people would otherwise do by hand.

Questions go from near to far: is something listening, is it the right program, does it know us, is the data there, do the
dashboards find it. The first one that fails is the answer.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

import msgspec

from flowrt.service_checks import Target, check
from flowrt_ops.grafana.influxql import LIVE, LONG
from flowrt_ops.influx_reader import DATABASES, Reader, Refused
from flowrt_ops.services.home import Home

Verdict = Literal["ok", "warning", "down"]
STALE_S = 300.0


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table. todo: what to do, empty where all is well."""

    service: str
    address: str
    verdict: Verdict
    version: str = ""
    latency_ms: float | None = None
    wrong: str = ""
    todo: str = ""


class Addresses(msgspec.Struct, frozen=True, kw_only=True):
    """Where the services are. user and password: of the database's read-only account, as Grafana uses it."""

    mqtt: str
    influx: str
    grafana: str
    flowrt: str
    mqtt_user: str = ""
    mqtt_password: str = ""
    influx_token: str = ""
    read_user: str = ""
    read_password: str = ""
    grafana_password: str = ""
    flowrt_token: str = ""

    @classmethod
    def of(cls, home: Home, environment: Mapping[str, str] = os.environ) -> Addresses:
        """From the environment first, then from what `flowrt services init` made, else the usual places on loopback."""
        token = home.data / "tokens" / "influx_write_token"
        made = home.initialised
        return cls(
            mqtt=environment.get("MQTT_URL") or "mqtt://127.0.0.1:1883",
            influx=environment.get("INFLUX_URL") or f"http://127.0.0.1:{home.influx_port}",
            grafana=environment.get("GRAFANA_URL") or "http://127.0.0.1:3000",
            flowrt=environment.get("FLOWRT_URL") or "http://127.0.0.1:8480",
            mqtt_user=environment.get("MQTT_USERNAME") or ("flowrt" if made else ""),
            mqtt_password=environment.get("MQTT_PASSWORD") or home.secret("mqtt_password"),
            influx_token=environment.get("INFLUX_TOKEN")
            or (token.read_text("utf-8").strip() if token.exists() else ""),
            read_user=environment.get("INFLUX_READ_USER") or ("grafana" if made else ""),
            read_password=environment.get("INFLUX_READ_PASSWORD") or home.secret("influx_read_password"),
            grafana_password=environment.get("GRAFANA_PASSWORD") or home.secret("grafana_admin_password"),
            flowrt_token=environment.get("FLOWRT_HTTP_TOKEN") or home.secret("flowrt_http_token"),
        )


def survey(at: Addresses, timeout_s: float = 5.0) -> list[Row]:
    """Ask them all."""
    database = _influx(at, timeout_s)
    return [
        _mqtt(at, timeout_s),
        database,
        _data(at, database, timeout_s),
        _grafana(at, timeout_s),
        _flowrt(at, timeout_s),
        *_shared_ports(at),
    ]


def _row(name: str, target: Target, timeout_s: float) -> Row:
    result = check(target, timeout_s)
    wrong, _, todo = result.error.partition(": ")
    return Row(
        service=name,
        address=target.url,
        verdict="ok" if result.up else "down",
        version=result.version,
        latency_ms=result.latency_ms,
        wrong=wrong,
        todo=todo,
    )


def _mqtt(at: Addresses, timeout_s: float) -> Row:
    target = Target(name="mqtt", kind="mqtt", url=at.mqtt, user=at.mqtt_user, password=at.mqtt_password)
    row = _row("broker", target, timeout_s)
    if row.verdict == "ok" or "refuses" not in row.wrong + row.todo:
        return row
    todo = "set MQTT_USERNAME and MQTT_PASSWORD, or compare secrets/mosquitto_passwd with what the broker reads"
    return msgspec.structs.replace(row, wrong="the broker refuses user or password", todo=todo)


def _influx(at: Addresses, timeout_s: float) -> Row:
    row = _row("database", Target(name="influxdb", kind="influxdb", url=at.influx), timeout_s)
    if row.verdict != "ok":
        return row
    if not at.influx_token:
        todo = "set INFLUX_TOKEN, or let `flowrt services up` make one"
        return msgspec.structs.replace(row, verdict="warning", wrong="no token to write with", todo=todo)
    try:
        _write_nothing(at, timeout_s)
    except _Wrong as error:
        return msgspec.structs.replace(row, verdict="down", wrong=error.what, todo=error.todo)
    return row


class _Wrong(Exception):
    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what, self.todo = what, todo


def _write_nothing(at: Addresses, timeout_s: float) -> None:
    """Write an empty body to each bucket: the answer tells whether token and bucket are right, and nothing is changed."""
    for bucket in DATABASES.values():
        address = f"{at.influx.rstrip('/')}/api/v2/write?org=smart-intersection&bucket={bucket}&precision=us"
        headers = {"Authorization": f"Token {at.influx_token}"}
        try:
            urllib.request.urlopen(
                urllib.request.Request(address, data=b"\n", headers=headers), timeout=timeout_s
            ).close()
        except urllib.error.HTTPError as error:
            if error.code in (401, 403):
                raise _Wrong(
                    f"the token may not write to '{bucket}'",
                    "set INFLUX_TOKEN to a token that may write to both buckets",
                ) from error
            if (error.code == 404 and b"bucket" in (said := error.read(500))) or (
                error.code == 404 and b"database" in said
            ):
                raise _Wrong(
                    f"there is no bucket '{bucket}'",
                    "create it with `flowrt services up`, or correct the flow's services",
                ) from error
            if error.code == 404:
                raise _Wrong(
                    "it takes no v2 writes", "it is older than 1.8: install InfluxDB 2.7 or newer (`flowrt doctor`)"
                ) from error
        except OSError as error:
            raise _Wrong(str(error), "look at the database's log") from error


def _data(at: Addresses, database: Row, timeout_s: float) -> Row:
    """Whether points are there, so that dashboards can't be empty."""
    row = Row(service="data", address=", ".join(DATABASES.values()), verdict="down")
    if database.latency_ms is None:
        return msgspec.structs.replace(row, wrong="the database is away", todo="see above")
    reader = Reader(at.influx, user=at.read_user, password=at.read_password, timeout_s=timeout_s)
    try:
        newest = reader.query('SELECT last("uptime_seconds") FROM "system_health"', DATABASES[LIVE])
        reader.query('SELECT last("fps") FROM "fps_per_minute"', DATABASES[LONG])
    except Refused as error:
        wrong, _, todo = str(error).partition(": ")
        return msgspec.structs.replace(row, wrong=wrong, todo=todo or "look at the database's log")
    if not newest:
        todo = (
            "run a flow with `health_probe` and `influx_out` that has INFLUX_URL set; dashboards fill within a minute"
        )
        return msgspec.structs.replace(row, wrong="nothing has been written yet: dashboards are empty", todo=todo)
    age_s = time.time() - newest[0].values[0][0] / 1000.0
    if age_s > STALE_S:
        todo = "is flowrt running, and is its clock right? Widen the dashboard's time range to see older data"
        return msgspec.structs.replace(
            row, verdict="warning", wrong=f"the newest point is {_age(age_s)} old", todo=todo
        )
    return msgspec.structs.replace(row, verdict="ok", version=f"newest point {_age(age_s)} old")


def _age(age_s: float) -> str:
    return f"{age_s:.0f} s" if age_s < 120 else f"{age_s / 60:.0f} min" if age_s < 7200 else f"{age_s / 3600:.0f} h"


def _grafana(at: Addresses, timeout_s: float) -> Row:
    row = _row("grafana", Target(name="grafana", kind="grafana", url=at.grafana), timeout_s)
    if row.verdict != "ok" or not at.grafana_password:
        return row
    for source in DATABASES:
        try:
            answer = _get(
                f"{at.grafana.rstrip('/')}/api/datasources/uid/{source}/health",
                ("admin", at.grafana_password),
                timeout_s,
            )
        except urllib.error.HTTPError as error:
            if error.code == 404:
                todo = "mount grafana/provisioning where Grafana reads it, and read its log for 'provisioning'"
                return msgspec.structs.replace(
                    row, verdict="down", wrong=f"the data source {source} is missing", todo=todo
                )
            if error.code in (401, 403):
                todo = "the administrator's password was changed: set GRAFANA_PASSWORD to look further"
                return msgspec.structs.replace(row, verdict="warning", wrong="Grafana refuses the password", todo=todo)
            said = error.read(500).decode("utf-8", "replace")
            todo = "is the database's address right as seen from Grafana, and the reader's password?"
            return msgspec.structs.replace(
                row, verdict="down", wrong=f"data source {source}: {_message(said)}", todo=todo
            )
        except (OSError, ValueError, http.client.HTTPException) as error:
            return msgspec.structs.replace(
                row, verdict="warning", wrong=f"data source {source}: {error}", todo="look at Grafana's log"
            )
        if answer.get("status") == "ERROR":
            return msgspec.structs.replace(
                row,
                verdict="down",
                wrong=f"data source {source}: {answer.get('message')}",
                todo="see the database above",
            )
    return row


def _message(text: str) -> str:
    try:
        return str(json.loads(text).get("message", text))
    except ValueError:
        return text[:120]


def _get(url: str, login: tuple[str, str], timeout_s: float) -> Any:
    pair = base64.b64encode(":".join(login).encode()).decode()
    request = urllib.request.Request(url, headers={"Authorization": f"Basic {pair}"})
    with urllib.request.urlopen(request, timeout=timeout_s) as answer:
        return json.load(answer)


def _flowrt(at: Addresses, timeout_s: float) -> Row:
    """The runtime itself, and what it says of its sinks."""
    row = _row("flowrt", Target(name="flowrt", kind="", url=f"{at.flowrt.rstrip('/')}/healthz"), timeout_s)
    row = msgspec.structs.replace(row, address=at.flowrt)
    if row.verdict != "ok":
        return msgspec.structs.replace(row, todo="start it: `flowrt run flows/intersection.yaml`")
    headers = {"Authorization": f"Bearer {at.flowrt_token}"} if at.flowrt_token else {}
    try:
        request = urllib.request.Request(f"{at.flowrt.rstrip('/')}/readyz", headers=headers)
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            facts = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return msgspec.structs.replace(
                row, verdict="warning", wrong="it runs, and is not ready", todo=f"see {at.flowrt}/readyz"
            )
        return msgspec.structs.replace(
            row, verdict="warning", wrong=f"/readyz answers {error.code}", todo="set FLOWRT_HTTP_TOKEN"
        )
    except (OSError, ValueError) as error:
        return msgspec.structs.replace(row, verdict="warning", wrong=str(error), todo="look at flowrt's log")
    away = {
        name: sink.get("error", "")
        for name, sink in facts.get("services", {}).items()
        if sink.get("state") in ("waiting", "refused")
    }
    if away:
        name, error_text = next(iter(away.items()))
        return msgspec.structs.replace(
            row,
            verdict="warning",
            wrong=f"{name} can't deliver: {error_text}",
            todo="nothing is lost: `flowrt outbox` shows what waits",
        )
    return row


def _shared_ports(at: Addresses) -> list[Row]:
    """Two services can't have one port."""
    seen: dict[tuple[str | None, int | None], str] = {}
    rows = []
    for name, url in (("broker", at.mqtt), ("database", at.influx), ("grafana", at.grafana), ("flowrt", at.flowrt)):
        parts = urlsplit(url)
        place = parts.hostname, parts.port
        if parts.hostname and place in seen:
            wrong = f"{seen[place]} and {name} are both said to be at {parts.netloc}"
            rows.append(
                Row(service=name, address=url, verdict="down", wrong=wrong, todo="give one of them another port")
            )
        seen[place] = name
    return rows
