"""A program that is made to be killed: forks children that accept and deliver until SIGKILL comes, again and again.

    python -m tests.delivery.crash_child FOLDER KILLS SEED

Each child opens the journal, sends records `<child>-<k>` and delivers them by writing a line to `delivered`. As soon as the journal counts
them as accepted it writes `<child> <how many>` to `accepted`. Both files are written with one system call a line, which
survives the process. Forking from a process that has imported everything makes a life cost milliseconds.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from flowrt.clock import SystemClock
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.sink import Acknowledger, OutboxRecord
from tests.delivery.outside import Outside


class ToFile(Outside):
    """Delivers to a file."""

    def to(self, path: Path) -> ToFile:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self

    def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
        for record in records:
            os.write(self._fd, f"{record.id}\n".encode())
            acknowledger.delivered(record)


def live(folder: Path, child: int, seed: int) -> None:
    """One life; ends by being killed."""
    dice = random.Random(seed)
    journal = Journal(folder / "a.journal", clock=SystemClock())
    delivery = Delivery(journal, SystemClock())
    delivery.add("out", ToFile().to(folder / "delivered"))
    threading.Thread(target=keep_ledger, args=(journal, folder / "accepted", child), daemon=True).start()
    number = 0
    while True:
        count = dice.choice((1, 1, 3, 40))
        sent = [
            OutboxRecord(id=f"{child}-{number + k}", time_s=0.0, address="a", body=b"x" * 200) for k in range(count)
        ]
        number += count
        delivery.accept("out", sent)
        if dice.random() < 0.3:
            time.sleep(dice.random() * 0.003)


def keep_ledger(journal: Journal, path: Path, child: int) -> None:
    """Write down what counts as accepted."""
    fd, last = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), 0
    while True:
        accepted = journal.counters("out").accepted
        if accepted > last:
            os.write(fd, f"{child} {accepted}\n".encode())
            last = accepted
        time.sleep(0.0005)


def main(folder: Path, kills: int, seed: int) -> None:
    """Fork, wait a random time, kill, wait, again. Three of four get to accept something first, however slow the machine is."""
    logging.disable(logging.CRITICAL)
    dice = random.Random(seed)
    ledger = folder / "accepted"
    ledger.touch()
    for child in range(kills):
        before = ledger.stat().st_size
        pid = os.fork()
        if pid == 0:
            try:
                live(folder, child, seed + child)
            finally:
                os._exit(1)
        until = time.monotonic() + (10.0 if child % 4 else 0.0)
        while ledger.stat().st_size == before and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(dice.random() ** 2 * 0.25)
        os.kill(pid, signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if os.WIFEXITED(status):
            sys.exit(f"child {child} ended by itself")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
