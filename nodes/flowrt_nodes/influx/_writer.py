"""Writes of ready lines to InfluxDB's v2 API, and what its answers mean for the lines.

Batching, retrying and isolating are done here rather than by the database's own client, since a line must leave the journal only when
the database has it. What the answers of InfluxDB 2 and 3 mean is written in docs/services.md.
"""

from __future__ import annotations

import gzip
import math
import re
import time
from collections.abc import Callable, Sequence
from email.utils import parsedate_to_datetime
from urllib.parse import urlsplit

from flowrt import Context, Message, Objects, OutboxRecord, Performance, Priority, Retry
from flowrt.contract import Contract, NotInContract
from flowrt.services import Influx, influx_buckets
from flowrt.system.http_client import Answer, HttpClient, HttpError

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_WRITTEN = 204
_BAD_LINES = frozenset({400, 413, 422})
_MOST_WAIT_S = 600.0
_DROPPED = re.compile(r"\bdropped=(\d+)")


def service_of(context: Context, name: str) -> Influx:
    """The database's block of that name; one without an address where the flow has none."""
    service = context.services.get(name)
    return service if isinstance(service, Influx) else Influx()


class PriorityOf:
    """How critical the points of a message are: as its topic has it; without a topic, by what it is."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._known: dict[type[Message], Priority] = {}

    def __call__(self, kind: type[Message]) -> Priority:
        known = self._known.get(kind)
        if known is None:
            try:
                known = self._contract.topic(kind).priority
            except NotInContract:
                known = "telemetry" if issubclass(kind, (Objects, Performance)) else "event"
            self._known[kind] = known
        return known


class Refused(Exception):
    """The database will not take these lines as they are. dropped: how many of them it left out, where it says so."""

    def __init__(self, text: str, dropped: int = 0) -> None:
        super().__init__(text)
        self.dropped = dropped


class InfluxWriter:
    """One connection to one server. Not for several threads at once."""

    def __init__(self, service: Influx, *, timeout_s: float, compress: bool | None, ca_file: str) -> None:
        """compress: None compresses unless the server is on this machine, where it would cost more than it saves."""
        self._service, self._timeout_s, self._ca_file = service, timeout_s, ca_file
        self._token = service.token.strip()  # a line break at its end is the file's, not the token's
        parts = urlsplit(service.url)
        self.address = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._compress = parts.hostname not in LOOPBACK if compress is None else compress
        self._client: HttpClient | None = None
        self._keeps_s: dict[str, float | None] = {}  # by bucket that was looked for; None: for ever, or not known

    def write(self, bucket: str, lines: bytes, precision: str) -> None:
        """Write lines. precision: the unit of their times, ns or us.

        Raises Retry where the database can't take anything now, Refused where it can't take these lines.
        """
        client = self._client or self._connect()
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if self._compress:
            lines, headers["Content-Encoding"] = gzip.compress(lines, 6), "gzip"
        query = {"org": self._service.org, "bucket": bucket, "precision": precision}
        try:
            if bucket not in self._keeps_s:
                self._look_for(client, bucket)
            answer = client.request("POST", "/api/v2/write", query=query, body=lines, headers=headers)
        except HttpError as error:
            raise Retry(f"the database at {self.address} does not answer: {error}") from error
        if answer.status != _WRITTEN:
            self._judge(answer)

    def _connect(self) -> HttpClient:
        try:
            self._client = HttpClient(
                self._service.url,
                timeout_s=self._timeout_s,
                ca_file=self._ca_file,
                authorization=f"Token {self._token}" if self._token else "",
            )
        except ValueError as error:
            raise Retry(f"the database at {self.address} can't be asked: {error}", refused=True) from error
        return self._client

    def _look_for(self, client: HttpClient, bucket: str) -> None:
        """InfluxDB 3 makes a database of any name that is written to: a mistyped one has to be noticed before. Raises Retry."""
        self._keeps_s[bucket] = None
        try:
            buckets = influx_buckets.inspect_if_3(client, [bucket])
        except (
            HttpError,
            ValueError,
            KeyError,
            TypeError,
        ):  # the last three: an answer of another form; the write tells more
            return
        if buckets is None:
            return
        if bucket in buckets.missing:
            del self._keeps_s[bucket]
            text = f"the database at {self.address}: there is no bucket '{bucket}'; {buckets.advice}"
            raise Retry(text, refused=True)
        self._keeps_s[bucket] = next((one.retention_s for one in buckets.found if one.name == bucket), None)

    def drops_silently(self, bucket: str, time_s: float) -> float | None:
        """After how long, seconds, an InfluxDB 3 drops a point of that time, which it takes without a word; None where it does not."""
        keeps_s = self._keeps_s.get(bucket)
        return keeps_s if keeps_s is not None and time_s < time.time() - keeps_s else None

    def _judge(self, answer: Answer) -> None:
        """Raise what the answer to a failed write means."""
        status, said = answer.status, answer.text
        where = f"the database at {self.address}"
        if status in _BAD_LINES:
            dropped = _DROPPED.search(said) or _DROPPED.search(answer.body.decode("utf-8", "replace"))
            raise Refused(f"{status}: {said}", int(dropped[1]) if dropped else 0)
        if status in (401, 403):
            text = f"{where} refuses the token ({status}): {said}; check token, organisation and bucket"
            raise Retry(text, refused=True)
        if status == 404:
            text = f"{where} has no such bucket or organisation (404): {said}; check bucket and organisation"
            raise Retry(text, refused=True)
        if status < 400:
            text = f"{where} answers {status} where InfluxDB says 204: is another program, or a sign-in page, at this address?"
            raise Retry(text)
        after_s = retry_after_s(answer.headers.get("Retry-After", "")) if status in (429, 503) else None
        raise Retry(f"{where} answers {status}: {said}", after_s)

    def close(self) -> None:
        """Close the connection; the next write opens another."""
        if self._client is not None:
            self._client.close()
        self._client = None


def write_isolating(
    records: Sequence[OutboxRecord],
    write: Callable[[Sequence[OutboxRecord]], None],
    rejected: Callable[[Sequence[OutboxRecord], str], None],
) -> list[OutboxRecord]:
    """Write a batch; halve it where it is refused, until only records that are to blame are left. Returns what was written.

    Writing a line twice changes nothing, so halves may repeat what a partial write had taken. Raises Retry.
    """
    written: list[OutboxRecord] = []
    parts = [list(records)]
    while parts:
        part = parts.pop()
        try:
            write(part)
        except Refused as refusal:
            if len(part) == 1 or refusal.dropped >= len(part):
                rejected(part, f"the database refuses it, {refusal}")
            else:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
        else:
            written += part
    return written


def retry_after_s(said: str) -> float | None:
    """Seconds or an HTTP date; None where the server does not say, or says nonsense."""
    said = said.strip()
    try:
        seconds = float(said)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(said).timestamp() - time.time()
        except (ValueError, OverflowError, OSError):  # the last two: a year that no clock has
            return None
    return min(max(seconds, 0.0), _MOST_WAIT_S) if math.isfinite(seconds) else None
