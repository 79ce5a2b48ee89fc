"""Keep the history in InfluxDB: each message as the points that the contract makes of it, at event time.

One record is one line, so that a point which the database refuses can be put aside alone. `deliver` gathers records until a batch is
full or old enough; what is gathered has no acknowledgement yet and so is still the journal's.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from flowrt import Acknowledger, Context, Message, Outbox, OutboxRecord, Retry, ServiceName, setting

if TYPE_CHECKING:
    from flowrt_nodes.influx._writer import InfluxWriter

_NANOSECONDS = {"precision": "ns"}
"""Header of each record; what an earlier version left in the journal has none, and times in microseconds."""


class InfluxOut(Outbox):
    """Write points to InfluxDB 2 or 3, by the measurements of the contract.

    Measurement, tags, fields and their types are those of `schemas/measurements/`. Without an address everything waits in
    the journal until there is one. A slow or dead database holds up nothing but this node's own queue.
    """

    contract: ClassVar[str] = "measurements"
    guarantee: ClassVar[str] = (
        "At least once. A point leaves the journal when the database took it (204). Its time is the event's own, so a repetition "
        "changes nothing. A point that the database refuses (a field of another type) becomes a dead letter, and only it."
    )
    example: ClassVar[str] = "to_history: {type: influx_out, from: [red_light, health]}"

    service: Annotated[ServiceName, setting("The database's block in `services`.", restart=True)] = "influx"
    batch_points: Annotated[int, setting("Most points in one write.", ge=1, le=50_000)] = 5000
    batch_kb: Annotated[float, setting("Most kilobytes in one write, before compression.", gt=0)] = 1000.0
    flush_s: Annotated[float, setting("Longest time that a point waits for others.", ge=0, le=60)] = 1.0
    gzip: Annotated[bool | None, setting("Compress; null: unless the database is on this machine.", restart=True)] = (
        None
    )
    timeout_s: Annotated[float, setting("Longest wait for an answer.", gt=0, le=600, restart=True)] = 10.0

    @property
    def outside(self) -> object | None:
        return self._writer.address if self._writer else None

    @property
    def window(self) -> int:
        return 2 * self.batch_points

    @property
    def tick_s(self) -> float:
        if not self._gathered:
            return super().tick_s
        return min(max(self._since + self.flush_s - time.monotonic(), 0.001), super().tick_s)

    def open(self, context: Context) -> None:
        # brings urllib3 and TLS, which a flow that is only validated does not load
        from flowrt_nodes.influx._writer import InfluxWriter, PriorityOf, service_of

        self._service = service_of(context, self.service)
        self._buckets = {"monitoring": self._service.bucket, "analytics": self._service.analytics_bucket}
        ca_file = str(context.path(self._service.ca_file)) if self._service.ca_file else ""
        self._gathered: list[OutboxRecord] = []
        self._gathered_bytes = 0
        self._since = 0.0
        self._written = 0
        self._warned_of: set[str] = set()  # buckets that drop points for their age
        self._priority_of = PriorityOf(context.contract)
        self._writer: InfluxWriter | None = None
        if self._service.url:
            self._writer = InfluxWriter(self._service, timeout_s=self.timeout_s, compress=self.gzip, ca_file=ca_file)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def ready(self) -> bool:
        return self._writer is not None

    def status(self) -> dict[str, Any]:
        writer = self._writer
        if writer is None:
            return {"database": "no address; points wait in the journal"}
        return {"database": writer.address, "bucket": self._service.bucket, "points": self._written}

    # -- encoding: on the thread that brought the message ---------------------------------------------------------------

    def encode(self, message: Message) -> Iterator[OutboxRecord]:
        context = self.context
        priority = self._priority_of(type(message))
        for spec, line in context.contract.lines_of(message, context.site):
            yield OutboxRecord(
                id=getattr(message, "id", ""),
                time_s=message.time_s,
                address=spec.measurement,
                body=line,
                priority=priority,
                headers=_NANOSECONDS,
            )

    # -- delivery: on the outbox's own thread ------------------------------------------------------------------------

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        most, most_bytes = self.batch_points, self.batch_kb * 1000
        if records and not self._gathered:
            self._since = time.monotonic()
        for record in records:
            size = len(record.body) + 1
            if self._gathered_bytes + size > most_bytes or len(self._gathered) >= most:
                self._write(acknowledger)
                self._since = time.monotonic()
            self._gathered.append(record)
            self._gathered_bytes += size
        old = time.monotonic() - self._since >= self.flush_s or self.context.stopping.is_set()
        old = old or any(record.attempts for record in records)  # the deliverer tries whether the database is back
        full = len(self._gathered) >= self.batch_points
        if self._gathered and (old or full):
            self._write(acknowledger)

    def _write(self, acknowledger: Acknowledger) -> None:
        """Write what is gathered. Raises Retry; then all of it that has no acknowledgement comes again."""
        from flowrt_nodes.influx._writer import write_isolating  # see `open`

        writer = self._writer
        if writer is None:
            raise Retry("no address of a database, waiting")
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        batches: dict[tuple[str, str], list[OutboxRecord]] = defaultdict(list)
        buckets = {address: self._bucket(address) for address in {record.address for record in gathered}}
        for record in gathered:
            batches[buckets[record.address], record.headers.get("precision", "us")].append(record)
        for (bucket, precision), records in batches.items():

            def write(part: Sequence[OutboxRecord], bucket: str = bucket, precision: str = precision) -> None:
                writer.write(bucket, b"\n".join([record.body for record in part]), precision)
                acknowledger.delivered_all(part)

            written = write_isolating(records, write, acknowledger.rejected_all)
            self._written += len(written)
            if written and bucket not in self._warned_of:
                self._warn_of_age(writer, bucket, min(record.time_s for record in written))

    def _warn_of_age(self, writer: InfluxWriter, bucket: str, oldest_s: float) -> None:
        """Once for each bucket: InfluxDB 2 refuses points older than it keeps; InfluxDB 3 says that it took them."""
        keeps_s = writer.drops_silently(bucket, oldest_s)
        if keeps_s is not None:
            self._warned_of.add(bucket)
            self.context.log.warning(
                "the database at %s keeps points of '%s' for %.1f days, and drops older ones without a word; there are some here",
                writer.address, bucket, keeps_s / 86_400,
            )  # fmt: skip

    def _bucket(self, measurement: str) -> str:
        spec = self.context.contract.measurements.get(measurement)
        return self._buckets[spec.bucket if spec else "monitoring"]
