"""What the doubles of InfluxDB 2 and 3 have in common: the HTTP server, buckets with their points, simple queries.

    with influx_2() as database: ...        # database.url; database.buckets["traffic_monitoring"].points
    with influx_3(token="apiv3_…") as database: ...

Their answers are those of real servers: tests/doubles/test_influx_doubles.py replays recorded exchanges. Queries of data run in other
tests against a real engine (servers.influx); here only `SHOW …` and `SELECT last(field)` are answered.
"""

from __future__ import annotations

import base64
import gzip
import json
import re
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from doubles.line_protocol import Point, kind

DAY_S = 86_400
NS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000}

Answer = tuple[int, Any]
"""Status and body: JSON, or text."""


class Request(msgspec.Struct, frozen=True):
    """One HTTP request, its query string and form decoded."""

    method: str
    path: str
    parameters: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def credentials(self) -> tuple[str, str]:
        """User and password or token; of `Token` and `Bearer` the user is empty."""
        scheme, _, rest = self.headers.get("authorization", "").partition(" ")
        if scheme == "Basic":
            user, _, password = base64.b64decode(rest).decode().partition(":")
            return user, password
        return self.parameters.get("u", ""), rest or self.parameters.get("p", "")


class Bucket(msgspec.Struct, kw_only=True):
    """A bucket or database. points: (measurement, tags, time in ns) to fields. retention_s: 0 keeps for ever."""

    name: str
    id: str = ""
    retention_s: int = 0
    points: dict[tuple[str, tuple[tuple[str, str], ...], int], dict[str, Any]] = {}
    columns: dict[str, dict[str, str]] = {}

    def conflict(self, point: Point) -> tuple[str, str, str] | None:
        """The first column of the point whose type is another one: its name, the point's type, the bucket's."""
        columns = self.columns.get(point.measurement, {})
        kinds = {name: "tag" for name, _ in point.tags} | {name: kind(value) for name, value in point.fields.items()}
        for name, own in kinds.items():
            if columns.get(name, own) != own:
                return name, own, columns[name]
        return None

    def add(self, point: Point, time_ns: int) -> None:
        columns = self.columns.setdefault(point.measurement, {})
        columns |= {name: "tag" for name, _ in point.tags} | {name: kind(v) for name, v in point.fields.items()}
        self.points.setdefault((point.measurement, point.tags, time_ns), {}).update(point.fields)

    def expired(self, time_ns: int, now_s: float) -> bool:
        return bool(self.retention_s) and time_ns < (now_s - self.retention_s) * 1e9


class Double:
    """What both have in common: the HTTP server, points, queries. requests: all that came, in order."""

    version_header: dict[str, str] = {}

    def __init__(self, now_s: Callable[[], float] = time.time) -> None:
        self.buckets: dict[str, Bucket] = {}
        self.requests: list[Request] = []
        self.now_s = now_s
        self.url = ""

    def answer(self, request: Request) -> Answer:
        raise NotImplementedError

    def _text(self, request: Request) -> str:
        body = gzip.decompress(request.body) if request.headers.get("content-encoding") == "gzip" else request.body
        return body.decode()

    def _time_ns(self, point: Point, precision: str) -> int:
        return int(self.now_s() * 1e9) if point.time is None else point.time * NS[precision]

    def _statement(self, text: str, bucket: Bucket) -> list[dict[str, Any]]:
        """The series of one statement."""
        if text == "SHOW MEASUREMENTS":
            names = [[name] for name in sorted(bucket.columns)]
            return [{"name": "measurements", "columns": ["name"], "values": names}] if names else []
        if found := re.fullmatch(r'SHOW TAG VALUES FROM "(\w+)" WITH KEY = "(\w+)"', text):
            keys = bucket.points.keys()
            values = sorted(
                {dict(tags)[found[2]] for name, tags, _ in keys if name == found[1] and found[2] in dict(tags)}
            )
            columns = ["key", "value"]
            rows = [[found[2], value] for value in values]
            return [{"name": found[1], "columns": columns, "values": rows}] if rows else []
        if found := re.fullmatch(r'SELECT last\("?(\w+)"?\) FROM "?(\w+)"?', text):
            points = [
                (at, fields[found[1]])
                for (name, _, at), fields in bucket.points.items()
                if name == found[2] and found[1] in fields
            ]
            if not points:
                return []
            at, value = max(points, key=lambda point: point[0])
            return [{"name": found[2], "columns": ["time", "last"], "values": [[at // 1_000_000, value]]}]
        if re.fullmatch(r"SELECT \* FROM \w+", text):
            name = text.rpartition(" ")[2]
            if name not in bucket.columns:
                return []
        raise NotImplementedError(f"the double answers no such query: {text}")


def error(code: str, message: str) -> dict[str, str]:
    return {"code": code, "message": message}


@contextmanager
def served(double: Double, port: int = 0) -> Iterator[None]:
    """Serve a double on loopback, on the given port or any."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            path, _, query = self.path.partition("?")
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            given = dict(urllib.parse.parse_qsl(query))
            if headers.get("content-type") == "application/x-www-form-urlencoded":
                given |= dict(urllib.parse.parse_qsl(body.decode()))
            request = Request(self.command, path, given, headers, body)
            double.requests.append(request)
            status, content = double.answer(request)
            text = content if isinstance(content, str) else json.dumps(content)
            self.send_response(status)
            for name, value in double.version_header.items():
                self.send_header(name, value)
            if status != 204:
                self.send_header("Content-Type", "text/plain" if isinstance(content, str) else "application/json")
                self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if status != 204:
                self.wfile.write(text.encode())

        do_GET = do_POST = do_DELETE = _serve  # the names that http.server calls

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", port), Handler) as server:
        double.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield
        server.shutdown()
        thread.join()
