"""Broker, database and Grafana: whether they answer, what to do where not, and what waits for them."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flowrt.addresses import without_passwords
from flowrt.http import Host, Route
from flowrt.runtime import SharedCall
from flowrt.services.checks import CheckResult, Target, check, targets
from flowrt.system.resources import share

CHECK_S = 3.0
FRESH_S = 4.0


def routes(host: Host) -> Iterable[Route]:
    """The route of the services page."""
    checks = Checks(host)
    asked = SharedCall(checks.read, "page services")

    async def services(_: Request) -> Response:
        return host.json(await host.bounded(asked, CHECK_S + 2.0))

    yield Route("/api/page/services", services)


class Checks:
    """Asks the services; what was found is good for a few seconds, however many tabs want to know."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._found: dict[str, Any] = {}
        self._at = -FRESH_S

    def read(self) -> dict[str, Any]:
        """Every service with its state, and the dashboards."""
        if time.monotonic() - self._at > FRESH_S:
            there = {target.name: target for target in targets(self._host.runtime.flow.services)}
            with ThreadPoolExecutor(len(there) or 1, "page-services") as pool:
                results = dict(zip(there, pool.map(lambda target: check(target, CHECK_S), there.values()), strict=True))
            rows = [_row(kind, there.get(kind), results.get(kind)) for kind in ("mqtt", "influxdb", "grafana")]
            self._found = {"services": rows, "dashboards": _dashboards(there.get("grafana"))}
            self._at = time.monotonic()
        return self._found


def _row(kind: str, target: Target | None, found: CheckResult | None) -> dict[str, Any]:
    if target is None or found is None:
        return {"kind": kind, "state": "none", "address": "", "error": "", "latency_ms": None, "version": ""}
    state = "up" if found.up else "down"
    facts = {"error": found.error, "latency_ms": found.latency_ms, "version": found.version}
    return {"kind": kind, "state": state, "address": without_passwords(target.url), **facts}


def _dashboards(grafana: Target | None) -> list[dict[str, str]]:
    base = without_passwords(grafana.url).rstrip("/") if grafana is not None else ""
    return [{"title": title, "url": f"{base}/d/{uid}" if base else ""} for uid, title in _titles()]


@functools.cache  # what is installed stays as it is while a program runs
def _titles() -> list[tuple[str, str]]:
    found = []
    for file in sorted((share("grafana") / "dashboards").glob("*.json")):
        board = msgspec.json.decode(file.read_bytes())
        found.append((board["uid"], board["title"]))
    return found
