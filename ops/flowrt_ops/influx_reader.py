"""Reading from the database as Grafana does: InfluxQL over `/query`, on InfluxDB 1, 2 and 3."""

from __future__ import annotations

import urllib.parse
from typing import Any

import msgspec

from flowrt.commands import Failure
from flowrt.system.http_client import HttpClient, HttpError, basic
from flowrt_ops.grafana.influxql import LIVE, LONG

DATABASES: dict[str, str] = {LIVE: "traffic_monitoring", LONG: "traffic_analytics"}
_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_MOST_BYTES = 256 * 2**20


class Refused(Failure):
    """The database refused the query or gave no answer; the message says why and what to do."""


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """One series of an answer. Times are in the column `time`, in milliseconds since the epoch."""

    name: str
    tags: dict[str, str] = {}
    columns: list[str]
    values: list[list[Any]]

    def column(self, name: str) -> list[Any]:
        """One column."""
        at = self.columns.index(name)
        return [row[at] for row in self.values]


class Reader:
    """Sends queries. user and password, or token: a read-only account."""

    def __init__(
        self, url: str, *, user: str = "", password: str = "", token: str = "", timeout_s: float = 20.0
    ) -> None:
        self.url = url.rstrip("/")
        self._timeout_s = timeout_s
        self._authorization = f"Token {token}" if token else basic(user, password) if user else ""

    def query(self, text: str, database: str) -> list[Series]:
        """The series of the answer. Raises Refused."""
        form = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ms"}).encode()
        try:
            with HttpClient(self.url, timeout_s=self._timeout_s, authorization=self._authorization) as client:
                answer = client.request("POST", "/query", body=form, headers=_FORM, most_bytes=_MOST_BYTES)
            if answer.status in (401, 403):
                raise Refused(
                    f"the database refuses the account ({answer.status}): check user and password, or the token"
                )
            if answer.status != 200:
                raise Refused(_advice(f"{answer.status}: {answer.text}", database))
            result = answer.json()["results"][0]
        except (HttpError, ValueError, KeyError, IndexError) as error:
            raise Refused(
                f"{self.url} gives no answer ({error}): is it the database's address, and does it run?"
            ) from error
        if "error" in result:
            raise Refused(_advice(str(result["error"]), database))
        return [
            Series(
                name=series.get("name", ""),
                tags=series.get("tags") or {},
                columns=series["columns"],
                values=series.get("values") or [],
            )
            for series in result.get("series") or ()
        ]


def _advice(said: str, database: str) -> str:
    if "not found" in said and "database" in said:
        return (
            f"there is no bucket '{database}': create it (flowrt services init writes the script), or correct the name"
        )
    return said
