"""What a journal counts while it is open."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

RECENT = 10_000
"""Over how many of the last values percentiles are taken."""


class OutboxTally(msgspec.Struct):
    """Counts of one outbox since the journal was opened. resumed: records that an earlier run had left.

    latencies: when records were committed (`time.monotonic_ns()`), and how long after capture, in milliseconds.
    """

    accepted: int = 0
    delivered: int = 0
    dead_letters: int = 0
    dropped: dict[str, int] = msgspec.field(default_factory=dict)
    resumed: int = 0
    latencies: deque[tuple[int, float]] = msgspec.field(default_factory=lambda: deque(maxlen=RECENT))

    def count(self, accepted: int, delivered: int, dead_letters: int) -> None:
        """What one transaction did."""
        self.accepted += accepted
        self.delivered += delivered
        self.dead_letters += dead_letters

    def latencies_ms(self, since_ns: int = 0) -> list[float]:
        """Capture to commit, of what was committed since that `time.monotonic_ns()`; of the last `RECENT` at most."""
        return [latency_ms for committed_ns, latency_ms in list(self.latencies) if committed_ns >= since_ns]


class JournalStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot. buffered: records not yet committed. trouble: why commits fail now; empty when they don't.

    dropped: by priority, all outboxes. recovered: what was done about damage, one line each time.
    """

    file_mb: float
    buffered: int
    commits: int
    commit_ms: dict[str, float]
    trouble: str
    dropped: dict[str, int]
    recovered: tuple[str, ...]


def all_dropped(tallies: Iterable[OutboxTally]) -> dict[str, int]:
    """What limits took, by priority, over all outboxes."""
    dropped: dict[str, int] = {}
    for tally in tallies:
        for priority, count in tally.dropped.items():
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
    files = (path, path.with_name(path.name + "-wal"))
    return sum(file.stat().st_size for file in files if file.exists()) / 1e6
