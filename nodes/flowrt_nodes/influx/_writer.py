"""Writes of ready lines to InfluxDB's v2 API, and what its answers mean for the lines.

The client package does the writing; batching, retrying and isolating are done here, since a line must leave the journal only when
the database has it.
"""

from __future__ import annotations

import http.client
import ssl
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from flowrt import Context, Message, Objects, OutboxRecord, Performance, Priority, Retry
from flowrt.contract import Contract, NotInContract
from flowrt.services import Influx

if TYPE_CHECKING:
    from influxdb_client.client.write_api import WriteApi

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_BAD_LINES = frozenset({400, 413, 422})
_MOST_WAIT_S = 600.0


def service_of(context: Context, name: str) -> Influx:
    """The database's block of that name; one without an address where the flow has none."""
    service = context.services.get(name)
    return service if isinstance(service, Influx) else Influx()


class Urgencies:
    """How critical the points of a message are: as its topic has it; without a topic, by what it is."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._known: dict[type[Message], Priority] = {}

    def of(self, kind: type[Message]) -> Priority:
        """Of messages of that type."""
        known = self._known.get(kind)
        if known is None:
            try:
                known = self._contract.topic(kind).priority
            except NotInContract:
                known = "telemetry" if issubclass(kind, (Objects, Performance)) else "event"
            self._known[kind] = known
        return known


class Refused(Exception):
    """The database will not take these lines as they are."""


class InfluxWriter:
    """One connection to one server. Not for several threads at once."""

    def __init__(self, service: Influx, *, timeout_s: float, gzip: bool | None, ca_file: str | None) -> None:
        """gzip: None compresses unless the server is on this machine, where it would cost more than it saves."""
        self._service, self._timeout_s, self._ca_file = service, timeout_s, ca_file
        parts = urlsplit(service.url)
        self.address = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._gzip = parts.hostname not in LOOPBACK if gzip is None else gzip
        self._client: Any = None
        self._api: WriteApi | None = None
        self._errors: tuple[type[Exception], ...] = ()

    def write(self, bucket: str, lines: bytes) -> None:
        """Write lines with times in microseconds.

        Raises Retry where the database can't take anything now, Refused where it can't take these lines.
        """
        from influxdb_client.rest import ApiException

        api = self._api or self._connect()
        try:
            api.write(bucket, self._service.org, lines, write_precision="us")
        except ApiException as error:
            self._judge(error)
        except self._errors as error:
            self.close()
            raise Retry(f"the database at {self.address} does not answer: {_plain(error)}") from error

    def _connect(self) -> WriteApi:
        import urllib3
        from influxdb_client import InfluxDBClient
        from influxdb_client.client.write_api import SYNCHRONOUS

        service = self._service
        self._errors = (urllib3.exceptions.HTTPError, http.client.HTTPException, ssl.SSLError, OSError)
        self._client = InfluxDBClient(
            service.url,
            token=service.token or None,
            org=service.org,
            timeout=int(self._timeout_s * 1000),
            enable_gzip=self._gzip,
            ssl_ca_cert=self._ca_file,
        )
        api: WriteApi = self._client.write_api(write_options=SYNCHRONOUS)
        self._api = api
        return api

    def _judge(self, error: Any) -> None:
        """Raise what a failed write means."""
        status, said = int(error.status or 0), _message(error)
        where = f"the database at {self.address}"
        if status in _BAD_LINES:
            raise Refused(f"{status}: {said}") from None
        if status in (401, 403):
            text = f"{where} refuses the token ({status}): {said}; check token, organisation and bucket"
            raise Retry(text, refused=True) from None
        if status == 404:
            text = f"{where} has no such bucket or organisation (404): {said}; check bucket and organisation"
            raise Retry(text, refused=True) from None
        after_s = _retry_after_s(error.headers) if status in (429, 503) else None
        raise Retry(f"{where} answers {status}: {said}", after_s) from None

    def close(self) -> None:
        """Close the connection; the next write opens another."""
        if self._client is not None:
            self._client.close()
        self._client = self._api = None


def write_isolating(
    records: Sequence[OutboxRecord],
    write: Callable[[Sequence[OutboxRecord]], None],
    rejected: Callable[[OutboxRecord, str], None],
) -> list[OutboxRecord]:
    """Write a batch; halve it where it is refused, until each record that is to blame is alone. Returns what was written.

    Writing a line twice changes nothing, so halves may repeat what a partial write had taken. Raises Retry.
    """
    written: list[OutboxRecord] = []
    parts = [list(records)]
    while parts:
        part = parts.pop()
        try:
            write(part)
        except Refused as refusal:
            if len(part) == 1:
                rejected(part[0], f"the database refuses it, {refusal}")
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
        else:
            written += part
    return written


def _message(error: Any) -> str:
    """What the server says of the failure, in one line."""
    body = error.body if isinstance(error.body, bytes) else str(error.body or "").encode()
    try:
        told = msgspec.json.decode(body)
        text = str(told.get("message") or told.get("error") or told) if isinstance(told, dict) else str(told)
    except msgspec.DecodeError:
        text = body.decode("utf-8", "replace")
    text = " ".join(text.split()) or str(error.reason or "no reason given")
    return text if len(text) <= 300 else f"{text[:300]} …"


def _retry_after_s(headers: Any) -> float | None:
    """Seconds or an HTTP date; None where the server does not say, or says nonsense."""
    said = str((headers or {}).get("Retry-After", "")).strip()
    if not said:
        return None
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except ValueError:
            return None
    return min(max(seconds, 0.0), _MOST_WAIT_S)


def _plain(error: BaseException) -> str:
    """The innermost reason, without objects' addresses."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, BaseException):
        return _plain(reason)
    text = str(error).rpartition(">: ")[2] or str(error)
    return f"{text or type(error).__name__}"
