"""Drivers: the threads that carry messages through the graph.

A driver holds `lock` while it carries one message, and nothing else; whoever holds the locks of all drivers sees the graph at rest.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from flowrt.flow import NodeSpec
from flowrt.messages import Message
from flowrt.node import Context, Node, Source
from flowrt.runtime.cell import Cell, InferenceCell, SourceCell, current
from flowrt.runtime.channel import Channel, Closed


class Driver:
    """A thread with a lock. busy_since: when it began to carry its message (monotonic seconds), 0 when it is idle."""

    cell: Cell

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.busy_since = 0.0
        self.threads: list[threading.Thread] = []

    def hold(self, timeout_s: float) -> bool:
        """Bring this driver to rest between two messages; False when it did not come to rest in time."""
        return self.lock.acquire(timeout=max(0.0, timeout_s))

    def let_go(self) -> None:
        """Let it carry on."""
        self.lock.release()

    def stop(self) -> None:
        """Ask for the end; what is under way is still carried."""
        raise NotImplementedError

    def abandon(self) -> None:
        """It did not end when asked: whatever it still makes is dropped."""

    def start(self) -> None:
        """Start the thread(s)."""
        for thread in self.threads:
            thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end; False when it did not come in time."""
        end = monotonic() + timeout_s
        for thread in self.threads:
            if thread.ident is not None:
                thread.join(max(0.0, end - monotonic()))
        return not any(thread.is_alive() for thread in self.threads)

    def _thread(self, target: Callable[[], None], what: str) -> None:
        self.threads.append(threading.Thread(target=target, name=f"{what} {self.name}", daemon=True))


class SourceDriver(Driver):
    """Runs one source: restarts it by policy, carries what it makes.

    A live source has two threads: one makes messages, one carries them, with a channel between that keeps the newest frame.
    """

    def __init__(
        self, cell: SourceCell, revive: Callable[[NodeSpec, Context], Node], on_end: Callable[[], None]
    ) -> None:
        super().__init__(cell.name)
        self.cell: SourceCell = cell
        self.node: Source = cell.node  # type: ignore[assignment]
        self.context = cell.context
        self.spec = cell.spec
        self.failed = False
        self.ended = False
        self._revive = revive
        self._on_end = on_end
        self._failures: deque[float] = deque()
        self._making = threading.Lock()
        self._abandoned = False
        self._carry = cell.carry
        self.channel: Channel | None = None
        if self.node.live:
            self.channel = cell.waiting = Channel("newest", 1)
            self._thread(self._carry_all, "carry")
        self._thread(self._make_all, "source")

    def hold(self, timeout_s: float) -> bool:
        end = monotonic() + timeout_s
        if not super().hold(timeout_s):
            return False
        if self._making.acquire(timeout=max(0.0, end - monotonic())):
            return True
        super().let_go()
        return False

    def let_go(self) -> None:
        self._making.release()
        super().let_go()

    def stop(self) -> None:
        """Ask the source to come to an end."""
        self.context.stopping.set()

    def abandon(self) -> None:
        if self.channel is not None:
            self.channel.close()
        self._abandoned = True

    def _make_all(self) -> None:
        try:
            while True:
                try:
                    for message in self.node.produce():
                        self._made(message)
                        if self.context.stopping.is_set():
                            break
                    return
                except Closed:
                    return
                except Exception as error:
                    self._count_failure(error)
                    if not self._may_restart():
                        return
        finally:
            if self.channel is not None:
                self.channel.close()
            else:
                self._end()

    def _made(self, message: Message) -> None:
        cell = self.cell
        if self.channel is None:
            with self.lock:
                if self._abandoned:
                    cell.count(came_in=1)
                    cell.dropped += 1
                else:
                    current.origin_ns = now_ns = monotonic_ns()
                    self.busy_since = now_ns * 1e-9
                    self._carry(message)
                    self.busy_since = 0.0
            return
        with self._making:
            dropped = self.channel.put((message, monotonic_ns()))
            cell.count(came_in=1)
            cell.dropped += dropped

    def _carry_all(self) -> None:
        assert self.channel is not None
        try:
            while True:
                message, origin_ns = self.channel.get()
                with self.lock:
                    self.cell.taken += 1
                    current.origin_ns = origin_ns
                    self.busy_since = monotonic()
                    self.cell.count(went_out=1)
                    self.cell.emit(message)
                    self.busy_since = 0.0
        except Closed:
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._on_end()

    def _count_failure(self, error: Exception) -> None:
        with self.lock:
            self.cell.count(came_in=1)
            self.cell.fail(error, None)

    def _may_restart(self) -> bool:
        """Count a failure; wait and make a new node where the policy allows it."""
        policy, clock = self.spec.restart, self.context.clock
        while not self.context.stopping.is_set():
            now = monotonic()
            self._failures.append(now)
            while self._failures and now - self._failures[0] > policy.window_s:
                self._failures.popleft()
            if len(self._failures) > policy.max:
                self.failed = True
                self.context.log.error(
                    "%s failed %d times within %g s and is given up", self.name, len(self._failures), policy.window_s
                )
                return False
            if not clock.sleep(policy.backoff_s * 2 ** (len(self._failures) - 1), self.context.stopping):
                return False
            try:
                with self.lock:
                    self.node = self._revive(self.spec, self.context)  # type: ignore[assignment]
                    self.cell.install(self.spec, self.node, self.context)
            except Exception as error:
                self._count_failure(error)
                continue
            self.context.log.warning("%s was started again", self.name)
            return True
        return False


class Collector(Driver):
    """Fetches the results of one inference cell, in order, and carries them on."""

    def __init__(self, cell: InferenceCell) -> None:
        super().__init__(cell.name)
        self.cell: InferenceCell = cell
        self._thread(self._run, "collect")

    def stop(self) -> None:
        self.cell.pipe.close()

    def _run(self) -> None:
        try:
            while True:
                item: Any = self.cell.pipe.get()
                outcome = self.cell.collect(item)
                with self.lock:
                    self.busy_since = monotonic()
                    self.cell.settle(item, *outcome)
                    self.busy_since = 0.0
        except Closed:
            return
