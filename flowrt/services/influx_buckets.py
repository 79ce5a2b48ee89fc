"""Which buckets an InfluxDB 2 or 3 has, which of the wanted ones are missing, and whether a token may write to them.

InfluxDB 2 answers a write to a missing bucket with 404. InfluxDB 3 creates a database of that name instead and keeps its points for
ever, so that a mistyped name is never reported: compare the names before the first write. Nothing here changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from flowrt.system.http_client import HttpClient

DATABASES_MOST = 5
"""InfluxDB 3 Core holds no more."""
_INTERNAL = "_"
_RETENTION_3 = "SELECT database_name, retention_period_ns FROM system.databases WHERE deleted = false"


class Bucket(msgspec.Struct, frozen=True, kw_only=True):
    """A bucket, or database of InfluxDB 3. retention_s: None where points are kept for ever, or where the server does not report it."""

    name: str
    retention_s: float | None = None

    def __str__(self) -> str:
        if self.retention_s is None:
            return self.name
        days = self.retention_s / 86_400
        return f"{self.name} ({days:.0f} days)" if days >= 1 else f"{self.name} ({self.retention_s / 3600:.0f} h)"


class Buckets(msgspec.Struct, frozen=True, kw_only=True):
    """The result. found: those that the tokens can see; forbidden: wanted ones that the token may not write to.

    old: the server takes no v2 writes. error: why the server could not be asked, empty where it could.
    """

    version: str = ""
    found: tuple[Bucket, ...] = ()
    missing: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    old: bool = False
    error: str = ""

    @property
    def writable(self) -> bool:
        """Whether the token may write to every wanted bucket."""
        return not (self.missing or self.forbidden or self.old or self.error)

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
    # heavy, and not needed where a flow is only validated
    from flowrt.system.http_client import HttpClient, HttpError

    try:
        with (
            HttpClient(url, timeout_s=timeout_s, ca_file=ca_file, authorization=_authorization(token)) as client,
            HttpClient(
                url, timeout_s=timeout_s, ca_file=ca_file, authorization=_authorization(list_token or token)
            ) as lists,
        ):
            version = _version(client)
            if version.startswith("3"):
                return _inspect_3(client, version, wanted)
            return _inspect_2(client, lists, version, org, wanted)
    except (HttpError, ValueError) as error:
        return Buckets(error=str(error))


def inspect_if_3(client: HttpClient, wanted: Sequence[str]) -> Buckets | None:
    """The same with a connection that is there, by at most three requests; None where it leads to no InfluxDB 3.

    Raises HttpError, and ValueError where the answer is none of InfluxDB.
    """
    version = _version(client)
    return _inspect_3(client, version, wanted) if version.startswith("3") else None


def _authorization(token: str) -> str:
    return f"Token {token}" if token else ""


def _version(client: HttpClient) -> str:
    """As the server names it, `2.9.1`; empty where it does not."""
    return client.request("GET", "/ping").headers.get("X-Influxdb-Version", "").removeprefix("v")


def _inspect_2(client: HttpClient, lists: HttpClient, version: str, org: str, wanted: Sequence[str]) -> Buckets:
    missing, forbidden = [], []
    for name in wanted:
        query = {"org": org, "bucket": name, "precision": "ns"}
        answer = client.request("POST", "/api/v2/write", query=query, body=b"\n")  # a blank line writes nothing
        if answer.status in (401, 403):
            forbidden.append(name)
        elif answer.status == 404 and (b"bucket" in answer.body or b"database" in answer.body):
            missing.append(name)
        elif answer.status == 404 and b"organization" in answer.body:
            return Buckets(version=version, error=answer.text)
        elif answer.status == 404:
            return Buckets(version=version, old=True)
    listed = lists.request("GET", "/api/v2/buckets", query={"org": org, "limit": "100"})
    found: Iterable[Bucket] = ()
    if listed.status == 200:
        found = (Bucket(name=one["name"], retention_s=_retention(one)) for one in listed.json()["buckets"])
    return Buckets(version=version, found=_own(found), missing=tuple(missing), forbidden=tuple(forbidden))


def _inspect_3(client: HttpClient, version: str, wanted: Sequence[str]) -> Buckets:
    query = {"db": "_internal", "q": _RETENTION_3, "format": "json"}
    answer = client.request("GET", "/api/v3/query_sql", query=query)
    if answer.status == 200:
        found = [
            Bucket(name=row["database_name"], retention_s=_seconds(row.get("retention_period_ns")))
            for row in answer.json()
        ]
    else:
        answer = client.request("GET", "/api/v3/configure/database", query={"format": "json"})
        if answer.status in (401, 403):
            return Buckets(version=version, forbidden=tuple(wanted))
        if answer.status != 200:
            return Buckets(version=version, error=f"{answer.status}: {answer.text}")
        found = [Bucket(name=row["iox::database"]) for row in answer.json()]
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
