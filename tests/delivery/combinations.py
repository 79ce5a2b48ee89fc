"""A program that combines faults at random: disks, files, clocks, services, rows and kill -9, from a seed.

    python -m tests.delivery.combinations FOLDER FIRST_SEED COUNT     # a line of JSON per combination

One combination is a journal with three sinks, two of which deliver to the same service, over a few lives. In each life messages are sent, some
of which can't be written, while faults begin and end; it ends by SIGKILL or in order. In the last life all faults end, and the books are
closed: what was accepted, what arrived, what died, and whether the run was ready when it should have been. What each life saw is written to files with
one system call a line, which survives the process. Forking from a process that has imported everything makes a life cost milliseconds.
"""

from __future__ import annotations

import itertools
import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from flowrt.clock import SystemClock
from flowrt.delivery import Delivery
from flowrt.journal import Journal, JournalClosed, JournalView, Limits, memory, writer
from flowrt.sink import Acknowledger, OutboxRecord, Retry
from flowrt.system.backoff import Backoff
from tests.delivery.outside import Outside, ScriptedDisk, eventually

SINKS = {"a1": "a", "a2": "a", "b": "b"}
"""Which service each sink delivers to."""
LATEST_S = 20.0
STATUS_S = 2.0
"""A status that takes longer waited for the disk; other processes may take the processor away for a while."""


class Service:
    """What sinks deliver to: up, away, refusing, or crashing in most calls."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.state = "up"

    def __call__(self, batch: Sequence[OutboxRecord]) -> None:
        if self.state == "away" or (self.state == "refusing" and batch):
            raise Retry(self.state, refused=self.state == "refusing")
        if self.state == "crashing" and batch and self._chance.random() < 0.9:
            raise ConnectionResetError("it crashed")
        if self.state == "exiting" and batch and self._chance.random() < 0.3:
            sys.exit(0)


class ToFile(Outside):
    """Delivers to a file, one line a message."""

    service: str = ""

    def to(self, path: Path) -> ToFile:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self

    @property
    def outside(self) -> object:
        return self.service

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        if self._fault is not None:
            self._fault(records)
        for record in records:
            os.write(self._fd, f"{record.id}\n".encode())
            acknowledger.delivered(record)


class SetClock(SystemClock):
    """A clock that can be set."""

    off_s = 0.0

    def now_s(self) -> float:
        return max(time.time() + self.off_s, 1.0)


def is_bad(life: int, number: int) -> bool:
    """Whether that message can't be written."""
    return (life * 7 + number) % 23 == 0


def message(sink: str, life: int, number: int) -> Any:
    """One to send."""
    made = OutboxRecord(id=f"{sink}-{life}-{number}", time_s=1.0, address="a", body=b"x" * 100)
    if not is_bad(life, number):
        return made
    return msgspec.structs.replace(made, **[{"time_s": float("nan")}, {"id": None}, {"body": 2**70}][number % 3])


class Life:
    """One process on the journal of a combination."""

    def __init__(self, folder: Path, number: int, seed: int) -> None:
        self.folder, self.number = folder, number
        self.chance = random.Random(seed)
        self.path = folder / "data" / "a.journal"
        self.disk, self.clock = ScriptedDisk(), SetClock()
        self.clock.off_s = self.chance.choice((0.0, 0.0, -20_000, 400, -60, 30)) * 86_400.0
        self.journal = Journal(self.path, limits=Limits(buffer_records=400), clock=self.clock, disk=self.disk)
        self.delivery = Delivery(self.journal, self.clock, backoff=lambda: Backoff(0.0002, 0.001))
        self.services = {name: Service(self.chance) for name in set(SINKS.values())}
        for sink, service in SINKS.items():
            node = ToFile(service=service)
            node.prepare(self.services[service])
            self.delivery.add(sink, node.to(folder / f"delivered-{sink}"))
        self._notes = os.open(folder / "notes", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.ended = threading.Event()
        self._watching = threading.Thread(target=self._watch, daemon=True)
        self._watching.start()

    def note(self, **facts: Any) -> None:
        """Write down."""
        os.write(self._notes, msgspec.json.encode({"life": self.number, **facts}) + b"\n")

    def send(self) -> None:
        """Send until the life is over."""
        for start in itertools.count(0, 5):
            for sink in SINKS:
                batch = [message(sink, self.number, start + i) for i in range(5)]
                try:
                    self.delivery.accept(sink, batch)
                except JournalClosed:
                    return
            if self.ended.wait(0.001):
                return

    def _watch(self) -> None:
        """Look at the status all the time: it never waits, and the books balance at any moment."""
        last: dict[str, int] = {}
        while True:
            began = time.monotonic()
            for sink, row in self.delivery.statistics().items():
                left = row.delivered + row.dead_letters + sum(row.dropped.values()) + row.pending
                if row.accepted + row.resumed != left:
                    self.note(wrong=f"{sink}: {row}")
                good = row.accepted - row.dead_letters
                if good > last.get(sink, 0):
                    last[sink] = good
                    self.note(sink=sink, good=good, dead=row.dead_letters)
            if time.monotonic() - began > STATUS_S:
                self.note(wrong=f"a status took {time.monotonic() - began:.1f} s")
            if self.ended.wait(0.002):
                return

    # -- faults: each begins one and says how it ends ----------------------------------------------------------------------

    def disk_hangs(self) -> Callable[[], None]:
        hanging = self.disk.hanging()
        hanging.__enter__()
        return lambda: hanging.__exit__(None, None, None)

    def disk_is_full(self) -> Callable[[], None]:
        self.disk.full = True
        return lambda: setattr(self.disk, "full", False)

    def flushes_fail(self) -> Callable[[], None]:
        """SQLite then brings the log to the file by itself, so that nothing is wrong."""
        self.disk.fails = True
        return lambda: setattr(self.disk, "fails", False)

    def file_is_removed(self) -> Callable[[], None]:
        """What is lost with the file and the process together is lost; so nothing else happens before it was noticed."""
        before = len(self.journal.statistics().recovered)
        for side in self.chance.choice((("",), ("", "-wal", "-shm", ".lock"), ("-wal",))):
            self.path.with_name(self.path.name + side).unlink(missing_ok=True)
        eventually(lambda: len(self.journal.statistics().recovered) > before, LATEST_S)
        return lambda: None

    def clock_is_set(self) -> Callable[[], None]:
        self.clock.off_s = self.chance.choice((0.0, -20_000, 400, 90, -3)) * 86_400.0
        return lambda: None

    def service_changes(self) -> Callable[[], None]:
        service = self.services[self.chance.choice("ab")]
        service.state = self.chance.choice(("away", "crashing", "refusing", "exiting"))
        return lambda: setattr(service, "state", "up")

    def live(self) -> None:
        """Faults come and go; then the process is killed, or ends in order."""
        threading.Thread(target=self.send, daemon=True).start()
        faults = [
            self.disk_hangs, self.disk_is_full, self.flushes_fail, self.file_is_removed, self.clock_is_set, self.service_changes,
            self.service_changes,
        ]  # fmt: skip
        chosen = self.chance.sample(faults, self.chance.randint(2, 4))
        ends: list[Callable[[], None]] = []
        for fault in chosen:
            if fault == self.file_is_removed:
                self._end(ends)
            time.sleep(self.chance.random() * 0.03)
            ends.append(fault())
            if fault in (self.disk_hangs, self.disk_is_full):
                eventually(lambda: self.delivery.trouble(), LATEST_S)  # each of them makes the run unready
            time.sleep(self.chance.random() * (0.2 if fault == self.service_changes else 0.05))
            if self.chance.random() < 0.4:
                self._end(ends)
        if self.chance.random() < 0.7:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.chance.random() < 0.5:
            self._end(ends)
        began = time.monotonic()
        self.delivery.close(0.2)
        self.journal.close(0.2)
        if time.monotonic() - began > 10.0:
            self.note(wrong=f"closing took {time.monotonic() - began:.1f} s")

    def _end(self, ends: list[Callable[[], None]]) -> None:
        while ends:
            ends.pop()()

    def last(self) -> None:
        """Nothing is wrong any more: all that waits is delivered, and the run is ready."""
        eventually(lambda: all(row.pending == 0 for row in self.delivery.statistics().values()), LATEST_S)
        eventually(lambda: self.delivery.trouble() == [], LATEST_S)
        self.ended.set()
        self._watching.join(5.0)
        self.delivery.close(2.0)
        self.journal.close()


def combination(folder: Path, seed: int) -> dict[str, Any]:
    """One combination; what was wrong with it, and what it was made of."""
    folder.mkdir()
    chance = random.Random(seed)
    lives = chance.randint(1, 3)
    for number in range(lives + 1):
        in_child(lambda number=number: one_life(folder, number, chance.randrange(10**9), last=number == lives))  # type: ignore[misc]
        chance.randrange(10**9)
    return {"seed": seed, "lives": lives, **books(folder, lives)}


def one_life(folder: Path, number: int, seed: int, *, last: bool) -> None:
    """In a process of its own."""
    writer.MAINTENANCE_S, writer.RETRY_S, memory.STALLED_S = 0.05, 0.02, 0.1
    life = Life(folder, number, seed)
    try:
        life.last() if last else life.live()
    except BaseException as error:
        life.note(wrong=f"{type(error).__name__}: {error}; {life.delivery.trouble()}; {life.delivery.statistics()}")


def in_child(action: Callable[[], None]) -> None:
    """Fork, act, wait."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def books(folder: Path, lives: int) -> dict[str, Any]:
    """What was accepted has arrived, each sink's account adds up over all lives, and no message is dead that could be written."""
    notes = [msgspec.json.decode(line) for line in (folder / "notes").read_bytes().splitlines()]
    wrong = [note["wrong"] for note in notes if "wrong" in note]
    accepted = 0
    with JournalView(folder / "data" / "a.journal") as view:
        boxes = {box.name: box for box in view.outboxes()}
        wrong += [dead.reason for dead in view.dead_letters() if not dead.reason.startswith("can't be written")]
    for sink in SINKS:
        arrived = set((folder / f"delivered-{sink}").read_text().split())
        for life in range(lives):
            good = max((note["good"] for note in notes if note.get("sink") == sink and note["life"] == life), default=0)
            accepted += good
            numbers = itertools.islice((n for n in itertools.count() if not is_bad(life, n)), good)
            lost = {f"{sink}-{life}-{number}" for number in numbers} - arrived
            wrong += (
                [f"{len(lost)} of {good} accepted messages of {sink} in life {life} did not arrive"] if lost else []
            )
        box = boxes.get(sink)
        if box is not None and (box.pending or box.dropped or box.accepted != box.delivered + box.dead_letters):
            wrong.append(f"the account of {sink} does not add up: {box}")
    return {"accepted": accepted, "wrong": wrong}


def main(folder: Path, first: int, count: int) -> None:
    """Combine."""
    logging.disable(logging.CRITICAL)
    for seed in range(first, first + count):
        print(msgspec.json.encode(combination(folder / str(seed), seed)).decode(), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
