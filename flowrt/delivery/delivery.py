"""The outboxes of one flow: add, swap, remove, accept, count."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import msgspec

from flowrt.clock import Clock
from flowrt.delivery.deliverer import AWAY, Deliverer, Log
from flowrt.journal import EventRow, Journal, OutboxCounters, percentiles
from flowrt.node import Outbox
from flowrt.secrets import Secrets
from flowrt.sink import OutboxRecord
from flowrt.system.backoff import Backoff
from flowrt.system.histogram import Histogram
from flowrt.system.threads import Supervisor


class SinkStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """One outbox since the start of the run: resumed + accepted = delivered + dead_letters + dropped + pending.

    resumed: records that an earlier run had left. pending: on disk, without an acknowledgement. oldest_s: for how long the first in line has
    waited. state, for state_s seconds: connecting (nothing was delivered yet, and nothing failed), up (the last message was taken, or the node
    sees its service), waiting (trying again; last_error says why), refused (the service refuses every message until what last_error says is
    fixed), disabled (the node has no outside). latency_ms: p50 and p99 from capture to commit of the asked interval, of at most the last
    10,000 records with a capture time. errors: exceptions of the node that were neither Retry nor Reject.
    """

    accepted: int
    delivered: int
    pending: int
    dead_letters: int
    dropped: dict[str, int]
    resumed: int
    oldest_s: float
    rate_per_s: float
    last_error: str
    state: str
    state_s: float
    latency_ms: dict[str, float]
    errors: int
    retries: int


class Delivery:
    """The outboxes of one flow. Methods may be called from any thread; `accept` is the only one on a message's way."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        log: Log | None = None,
        *,
        backoff: Callable[[], Backoff] = Backoff,
        supervisor: Supervisor | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        """backoff: makes the waits of one outbox. supervisor: of the run's threads. secrets: masked in answers of the outside."""
        self._journal = journal
        self._clock = clock
        self._backoff = backoff
        self._log: Log = log or logging.getLogger("flowrt.delivery")
        self._supervisor = supervisor or Supervisor(self._log)
        self._secrets = secrets or Secrets()
        self._deliverers: dict[str, Deliverer] = {}
        self._lock = threading.Lock()
        journal.listen(self._wake_all)
        self._parked = set(journal.outboxes())

    def add(self, name: str, node: Outbox) -> None:
        """Start to deliver what waits, and will wait, for the outbox of that name. The node is open."""
        deliverer = self._deliverer(name, node)
        with self._lock:
            if name in self._deliverers:
                raise ValueError(f"there is an outbox '{name}' already")
            self._deliverers[name] = deliverer
            self._parked.discard(name)
        deliverer.start()

    def _deliverer(self, name: str, node: Outbox, attempts: Mapping[int, int] | None = None) -> Deliverer:
        return Deliverer(
            name,
            node,
            self._journal,
            self._log,
            self._backoff(),
            self._supervisor,
            mask=self._secrets.text,
            on_return=self._share_return,
            attempts=attempts,
        )

    def _share_return(self, returned: Deliverer) -> None:
        """One outbox got through after a failure: others of the same service need not wait any longer."""
        service = returned.node.outside
        if service is None:
            return
        with self._lock:
            others = [
                each for each in self._deliverers.values() if each is not returned and each.node.outside == service
            ]
        for other in others:
            other.try_now()

    def swap(self, name: str, node: Outbox, *, timeout_s: float = 10.0) -> None:
        """A reload: the same records go on with a new node. Waits until the old one's `deliver` is over or timed out."""
        old = self._deliverers[name]
        if not old.stop(timeout_s):
            self._log.warning(
                "'%s': the old node's delivery did not end within %.0f s; going on without it", name, timeout_s
            )
        new = self._deliverer(name, node, old.begun())
        with self._lock:
            self._deliverers[name] = new
        new.start()

    def remove(self, name: str, *, timeout_s: float) -> int:
        """Deliver what is left, as far as the time goes; park the rest. Returns how many records were left behind."""
        deliverer = self._deliverers[name]
        until = time.monotonic() + timeout_s
        self._journal.flush(timeout_s)
        while self._journal.pending(name) and time.monotonic() < until and deliverer.node.ready():
            time.sleep(0.02)
        deliverer.stop(max(until - time.monotonic(), 1.0))
        left = self._journal.pending(name)
        with self._lock:
            del self._deliverers[name]
            if left:
                self._parked.add(name)
        if left:
            self._log.warning("'%s' was removed with %d messages undelivered; they stay in the journal", name, left)
        self._journal.note(name, "parked" if left else "removed", deliverer.last_error, 0.0)
        return left

    def accept(
        self,
        name: str,
        records: Sequence[OutboxRecord],
        *,
        events: Sequence[EventRow] = (),
        refused: Sequence[tuple[OutboxRecord, str]] = (),
        origin_ns: int = 0,
    ) -> Sequence[str]:
        """Put records into the journal, for the outbox of that name. With `durability: commit` waits until they are on disk.

        refused: what becomes a dead letter at once, with the reason. Returns why others of the records did so, too.
        """
        wait = self._deliverers[name].node.durability == "commit"
        refused = [(record, self._secrets.text(reason)) for record, reason in refused]
        return self._journal.append(name, records, events=events, refused=refused, wait=wait, origin_ns=origin_ns)

    def parked(self) -> dict[str, int]:
        """Records of outboxes that no node delivers now, by name."""
        with self._lock:
            names = sorted(self._parked)
        return {name: count for name in names if (count := self._journal.pending(name))}

    def counters(self, name: str) -> OutboxCounters:
        """Counts of one outbox since the start of the run; to be read only."""
        return self._journal.counters(name)

    def acceptance(self, name: str) -> Histogram:
        """Times from capture to commit since the start of the run."""
        return self._journal.counters(name).acceptance

    def statistics(self, recent_s: float | None = None) -> dict[str, SinkStatistics]:
        """A snapshot of every outbox. recent_s: latencies of the last seconds only."""
        since_ns = 0 if recent_s is None else time.monotonic_ns() - int(recent_s * 1e9)
        with self._lock:
            deliverers = dict(self._deliverers)
        return {name: self._statistics_of(name, deliverer, since_ns) for name, deliverer in deliverers.items()}

    def _statistics_of(self, name: str, deliverer: Deliverer, since_ns: int) -> SinkStatistics:
        counters = self._journal.snapshot(name)
        return SinkStatistics(
            accepted=counters.accepted,
            delivered=counters.delivered,
            pending=counters.pending,
            dead_letters=counters.dead_letters,
            dropped=counters.dropped,
            resumed=counters.resumed,
            oldest_s=self._journal.oldest_s(name),
            rate_per_s=deliverer.rate_per_s,
            last_error=deliverer.last_error,
            state=deliverer.state,
            state_s=round(deliverer.state_s, 3),
            latency_ms=percentiles(counters.latencies_ms(since_ns)),
            errors=deliverer.errors,
            retries=deliverer.retries,
        )

    def trouble(self) -> list[str]:
        """What keeps the delivery from being ready, one sentence each; a service that is away is none. Does not wait for the disk."""
        journal = self._journal.statistics().trouble
        return [*([f"journal: {journal}"] if journal else []), *self._supervisor.trouble()]

    def drain(self, timeout_s: float) -> None:
        """Wait until everything accepted is delivered, for as long as the outside takes it, at most `timeout_s`."""
        until = time.monotonic() + timeout_s
        self._journal.flush(timeout_s)
        with self._lock:
            deliverers = dict(self._deliverers)
        for name, deliverer in deliverers.items():
            while self._journal.pending(name) and deliverer.state not in AWAY and time.monotonic() < until:
                time.sleep(0.01)

    def close(self, timeout_s: float) -> None:
        """Stop every deliverer. What has no acknowledgement stays in the journal, which the caller closes."""
        with self._lock:
            deliverers = list(self._deliverers.values())
        until = time.monotonic() + timeout_s
        for deliverer in deliverers:
            deliverer.end()
        for deliverer in deliverers:
            if not deliverer.stop(max(until - time.monotonic(), 0.05)):
                self._log.warning(
                    "'%s': delivery did not end in time; its messages stay in the journal", deliverer.name
                )
        self._journal.flush(max(until - time.monotonic(), 0.5))  # the last acknowledgements, too

    def _wake_all(self) -> None:
        with self._lock:
            deliverers = list(self._deliverers.values())
        for deliverer in deliverers:
            deliverer.wake()
