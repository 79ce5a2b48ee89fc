"""A double of InfluxDB 3 Core 3.9: one token, databases made by the first write, all of a batch or nothing."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from doubles.influx import DAY_S, NS, Answer, Bucket, Double, Request, error, served
from doubles.line_protocol import TIME_MOST_NS, Point, Unreadable, parse

MOST_BYTES = 10_485_760
DATABASES_MOST = 5


class InfluxDB3(Double):
    """InfluxDB 3 Core 3.9: one token, databases made by the first write, all of a batch or nothing."""

    def __init__(self, token: str, now_s: Callable[[], float] = time.time) -> None:
        super().__init__(now_s)
        self.token = token
        self.version_header = {"X-Influxdb-Version": "3.9.6", "X-Influxdb-Build": "Core"}

    def answer(self, request: Request) -> Answer:
        if request.credentials[1] != self.token:
            return 401, {"error": "the request was not authenticated"}
        match request.method, request.path:
            case "GET", "/ping":
                return 200, {"product_name": "InfluxDB 3 Core", "version": "3.9.6"}
            case "GET", "/health":
                return 200, "OK"
            case "GET", "/api/v3/configure/database":
                return 200, [{"iox::database": name} for name in sorted(["_internal", *self.buckets])]
            case "POST", "/api/v3/configure/database":
                return self._create(request.json)
            case "GET", "/api/v3/query_sql":
                return self._system_databases(request.parameters)
            case "POST", "/api/v2/write":
                return self._write(request)
            case (("GET" | "POST"), "/query"):
                text, name = request.parameters["q"], request.parameters.get("db", "")
                results = [self._result(i, part, name) for i, part in enumerate(text.split("; "))]
                return 200, {"results": results}
        return 404, "not found"

    def _create(self, body: dict[str, Any]) -> Answer:
        name = body["db"]
        if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
            said = "must be ASCII, containing only letters, numbers, underscores, or hyphens"
            return 400, {"error": f"invalid character in database or rp name: {said}"}
        if name in self.buckets:
            return 409, "attempted to create a resource that already exists"
        if len(self.buckets) == DATABASES_MOST:
            return 422, {"error": f"Adding a new database would exceed limit of {DATABASES_MOST} databases"}
        days = int(body["retention_period"].removesuffix("d")) if "retention_period" in body else 0
        self.buckets[name] = Bucket(name=name, retention_s=days * DAY_S)
        return 200, ""

    def _system_databases(self, parameters: dict[str, str]) -> Answer:
        """`system.databases`, as the server's source has it; this exchange was not recorded."""
        if parameters["db"] != "_internal" or "FROM system.databases" not in parameters["q"]:
            raise NotImplementedError(f"the double answers no such query: {parameters['q']}")
        rows = [{"database_name": "_internal", "retention_period_ns": None}]
        for bucket in self.buckets.values():
            keeps = bucket.retention_s * 1_000_000_000 if bucket.retention_s else None
            rows.append({"database_name": bucket.name, "retention_period_ns": keeps})
        return 200, rows

    def _write(self, request: Request) -> Answer:
        if len(request.body) > MOST_BYTES:
            return 413, error("request too large", f"max request size ({MOST_BYTES} bytes) exceeded")
        try:
            text = self._text(request)
        except (OSError, EOFError):
            return 400, error("invalid", "error decoding gzip stream: unexpected end of file")
        if not text:
            return 400, error("invalid", "write buffer error: incoming write was empty")
        name = request.parameters["bucket"]
        if name not in self.buckets and len(self.buckets) == DATABASES_MOST:
            said = f"Adding a new database would exceed limit of {DATABASES_MOST} databases"
            return 400, error("invalid", f"write buffer error: catalog update error: {said}")
        bucket = self.buckets.setdefault(name, Bucket(name=name))
        try:
            points = [self._checked(line, bucket, request.parameters["precision"]) for line in text.split("\n") if line]
        except Unreadable as reason:
            return 400, error("invalid", f"write buffer error: line protocol parse failed: {reason}")
        for point, at in points:
            if not bucket.expired(at, self.now_s()):
                bucket.add(point, at)
        return 204, ""

    def _checked(self, line: str, bucket: Bucket, precision: str) -> tuple[Point, int]:
        try:
            point = parse(line)
        except Unreadable:
            raise Unreadable("No fields were provided") from None
        if point.time is not None and abs(point.time) * NS[precision] > TIME_MOST_NS:
            names = {"us": "Microsecond"}
            raise Unreadable(f"timestamp, {point.time}, out of range for precision: {names[precision]}")
        if conflict := bucket.conflict(point):
            name, own, there = ((one if one == "tag" else f"field::{one}") for one in conflict)
            name = conflict[0]
            said = f"expected iox::column_type::{there}, got iox::column_type::{own}"
            raise Unreadable(f"invalid column type for column '{name}', {said}")
        return point, self._time_ns(point, precision)

    def _result(self, number: int, text: str, name: str) -> dict[str, Any]:
        result: dict[str, Any] = {"statement_id": number}
        if text == "SHOW DATABASES":
            names = [[name] for name in ("_internal", *self.buckets)]
            return {**result, "series": [{"name": "databases", "columns": ["name"], "values": names}]}
        if text == "SELECT FROM":
            said = "parsing error: invalid SELECT statement, expected field at pos 7"
            return {**result, "error": f"error in InfluxQL statement: {said}"}
        if not name:
            said = "must specify a 'db' parameter, or provide the database in the InfluxQL query"
            return {**result, "error": said}
        if name not in self.buckets:
            return {**result, "error": f"Cannot retrieve database: External error: database not found: {name}"}
        series = self._statement(text, self.buckets[name])
        return {**result, "series": series} if series else result


@contextmanager
def influx_3(token: str, port: int = 0, **settings: Any) -> Iterator[InfluxDB3]:
    """A running double of InfluxDB 3 Core with its administrator's token."""
    double = InfluxDB3(token, **settings)
    with served(double, port):
        yield double
