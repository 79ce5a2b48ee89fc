"""A double of InfluxDB 2.9: set-up, organisations, buckets, authorizations, v1 accounts, partial writes."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from doubles.influx import DAY_S, NS, Answer, Bucket, Double, Request, error, served
from doubles.line_protocol import TIME_MOST_NS, Point, Unreadable, parse


class InfluxDB2(Double):
    """InfluxDB 2.9. ids: the ids and tokens that it hands out, in order, by what they are for."""

    def __init__(
        self,
        now_s: Callable[[], float] = time.time,
        version: str = "v2.9.1",
        ids: dict[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(now_s)
        self.version_header = {"X-Influxdb-Version": version, "X-Influxdb-Build": "OSS"}
        self.org = ""
        self.tokens: dict[str, set[tuple[str, str]]] = {}
        self.accounts: dict[str, dict[str, Any]] = {}
        self.passwords: dict[str, str] = {}
        self._ids = {name: iter(values) for name, values in (ids or {}).items()}
        self._numbers = itertools.count(1)

    def _id(self, what: str) -> str:
        return next(self._ids[what]) if what in self._ids else f"{next(self._numbers):016x}"

    def answer(self, request: Request) -> Answer:
        match request.method, request.path:
            case "GET", "/ping":
                return 204, ""
            case "GET", "/health":
                return 200, {"name": "influxdb", "status": "pass", "version": self.version_header["X-Influxdb-Version"]}
            case "GET", "/ready":
                return 200, {"status": "ready"}
            case "GET", "/":
                return 404, "no assets included in binary\n"
            case "GET", "/api/v2/setup":
                return 200, {"allowed": not self.org}
            case "POST", "/api/v2/setup":
                return self._set_up(request.json)
            case "POST", "/query":
                return self._query(request)
        if request.path in ("/api/v2/write", "/write"):
            return self._write(request)
        if request.credentials[1] not in self.tokens:
            return 401, error("unauthorized", "unauthorized access")
        return self._administer(request)

    def _set_up(self, body: dict[str, Any]) -> Answer:
        if self.org:
            return 422, error("conflict", "onboarding has already been completed")
        self.org, self._org_id = body["org"], self._id("org")
        for name, days in (("_monitoring", 7), ("_tasks", 3)):
            self.buckets[name] = Bucket(name=name, id=f"{next(self._numbers):016x}", retention_s=days * DAY_S)
        bucket = self._add_bucket(body["bucket"], body.get("retentionPeriodSeconds", 0))
        self.tokens[body["token"]] = {("admin", "")}
        user = {"id": "USER_ID", "name": body["username"], "status": "active"}
        org = {"id": self._org_id, "name": self.org}
        return 201, {"user": user, "bucket": self._bucket_json(bucket), "org": org, "auth": {"token": body["token"]}}

    def _add_bucket(self, name: str, retention_s: int) -> Bucket:
        self.buckets[name] = Bucket(name=name, id=self._id("bucket"), retention_s=retention_s)
        return self.buckets[name]

    def _bucket_json(self, bucket: Bucket) -> dict[str, Any]:
        rules = [{"type": "expire", "everySeconds": bucket.retention_s}] if bucket.retention_s else []
        kind = "system" if bucket.name.startswith("_") else "user"
        return {"id": bucket.id, "orgID": self._org_id, "type": kind, "name": bucket.name, "retentionRules": rules}

    def _administer(self, request: Request) -> Answer:
        wanted = request.parameters
        match request.method, request.path:
            case "GET", "/api/v2/orgs":
                if wanted["org"] != self.org:
                    return 404, error("not found", f'organization name "{wanted["org"]}" not found')
                return 200, {"orgs": [{"id": self._org_id, "name": self.org}]}
            case "GET", "/api/v2/buckets":
                rights = self.tokens[request.credentials[1]]
                readable = [one for one in self.buckets.values() if rights & {("admin", ""), ("read", one.id)}]
                named = [bucket for bucket in readable if wanted.get("name", bucket.name) == bucket.name]
                return 200, {"buckets": [self._bucket_json(bucket) for bucket in named]}
            case "POST", "/api/v2/buckets":
                name = request.json["name"]
                if name in self.buckets:
                    return 422, error("conflict", f"bucket with name {name} already exists")
                rules = request.json["retentionRules"]
                return 201, self._bucket_json(self._add_bucket(name, rules[0]["everySeconds"] if rules else 0))
            case "POST", "/api/v2/authorizations":
                token = self._id("token")
                self.tokens[token] = _rights(request.json["permissions"])
                return 201, {**request.json, "id": self._id("authorization"), "token": token, "status": "active"}
            case "GET", "/private/legacy/authorizations":
                accounts = [one for one in self.accounts.values() if wanted.get("token", one["token"]) == one["token"]]
                if "token" in wanted and not accounts:
                    return 404, error("not found", "authorization not found")
                return 200, {"authorizations": accounts}
            case "POST", "/private/legacy/authorizations":
                if any(one["token"] == request.json["token"] for one in self.accounts.values()):
                    return 422, error("conflict", "token already exists")
                account = {**request.json, "id": self._id("account"), "status": "active"}
                self.accounts[account["id"]] = account
                return 201, account
        if found := re.fullmatch(r"/private/legacy/authorizations/(\w+)(/password)?", request.path):
            if request.method == "DELETE":
                del self.accounts[found[1]]
                return 204, ""
            password = request.json["password"]
            if not 8 <= len(password) <= 72:
                return 400, error("invalid", "passwords must be between 8 and 72 characters long")
            self.passwords[found[1]] = password
            return 204, ""
        return 404, error("not found", "path not found")

    def _rights_of(self, request: Request) -> set[tuple[str, str]] | None:
        """What the credentials allow; None where they are unknown."""
        user, secret = request.credentials
        for number, account in self.accounts.items():
            if account["token"] == user and self.passwords.get(number) == secret:
                return _rights(account["permissions"])
        return self.tokens.get(secret)

    def _write(self, request: Request) -> Answer:
        rights = self._rights_of(request)
        if rights is None:
            return 401, error("unauthorized", "unauthorized access")
        version_1 = request.path == "/write"
        org, precision = request.parameters.get("org"), request.parameters.get("precision", "ns")
        name = request.parameters["db" if version_1 else "bucket"]
        if not version_1 and org is None:
            return 400, error("invalid", "Please provide either orgID or org")
        if precision not in NS:
            return 400, error("invalid", "invalid precision; valid precision units are ns, us, ms, and s")
        if not version_1 and org != self.org:
            return 404, error("not found", f'organization name "{org}" not found')
        if name not in self.buckets:
            return 404, error("not found", f'bucket "{name}" not found')
        bucket = self.buckets[name]
        if not rights & {("admin", ""), ("write", bucket.id)}:
            return 403, error("forbidden", "insufficient permissions for write")
        try:
            text = self._text(request)
        except (OSError, EOFError):
            return 500, error("internal error", "An internal error has occurred - check server logs")
        points = []
        for line in filter(None, text.split("\n")):
            try:
                points.append(parse(line))
                at = points[-1].time
                if at is not None and abs(at) * NS[precision] > TIME_MOST_NS:
                    raise Unreadable(f"time outside range -{TIME_MOST_NS} - {TIME_MOST_NS}")
            except Unreadable as reason:
                return 400, error("invalid", f"unable to parse '{line}': {reason}")
        return self._store(bucket, points, precision)

    def _store(self, bucket: Bucket, points: list[Point], precision: str) -> Answer:
        """Store what can be stored; the rest is a partial write."""
        reason, dropped, expired = "", 0, []
        for point in points:
            at = self._time_ns(point, precision)
            if conflict := bucket.conflict(point):
                name, own, there = conflict
                reason = (
                    f'field type conflict: input field "{name}" on measurement "{point.measurement}" '
                    f"is type {own}, already exists as type {there} dropped={(dropped := dropped + 1)}"
                )
            elif bucket.expired(at, self.now_s()):
                expired.append((at, ",".join([point.measurement, *(f"{tag}={value}" for tag, value in point.tags)])))
            else:
                bucket.add(point, at)
        if expired:
            bound = f"dropped because it violates a Retention Policy Lower Bound at {_moment(self._bound_ns(bucket))}"
            (oldest, first), (newest, last) = min(expired), max(expired)
            reason = (
                f"dropped {len(expired)} points outside retention policy of duration {bucket.retention_s // 3600}h0m0s"
                f" - oldest point {first} at {_moment(oldest)} {bound}, newest point {last} at {_moment(newest)} {bound}"
                f" dropped={dropped + len(expired)} for database: {bucket.id} for retention policy: autogen"
            )
        if reason:
            said = f"failure writing points to database: partial write: {reason}"
            return 422, error("unprocessable entity", said)
        return 204, ""

    def _bound_ns(self, bucket: Bucket) -> int:
        return int((self.now_s() - bucket.retention_s) * 1e9)

    def _query(self, request: Request) -> Answer:
        rights = self._rights_of(request)
        if rights is None:
            return 401, error("unauthorized", "Unauthorized")
        text, name = request.parameters["q"], request.parameters.get("db", "")
        if text == "SELECT FROM":
            said = "found FROM, expected identifier, string, number, bool at line 1, char 8"
            return 400, error("invalid", f"failed to parse query: {said}")
        return 200, {"results": [self._result(i, part, name, rights) for i, part in enumerate(text.split("; "))]}

    def _result(self, number: int, text: str, name: str, rights: set[tuple[str, str]]) -> dict[str, Any]:
        result: dict[str, Any] = {"statement_id": number}
        readable = [one for one in self.buckets.values() if rights & {("admin", ""), ("read", one.id)}]
        if text == "SHOW DATABASES":
            names = sorted(bucket.name for bucket in readable)
            series = [{"name": "databases", "columns": ["name"], "values": [[name] for name in names]}]
            return {**result, "series": series}
        if text.startswith("DROP"):
            return {**result, "error": "insufficient permissions"}
        if " INTO " in text:
            return {**result, "error": "not implemented: SELECT INTO"}
        if not name:
            return {**result, "error": "database name required"}
        if name not in self.buckets:
            return {**result, "error": f"database not found: {name}"}
        if self.buckets[name] not in readable:
            return result
        series = self._statement(text, self.buckets[name])
        return {**result, "series": series} if series else result


def _moment(time_ns: int) -> str:
    return f"{datetime.fromtimestamp(time_ns / 1e9, UTC):%Y-%m-%dT%H:%M:%S.%f}Z"


def _rights(permissions: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["action"], one["resource"]["id"]) for one in permissions}


@contextmanager
def influx_2(port: int = 0, **settings: Any) -> Iterator[InfluxDB2]:
    """A running double of InfluxDB 2, fresh: it waits for its set-up."""
    double = InfluxDB2(**settings)
    with served(double, port):
        yield double
