"""Workers: the threads that carry messages through the graph.

A worker is brought to rest between two messages by `hold`; whoever holds all workers sees the graph at rest. Most workers have their
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
from flowrt.message import Message
from flowrt.node import Context, Node, Source
from flowrt.runtime.chain import BURST
from flowrt.runtime.channel import Channel, Closed
from flowrt.runtime.runner import NodeRunner, current
from flowrt.runtime.runners import InferenceRunner, SourceRunner

_LOOK_S = 0.0002
"""How often who wants rest looks whether a source still carries."""


class Worker:
    """A thread with a lock. carrying: whether it carries a message now."""

    runner: NodeRunner

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.Lock()
        self.carrying = False
        self._seen = (-1, 0.0)
        self.threads: list[threading.Thread] = []

    def hold(self, timeout_s: float) -> bool:
        """Bring this worker to rest between two messages; False when it did not come to rest in time."""
        return self.lock.acquire(timeout=max(0.0, timeout_s))

    def release(self) -> None:
        """Let it carry on."""
        self.lock.release()

    def busy_s(self, now_s: float) -> float:
        """For how long it has been seen at the message that it carries now, in seconds, at least a millisecond; 0 when it is idle.

        now_s: `time.monotonic`. Noting the time at each message would cost more than a hop, so the first look begins to count.
        """
        carried = self.runner.n_out + self.runner.errors
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


class SourceWorker(Worker):
    """Runs one source: restarts it by policy, carries what it makes.

    A live source has two threads: one makes messages, one carries them, with a channel between that keeps the newest frame.
    Of a source that does not hurry, one thread does both, without a lock: see the top of this file.
    """

    def __init__(
        self, runner: SourceRunner, revive: Callable[[NodeSpec, Context], Node], on_end: Callable[[], None]
    ) -> None:
        super().__init__(runner.name)
        self.runner: SourceRunner = runner
        self.node: Source = runner.node  # type: ignore[assignment]
        self.context = runner.context
        self.spec = runner.spec
        self.failed = False
        self.ended = False
        self._revive = revive
        self._on_end = on_end
        self._failures: deque[float] = deque()
        self._making = threading.Lock()
        self._rest_wanted = self._ending = self._abandoned = False
        self.channel: Channel | None = None
        if self.node.live:
            self.channel = runner.waiting = Channel("newest", 1)
            self._thread(self._carry_all, "carry")
        self._thread(self._make_all, "source")

    def hold(self, timeout_s: float) -> bool:
        end = monotonic() + timeout_s
        if not super().hold(timeout_s):
            return False
        if self.channel is not None:
            if self._making.acquire(timeout=max(0.0, end - monotonic())):
                return True
            super().release()
            return False
        self._rest_wanted = True
        sleep(_LOOK_S)  # without the GIL, a core may see what another one wrote a moment later
        while self.carrying:
            if monotonic() > end:
                self.release()
                return False
            sleep(_LOOK_S)
        return True

    def release(self) -> None:
        if self.channel is not None:
            self._making.release()
        self._rest_wanted = False
        super().release()

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
        runner, moment = self.runner, current.moment
        for made in self.node.produce():
            self.carrying = True
            if self._rest_wanted or self._ending:
                self._make_way()
            if runner.dated:
                moment.origin_ns = monotonic_ns()
            if type(made) is runner.first and not self._abandoned:
                runner.push(made)
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
        runner = self.runner
        messages = [made] if isinstance(made, Message) else made
        at = 0
        while at < len(messages):
            if at:
                self._make_way()
            part = messages[at : at + (BURST if runner.quick else 1)]
            at += len(part)
            if self._abandoned:
                runner.count(came_in=len(part))
                runner.dropped += len(part)
            elif runner.first is None:
                for message in part:
                    runner.carry(message)
            else:
                runner.push_all(part, runner.first, runner.carry)

    def _put_made(self, channel: Channel) -> None:
        """Make messages and put each into the channel."""
        for made in self.node.produce():
            for message in [made] if isinstance(made, Message) else made:
                with self._making:
                    dropped = channel.put((message, monotonic_ns()))
                    self.runner.count(came_in=1)
                    self.runner.dropped += dropped
            if self._ending:
                return

    def _carry_all(self) -> None:
        assert self.channel is not None
        moment = current.moment
        try:
            while True:
                message, origin_ns = self.channel.get()
                with self.lock:
                    self.runner.taken += 1
                    moment.origin_ns = origin_ns
                    self.carrying = True
                    self.runner.count(went_out=1)
                    self.runner.emit(message)
                    self.carrying = False
        except Closed:
            self._end()

    def _end(self) -> None:
        self.ended = True
        self._on_end()

    def _count_failure(self, error: Exception) -> None:
        with self.lock:
            self.runner.count(came_in=1)
            self.runner.fail(error, None)

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
                    self.runner.install(self.spec, self.node, self.context)
            except Exception as error:
                self._count_failure(error)
                continue
            self.context.log.warning("%s was started again", self.name)
            return True
        return False


class Collector(Worker):
    """Fetches the results of one inference runner, in order, and carries them on."""

    def __init__(self, runner: InferenceRunner) -> None:
        super().__init__(runner.name)
        self.runner: InferenceRunner = runner
        self._thread(self._run, "collect")

    def stop(self) -> None:
        self.runner.pipe.close()

    def _run(self) -> None:
        try:
            while True:
                item: Any = self.runner.pipe.get()
                outcome = self.runner.collect(item)
                with self.lock:
                    self.carrying = True
                    self.runner.settle(item, *outcome)
                    self.carrying = False
        except Closed:
            return
