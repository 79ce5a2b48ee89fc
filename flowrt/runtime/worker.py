"""Workers: the threads that carry messages through the graph. A worker is paused by `hold`, between two messages."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from flowrt.runtime.runner import NodeRunner
from flowrt.system.threads import SupervisedThread, Supervisor


class Worker:
    """One or two threads that carry the messages of one runner. carrying: whether it carries one now."""

    def __init__(self, runner: NodeRunner, supervisor: Supervisor) -> None:
        self.runner = runner
        self.name = runner.name
        self.carrying = False
        self._supervisor = supervisor
        self._lock = threading.Lock()  # held while a message is carried
        self._resumed = threading.Event()
        self._resumed.set()
        self._pausing = self._held = False
        self._seen = (-1, 0.0)
        self._threads: list[SupervisedThread] = []

    def hold(self, timeout_s: float) -> bool:
        """Pause this worker between two messages; False when it was busy with one for so long."""
        self._resumed.clear()
        self._pausing = True
        if self._lock.acquire(timeout=max(0.0, timeout_s)):
            self._held = True
            return True
        self._resume()
        return False

    def release(self) -> None:
        """Let it go on."""
        self._held = False
        self._lock.release()
        self._resume()

    def _resume(self) -> None:
        self._pausing = False
        self._resumed.set()

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Not while the worker is paused, nor while it carries a message."""
        self._resumed.wait()  # a lock alone is not fair: the worker would take it again before the one that waits for it
        with self._lock:
            yield

    def busy_since(self, now_s: float) -> float | None:
        """When it was first seen at the message that it carries now; None when it is idle or paused.

        now_s: `time.monotonic`. The time is not noted at each message: the first call that sees a message begins to count.
        """
        carried = self.runner.n_out + self.runner.errors
        if not self.carrying or self._held:
            self._seen = (-1, now_s)
            return None
        if self._seen[0] != carried:
            self._seen = (carried, now_s)
        return self._seen[1]

    def busy_s(self, now_s: float) -> float:
        """For how long it has been seen at that message, in seconds, at least a millisecond; 0 when it is idle."""
        since_s = self.busy_since(now_s)
        return 0.0 if since_s is None else round(max(now_s - since_s, 1e-3), 3)

    def idents(self) -> list[int]:
        """Its threads that run, as `threading.get_ident` names them."""
        return [thread.ident for thread in self._threads if thread.ident is not None and thread.alive]

    def stop(self) -> None:
        """Ask for the end; what is under way is still carried."""
        raise NotImplementedError

    def abandon(self) -> None:
        """It did not end when asked: whatever it still makes is dropped."""
        for thread in self._threads:
            thread.stop()

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; False when it did not come in time."""
        end = monotonic() + timeout_s
        ended = [thread.join(max(0.0, end - monotonic())) for thread in self._threads]
        return all(ended)

    def _thread(self, target: Callable[[], None], what: str) -> None:
        self._threads.append(self._supervisor.thread(f"{what} of {self.name}", target))
