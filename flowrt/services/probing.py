"""What `flowrt check --probe` finds out about services: who answers at the address, whether credentials are accepted, whether buckets are there.

Nothing is changed: a write of no points, a list of buckets, a connection to the broker that publishes nothing.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from flowrt.services import Influx, Mqtt, Service
from flowrt.services.checks import check, targets
from flowrt.services.influx_buckets import Buckets, inspect

PROBE_S = 5.0
"""How long a service may take for each step."""


class Finding(NamedTuple):
    """What is wrong. setting: of the service, empty where none is to blame."""

    setting: str
    message: str
    hint: str = ""


def probe(service: Service, folder: Path) -> Finding | None:
    """Ask a service; None where all is well, or where it has no address. folder: that of the flow file, for the files that it names."""
    for target in targets({"": service}, folder):
        found = check(target, PROBE_S)
        if found.error:
            login = isinstance(service, Mqtt) and "check user and password" in found.error
            return Finding("password" if login else "url", found.error)
    if isinstance(service, Influx) and service.url:
        return _buckets(service, folder)
    return None


def _buckets(service: Influx, folder: Path) -> Finding | None:
    names = tuple(dict.fromkeys((service.bucket, service.analytics_bucket)))
    ca_file = str(folder / service.ca_file) if service.ca_file else ""
    buckets = inspect(service.url, service.token, service.org, names, timeout_s=PROBE_S, ca_file=ca_file)
    return _judged(service, buckets)


def _judged(service: Influx, buckets: Buckets) -> Finding | None:
    if buckets.old:
        return Finding("url", "it takes no v2 writes", "InfluxDB before 1.8, or something else: install 2.7 or newer")
    if buckets.error:
        return Finding("url", f"the database can't be asked: {buckets.error}", "look at its log")
    if buckets.forbidden:
        wrong = "there is no token" if not service.token else f"the token may not write to '{buckets.forbidden[0]}'"
        return Finding(
            "token",
            wrong,
            "set it to one that may write to both buckets; an organisation of another name reads the same",
        )
    if buckets.missing:
        setting = "bucket" if buckets.missing[0] == service.bucket else "analytics_bucket"
        return Finding(setting, f"there is no bucket '{buckets.missing[0]}'", buckets.advice)
    return None
