"""The status of every service, and what to do about what is wrong: the troubleshooting that a person would do by hand.

Questions go from near to far: is something listening, is it the right program, does it accept the credentials, is the data there, do
the dashboards find it. The first one that fails is the answer.
"""

from __future__ import annotations

import base64
import http.client
import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

from flowrt.services.checks import Target
from flowrt_ops.influx_reader import DATABASES
from flowrt_ops.services.status.addresses import Addresses
from flowrt_ops.services.status.database import database_rows
from flowrt_ops.services.status.rows import Row, changed, row_of


def survey(at: Addresses, timeout_s: float = 5.0) -> list[Row]:
    """Check every service."""
    return [
        _broker(at, timeout_s),
        *database_rows(at, timeout_s),
        _grafana(at, timeout_s),
        _flowrt(at, timeout_s),
        *_shared_ports(at),
    ]


def _broker(at: Addresses, timeout_s: float) -> Row:
    target = Target(name="mqtt", kind="mqtt", url=at.mqtt, user=at.mqtt_user, password=at.mqtt_password)
    row = row_of("broker", target, timeout_s)
    if row.verdict == "ok" or "refuses" not in row.wrong + row.todo:
        return row
    todo = "set MQTT_USERNAME and MQTT_PASSWORD, or compare secrets/mosquitto_passwd with what the broker reads"
    return changed(row, wrong="the broker refuses user or password", todo=todo)


def _grafana(at: Addresses, timeout_s: float) -> Row:
    row = row_of("grafana", Target(name="grafana", kind="grafana", url=at.grafana), timeout_s)
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
                return changed(row, verdict="down", wrong=f"the data source {source} is missing", todo=todo)
            if error.code in (401, 403):
                todo = "the administrator's password was changed: set GRAFANA_PASSWORD to check further"
                return changed(row, verdict="warning", wrong="Grafana refuses the password", todo=todo)
            said = error.read(500).decode("utf-8", "replace")
            todo = "is the database's address right as seen from Grafana, and the reader's password?"
            return changed(row, verdict="down", wrong=f"data source {source}: {_message(said)}", todo=todo)
        except (OSError, ValueError, http.client.HTTPException) as error:
            return changed(row, verdict="warning", wrong=f"data source {source}: {error}", todo="look at Grafana's log")
        if answer.get("status") == "ERROR":
            return changed(
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
    """The runtime itself, and its sinks by its own report."""
    row = row_of("flowrt", Target(name="flowrt", kind="", url=f"{at.flowrt.rstrip('/')}/healthz"), timeout_s)
    row = changed(row, address=at.flowrt)
    if row.verdict != "ok":
        return changed(row, todo="start it: `flowrt run flows/intersection.yaml --services`")
    headers = {"Authorization": f"Bearer {at.flowrt_token}"} if at.flowrt_token else {}
    try:
        request = urllib.request.Request(f"{at.flowrt.rstrip('/')}/readyz", headers=headers)
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            facts = json.load(answer)
    except urllib.error.HTTPError as error:
        if error.code == 503:
            return changed(row, verdict="warning", wrong="it runs, and is not ready", todo=f"see {at.flowrt}/readyz")
        return changed(row, verdict="warning", wrong=f"/readyz answers {error.code}", todo="set FLOWRT_HTTP_TOKEN")
    except (OSError, ValueError) as error:
        return changed(row, verdict="warning", wrong=str(error), todo="look at flowrt's log")
    away = {
        name: sink.get("error", "")
        for name, sink in facts.get("services", {}).items()
        if sink.get("state") in ("waiting", "refused")
    }
    if away:
        name, error_text = next(iter(away.items()))
        return changed(
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
