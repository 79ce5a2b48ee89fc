"""The `services` block: where the broker, the database and the dashboards are, declared once for all nodes.

An empty `url` means that there is none: then an embedded broker serves MQTT, and the journal alone is the store.
Secrets come from `${env:…}` or `${file:…}`. The defaults of topics and buckets are those of the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal

import msgspec

from flowrt.addresses import Problem, control_character
from flowrt.addresses import problem as address_problem
from flowrt.node import FilePath, setting
from flowrt.services.topics import prefix_problem


class Mqtt(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An MQTT broker."""

    url: Annotated[
        str,
        setting(
            "Address; `mqtts` is TLS. Empty: an embedded broker on loopback.",
            pattern=r"^$|^(mqtt|mqtts|tcp|ssl)://[^\s/]+/?$",
            examples=["mqtt://localhost:1883", "mqtts://broker.example:8883"],
        ),
    ] = ""
    username: Annotated[str, setting("User name.")] = ""
    password: Annotated[str, setting("Password.", secret=True)] = ""
    ca_file: FilePath | None = None
    cert_file: FilePath | None = None
    key_file: FilePath | None = None
    version: Annotated[Literal[5, "3.1.1"], setting("Protocol version.")] = 5
    prefix: Annotated[
        str,
        setting(
            "What every topic begins with; `{site}` is replaced by the site.",
            pattern=r"^[^+#/\s][^+#\s]*[^+#/\s]$|^[^+#/\s]$",
            examples=["smartintersection", "smartintersection/{site}"],
        ),
    ] = "smartintersection"
    client_id: Annotated[
        str,
        setting(
            "Client id, exactly as written for the first node at the broker; the others get their names behind it. Empty: made from flow and node."
        ),
    ] = ""
    keepalive_s: Annotated[int, setting("Longest silence before the broker is asked.", ge=1, le=65535)] = 60


class Influx(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An InfluxDB 2 or 3 server, or one that takes the same writes."""

    url: Annotated[
        str,
        setting(
            "Address. Empty: the journal is the only store.",
            pattern=r"^$|^https?://[^\s/]+(/\S*)?$",
            examples=["http://localhost:8086"],
        ),
    ] = ""
    token: Annotated[str, setting("Access token.", secret=True)] = ""
    org: Annotated[str, setting("Organisation.", min_length=1)] = "smart-intersection"
    bucket: Annotated[
        str,
        setting(
            "Bucket of raw points; for InfluxDB 1, `database/retention-policy`.",
            min_length=1,
            examples=["traffic_monitoring"],
        ),
    ] = "traffic_monitoring"
    analytics_bucket: Annotated[str, setting("Bucket of aggregates.", min_length=1, examples=["traffic_analytics"])] = (
        "traffic_analytics"
    )
    ca_file: FilePath | None = None


class Grafana(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A Grafana server, looked at by health probes."""

    url: Annotated[
        str,
        setting(
            "Address. Empty: there is none.",
            pattern=r"^$|^https?://[^\s/]+(/\S*)?$",
            examples=["http://localhost:3000"],
        ),
    ] = ""


Service = Mqtt | Influx | Grafana

KINDS: dict[str, type[Mqtt] | type[Influx] | type[Grafana]] = {"mqtt": Mqtt, "influx": Influx, "grafana": Grafana}


def _bucket_problem(name: str) -> Problem | None:
    if control := control_character(name):
        return Problem(f"a bucket's name with {control}", "remove it")
    if name != name.strip():
        return Problem("a bucket's name with a space at an end", "remove the space")
    if name.startswith("_"):
        return Problem("a bucket's name that begins with '_'", "these belong to the database: choose another name")
    if '"' in name:
        return Problem("a bucket's name with a quote", "remove it")
    return None


def _text_problem(text: str, what: str, most: int = 65_535) -> Problem | None:
    if control := control_character(text):
        return Problem(f"{what} with {control}", "write it again without it")
    if len(text.encode("utf-8", "replace")) > most:
        return Problem(f"{what} of more than {most} bytes", "shorten it")
    return None


def _token_problem(token: str) -> Problem | None:
    """What no header can carry. The problem shows nothing of the token."""
    if not token.strip():
        return Problem("a token of nothing but spaces", "write the token, or nothing")
    if not token.isascii():
        return Problem("a token with a character that is not ASCII", "copy the token again: a header can't carry it")
    if token != token.strip():
        return Problem("a token with a space at an end", "copy the token again, without it")
    return _text_problem(token, "a token", 8000)


_web = partial(address_problem, schemes=("http", "https"), query=False)

CHECKS: dict[str, dict[str, Callable[[str], Problem | None]]] = {
    "mqtt": {
        "url": partial(address_problem, schemes=("mqtt", "mqtts", "tcp", "ssl"), path=False, query=False),
        "prefix": prefix_problem,
        "username": partial(_text_problem, what="a user name"),
        "password": partial(_text_problem, what="a password"),
        "client_id": partial(_text_problem, what="a client id"),
    },
    "influx": {"url": _web, "token": _token_problem, "bucket": _bucket_problem, "analytics_bucket": _bucket_problem},
    "grafana": {"url": _web},
}
"""Service to setting to what explains why a value can't be used."""

FROM_ENVIRONMENT: dict[str, dict[str, str]] = {
    "mqtt": {"url": "MQTT_URL", "username": "MQTT_USERNAME", "password": "MQTT_PASSWORD"},
    "influx": {"url": "INFLUX_URL", "token": "INFLUX_TOKEN"},
    "grafana": {"url": "GRAFANA_URL"},
}
"""Service to setting to the environment variable that fills it where the flow file says nothing."""
