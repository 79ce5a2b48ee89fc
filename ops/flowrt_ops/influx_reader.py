"""Reading from the database as Grafana does: InfluxQL over `/query`, on InfluxDB 1, 2 and 3."""

from __future__ import annotations

import base64
import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

import msgspec

from flowrt.commands import Failure
from flowrt_ops.grafana.influxql import LIVE, LONG

DATABASES = {LIVE: "traffic_monitoring", LONG: "traffic_analytics"}


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
        self._headers: Mapping[str, str] = {}
        if token:
            self._headers = {"Authorization": f"Token {token}"}
        elif user:
            pair = base64.b64encode(f"{user}:{password}".encode()).decode()
            self._headers = {"Authorization": f"Basic {pair}"}

    def query(self, text: str, database: str) -> list[Series]:
        """The series of the answer. Raises Refused."""
        form = urllib.parse.urlencode({"q": text, "db": database, "epoch": "ms"}).encode()
        try:
            request = urllib.request.Request(f"{self.url}/query", data=form, headers=dict(self._headers))
            with urllib.request.urlopen(request, timeout=self._timeout_s) as answer:
                result = json.load(answer)["results"][0]
        except urllib.error.HTTPError as error:
            with error:
                raise Refused(_reason(error, database)) from error
        except (OSError, ValueError, KeyError, IndexError) as error:
            reason = getattr(error, "reason", error)
            raise Refused(
                f"{self.url} gives no answer ({reason}): is it the database's address, and does it run?"
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


def _reason(error: urllib.error.HTTPError, database: str) -> str:
    if error.code in (401, 403):
        return f"the database refuses the account ({error.code}): check user and password, or the token"
    said = error.read(2000).decode("utf-8", "replace")
    with contextlib.suppress(ValueError):
        said = json.loads(said).get("error") or json.loads(said).get("message") or said
    return _advice(f"{error.code}: {said}", database)


def _advice(said: str, database: str) -> str:
    if "not found" in said and "database" in said:
        return (
            f"there is no bucket '{database}': create it (flowrt services init writes the script), or correct the name"
        )
    return said
