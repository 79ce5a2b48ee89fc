"""The journal as the runtime sees it: append, read, delivered, rejected, counts.

- `append` puts into a bounded buffer and returns; it blocks while the buffer is full (back-pressure) and, with `wait=True`,
  until its records are committed. A record that can't be written is a dead letter with its reason, and holds up no other.
- What is not on disk is not accepted, nothing accepted is lost, and `statistics().trouble` says what is wrong, if anything is.
- Counts, `pending` and `statistics` come from memory (`memory.py`): they never wait for the disk. The disk is the writer's (`writer.py`).
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from flowrt.clock import Clock
from flowrt.journal.counters import JournalStatistics, OutboxCounters
from flowrt.journal.memory import Append, JournalClosed
from flowrt.journal.storage.disk import Disk
from flowrt.journal.storage.lock import JournalLock
from flowrt.journal.storage.opening import is_corrupt
from flowrt.journal.storage.rows import (
    EventRow,
    Limits,
    ReadRow,
    clean_text,
    defect_of,
    defect_of_event,
    record_of,
    size_of,
    stand_in,
)
from flowrt.journal.storage.write_batch import WriteBatch
from flowrt.journal.writer import Log, Writer
from flowrt.sink import OutboxRecord
from flowrt.system.private_files import make_private_folder
from flowrt.system.threads import Supervisor

DEFAULT_LIMITS = Limits()


class Journal:
    """One flow's journal. All methods may be called from any thread."""

    def __init__(
        self,
        path: Path | None,
        *,
        limits: Limits = DEFAULT_LIMITS,
        clock: Clock,
        log: Log | None = None,
        supervisor: Supervisor | None = None,
        disk: Disk | None = None,
    ) -> None:
        """path: the file, made where it is missing; None keeps everything in memory (tests, virtual time).

        supervisor: of the run's threads. disk: the system below, exchanged in tests. Raises JournalBusy where another process has the file,
        JournalVersionError where it is no journal or a newer flowrt's, OSError where it can't be opened.
        """
        self.path = path
        self._log: Log = log or logging.getLogger("flowrt.journal")
        self._lock: JournalLock | None = None
        if path is not None:
            make_private_folder(path.parent)
            self._lock = JournalLock(path)
        try:
            self._writer = Writer(
                path, limits, clock, self._log, disk or Disk(), self._lock, supervisor or Supervisor(self._log)
            )
        except BaseException as error:
            if self._lock:
                self._lock.release()
            if isinstance(error, sqlite3.Error):
                raise OSError(errno.EIO, str(error), str(path)) from error
            raise
        self._memory = self._writer.memory
        self._closing = threading.Lock()

    # -- for senders -----------------------------------------------------------------------------------------------

    def append(
        self,
        outbox: str,
        records: Sequence[OutboxRecord],
        *,
        events: Sequence[EventRow] = (),
        refused: Sequence[tuple[OutboxRecord, str]] = (),
        wait: bool = False,
        origin_ns: int = 0,
    ) -> Sequence[str]:
        """Take records in. Blocks while the buffer is full; with `wait` until they are committed.

        refused: records that shall be dead letters at once, with the reason; so are those that can't be written, and why is returned.
        origin_ns: `time.monotonic_ns()` at capture, for the latency to acceptance. Raises JournalClosed.
        """
        if not (records or events or refused):
            return ()
        batch = self._checked(outbox, records, events)
        wrong = [reason for _, _, reason in batch.refused]
        batch.refused += [(outbox, stand_in(record), clean_text(reason)) for record, reason in refused]
        size = sum(size_of(record) for _, record in batch.records) + sum(len(event.payload) for event in batch.events)
        done = threading.Event() if wait else None
        self._memory.put(Append(outbox, batch, len(records) + len(refused), size, origin_ns, done))
        while done is not None and not done.wait(1.0):
            if self._memory.closed.is_set() or not self._writer.alive:
                raise JournalClosed(
                    f"{len(records)} records for '{outbox}' could not be written: {self._memory.trouble}"
                )
        return wrong

    def _checked(self, outbox: str, records: Sequence[OutboxRecord], events: Sequence[EventRow]) -> WriteBatch:
        """What can be written; of the rest, what shows in the dead letters what it was."""
        batch = WriteBatch()
        for record in records:
            if defect := defect_of(record):
                reason = f"can't be written to the journal: {defect}"
                self._log.error("'%s': a message %s; it is a dead letter", outbox, reason)
                batch.refused.append((outbox, stand_in(record), reason))
            else:
                batch.records.append((outbox, record))
        for event in events:
            if defect := defect_of_event(event):
                self._writer.lost_event(event, f"can't be written to the journal: {defect}")
            else:
                batch.events.append(event)
        return batch

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything appended so far is committed; False where that took longer."""
        return self._memory.wait_until_written(timeout_s)

    def close(self, timeout_s: float = 4.0) -> None:
        """Commit what is buffered, if that is possible in time, and close the file. Says in the log what was lost.

        Comes back a second or two after `timeout_s` at the latest, also where the disk never answers; the file is then as after a crash.
        """
        if not self._closing.acquire(blocking=False):
            return  # a second call
        until = time.monotonic() + timeout_s
        done = self.flush(timeout_s)
        trouble = self._memory.trouble
        ended = self._writer.close(max(until - time.monotonic(), 2.0))
        self._memory.closed.set()
        if not done:
            buffered = self._memory.statistics().buffered
            self._log.error("messages that could not be written and were not accepted: %d; %s", buffered, trouble)
        if not ended:
            self._log.error("the disk does not answer: %s is left as it is, and is safe to open again", self.path)
        elif self._lock:
            self._lock.release()

    # -- for deliverers --------------------------------------------------------------------------------------------

    def read(self, outbox: str, after: int, limit: int) -> list[OutboxRecord]:
        """The next records behind number `after` that wait, in order of acceptance; at most `limit`, and of large ones fewer.

        A record that an earlier run left comes with `attempts` 1, since that run may have sent it.
        """
        fresh, gone = self._memory.take_tail(outbox, after, limit)
        if fresh is not None:
            return fresh
        records: list[OutboxRecord] = []
        while not records:
            try:
                with self._writer.reading:
                    rows, more = self._writer.store.read(outbox, after, limit)
            except sqlite3.DatabaseError as error:
                self._memory.set_trouble("reading", f"reading: {error}")
                if is_corrupt(error):
                    self._memory.suspect_damage()
                break
            self._memory.set_trouble("reading", "")
            if rows:
                self._memory.handed_out(outbox, rows[-1][0])
            records = [record for row in rows if row[0] not in gone and (record := self._record(outbox, row))]
            if not more:
                break
            after = rows[-1][0]  # where all of these are on their way out, there may be others behind them
        return records

    def _record(self, outbox: str, row: ReadRow) -> OutboxRecord | None:
        record = record_of(row, attempts=int(row[0] <= self._writer.leftover))
        if record is None:
            self._log.error("message %d of '%s' is damaged in the journal; it is a dead letter now", row[0], outbox)
            self.rejected(outbox, row[0], "damaged in the journal: its checksum is wrong")
        return record

    def delivered(self, outbox: str, records: Sequence[OutboxRecord]) -> None:
        """These were acknowledged: forget them."""
        self._memory.delivered(outbox, records)

    def rejected(self, outbox: str, number: int, reason: str) -> None:
        """This one will never be taken: make it a dead letter."""
        self._memory.rejected(outbox, number, clean_text(reason))

    def note(self, outbox: str, state: str, last_error: str, rate_per_s: float) -> None:
        """What a deliverer is at, for `flowrt outbox`; written within a second."""
        self._memory.note(outbox, state, clean_text(last_error), rate_per_s)

    def listen(self, listener: Callable[[], None]) -> None:
        """Call `listener` after each commit that brought records, on the writer's thread."""
        self._writer.listeners.append(listener)

    def last_number(self) -> int:
        """The number of the record that was committed last, over all outboxes."""
        return self._memory.last_number

    # -- for status: none of these waits for the disk ----------------------------------------------------------------

    def pending(self, outbox: str) -> int:
        """Records on disk that wait for delivery, or whose delivery is not yet written down."""
        return self._memory.counters(outbox).pending

    def oldest_s(self, outbox: str) -> float:
        """For how long the first record in line has waited while the journal was open; as of the last second; 0 where none waits."""
        counters = self._memory.snapshot(outbox)
        return max(self._writer.ages.now_s() - counters.oldest_s, 0.0) if counters.pending else 0.0

    def outboxes(self) -> list[str]:
        """Every outbox that has, or ever had, records in this file."""
        return self._memory.outboxes()

    def counters(self, outbox: str) -> OutboxCounters:
        """Counts of this run; live, and to be read only."""
        return self._memory.counters(outbox)

    def snapshot(self, outbox: str) -> OutboxCounters:
        """Counts of this run, all of one moment."""
        return self._memory.snapshot(outbox)

    def statistics(self) -> JournalStatistics:
        """A snapshot."""
        return self._memory.statistics()
