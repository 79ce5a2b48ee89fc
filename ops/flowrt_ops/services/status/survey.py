"""The status of every service, and what to do about what is wrong: the troubleshooting that a person would do by hand.

Questions go from near to far: is something listening, is it the right program, does it accept the credentials, is the data there, do
the dashboards find it. The first one that fails is the answer.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flowrt.services.checks import Target
from flowrt.system.http_client import Answer, HttpClient, HttpError, basic
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
    try:
        with HttpClient(at.grafana, timeout_s=timeout_s, authorization=basic("admin", at.grafana_password)) as grafana:
            for source in DATABASES:
                if problem := _data_source(
                    row, source, grafana.request("GET", f"/api/datasources/uid/{source}/health")
                ):
                    return problem
    except (HttpError, ValueError) as error:
        return changed(row, verdict="warning", wrong=f"data sources: {error}", todo="look at Grafana's log")
    return row


def _data_source(row: Row, source: str, answer: Answer) -> Row | None:
    """What Grafana says of a data source; None where it works."""
    if answer.status == 404:
        todo = "mount grafana/provisioning where Grafana reads it, and read its log for 'provisioning'"
        return changed(row, verdict="down", wrong=f"the data source {source} is missing", todo=todo)
    if answer.status in (401, 403):
        todo = "the administrator's password was changed: set GRAFANA_PASSWORD to check further"
        return changed(row, verdict="warning", wrong="Grafana refuses the password", todo=todo)
    if answer.status != 200:
        todo = "is the database's address right as seen from Grafana, and the reader's password?"
        return changed(row, verdict="down", wrong=f"data source {source}: {answer.text}", todo=todo)
    if answer.json().get("status") == "ERROR":
        return changed(row, verdict="down", wrong=f"data source {source}: {answer.text}", todo="see the database above")
    return None


def _flowrt(at: Addresses, timeout_s: float) -> Row:
    """The runtime itself, and its sinks by its own report."""
    row = row_of("flowrt", Target(name="flowrt", kind="", url=f"{at.flowrt.rstrip('/')}/healthz"), timeout_s)
    row = changed(row, address=at.flowrt)
    if row.verdict != "ok":
        return changed(row, todo="start it: `flowrt run flows/intersection.yaml --services`")
    authorization = f"Bearer {at.flowrt_token}" if at.flowrt_token else ""
    try:
        with HttpClient(at.flowrt, timeout_s=timeout_s, authorization=authorization) as flowrt:
            answer = flowrt.request("GET", "/readyz")
        if answer.status == 503:
            return changed(row, verdict="warning", wrong="it runs, and is not ready", todo=f"see {at.flowrt}/readyz")
        if answer.status != 200:
            return changed(
                row, verdict="warning", wrong=f"/readyz answers {answer.status}", todo="set FLOWRT_HTTP_TOKEN"
            )
        facts = answer.json()
    except (HttpError, ValueError) as error:
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
