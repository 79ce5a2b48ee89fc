"""What a journal counts while it is open."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from flowrt.journal.storage.write_batch import Dropped, TransactionCounts
from flowrt.system.histogram import Histogram

RECENT = 10_000
"""Over how many of the last values percentiles are taken."""


class OutboxCounters(msgspec.Struct):
    """Counts of one outbox since the journal was opened: resumed + accepted = delivered + dead_letters + dropped + pending, at any time.

    resumed: records that an earlier run had left. dropped: by priority, and `unreadable` for what damage took. oldest_s: when, on the scale of ages, the first record in line was queued.
    latencies: when records were committed (`time.monotonic_ns()`), and how long after capture, in milliseconds. acceptance: the same times of
    all records.
    """

    accepted: int = 0
    delivered: int = 0
    dead_letters: int = 0
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    resumed: int = 0
    pending: int = 0
    oldest_s: float = 0.0
    latencies: deque[tuple[int, float]] = msgspec.field(default_factory=lambda: deque(maxlen=RECENT))
    acceptance: Histogram = msgspec.field(default_factory=Histogram)

    def count(self, counts: TransactionCounts, age_s: float) -> None:
        """What one transaction did."""
        self.accepted += counts.accepted
        self.delivered += counts.delivered
        self.dead_letters += counts.dead_letters
        if not self.pending:
            self.oldest_s = age_s
        self.pending += counts.accepted - counts.delivered - counts.dead_letters

    def count_dropped(self, dropped: Dropped) -> None:
        """What a limit took."""
        self.dropped[dropped.priority] = self.dropped.get(dropped.priority, 0) + dropped.records
        self.pending -= dropped.records

    def recounted(self, pending: int) -> None:
        """Another process queued dead letters again, of this run first, else of earlier ones; or damage took some of what waits."""
        again = pending - self.pending
        self.pending = pending
        if again < 0:
            self.dropped["unreadable"] = self.dropped.get("unreadable", 0) - again
            return
        of_this_run = min(again, self.dead_letters)
        self.dead_letters -= of_this_run
        self.resumed += again - of_this_run

    def snapshot(self) -> OutboxCounters:
        """A copy. Latencies are those of the original."""
        return msgspec.structs.replace(self, dropped=dict(self.dropped))

    def latencies_ms(self, since_ns: int = 0) -> list[float]:
        """Capture to commit, of what was committed since that `time.monotonic_ns()`; of the last `RECENT` at most."""
        return [latency_ms for committed_ns, latency_ms in list(self.latencies) if committed_ns >= since_ns]


class JournalStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. buffered: records not yet committed. trouble: what is wrong with the journal now; empty where nothing is.

    dropped: by priority, all outboxes. recovered: what was done about damage, one line each time. lost_events: rows for `flowrt events` that
    could not be written.
    """

    file_mb: float
    buffered: int
    commits: int
    commit_ms: dict[str, float]
    trouble: str
    dropped: dict[str, int]
    recovered: tuple[str, ...]
    lost_events: int


def all_dropped(counters: Iterable[OutboxCounters]) -> dict[str, int]:
    """What limits took, by priority, over all outboxes."""
    dropped: dict[str, int] = {}
    for each in counters:
        for priority, count in each.dropped.items():
            dropped[priority] = dropped.get(priority, 0) + count
    return dropped


def percentiles(values: Sequence[float] | deque[float]) -> dict[str, float]:
    """p50 and p99; empty where there is nothing."""
    if not values:
        return {}
    ordered = sorted(values)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[min(len(ordered) * 99 // 100, len(ordered) - 1)]}


def file_mb(path: Path | None) -> float:
    """Size of a journal and its write-ahead log; 0 in memory."""
    if path is None:
        return 0.0
    size = 0
    for file in (path, path.with_name(path.name + "-wal")):
        with contextlib.suppress(OSError):
            size += file.stat().st_size
    return size / 1e6
