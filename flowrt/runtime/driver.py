"""Drivers: the threads that carry messages through the graph.

A driver is brought to rest between two messages by `hold`; whoever holds all drivers sees the graph at rest. Most drivers have their
`lock` while they carry a message. A source that nobody makes hurry has none, since a lock costs more than several hops: it says
that it carries, then looks whether rest is wanted; who wants rest says so, then looks whether it carries. One of them sees the other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import monotonic, monotonic_ns, sleep
from typing import Any

from flowrt.flow import NodeSpec
from flowrt.messages import Message
from flowrt.node import Context, Node, Source
from flowrt.runtime.cell import Cell, current
from flowrt.runtime.cells import InferenceCell, SourceCell
from flowrt.runtime.channel import Channel, Closed
from flowrt.runtime.line import BURST

_LOOK_S = 0.0002
"""How often who wants rest looks whether a source still carries."""


class Driver:
    """A thread with a lock. carrying: whether it carries a message now."""

    cell: Cell

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.carrying = False
        self._seen = (-1, 0.0)
        self.threads: list[threading.Thread] = []

    def hold(self, timeout_s: float) -> bool:
        """Bring this driver to rest between two messages; False when it did not come to rest in time."""
        return self.lock.acquire(timeout=max(0.0, timeout_s))

    def let_go(self) -> None:
        """Let it carry on."""
        self.lock.release()

    def busy_s(self, now_s: float) -> float:
        """For how long it has been seen at the message that it carries now, in seconds, at least a millisecond; 0 when it is idle.

        now_s: `time.monotonic`. Noting the time at each message would cost more than a hop, so the first look begins to count.
        """
        carried = self.cell.n_out + self.cell.errors
        if not self.carrying:
            self._seen = (-1, now_s)
        elif self._seen[0] != carried:
            self._seen = (carried, now_s)
        return round(max(now_s - self._seen[1], 1e-3), 3) if self.carrying else 0.0

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
    Of a source that does not hurry, one thread does both, without a lock: see the top of this file.
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
        self._rest_wanted = self._ending = self._abandoned = False
        self.channel: Channel | None = None
        if self.node.live:
            self.channel = cell.waiting = Channel("newest", 1)
            self._thread(self._carry_all, "carry")
        self._thread(self._make_all, "source")

    def hold(self, timeout_s: float) -> bool:
        end = monotonic() + timeout_s
        if not super().hold(timeout_s):
            return False
        if self.channel is not None:
            if self._making.acquire(timeout=max(0.0, end - monotonic())):
                return True
            super().let_go()
            return False
        self._rest_wanted = True
        sleep(_LOOK_S)  # without the GIL, a core may see what another one wrote a moment later
        while self.carrying:
            if monotonic() > end:
                self.let_go()
                return False
            sleep(_LOOK_S)
        return True

    def let_go(self) -> None:
        if self.channel is not None:
            self._making.release()
        self._rest_wanted = False
        super().let_go()

    def stop(self) -> None:
        """Ask the source to come to an end."""
        self.context.stopping.set()
        self._ending = True

    def abandon(self) -> None:
        if self.channel is not None:
            self.channel.close()
        self._abandoned = True

    def _make_all(self) -> None:
        try:
            while True:
                try:
                    if self.channel is None:
                        self._carry_made()
                    else:
                        self._put_made(self.channel)
                    return
                except Closed:
                    return
                except Exception as error:
                    if self.channel is None:
                        self.carrying = False
                    self._count_failure(error)
                    if not self._may_restart():
                        return
        finally:
            if self.channel is not None:
                self.channel.close()
            else:
                self.carrying = False
                self._end()

    def _carry_made(self) -> None:
        """Make messages and carry each before the next is made."""
        cell, moment = self.cell, current.moment
        for made in self.node.produce():
            self.carrying = True
            if self._rest_wanted or self._ending:
                self._make_way()
            if cell.dated:
                moment.origin_ns = monotonic_ns()
            if type(made) is cell.first and not self._abandoned:
                cell.push(made)
            else:
                self._carry_slowly(made)
            self.carrying = False
            if self._ending:
                return

    def _make_way(self) -> None:
        """Let those who want rest have it."""
        while self._rest_wanted:
            self.carrying = False
            with self.lock:  # who wants rest has it
                pass
            self.carrying = True

    def _carry_slowly(self, made: Message | Sequence[Message]) -> None:
        """Carry on what is not of the expected type, or several messages that were made at once, in parts where they are quick."""
        cell = self.cell
        messages = [made] if isinstance(made, Message) else made
        at = 0
        while at < len(messages):
            if at:
                self._make_way()
            part = messages[at : at + (BURST if cell.quick else 1)]
            at += len(part)
            if self._abandoned:
                cell.count(came_in=len(part))
                cell.dropped += len(part)
            elif cell.first is None:
                for message in part:
                    cell.carry(message)
            else:
                cell.push_all(part, cell.first, cell.carry)

    def _put_made(self, channel: Channel) -> None:
        """Make messages and put each into the channel."""
        for made in self.node.produce():
            for message in [made] if isinstance(made, Message) else made:
                with self._making:
                    dropped = channel.put((message, monotonic_ns()))
                    self.cell.count(came_in=1)
                    self.cell.dropped += dropped
            if self._ending:
                return

    def _carry_all(self) -> None:
        assert self.channel is not None
        moment = current.moment
        try:
            while True:
                message, origin_ns = self.channel.get()
                with self.lock:
                    self.cell.taken += 1
                    moment.origin_ns = origin_ns
                    self.carrying = True
                    self.cell.count(went_out=1)
                    self.cell.emit(message)
                    self.carrying = False
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
                    self.carrying = True
                    self.cell.settle(item, *outcome)
                    self.carrying = False
        except Closed:
            return
