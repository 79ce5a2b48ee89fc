"""The status of the database: does it answer, may flowrt write, are the buckets and their points there."""

from __future__ import annotations

import time

from flowrt.services.checks import Target
from flowrt.services.influx_buckets import Buckets, inspect
from flowrt_ops.grafana.influxql import LIVE, LONG
from flowrt_ops.influx_reader import DATABASES, Reader, Refused
from flowrt_ops.services.influx_setup import ORG
from flowrt_ops.services.status.addresses import Addresses
from flowrt_ops.services.status.rows import Row, changed, row_of

STALE_S = 300.0


def database_rows(at: Addresses, timeout_s: float) -> list[Row]:
    """The database, and the data in it."""
    row = row_of("database", Target(name="influxdb", kind="influxdb", url=at.influx, token=at.influx_token), timeout_s)
    buckets = Buckets()
    if row.verdict == "ok":
        buckets = inspect(
            at.influx,
            at.influx_token,
            ORG,
            tuple(DATABASES.values()),
            timeout_s=timeout_s,
            list_token=at.influx_admin_token,
        )
        row = _judged(row, buckets) if at.influx_token else _without_token(row)
    return [row, _data(at, row, buckets, timeout_s)]


def _without_token(row: Row) -> Row:
    todo = "set INFLUX_TOKEN, or run `flowrt services up`, which creates one"
    return changed(row, verdict="warning", wrong="no token to write with", todo=todo)


def _judged(row: Row, buckets: Buckets) -> Row:
    if buckets.old:
        todo = "it is older than 1.8: install InfluxDB 2.7 or newer (`flowrt doctor`)"
        return changed(row, verdict="down", wrong="it takes no v2 writes", todo=todo)
    if buckets.error:
        return changed(row, verdict="down", wrong=buckets.error, todo="look at the database's log")
    if buckets.forbidden:
        todo = "set INFLUX_TOKEN to a token that may write to both buckets"
        return changed(row, verdict="down", wrong=f"the token may not write to '{buckets.forbidden[0]}'", todo=todo)
    if buckets.missing:
        return changed(row, verdict="down", wrong=f"there is no bucket '{buckets.missing[0]}'", todo=buckets.advice)
    return row


def _data(at: Addresses, database: Row, buckets: Buckets, timeout_s: float) -> Row:
    """Whether points are there, so that dashboards can't be empty; the address column says how long each bucket keeps them."""
    told = {bucket.name: str(bucket) for bucket in buckets.found}
    row = Row(service="data", address=", ".join(told.get(name, name) for name in DATABASES.values()), verdict="down")
    if database.latency_ms is None:
        return changed(row, wrong="the database does not answer", todo="see above")
    reader = Reader(at.influx, user=at.read_user, password=at.read_password, timeout_s=timeout_s)
    try:
        newest = reader.query('SELECT last("uptime_seconds") FROM "system_health"', DATABASES[LIVE])
        reader.query('SELECT last("fps") FROM "fps_per_minute"', DATABASES[LONG])
    except Refused as error:
        wrong, _, todo = str(error).partition(": ")
        return changed(row, wrong=wrong, todo=todo or "look at the database's log")
    if not newest:
        todo = (
            "run a flow with `health_probe` and `influx_out` (`flowrt run FLOW --services`); dashboards fill within a minute. If one "
            "runs: may Grafana's account read the bucket?"
        )
        return changed(row, wrong="nothing has been written yet: dashboards are empty", todo=todo)
    age_s = time.time() - newest[0].values[0][0] / 1000.0
    if age_s > STALE_S:
        todo = "is flowrt running, and is its clock right? Widen the dashboard's time range to see older data"
        return changed(row, verdict="warning", wrong=f"the newest point is {_age(age_s)} old", todo=todo)
    return changed(row, verdict="ok", version=f"newest point {_age(age_s)} old")


def _age(age_s: float) -> str:
    return f"{age_s:.0f} s" if age_s < 120 else f"{age_s / 60:.0f} min" if age_s < 7200 else f"{age_s / 3600:.0f} h"
