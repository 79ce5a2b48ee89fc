"""One outbox's thread: read ahead, deliver, wait for acknowledgements, back off, isolate what is refused."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from flowrt.delivery.cursor import Cursor
from flowrt.delivery.suspicion import Suspicion
from flowrt.journal import REFUSED, Journal, clean_text
from flowrt.node import Outbox
from flowrt.sink import OutboxRecord, Reject, Retry
from flowrt.system.backoff import Backoff
from flowrt.system.threads import Supervisor, one_line

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

PACE_S = 0.01
SILENCE_S = 60.0
BATCH = 1000
UNDER_WAY_BYTES = 32_000_000
"""With more under way nothing is read, however many records the node's window allows."""
LONGEST_WAIT_S = 3600.0
"""Waits that a service asks for are cut to this."""
AWAY = ("waiting", REFUSED)
"""States of an outbox whose service does not take its messages now."""
_RATE_WINDOW_S = 5.0
_BEAT_S = 120.0
"""A node whose `deliver` takes longer than this is trouble."""


class Deliverer:
    """One outbox and its node. The thread ends when stopped; a successor then goes on with whatever has no acknowledgement."""

    def __init__(
        self,
        name: str,
        node: Outbox,
        journal: Journal,
        log: Log,
        backoff: Backoff,
        supervisor: Supervisor,
        *,
        mask: Callable[[str], str],
        on_return: Callable[[Deliverer], None] = lambda _: None,
        attempts: Mapping[int, int] | None = None,
    ) -> None:
        """mask: takes secrets out of what the outside answers. on_return: called once something was acknowledged after a failure. attempts: records that a predecessor had begun, by number."""
        self.name, self.node = name, node
        self._journal, self._log = journal, log
        self._wake = threading.Condition()
        self._under_way: dict[int, OutboxRecord] = {}
        self._under_way_bytes = 0
        self._attempts = dict(attempts or {})  # of records that were begun before and have no acknowledgement
        self._cursor = Cursor(journal, name, node.replay_per_s)
        self._fresh = True  # there may be records behind the cursor
        self._single_until = 0  # up to this number, records go one by one
        self._probing = False  # after a Retry, one record finds out whether the outside is back
        self._suspicion = Suspicion()
        self._hurry = False
        self._mask = mask
        self._on_return = on_return
        self._tick_due = 0.0
        self._last_acknowledged = time.monotonic()
        self._acknowledged = self._acknowledged_before = 0  # now, and when the last failure was
        self._has_delivered = False
        self._rate = _Rate()
        self._backoff = backoff
        self.stopping = threading.Event()
        self.state, self.last_error, self.errors, self.retries = "connecting", "", 0, 0
        self._since = time.monotonic()
        self._thread = supervisor.thread(
            f"deliver {name}", self._run, restart=Backoff(0.2, 30.0), beat_within_s=_BEAT_S
        )

    def start(self) -> None:
        self._thread.start()

    def begun(self) -> dict[int, int]:
        """Attempts at records without an acknowledgement, for a successor."""
        with self._wake:
            return {**self._attempts, **{n: self._attempts.get(n, 0) + 1 for n in self._under_way}}

    def stop(self, timeout_s: float) -> bool:
        """End after the present call of `deliver`; False where that call did not come back in time."""
        self.end()
        return self._thread.join(timeout_s)

    def end(self) -> None:
        """The same without waiting."""
        self._thread.stop()
        with self._wake:
            self.stopping.set()
            self._wake.notify_all()

    def wake(self) -> None:
        """There are new records."""
        with self._wake:
            self._fresh = True
            self._wake.notify_all()

    def try_now(self) -> None:
        """Another outbox got through to the same service: end a wait, unless the service itself asked for it."""
        with self._wake:
            self._hurry = True
            self._wake.notify_all()
        self.node.outside_is_back()

    @property
    def rate_per_s(self) -> float:
        return self._rate.per_s()

    # -- Acknowledger: called by the node, from any thread -------------------------------------------------------------

    def delivered(self, record: OutboxRecord) -> None:
        self.delivered_all((record,))

    def delivered_all(self, records: Iterable[OutboxRecord]) -> None:
        """The same for many at once, with less locking."""
        taken = self._acknowledge(records)
        if taken:
            self._journal.delivered(self.name, taken)

    def rejected(self, record: OutboxRecord, reason: str) -> None:
        self.rejected_all((record,), reason)

    def rejected_all(self, records: Sequence[OutboxRecord], reason: str) -> None:
        """The same for many of one reason, in one line of the log."""
        refused = self._acknowledge(records)
        if not refused:
            return
        reason = self._mask(clean_text(reason))
        first = refused[0]
        others = f" and {len(refused) - 1} others" if len(refused) > 1 else ""
        self._log.error("'%s': message %d (%s)%s refused: %s", self.name, first.number, first.address, others, reason)
        for record in refused:
            self._journal.rejected(self.name, record.number, reason)

    def _acknowledge(self, records: Iterable[OutboxRecord]) -> list[OutboxRecord]:
        """Count acknowledgements; without those that came before. An acknowledgement is good at any time, also after a rewind."""
        with self._wake:
            taken = []
            for record in records:
                known = self._under_way.pop(record.number, None) is not None
                self._under_way_bytes -= len(record.body) if known else 0
                begun = self._attempts.pop(record.number, None) is not None if self._attempts else False
                if known or begun:
                    taken.append(record)
            if taken:
                self._suspicion.passed(taken[-1].number)
                self._acknowledged += len(taken)
                self._rate.count(len(taken))
                self._last_acknowledged = time.monotonic()
                if self._probing or self._space() >= self._worthwhile or not self._under_way:
                    self._wake.notify_all()
            return taken

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        self._rewind()  # a thread that was started again does not know what became of the last batch
        while not self.stopping.is_set():
            self._thread.beat()
            if not self.node.ready():
                self._be("disabled", "no address, waiting")
                self._pause(1.0)
                continue
            records = self._next()
            if not records and not self._under_way:
                self._look_for_success()
                self._look_outside()
                with self._wake:
                    if not self.stopping.is_set() and (self._cursor.replaying or not self._fresh):
                        self._wake.wait(PACE_S if self._cursor.replaying else 1.0)
                continue
            if records or time.monotonic() >= self._tick_due:
                self._send(records)

    @property
    def _worthwhile(self) -> int:
        """How many more records must fit into the window before the journal is read again; one by one would be slow."""
        return max(self.node.window // 4, 1)

    def _space(self) -> int:
        return self.node.window - len(self._under_way) if self._under_way_bytes < UNDER_WAY_BYTES else 0

    def _next(self) -> list[OutboxRecord]:
        with self._wake:
            if not self._under_way:
                self._last_acknowledged = time.monotonic()
            elif self._probing or not self._fresh or self._space() < self._worthwhile:
                self._wake.wait(self.node.tick_s)
            elif self._cursor.replaying and not self._probing:
                self._wake.wait(PACE_S)
            space = self._space()
            if self._probing and self._under_way and self._acknowledged == self._acknowledged_before:
                return []
            if not self._fresh or space < self._worthwhile:
                return []
            self._fresh = False
        records = self._other_than_the_suspect()
        if not records:
            records = self._cursor.read(1 if self._probing else min(space, BATCH), self._single_until)
        with self._wake:
            self._fresh = self._fresh or bool(records) or self._cursor.replaying
            if self._attempts:
                records = [self._with_attempts(record) for record in records]
            self._under_way.update((record.number, record) for record in records)
            self._under_way_bytes += sum(len(record.body) for record in records)
        return records

    def _other_than_the_suspect(self) -> list[OutboxRecord]:
        behind = self._suspicion.try_behind
        if behind is None:
            return []
        records = self._journal.read(self.name, behind, 1)
        with self._wake:
            self._suspicion.tries(records[0].number if records else 0)
        return records

    def _with_attempts(self, record: OutboxRecord) -> OutboxRecord:
        begun = self._attempts.get(record.number, 0)
        return msgspec.structs.replace(record, attempts=record.attempts + begun) if begun else record

    def _send(self, records: list[OutboxRecord]) -> None:
        try:
            self.node.deliver(records, self)
            if time.monotonic() - self._last_acknowledged > SILENCE_S:
                raise Retry(f"no answer for {SILENCE_S:.0f} s")
        except Retry as retry:
            self.retries += 1
            with self._wake:
                self._suspicion.away()
            self._again(one_line_of(retry), retry.after_s, REFUSED if retry.refused else "waiting")
        except Reject as reject:
            self._isolate(records, one_line_of(reject))
        except BaseException as error:  # a node's bug, `sys.exit` in it included, is not the end of its outbox
            self._contain(records, error)
        self._tick_due = time.monotonic() + self.node.tick_s
        self._look_for_success()

    def _look_for_success(self) -> None:
        """An acknowledgement, and not merely a call that came back, says that the outside is there again."""
        if self._acknowledged > self._acknowledged_before:
            self._probing = False
            self._backoff.reset()
            returned = self.state in AWAY
            if returned:
                self._log.info("'%s' delivers%s", self.name, " again" if self._has_delivered else "")
            self._has_delivered = True
            self._be("up")
            if returned:
                self._on_return(self)

    def _look_outside(self) -> None:
        """With nothing to deliver, a state holds until the node knows better: silence is no sign of life."""
        try:
            there = self.node.reach()
        except Retry as retry:
            self._be(REFUSED if retry.refused else "waiting", self._mask(one_line_of(retry)))
        except BaseException as error:  # a node's bug
            self._be("waiting", self._mask(one_line(error)))
        else:
            if there:
                self._be("up")
            else:
                self._be("connecting" if self.state == "disabled" else self.state, self.last_error)

    def _isolate(self, records: Sequence[OutboxRecord], reason: str) -> None:
        """One of this batch is refused: send it again one by one, until that one is alone."""
        open_records = [record for record in records if record.number in self._under_way]
        if len(open_records) == 1:
            self.rejected(open_records[0], reason)
        elif open_records:
            self._single_until = max(self._single_until, open_records[-1].number)
            self._rewind()

    def _contain(self, records: Sequence[OutboxRecord], error: BaseException) -> None:
        self.errors += 1
        text = self._mask(one_line(error))
        self._log.error("'%s': deliver raised %s", self.name, text, exc_info=error if self.errors <= 3 else None)
        open_records = [record for record in records if record.number in self._under_way]
        if open_records:
            self._single_until = max(self._single_until, open_records[-1].number)
        if len(open_records) == 1:
            with self._wake:
                guilty = self._suspicion.raised(open_records[0].number)
            if guilty:
                reason = f"deliver raises each time this is sent, while others pass: {text}"
                self.rejected(open_records[0], reason)
                return
        self._again(text, None)

    def _again(self, reason: str, after_s: float | None, state: str = "waiting") -> None:
        """Back off, then begin again with the first record that has no acknowledgement."""
        reason = self._mask(reason)
        if reason != self.last_error or self.state == "up":
            self._log.warning("'%s' waits: %s", self.name, reason)
        if self._acknowledged > self._acknowledged_before:
            self._backoff.reset()  # it failed, but not before it had taken something
        self._rewind()
        with self._wake:
            self._probing = True
            self._acknowledged_before = self._acknowledged
        self._be(state, reason)
        asked_for = after_s is not None and after_s > 0
        self._pause(min(self._backoff.wait_s(after_s), LONGEST_WAIT_S), patient=asked_for)

    def _rewind(self) -> None:
        with self._wake:
            for number in self._under_way:
                self._attempts[number] = self._attempts.get(number, 0) + 1
            first = min(self._under_way, default=0)
            self._under_way.clear()
            self._under_way_bytes = 0
            self._fresh = True
            self._last_acknowledged = time.monotonic()
        if first:
            self._cursor.rewind(first)

    def _pause(self, seconds: float, *, patient: bool = True) -> None:
        """Wait until the time is up, the thread shall end or, unless patient, another outbox got through to the same service."""
        self._note()
        until = time.monotonic() + seconds
        with self._wake:
            while (
                not self.stopping.is_set() and (patient or not self._hurry) and (left := until - time.monotonic()) > 0
            ):
                self._wake.wait(min(left, _BEAT_S / 4))
                self._thread.beat()
            self._hurry = False

    def _be(self, state: str, why: str = "") -> None:
        if state != self.state:
            self.state, self._since = state, time.monotonic()
        self.last_error = why
        self._note()

    @property
    def state_s(self) -> float:
        """For how long the state is what it is."""
        return time.monotonic() - self._since

    def _note(self) -> None:
        self._journal.note(self.name, self.state, self.last_error, self.rate_per_s)


class _Rate:
    """Acknowledgements per second over the last few seconds."""

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}

    def count(self, acknowledgements: int) -> None:
        second = int(time.monotonic())
        self._slots[second] = self._slots.get(second, 0) + acknowledgements
        if len(self._slots) > 2 * _RATE_WINDOW_S:
            del self._slots[min(self._slots)]

    def per_s(self) -> float:
        now = time.monotonic()
        recent = sum(count for second, count in list(self._slots.items()) if second >= int(now) - _RATE_WINDOW_S)
        return recent / (_RATE_WINDOW_S + now % 1)


def one_line_of(error: Retry | Reject) -> str:
    """What a node says, for people."""
    return clean_text(" ".join(clean_text(error).split()))
