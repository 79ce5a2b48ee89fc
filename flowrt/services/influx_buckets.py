"""Which buckets an InfluxDB 2 or 3 has, which of the wanted ones are missing, and whether a token may write to them.

InfluxDB 2 answers a write to a missing bucket with 404. InfluxDB 3 creates a database of that name instead and keeps its points for
ever, so that a mistyped name is never reported: compare the names before the first write. Nothing here changes anything.
"""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

DATABASES_MOST = 5
"""InfluxDB 3 Core holds no more."""
_INTERNAL = "_"
_RETENTION_3 = "SELECT database_name, retention_period_ns FROM system.databases WHERE deleted = false"


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket, or database of InfluxDB 3. retention_s: None where points are kept for ever, or where it is not told."""

    name: str
    retention_s: float | None = None

    def __str__(self) -> str:
        if self.retention_s is None:
            return self.name
        days = self.retention_s / 86_400
        return f"{self.name} ({days:.0f} days)" if days >= 1 else f"{self.name} ({self.retention_s / 3600:.0f} h)"


class Buckets(msgspec.Struct, frozen=True, kw_only=True):
    """The result. found: those that the tokens can see; forbidden: wanted ones that the token may not write to.

    old: the server takes no v2 writes. error: why the question could not be answered, empty where it could.
    """

    version: str = ""
    found: tuple[Bucket, ...] = ()
    missing: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    old: bool = False
    error: str = ""

    @property
    def advice(self) -> str:
        """What is there, and what to do about a missing bucket; empty where none is missing."""
        if not self.missing:
            return ""
        there = f"there are {', '.join(map(str, self.found))}; " if self.found else ""
        if self.version.startswith("3") and len(self.found) >= DATABASES_MOST:
            return f"{there}InfluxDB 3 Core holds at most {DATABASES_MOST} databases: delete one, or correct the name"
        return f"{there}create it with `flowrt services up`, or correct the name in the flow's services"


def inspect(
    url: str,
    token: str,
    org: str,
    wanted: Sequence[str],
    *,
    timeout_s: float,
    list_token: str = "",
    ca_file: str = "",
) -> Buckets:
    """Look for the wanted buckets. list_token: one that may list buckets, where `token` may only write."""
    server = _Server(url, timeout_s, ca_file)
    try:
        version = server.version(token)
        if version.startswith("3"):
            return _inspect_3(server, version, token, wanted)
        return _inspect_2(server, version, token, org, wanted, list_token or token)
    except (OSError, ValueError) as error:
        return Buckets(error=str(getattr(error, "reason", error)))


def _inspect_2(server: _Server, version: str, token: str, org: str, wanted: Sequence[str], list_token: str) -> Buckets:
    missing, forbidden = [], []
    for name in wanted:
        query = urllib.parse.urlencode({"org": org, "bucket": name, "precision": "us"})
        status, body = server.ask(f"/api/v2/write?{query}", token, b"\n")  # a blank line writes nothing
        if status in (401, 403):
            forbidden.append(name)
        elif status == 404 and (b"bucket" in body or b"database" in body):
            missing.append(name)
        elif status == 404 and b"organization" in body:
            return Buckets(version=version, error=_message(body))
        elif status == 404:
            return Buckets(version=version, old=True)
    status, body = server.ask(f"/api/v2/buckets?{urllib.parse.urlencode({'org': org, 'limit': 100})}", list_token)
    found: Iterable[Bucket] = ()
    if status == 200:
        found = (Bucket(name=one["name"], retention_s=_retention(one)) for one in json.loads(body)["buckets"])
    return Buckets(version=version, found=_own(found), missing=tuple(missing), forbidden=tuple(forbidden))


def _inspect_3(server: _Server, version: str, token: str, wanted: Sequence[str]) -> Buckets:
    query = urllib.parse.urlencode({"db": "_internal", "q": _RETENTION_3, "format": "json"})
    status, body = server.ask(f"/api/v3/query_sql?{query}", token)
    if status == 200:
        rows = json.loads(body)
        found = [
            Bucket(name=row["database_name"], retention_s=_seconds(row.get("retention_period_ns"))) for row in rows
        ]
    else:
        status, body = server.ask("/api/v3/configure/database?format=json", token)
        if status in (401, 403):
            return Buckets(version=version, forbidden=tuple(wanted))
        if status != 200:
            return Buckets(version=version, error=f"{status}: {_message(body)}")
        found = [Bucket(name=row["iox::database"]) for row in json.loads(body)]
    there = _own(found)
    names = {bucket.name for bucket in there}
    return Buckets(version=version, found=there, missing=tuple(name for name in wanted if name not in names))


def _own(buckets: Iterable[Bucket]) -> tuple[Bucket, ...]:
    """Without the server's own."""
    return tuple(bucket for bucket in buckets if not bucket.name.startswith(_INTERNAL))


def _retention(bucket: dict[str, Any]) -> float | None:
    rules = bucket.get("retentionRules") or [{}]
    return float(rules[0].get("everySeconds") or 0) or None


def _seconds(nanoseconds: int | None) -> float | None:
    return nanoseconds / 1e9 if nanoseconds else None


def _message(body: bytes) -> str:
    text = body.decode("utf-8", "replace")
    try:
        facts = json.loads(text)
    except ValueError:
        return text[:200]
    return str(facts.get("message") or facts.get("error") or text)[:200] if isinstance(facts, dict) else text[:200]


class _Server:
    def __init__(self, url: str, timeout_s: float, ca_file: str) -> None:
        self._url, self._timeout_s = url.rstrip("/"), timeout_s
        self._tls = ssl.create_default_context(cafile=ca_file or None) if url.startswith("https") else None

    def version(self, token: str) -> str:
        """As the server names it, `2.9.1`; empty where it does not."""
        with self._open("/ping", token) as answer:
            return str(answer.headers.get("X-Influxdb-Version") or "").removeprefix("v")

    def ask(self, path: str, token: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Status and body; errors of the server are answers too."""
        with self._open(path, token, body) as answer:
            return answer.status, answer.read(100_000)

    def _open(self, path: str, token: str, body: bytes | None = None) -> Any:
        headers = {"Authorization": f"Token {token}"} if token else {}
        request = urllib.request.Request(self._url + path, data=body, headers=headers)
        try:
            return urllib.request.urlopen(request, timeout=self._timeout_s, context=self._tls)
        except urllib.error.HTTPError as error:
            return error
