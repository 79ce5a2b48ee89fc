"""The journal as the runtime sees it: append, read, delivered, rejected; one writer thread with group commit.

- `append` puts into a bounded buffer and returns; it blocks while the buffer is full (back-pressure) and, with `wait=True`,
  until its records are committed.
- A disk that is full or fails: the writer tries again, in small steps, until all of it succeeded. What is not on disk is not accepted,
  nothing accepted is lost, and `statistics().trouble` says so. Some room is kept free (see `room`), so that records can always leave.
- A damaged file, found at the start or later: see `recovery`.
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from pathlib import Path

from flowrt.clock import Clock
from flowrt.journal.disk_space import steps
from flowrt.journal.lock import JournalLock
from flowrt.journal.monotonic_clock import MonotonicClock
from flowrt.journal.rows import EventRow, Limits, ReadRow, record_of, size_of
from flowrt.journal.statistics import RECENT, JournalStatistics, OutboxTally, all_dropped, file_mb, percentiles
from flowrt.journal.store import Opened, Store, is_corrupt, open_damaged, open_store
from flowrt.journal.tail_cache import TailCache
from flowrt.journal.write_batch import Append, Buffer, Dropped, WriteBatch
from flowrt.sink import OutboxRecord

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

_MAINTENANCE_S = 1.0
_AGES_S = 30.0
_RETRY_S = 0.25
_GATHER_S = 0.02
DEFAULT_LIMITS = Limits()


class JournalClosed(Exception):
    """The journal is closed, or closes and could not take this any more; what was refused was not accepted."""


class Journal:
    """One flow's journal. All methods may be called from any thread."""

    def __init__(
        self, path: Path | None, *, limits: Limits = DEFAULT_LIMITS, clock: Clock, log: Log | None = None
    ) -> None:
        """path: the file, made where it is missing; None keeps everything in memory (tests, virtual time).

        Raises JournalBusy where another process has the file, OSError where it can't be opened.
        """
        self.path = path
        self._limits = limits
        self._log: Log = log or logging.getLogger("flowrt.journal")
        self._recoveries: list[str] = []
        self._lock: JournalLock | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = JournalLock(path.with_name(path.name + ".lock"))
        try:
            self._store = self._open(open_store(path, limits))
        except BaseException as error:
            if self._lock:
                self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise OSError(errno.EIO, str(error), str(path)) from error
            raise
        resumed = {name: OutboxTally(resumed=self._store.pending(name)) for name in self._store.outboxes()}
        self._tallies = defaultdict(OutboxTally, resumed)
        self._leftover = self._store.last_number()
        self._writing = threading.RLock()  # around the store's writer
        self._reading = self._writing if path is None else threading.RLock()  # in memory there is one connection
        self._changed = threading.Condition()  # guards what follows
        self._buffer = Buffer(limits.buffer_records, limits.buffer_mb * 1e6)
        self._batch = WriteBatch()
        self._tail_cache = TailCache(self._leftover)
        self._gone: dict[str, set[int]] = {}  # delivered or rejected, and not yet removed from the file
        self._notes: dict[str, tuple[str, str, float]] = {}
        self._listeners: list[Callable[[], None]] = []
        self._suspect = False
        self._closing = False
        self._busy = False
        self._trouble = ""
        self._commits = 0
        self._commit_ms: deque[float] = deque(maxlen=RECENT)
        self._monotonic = MonotonicClock(clock)
        self._aged_s = 0.0
        self._thread = threading.Thread(target=self._run, name="flowrt-journal", daemon=True)
        self._thread.start()

    def _open(self, store: Opened) -> Store:
        if store.recovery:
            self._recoveries.append(store.recovery)
            self._log.error("%s", store.recovery)
        return store.store

    # -- for senders -----------------------------------------------------------------------------------------------

    def append(
        self,
        outbox: str,
        records: Sequence[OutboxRecord],
        *,
        events: Sequence[EventRow] = (),
        wait: bool = False,
        origin_ns: int = 0,
    ) -> None:
        """Take records in. Blocks while the buffer is full; with `wait` until they are committed.

        origin_ns: `time.monotonic_ns()` at capture, for the latency to acceptance. Raises JournalClosed.
        """
        if not records and not events:
            return
        size = sum(map(size_of, records)) + sum(len(event.payload) for event in events)
        done = threading.Event() if wait else None
        with self._changed:
            while self._buffer.full() and not self._closing:
                self._changed.wait(1.0)
            if self._closing:
                raise JournalClosed(f"{len(records)} records for '{outbox}' came too late: the journal is closed")
            self._buffer.put(Append(outbox, records, events, origin_ns, done, size))
            if not self._busy:
                self._changed.notify_all()
        if done is not None:
            while not done.wait(1.0):
                if not self._thread.is_alive():
                    raise JournalClosed(f"{len(records)} records for '{outbox}' could not be written: {self._trouble}")

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything appended so far is committed; False where that took longer."""
        until = time.monotonic() + timeout_s
        with self._changed:
            while self._busy or self._buffer.records or self._batch or self._buffer.appends:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
        return True

    def close(self, timeout_s: float = 4.0) -> None:
        """Commit what is buffered, if that is possible in time, and close the file. Says in the log what was lost."""
        done = self.flush(timeout_s)
        with self._changed:
            if self._closing:
                return
            self._closing = True
            self._changed.notify_all()
        self._thread.join(2.0)
        if not done:
            self._log.error(
                "%d records could not be written and were not accepted: %s", self._buffer.records, self._trouble
            )
        with self._writing, self._reading:
            self._store.close()
        if self._lock:
            self._lock.release()

    # -- for deliverers --------------------------------------------------------------------------------------------

    def read(self, outbox: str, after: int, limit: int) -> list[OutboxRecord]:
        """The next records behind number `after` that wait, in order of acceptance; at most `limit`.

        A record that an earlier run left comes with `attempts` 1, since that run may have sent it.
        """
        with self._changed:
            if (fresh := self._tail_cache.take(outbox, after, limit)) is not None:
                return fresh
            gone = frozenset(self._gone.get(outbox, ()))
        records: list[OutboxRecord] = []
        while not records:
            try:
                with self._reading:
                    rows = self._store.read(outbox, after, limit)
            except sqlite3.DatabaseError as error:
                self._report(error)
                break
            if rows:
                with self._changed:
                    self._tail_cache.handed_out(outbox, rows[-1][0])
            records = [record for row in rows if row[0] not in gone and (record := self._record(outbox, row))]
            if len(rows) < limit:
                break
            after = rows[-1][0]  # where all of these are on their way out, there may be others behind them
        return records

    def _record(self, outbox: str, row: ReadRow) -> OutboxRecord | None:
        record = record_of(row, attempts=int(row[0] <= self._leftover))
        if record is None:
            self._log.error("record %d of '%s' is damaged in the journal; it is a dead letter now", row[0], outbox)
            self.rejected(outbox, row[0], "damaged in the journal: its checksum is wrong")
        return record

    def _report(self, error: sqlite3.DatabaseError) -> None:
        with self._changed:
            self._suspect = self._suspect or is_corrupt(error)
            self._trouble = f"reading: {error}"
            self._changed.notify_all()

    def delivered(self, outbox: str, records: Sequence[OutboxRecord]) -> None:
        """These were acknowledged: forget them."""
        with self._changed:
            first = not self._batch
            self._gone.setdefault(outbox, set()).update(record.number for record in records)
            self._batch.delivered.setdefault(outbox, []).extend(records)
            if first:
                self._changed.notify_all()

    def rejected(self, outbox: str, number: int, reason: str) -> None:
        """This one will never be taken: make it a dead letter."""
        with self._changed:
            gone = self._gone.setdefault(outbox, set())
            if number not in gone:
                gone.add(number)
                self._batch.dead.append((outbox, number, reason))
            self._changed.notify_all()

    def note(self, outbox: str, state: str, last_error: str, rate_per_s: float) -> None:
        """What a deliverer is at, for `flowrt outbox`; written within a second."""
        with self._changed:
            self._notes[outbox] = state, last_error, rate_per_s

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that brought records, on the writer's thread."""
        self._listeners.append(listener)

    def last_number(self) -> int:
        """The number of the record that was accepted last, over all outboxes."""
        with self._writing:
            return self._store.last_number()

    def pending(self, outbox: str) -> int:
        """Records on disk that wait for delivery."""
        with self._writing, self._changed:
            return max(self._store.pending(outbox) - len(self._gone.get(outbox, ())), 0)

    def oldest_s(self, outbox: str) -> float:
        """For how long the first record in line has waited; 0 where none does."""
        try:
            with self._reading:
                queued_s = self._store.oldest_s(outbox)
        except sqlite3.DatabaseError as error:
            self._report(error)
            return 0.0
        return 0.0 if queued_s is None else max(self._monotonic.now_s() - queued_s, 0.0)

    def outboxes(self) -> list[str]:
        """Every outbox that has, or ever had, records in this file."""
        with self._writing:
            return list(self._store.outboxes())

    def tally(self, outbox: str) -> OutboxTally:
        """Counts of this run; read only."""
        with self._changed:
            return self._tallies[outbox]

    def statistics(self) -> JournalStatistics:
        """A snapshot."""
        with self._changed:
            return JournalStatistics(
                file_mb=file_mb(self.path),
                buffered=self._buffer.records,
                commits=self._commits,
                commit_ms=percentiles(self._commit_ms),
                trouble=self._trouble,
                dropped=all_dropped(self._tallies.values()),
                recovered=tuple(self._recoveries),
            )

    # -- the writer thread -----------------------------------------------------------------------------------------

    def _run(self) -> None:
        due = time.monotonic() + _MAINTENANCE_S
        while True:
            with self._changed:
                while (
                    not (self._buffer.appends or self._batch or self._closing or self._suspect)
                    and time.monotonic() < due
                ):
                    self._changed.wait(max(due - time.monotonic(), 0.01))
                if (
                    self._batch and not self._buffer.appends
                ):  # acknowledgements come one by one: gather some for one transaction
                    self._changed.wait_for(lambda: self._buffer.appends or self._closing, _GATHER_S)
                taken, batch = self._buffer.take(), self._batch
                if self._closing and not taken and not batch:
                    return
                self._batch = WriteBatch()
                self._busy = True
            if (taken or batch) and not self._commit_until_done(taken, batch):
                return
            if self._suspect or time.monotonic() >= due:
                self._guard(self._maintain)
                due = time.monotonic() + _MAINTENANCE_S
            with self._changed:
                self._busy = False
                self._changed.notify_all()

    def _commit_until_done(self, taken: list[Append], batch: WriteBatch) -> bool:
        for item in taken:
            batch.records.extend((item.outbox, record) for record in item.records)
            batch.events.extend(item.events)
        began = time.monotonic()
        while not self._guard(lambda: self._apply(batch)):
            with self._changed:
                if self._closing:
                    return False
            self._relieve(batch)
            time.sleep(_RETRY_S)
        self._account(taken, began)
        if taken:
            self._guard(self._make_space)
        return True

    def _relieve(self, batch: WriteBatch) -> None:
        """A full disk: what was delivered makes room, so it must not wait for what does not fit; nor must what fits."""
        with self._changed:
            newer, self._batch = self._batch, WriteBatch()
        for outbox, records in newer.delivered.items():
            batch.delivered.setdefault(outbox, []).extend(records)
        batch.dead += newer.dead
        try:
            for step in steps(batch):
                with self._writing:
                    self._store.checkpoint()
                self._apply(step)
        except sqlite3.Error as error:
            self._log.debug("no relief for the full journal: %s", error)

    def _apply(self, batch: WriteBatch) -> None:
        with self._writing:
            counts = self._store.apply(batch, self._monotonic.now_s())
            with self._changed:
                self._tail_cache.add({outbox: count.records for outbox, count in counts.items() if count.records})
                for outbox, records in batch.delivered.items():
                    self._gone[outbox].difference_update(record.number for record in records)
                for outbox, number, _ in batch.dead:
                    self._gone[outbox].discard(number)
            if batch.records:
                self._tell()  # they may be on their way while the disk flushes; only then are they accepted
            if batch.records or batch.events:
                self._sync()
            with self._changed:  # still under the writer's lock, so that `pending` never counts a record twice
                for outbox, count in counts.items():
                    self._tallies[outbox].count(len(count.records), count.delivered, count.dead_letters)

    def _sync(self) -> None:
        """Flush; where that fails, only the flush is tried again, since the commit stands."""
        while not self._guard(self._store.sync):
            if self._closing:
                raise sqlite3.OperationalError("the journal was closed before the disk had flushed")
            time.sleep(_RETRY_S)

    def _make_space(self) -> None:
        with self._writing:
            self._drop(self._store.enforce_size())

    def _guard(self, action: Callable[[], None]) -> bool:
        """Run an action on the store; False where it failed and should be tried again."""
        try:
            action()
        except sqlite3.Error as error:
            trouble = f"{error} ({self.path})"
            if trouble != self._trouble:
                self._log.error("the journal can't be written, and tries again until it can: %s", trouble)
            with self._changed:
                self._trouble = trouble
                self._suspect = self._suspect or (isinstance(error, sqlite3.DatabaseError) and is_corrupt(error))
            if self._suspect:
                self._recover()
            return False
        if self._trouble:
            self._log.warning("the journal can be written again")
            with self._changed:
                self._trouble = ""
        return True

    def _recover(self) -> None:
        """Salvage under running deliverers: numbers stay, so their places in the queues hold."""
        with self._changed:
            self._suspect = False
        if self.path is None:
            return
        with self._writing, self._reading:
            self._store.close()
            try:
                self._store = self._open(open_damaged(self.path, self._limits))
            except (OSError, sqlite3.Error) as error:
                self._log.error("the damaged journal could not be recovered: %s", error)
                self._store = Store(self.path, self._limits)
            self._read_all_again()

    def _read_all_again(self) -> None:
        with self._changed:
            self._tail_cache.forget(self._store.last_number())

    def _account(self, taken: list[Append], began: float) -> None:
        now_ns = time.monotonic_ns()
        with self._changed:
            self._commits += 1
            self._commit_ms.append((time.monotonic() - began) * 1e3)
            for item in taken:
                if item.origin_ns:
                    self._tallies[item.outbox].latencies.append((now_ns, (now_ns - item.origin_ns) / 1e6))
                self._buffer.let_go(item)
            self._changed.notify_all()
        for item in taken:
            if item.done is not None:
                item.done.set()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    def _maintain(self) -> None:
        if self._suspect:
            self._recover()
            return
        with self._changed:
            notes, self._notes = self._notes, {}
        with self._writing:
            step_s = self._monotonic.follow()
            if step_s:
                self._log.warning("the machine's clock was set by %+.0f s; no record ages by that", step_s)
                self._store.shift_ages(step_s)
            now_s = self._monotonic.now_s()
            self._store.note(notes, now_s)
            if abs(now_s - self._aged_s) >= _AGES_S:  # reads whole tables, and whoever appends waits meanwhile
                self._aged_s = now_s
                self._drop(self._store.enforce_age(now_s))
            self._store.shrink()
            changed = self._store.changed_by_others()
            if changed:
                self._store.recount()
                self._read_all_again()
        if changed:
            self._tell()

    def _drop(self, dropped: list[Dropped]) -> None:
        if dropped:
            self._read_all_again()
        for item in dropped:
            self._log.error(
                "the journal is over its %s limit: dropped %d %s records of '%s'",
                item.why, item.records, item.priority, item.outbox,
            )  # fmt: skip
            with self._changed:
                counts = self._tallies[item.outbox].dropped
                counts[item.priority] = counts.get(item.priority, 0) + item.records
