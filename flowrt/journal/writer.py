"""The one thread that writes a journal: commits in groups, tries again until the disk takes it, repairs, enforces limits.

- A disk that is full or fails: tried again, in small steps, until all of it succeeded.
- A row that can't be written becomes a dead letter; the others go on.
- A file that is damaged, or was removed, is written again from what can be read, and from what is open.
- Anything else that is raised here is contained, logged with its traceback, and is trouble until the same work succeeds.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flowrt.clock import Clock
from flowrt.journal.counters import file_mb
from flowrt.journal.memory import Append, Memory
from flowrt.journal.storage.age_clock import AgeClock
from flowrt.journal.storage.disk import Disk
from flowrt.journal.storage.lock import JournalBusy, JournalLock
from flowrt.journal.storage.opening import Opened, is_corrupt, open_damaged, open_store
from flowrt.journal.storage.rows import Limits, stand_in
from flowrt.journal.storage.store import Store
from flowrt.journal.storage.write_batch import Dropped, WriteBatch
from flowrt.system.backoff import Backoff
from flowrt.system.threads import Supervisor, one_line

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

MAINTENANCE_S = 1.0
_AGES_S = 30.0
RETRY_S = 0.25
_GATHER_S = 0.02
_STEP = 100
_BEAT_S = 30.0
_PLAUSIBLE = 1_000_000_000
"""No more records than this get lost between two runs."""
_ABOUT_A_ROW = (
    sqlite3.DataError,
    sqlite3.IntegrityError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    TypeError,
    ValueError,
    OverflowError,
    AttributeError,
    RecursionError,
)
"""What is raised where a value has another type than it should, or can't be stored."""


class Writer:
    """Owns the open file. `writing` and `reading` are the locks of its two connections; waiting for one is waiting for the disk."""

    def __init__(
        self,
        path: Path | None,
        limits: Limits,
        clock: Clock,
        log: Log,
        disk: Disk,
        lock: JournalLock | None,
        supervisor: Supervisor,
    ) -> None:
        """Raises OSError, sqlite3.Error, JournalBusy, JournalVersionError."""
        self._path, self._limits, self._clock, self._log, self._disk, self._lock = path, limits, clock, log, disk, lock
        opened = open_store(path, limits, disk)
        self.store = opened.store
        try:
            self._begin(opened, path, limits, clock)
        except BaseException:
            self.store.close()
            raise
        self._appends: list[Append] = []  # taken and not yet written, as is the batch
        self._batch = WriteBatch()
        self._thread = supervisor.thread("journal", self._run, restart=Backoff(0.1, 5.0), beat_within_s=_BEAT_S)
        self._thread.start()

    def _begin(self, opened: Opened, path: Path | None, limits: Limits, clock: Clock) -> None:
        pending = {outbox: self.store.pending(outbox) for outbox in self.store.outboxes()}
        self.leftover = self.store.last_number()
        self.memory = Memory(limits, pending, self.leftover)
        self.writing = threading.RLock()
        self.reading = self.writing if path is None else threading.RLock()  # in memory there is one connection
        self.ages = AgeClock(clock, self.store.last_age_s())
        self.listeners: list[Callable[[], None]] = []
        self._tell_recovery(opened)
        self._look_for_missing(opened)
        self._look_at_lines()
        self._aged = self.ages.now_s()

    @property
    def alive(self) -> bool:
        """Whether what is left in memory may still be written."""
        return self._thread.alive

    def close(self, timeout_s: float) -> bool:
        """Write what is left, if the disk takes it, and close the file; False where that takes longer."""
        self.memory.close()
        self._thread.stop()
        return self._thread.join(timeout_s)

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        due = time.monotonic() + MAINTENANCE_S
        while True:
            appends, batch = self.memory.wait_for_work(due, _GATHER_S)
            self._thread.beat()
            self._take(appends, batch)
            if self.memory.closing and not self._appends and not self._batch:
                break
            if (self._appends or self._batch) and not self._write_until_done():
                break
            if self.memory.suspect or time.monotonic() >= due:
                self._guard("maintenance", self._maintain)
                due = time.monotonic() + MAINTENANCE_S
            self.memory.idle()
        self._close_file()

    def _take(self, appends: list[Append], batch: WriteBatch) -> None:
        self._appends += appends
        for append in appends:
            self._batch.add(append.batch)
        self._batch.add(batch)

    def _write_until_done(self) -> bool:
        """Whether all that was taken is written; not so where the journal closes and it fails."""
        began = time.monotonic()
        batch = self._batch
        while (error := self._guard("writing", lambda: self._apply(batch))) is not None:
            if self.memory.closing:
                return False
            batch.add(self.memory.newer_batch())  # what leaves makes space for what does not fit
            self._guard("file", self._look_after_file, quiet=True)
            size = 1 if isinstance(error, _ABOUT_A_ROW) else _STEP
            again = self._guard("again", partial(self._in_steps, batch, size), quiet=True)
            if again is not None or size > 1:
                time.sleep(RETRY_S)
            self.memory.progress()
            self._thread.beat()
        appends, self._appends, self._batch = self._appends, [], WriteBatch()
        self.memory.file_mb = file_mb(self._path)
        self.memory.finished(appends, time.monotonic() - began)
        if appends:
            self._guard("size limit", self._enforce_size)
        return True

    def _apply(self, batch: WriteBatch) -> None:
        """One transaction, and the flush behind it. Where this raises, nothing of it is in the file."""
        with self.writing:
            if not self.store.sizes.is_log_whole():
                self._mend_log()
            age_s = self.ages.now_s()
            counts = self.store.apply(batch, age_s, self._clock.now_s())
            self.memory.committed(batch, counts, self.store.last_number())
            if batch.records:
                self.tell()  # they may be on their way while the disk flushes; only then are they accepted
            if (batch.records or batch.refused or batch.events) and not self._flush():
                return
            self.memory.accepted(counts, age_s)
            if self._lock is not None and batch.records:
                self._lock.note(self.store.last_number())

    def _flush(self) -> bool:
        """Flush; where that fails, only the flush is tried again, since the commit stands. False where the journal closes before it worked."""
        while self._guard("flushing", self.store.sync) is not None:
            if self.memory.closing:
                return False
            time.sleep(RETRY_S)
            self.memory.progress()
            self._thread.beat()
        return True

    def _in_steps(self, batch: WriteBatch, size: int) -> None:
        """What fits on a full disk, and what can be written beside a row that can't."""
        for step in batch.steps(size):
            try:
                if size > 1:
                    self._fold_log()
                self._apply(step)
            except _ABOUT_A_ROW as error:
                if size > 1:
                    raise
                self._set_aside(step, error)

    def _fold_log(self) -> None:
        with self.writing:
            self.store.checkpoint()

    def _set_aside(self, row: WriteBatch, error: Exception) -> None:
        reason = f"can't be written to the journal: {one_line(error)}"
        for outbox, record in row.records:
            self._log.error("'%s': a message %s; it is a dead letter now", outbox, reason)
            self._apply(WriteBatch(refused=[(outbox, stand_in(record), reason)]))
        for event in row.events:
            self.lost_event(event, reason)

    def lost_event(self, event: object, reason: str) -> None:
        """Say that an event will not be in `flowrt events`."""
        self.memory.lost_event()
        self._log.error("an event %s: %.200r", reason, event)

    def _guard(self, kind: str, action: Callable[[], None], *, quiet: bool = False) -> Exception | None:
        """Do one kind of work. What it raised, if anything: that is contained, logged once, and trouble until this kind of work succeeds."""
        try:
            action()
        except Exception as error:  # a bug must not end the thread that all sinks depend on
            if quiet:
                self._log.debug("%s: %s", kind, error)
                return error
            of_the_disk = isinstance(error, sqlite3.Error | OSError) and not isinstance(error, _ABOUT_A_ROW)
            text = f"{error} ({self._path})" if of_the_disk else f"{kind}: {one_line(error)}"
            if self.memory.set_trouble(kind, text):
                unexpected = None if of_the_disk else error
                self._log.error(
                    "the journal can't be written, and tries again until it can: %s", text, exc_info=unexpected
                )
            if isinstance(error, sqlite3.DatabaseError) and is_corrupt(error):
                self.memory.suspect_damage()
                self._guard("recovery", self._recover)
            return error
        if self.memory.set_trouble(kind, ""):
            self._log.warning("the journal can be written again (%s)", kind)
        return None

    def tell(self) -> None:
        """Call the listeners."""
        for listener in tuple(self.listeners):
            try:
                listener()
            except Exception:  # a listener's bug is not the journal's
                self._log.exception("a listener of the journal failed")

    def _close_file(self) -> None:
        with self.writing, self.reading:
            self._guard("closing", lambda: self.store.note_age(self.ages.now_s()), quiet=True)
            self.store.close()

    # -- once a second ---------------------------------------------------------------------------------------------

    def _maintain(self) -> None:
        if self.memory.suspect:
            self._recover()
            return
        notes = self.memory.take_notes()
        with self.writing:
            self._look_after_file()
            age_s = self.ages.now_s()
            self.store.note(notes, age_s, self._clock.now_s())
            if abs(age_s - self._aged) >= _AGES_S:  # reads whole tables, and nothing is committed meanwhile
                self._aged = age_s
                self.store.note_age(age_s)
                self._drop(self.store.enforce_age(age_s))
            self.store.shrink()
            changed = self.store.changed_by_others()
            if changed:
                self.store.recount()
                self._count_again()
            self._look_at_lines()
            self.memory.file_mb = file_mb(self._path)
        if changed:
            self.tell()

    def _look_at_lines(self) -> None:
        lines = {outbox: self.store.oldest_s(outbox) for outbox in self.store.outboxes() if self.store.pending(outbox)}
        self.memory.first_in_line({outbox: age_s for outbox, age_s in lines.items() if age_s is not None})

    def _count_again(self) -> None:
        self.memory.recounted({outbox: self.store.pending(outbox) for outbox in self.store.outboxes()})
        self.memory.read_file_again(self.store.last_number())

    def _enforce_size(self) -> None:
        with self.writing:
            self._drop(self.store.enforce_size())

    def _drop(self, dropped: list[Dropped]) -> None:
        if dropped:
            self.memory.read_file_again(self.store.last_number())
            self.memory.dropped(dropped)
        for item in dropped:
            self._log.error(
                "the journal is over its %s limit: dropped %d %s messages of '%s'",
                item.why, item.records, item.priority, item.outbox,
            )  # fmt: skip

    # -- repair ----------------------------------------------------------------------------------------------------

    def _look_after_file(self) -> None:
        """Have the file open, and in its place."""
        with self.writing:
            if not self.store.is_open:
                self._open_again()
            elif self._path is not None and not self.store.is_in_place():
                self._put_back(self._path)
            elif not self.store.sizes.is_file_whole():
                self._log.error("the journal %s was cut while the flow runs", self._path)
                self._recover()
            elif not self.store.sizes.is_log_whole():
                self._mend_log()
            else:
                self.memory.set_trouble("file", "")

    def _open_again(self) -> None:
        """A repair closed the file, and could not open it."""
        with self.reading:
            opened = open_store(self._path, self._limits, self._disk)
            self.store = opened.store
            self._tell_recovery(opened)
            self._count_again()

    def _put_back(self, path: Path) -> None:
        """The file was removed, or exchanged, while it is open: what is in it is not lost before it is closed."""
        if self.memory.set_trouble("file", f"{path} was removed while the flow runs"):
            self._log.error("the journal %s was removed while the flow runs; it is written again", path)
        with self.reading:
            if self._lock is not None:
                try:
                    self._lock.renew()
                except JournalBusy as error:
                    raise OSError(f"it was removed while the flow runs, and its place is taken: {error}") from error
            self.store.put_back()
            self.store = Store(path, self._limits, self._disk)
            self._count_again()
        what = f"the journal {path} was removed while the flow ran; a new one has all that was in it"
        self.memory.set_trouble("file", "")
        self._log.warning("%s", what)
        self.memory.recovered(what)

    def _mend_log(self) -> None:
        """The write-ahead log was cut while it is open: go on with what is left, and say what is not."""
        if self._path is None:
            return
        with self.reading:
            try:
                if not self.store.mend_log():
                    return
                self.store = Store(self._path, self._limits, self._disk)
            except (OSError, sqlite3.Error) as error:
                self._log.error("the journal's write-ahead log was cut: %s", error)
                self._recover()
                return
            found, given = self.store.last_number(), self.memory.last_number
            lost = self._lost()
            self.store.go_on_from(given, lost)
            self._count_again()
        what = f"the journal's write-ahead log {self._path}-wal was cut while the flow ran: "
        what += (
            f"messages {found + 1} to {given} are no longer in it, and {_in_words(lost)} of those that waited are lost"
        )
        self._log.error("%s", what)
        self.memory.recovered(what)

    def _lost(self) -> dict[str, int]:
        """How many of the records that waited are not in the file any more, by outbox."""
        before = {outbox: self.memory.snapshot(outbox).pending for outbox in self.memory.outboxes()}
        return {outbox: gone for outbox, count in before.items() if (gone := count - self.store.pending(outbox)) > 0}

    def _look_for_missing(self, opened: Opened) -> None:
        """Whether an earlier run had more on disk than is there now."""
        noted = self._lock.noted if self._lock is not None else 0
        if not self.leftover < noted < self.leftover + _PLAUSIBLE:  # the file may be of anyone's making
            return
        self.store.go_on_from(noted, {})
        self.memory.read_file_again(noted)
        if opened.recovery or opened.is_new:
            return
        what = f"messages {self.leftover + 1} to {noted} were in the journal {self._path} and are not there any more"
        what += ": its write-ahead log was cut, or an older file was put in its place; those that were not delivered are lost"
        self._log.error("%s", what)
        self.memory.recovered(what)

    def _recover(self) -> None:
        """Save what can be read, under running deliverers: numbers stay, so their cursors hold."""
        self.memory.suspect = False
        if self._path is None:
            return
        with self.writing, self.reading:
            self.store.close()
            try:
                opened = open_damaged(self._path, self._limits, self._disk)
            except (OSError, sqlite3.Error) as error:
                self._log.error("the damaged journal could not be recovered: %s", error)
                self.store = Store(self._path, self._limits, self._disk)
            else:
                self.store = opened.store
                self._tell_recovery(opened)
            if lost := self._lost():
                self._log.error("messages that waited in the journal and are lost: %s", _in_words(lost))
            self.store.go_on_from(self.memory.last_number, {})
            self._count_again()

    def _tell_recovery(self, opened: Opened) -> None:
        if opened.recovery:
            self.memory.recovered(opened.recovery)
            self._log.error("%s", opened.recovery)


def _in_words(by_outbox: dict[str, int]) -> str:
    return ", ".join(f"{count} of '{outbox}'" for outbox, count in by_outbox.items()) or "none"
