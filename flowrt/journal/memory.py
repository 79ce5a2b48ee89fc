"""What a journal holds in memory, under one lock that is never held over the disk.

Senders and deliverers leave their work here, the writer takes it, and every status is answered from here. So none of them waits for a disk
that is slow, and whatever the disk does, the counts of an outbox agree with one another at any moment.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from flowrt.journal.counters import RECENT, JournalStatistics, OutboxCounters, all_dropped, percentiles
from flowrt.journal.storage.rows import Limits
from flowrt.journal.storage.write_batch import Dropped, TransactionCounts, WriteBatch
from flowrt.journal.tail_cache import TailCache
from flowrt.sink import OutboxRecord

STALLED_S = 5.0
"""A write that takes longer is trouble, whether or not it ends."""


class JournalClosed(Exception):
    """The journal is closed, or closes and could not take this any more; what was refused was not accepted."""


class Append(msgspec.Struct, gc=False):
    """One call of `Journal.append` that waits for its commit. done: set then, where the caller waits."""

    outbox: str
    batch: WriteBatch
    records: int
    bytes: int
    origin_ns: int
    done: threading.Event | None


class Memory:
    """One journal's state. All methods may be called from any thread."""

    def __init__(self, limits: Limits, pending: Mapping[str, int], last_number: int) -> None:
        """pending: records that an earlier run left, by outbox. last_number: of the record that was accepted last."""
        self.changed = threading.Condition()
        self._limits = limits
        self._appends: list[Append] = []
        self._buffered = self._buffered_bytes = 0
        self._batch = WriteBatch()
        self._tails = TailCache(last_number)
        self._gone: dict[str, set[int]] = defaultdict(set)  # delivered or rejected, and not yet removed from the file
        self._notes: dict[str, tuple[str, str, float]] = {}
        self._counters = defaultdict(OutboxCounters)
        for outbox, count in pending.items():
            self._counters[outbox] = OutboxCounters(resumed=count, pending=count)
        self.last_number = last_number
        self._troubles: dict[str, str] = {}
        self._busy_since: float | None = None
        self._commits = 0
        self._commit_ms: deque[float] = deque(maxlen=RECENT)
        self._recoveries: list[str] = []
        self._lost_events = 0
        self.file_mb = 0.0
        self.suspect = False  # of damage
        self.closing = False
        self.closed = threading.Event()

    # -- for senders -----------------------------------------------------------------------------------------------

    def put(self, append: Append) -> None:
        """Leave work. Blocks while the buffer is full. Raises JournalClosed."""
        with self.changed:
            while self._full() and not self.closing:
                self.changed.wait(1.0)
            if self.closing:
                raise JournalClosed(
                    f"{append.records} records for '{append.outbox}' came too late: the journal is closed"
                )
            self._appends.append(append)
            self._buffered += append.records
            self._buffered_bytes += append.bytes
            if self._busy_since is None:
                self.changed.notify_all()

    def _full(self) -> bool:
        limits = self._limits
        return self._buffered >= limits.buffer_records or self._buffered_bytes >= limits.buffer_mb * 1e6

    def wait_until_written(self, timeout_s: float) -> bool:
        """Whether all work was done in time."""
        with self.changed:
            return self.changed.wait_for(
                lambda: self._busy_since is None and not self._appends and not self._batch, timeout_s
            )

    # -- for deliverers --------------------------------------------------------------------------------------------

    def take_tail(self, outbox: str, after: int, limit: int) -> tuple[list[OutboxRecord] | None, frozenset[int]]:
        """The records behind number `after`, where they are in memory; else None, and which of those in the file are on their way out."""
        with self.changed:
            records = self._tails.take(outbox, after, limit)
            return records, frozenset() if records is not None else frozenset(self._gone[outbox])

    def handed_out(self, outbox: str, number: int) -> None:
        """Records up to this number were read from the file."""
        with self.changed:
            self._tails.handed_out(outbox, number)

    def delivered(self, outbox: str, records: Sequence[OutboxRecord]) -> None:
        """These were acknowledged."""
        with self.changed:
            first = not self._batch
            self._gone[outbox].update(record.number for record in records)
            self._batch.delivered.setdefault(outbox, []).extend(records)
            if first:
                self.changed.notify_all()

    def rejected(self, outbox: str, number: int, reason: str) -> None:
        """This one will never be taken."""
        with self.changed:
            gone = self._gone[outbox]
            if number not in gone:
                gone.add(number)
                self._batch.dead.append((outbox, number, reason))
            self.changed.notify_all()

    def note(self, outbox: str, state: str, last_error: str, rate_per_s: float) -> None:
        """What a deliverer is at."""
        with self.changed:
            self._notes[outbox] = state, last_error, rate_per_s

    # -- for status ------------------------------------------------------------------------------------------------

    def counters(self, outbox: str) -> OutboxCounters:
        """The live ones, to be read only."""
        with self.changed:
            return self._counters[outbox]

    def snapshot(self, outbox: str) -> OutboxCounters:
        """All counts of one moment."""
        with self.changed:
            return self._counters[outbox].snapshot()

    def outboxes(self) -> list[str]:
        """Those that have, or had, records."""
        with self.changed:
            return list(self._counters)

    @property
    def trouble(self) -> str:
        """What is wrong, in a sentence or two; empty where nothing is."""
        with self.changed:
            troubles = list(self._troubles.values())
            if self._busy_since is not None and (busy_s := time.monotonic() - self._busy_since) > STALLED_S:
                troubles.append(f"the disk has not finished a write for {busy_s:.0f} s")
            return "; ".join(troubles)

    def statistics(self) -> JournalStatistics:
        """A snapshot."""
        with self.changed:
            return JournalStatistics(
                file_mb=self.file_mb,
                buffered=self._buffered,
                commits=self._commits,
                commit_ms=percentiles(self._commit_ms),
                trouble=self.trouble,
                dropped=all_dropped(self._counters.values()),
                recovered=tuple(self._recoveries),
                lost_events=self._lost_events,
            )

    # -- for the writer --------------------------------------------------------------------------------------------

    def wait_for_work(self, due: float, gather_s: float) -> tuple[list[Append], WriteBatch]:
        """Appends and what else is to be written, once there is some, the journal closes or suspects damage, or `due` has come."""
        with self.changed:
            while not (self._appends or self._batch or self.closing or self.suspect) and time.monotonic() < due:
                self.changed.wait(max(due - time.monotonic(), 0.01))
            if self._batch and not self._appends:  # acknowledgements come one by one: gather some for one transaction
                self.changed.wait_for(lambda: self._appends or self.closing, gather_s)
            self._busy_since = time.monotonic()
            appends, self._appends = self._appends, []
            return appends, self._take_batch()

    def newer_batch(self) -> WriteBatch:
        """What deliverers have left since."""
        with self.changed:
            return self._take_batch()

    def _take_batch(self) -> WriteBatch:
        batch, self._batch = self._batch, WriteBatch()
        return batch

    def take_notes(self) -> dict[str, tuple[str, str, float]]:
        """What deliverers are at."""
        with self.changed:
            notes, self._notes = self._notes, {}
            return notes

    def committed(self, batch: WriteBatch, counts: Mapping[str, TransactionCounts], last_number: int) -> None:
        """A transaction is in the file: its records may be read."""
        with self.changed:
            self._tails.add({outbox: count.records for outbox, count in counts.items() if count.records})
            self.last_number = last_number
            for outbox, records in batch.delivered.items():
                self._gone[outbox].difference_update(record.number for record in records)
            for outbox, number, _ in batch.dead:
                self._gone[outbox].discard(number)

    def accepted(self, counts: Mapping[str, TransactionCounts], age_s: float) -> None:
        """A transaction is on the disk: it counts."""
        with self.changed:
            for outbox, count in counts.items():
                self._counters[outbox].count(count, age_s)

    def finished(self, appends: Sequence[Append], took_s: float) -> None:
        """These appends are written."""
        now_ns = time.monotonic_ns()
        with self.changed:
            self._commits += 1
            self._commit_ms.append(took_s * 1e3)
            for append in appends:
                if append.origin_ns:
                    latency_ms = (now_ns - append.origin_ns) / 1e6
                    counters = self._counters[append.outbox]
                    counters.latencies.append((now_ns, latency_ms))
                    counters.acceptance.observe(latency_ms / 1e3)
                self._buffered -= append.records
                self._buffered_bytes -= append.bytes
            self.changed.notify_all()
        for append in appends:
            if append.done is not None:
                append.done.set()

    def progress(self) -> None:
        """The writer comes round: what it did has not stalled."""
        with self.changed:
            self._busy_since = time.monotonic()

    def idle(self) -> None:
        """The writer has nothing to do."""
        with self.changed:
            self._busy_since = None
            self.changed.notify_all()

    def dropped(self, dropped: Iterable[Dropped]) -> None:
        """Limits took these."""
        with self.changed:
            for item in dropped:
                self._counters[item.outbox].count_dropped(item)

    def recounted(self, pending: Mapping[str, int]) -> None:
        """What waits, as counted in the file, after another process or a recovery changed it."""
        with self.changed:
            for outbox in {*pending, *self._counters}:
                self._counters[outbox].recounted(pending.get(outbox, 0))

    def first_in_line(self, queued_s: Mapping[str, float]) -> None:
        """When the first records in line were queued."""
        with self.changed:
            for outbox, age_s in queued_s.items():
                self._counters[outbox].oldest_s = age_s

    def read_file_again(self, last_number: int) -> None:
        """What was in memory may differ from what is in the file now."""
        with self.changed:
            self._tails.forget(last_number)
            self.last_number = max(self.last_number, last_number)

    def recovered(self, what: str) -> None:
        """Damage was repaired."""
        with self.changed:
            self._recoveries.append(what)

    def lost_event(self) -> None:
        """A row for `flowrt events` could not be written."""
        with self.changed:
            self._lost_events += 1

    def set_trouble(self, kind: str, text: str) -> bool:
        """What is wrong with one kind of work; empty where nothing is any more. Whether that is new."""
        with self.changed:
            before = self._troubles.get(kind, "")
            if text:
                self._troubles[kind] = text
            else:
                self._troubles.pop(kind, None)
            return before != text

    def suspect_damage(self) -> None:
        """The file seems to be damaged: the writer shall look."""
        with self.changed:
            self.suspect = True
            self.changed.notify_all()

    def close(self) -> None:
        """Nothing more is taken."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
