"""Sources in the running graph: a thread that makes messages and carries each to the end before the next is made.

A live source has two threads, one that makes and one that carries, with a channel between that keeps the newest frame.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic, monotonic_ns
from typing import Any

from flowrt.flow import MAX_BACKOFF_S, NodeSpec
from flowrt.message import Message
from flowrt.node import Context, Node, Source
from flowrt.runtime.channel import Channel, Closed
from flowrt.runtime.runner import Moment, NodeRunner, Push, current, messages_of
from flowrt.runtime.worker import Worker
from flowrt.system.backoff import Backoff
from flowrt.system.threads import Supervisor

FPS_S = 3.0
"""`fps` in the status is that of the last seconds."""


class SourceRunner(NodeRunner):
    """A source: what comes in is what the source made, what goes out is what was carried on.

    carried: messages carried into the graph. frames: how many of them are pictures. taken: messages taken out of the channel.
    """

    direct = False

    def __init__(self, spec: NodeSpec, node: Node, context: Context, on_fault: Callable[..., None]) -> None:
        self.frames = self.carried = self.taken = 0
        self.channel: Channel | None = None
        self._picture_s: deque[float] = deque(maxlen=512)
        self._since_s = monotonic()
        self._side_inputs = 0  # messages that came by edges; they are none of the source's own
        self._own_drops = 0
        super().__init__(spec, node, context, on_fault)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        self._own_drops = 0

    @property
    def received(self) -> int:
        return self._side_inputs

    @property
    def n_out(self) -> int:
        return self.carried

    @property
    def held(self) -> int:
        return self.channel.accepted - self.channel.dropped - self.taken if self.channel is not None else 0

    @property
    def called(self) -> object:
        return getattr(type(self.node), "produce", None)

    def carry(self, message: Message) -> None:
        """Count a message as gone out, and carry it on."""
        self.carried += 1
        if message.replaceable:
            self.frames += 1
            self._picture_s.append(monotonic())
        following = self._next.get(type(message))
        if following is None:
            self.emit(message)
        else:
            self._passed += 1
            following.push(message)

    def fail(self, error: BaseException, message: Message | None) -> None:
        """Count a failure of `produce` as a message that failed."""
        self.n_in += 1
        super().fail(error, message)

    def drop(self, messages: int) -> None:
        """Count messages that came in and went no further."""
        self.n_in += messages
        self.dropped += messages

    def count_own_drops(self) -> None:
        """Take over what the source says it dropped by itself."""
        assert isinstance(self.node, Source), "only sources get this runner"
        dropped = self.node.dropped
        self.drop(dropped - self._own_drops)
        self._own_drops = dropped

    def statistics(self) -> dict[str, Any]:
        row = super().statistics()
        now = monotonic()
        if any(kind.replaceable for kind in self.spec.type.ports.outputs):
            row["pictures"] = self.frames
            row["picture_age_s"] = round(now - (self._picture_s[-1] if self._picture_s else self._since_s), 3)
        if self.frames:
            since = now - FPS_S
            row["fps"] = round(sum(at > since for at in self._picture_s.copy()) / FPS_S, 2)
        return row

    def _side_entrance(self, field: str) -> Push:
        exclusive = threading.Lock()  # a source makes messages on its own thread meanwhile

        def push(message: Message) -> None:
            with exclusive:
                self._side_inputs += 1
                try:
                    getattr(self.node, f"on_{field}")(message)
                except BaseException as error:  # whatever a node raises is its own fault
                    failure = error
                else:
                    return
            self.report(failure, message)

        return push


class SourceWorker(Worker):
    """Runs one source: carries what it makes, and starts it again as its `restart` says.

    failed: it was given up. ended: it came to its end, or was given up.
    """

    def __init__(
        self,
        runner: SourceRunner,
        supervisor: Supervisor,
        revive: Callable[[Node, NodeSpec, Context], Node],
        close: Callable[[Node], None],
        on_end: Callable[[], None],
    ) -> None:
        super().__init__(runner, supervisor)
        self._source = runner
        self._context = runner.context
        self._spec = runner.spec
        self.node: Source = runner.node  # type: ignore[assignment]  # a source's runner has a source
        self.failed = self.ended = False
        self._revive, self._close, self._on_end = revive, close, on_end
        self._failures: deque[float] = deque()
        self._backoff = Backoff(self._spec.restart.backoff_s, MAX_BACKOFF_S)
        self._making = threading.Lock()  # held while a message is put into the channel
        self._ending = self._abandoned = False
        self._moment = Moment()  # of the thread that carries
        self._channel: Channel | None = None
        if self.node.live:
            self._channel = runner.channel = Channel("newest", 1)
            self._thread(self._carry_from_channel, "carrying")
        self._thread(self._make_all, "source")

    def hold(self, timeout_s: float) -> bool:
        end = monotonic() + timeout_s
        if not super().hold(timeout_s):
            return False
        if self._making.acquire(timeout=max(0.0, end - monotonic())):
            return True
        super().release()
        return False

    def release(self) -> None:
        self._making.release()
        super().release()

    def stop(self) -> None:
        """Ask the source to come to an end."""
        self._context.stopping.set()
        self._ending = True

    def abandon(self) -> None:
        super().abandon()
        if self._channel is not None:
            self._channel.close()
        self._abandoned = True

    # -- its threads ----------------------------------------------------------------------------------------------

    def _make_all(self) -> None:
        if self._channel is None:
            self._moment = current.moment
        try:
            while True:
                try:
                    self._make()
                except Closed:
                    return
                except (
                    BaseException
                ) as error:  # SystemExit, too, is the fault of the source, and not the end of the run
                    with self._exclusive():
                        self._source.fail(error, None)
                    if not self._restarted():
                        return
                else:
                    return
        finally:
            if self._channel is not None:
                self._channel.close()
            else:
                self._end()

    def _make(self) -> None:
        for made in self.node.produce():
            for message in (made,) if isinstance(made, Message) else messages_of(made):
                if self._channel is None:
                    self._carry(message, monotonic_ns())
                else:
                    self._put(message, self._channel)
            if self._ending:
                return

    def _put(self, message: Message, channel: Channel) -> None:
        self._resumed.wait()
        with self._making:
            dropped = channel.put((message, monotonic_ns()))
            self._source.n_in += 1
            self._source.dropped += dropped
            self._source.count_own_drops()

    def _carry(self, message: Message, origin_ns: int) -> None:
        if self._pausing:
            self._resumed.wait()
        with self._lock:
            if self._channel is None:
                self._source.n_in += 1
            else:
                self._source.taken += 1
            if self._abandoned:  # it must not reach nodes that are closed
                self._source.dropped += 1
                return
            self.carrying = True
            self._moment.origin_ns = origin_ns
            self._source.carry(message)
            self.carrying = False

    def _carry_from_channel(self) -> None:
        assert self._channel is not None, "only live sources have this thread"
        self._moment = current.moment
        while True:
            try:
                message, origin_ns = self._channel.get()
            except Closed:
                self._end()
                return
            self._carry(message, origin_ns)

    def _end(self) -> None:
        self.ended = True
        self._on_end()

    def _restarted(self) -> bool:
        """Count a failure; wait, and open a new node where `restart` allows it."""
        policy, stopping = self._spec.restart, self._context.stopping
        while not stopping.is_set():
            now = monotonic()
            while self._failures and now - self._failures[0] > policy.window_s:
                self._failures.popleft()
            if not self._failures:
                self._backoff.reset()
            self._failures.append(now)
            if len(self._failures) > policy.max:
                self.failed = True
                self._context.log.error(
                    "%s failed %d times within %g s and is given up", self.name, len(self._failures), policy.window_s
                )
                return False
            if not self._context.clock.sleep(self._backoff.wait_s(), stopping):
                return False
            try:
                if not self._opened_again():
                    return False
            except BaseException as error:  # what `open` raises is one more failure
                if not stopping.is_set():
                    self._source.fail(error, None)
                continue
            self._context.log.warning("%s was started again", self.name)
            return True
        return False

    def _opened_again(self) -> bool:
        """Put a fresh node to work; False where a reload has put another into its place. A reload need not wait while it opens."""
        while True:
            with self._exclusive():  # the settings may have been edited since
                spec, is_replaced = self._source.spec, self._source.node is not self.node
            if is_replaced:
                return False
            node = self._revive(self.node, spec, self._context)
            with self._exclusive():
                is_replaced = self._source.node is not self.node
                self.node = node  # type: ignore[assignment]  # of the same type
                if self._source.spec is spec and not is_replaced:
                    self._source.install(spec, node, self._context)
                    return True
                if not is_replaced:
                    self._source.node = node  # of settings that are edited by now: once more
            if is_replaced:
                self._close(node)
                return False
