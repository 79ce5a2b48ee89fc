"""Runners: one node in its place in the running graph, with its counters and its way on. `runners.py` has those for special nodes."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic, perf_counter_ns
from typing import Any

from flowrt.flow import FROM, Edge, NodeSpec
from flowrt.message import Fault, Message
from flowrt.node import Context, Node
from flowrt.runtime.chain import Chain, Counts, Push, chain
from flowrt.runtime.statistics import Histogram


class Moment:
    """origin_ns: when a message was captured (time.monotonic_ns), 0 where nobody asked."""

    __slots__ = ("origin_ns",)

    def __init__(self) -> None:
        self.origin_ns = 0


class _Current(threading.local):
    """`moment` is this thread's own; a worker gets it once, since looking it up costs as much as a hop."""

    def __init__(self) -> None:
        self.moment = Moment()

    @property
    def origin_ns(self) -> int:
        """When the message that this thread carries was captured."""
        return self.moment.origin_ns


current = _Current()

_QUICK_NS = 20_000
_LEARNING = 256


class NodeRunner:
    """One node at work. `install` puts another node into the same place; counters go on."""

    def __init__(
        self, spec: NodeSpec, node: Node, context: Context, on_fault: Callable[[NodeRunner, Fault], None]
    ) -> None:
        self.on_fault = on_fault
        self._in = self._out = self._emitted = self._sent = self.dropped = self.errors = 0
        self.times = Histogram()
        self.last_error = ""
        self.lock: threading.Lock | None = None
        self._quick = False
        self._chain: Chain | None = None
        self._parts: list[tuple[Chain, int]] = []
        self._ways: tuple[tuple[Edge, tuple[type[Message], ...], Push], ...] = ()
        self._table: dict[type, tuple[Push, ...]] = {}
        self._rate = (monotonic(), 0, 0.0)
        self.install(spec, node, context)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        """Put a node to work in this place."""
        self.spec, self.node, self.context = spec, node, context
        self.name = spec.name
        process = getattr(node, "process", None)
        if process is not None and inspect.isgeneratorfunction(process):
            generate = process
            process = lambda message: list(generate(message))  # noqa: E731
        self.run: Callable[[Any], Any] = process  # type: ignore[assignment]

    # -- wiring ---------------------------------------------------------------------------------------------------

    def fuse(self, following: Sequence[NodeRunner]) -> None:
        """Begin a line here: through this runner and those that only it feeds, each the one before. The graph must be at rest."""
        self._chain = self._part_of(chain((self, *following)), (self, *following))

    @staticmethod
    def _part_of(fused: Chain, runners: Sequence[NodeRunner]) -> Chain:
        for number, runner in enumerate(runners):
            runner._parts.append((fused, number))
        return fused

    def unfuse(self) -> None:
        """Count as this runner's own what its lines counted for it, and leave them. The graph must be at rest."""
        counts = self._counts()
        self._in += counts.taken
        self._out += counts.taken - counts.failed
        self._emitted += counts.made
        self._sent += counts.sent
        self._parts = []

    def _counts(self) -> Counts:
        parts = [fused.counts(number) for fused, number in self._parts]
        return Counts(*map(sum, zip(*parts, strict=True))) if parts else Counts()

    def connect(self, ways: Iterable[tuple[Edge, tuple[type[Message], ...], Push]]) -> None:
        """Where messages go from now on: edge, the types that travel on it, and the target's entrance."""
        self._ways = tuple(ways)
        self._table = {}

    @property
    def edges(self) -> list[Edge]:
        """The edges that leave here, as wired."""
        return [edge for edge, _, _ in self._ways]

    def entrance(self, field: str, shared: bool) -> Push:
        """The function that takes messages of an edge into this runner."""
        if field != FROM:
            return self._feed(field)
        if shared:
            return self.push_shared
        assert self._chain is not None
        return self._chain.push

    def pushes(self, kind: type[Message]) -> tuple[Push, ...]:
        """The entrances of those who take messages of that type."""
        pushes = self._table.get(kind)
        if pushes is None:
            pushes = tuple(push for _, types, push in self._ways if issubclass(kind, types))
            self._table = {**self._table, kind: pushes}
        return pushes

    # -- hot path -------------------------------------------------------------------------------------------------

    def push_shared(self, message: Message) -> None:
        """The entrance of a runner that several workers reach: processing is exclusive, sending is not."""
        assert self.lock is not None
        with self.lock:
            self._in += 1
            try:
                start_ns = perf_counter_ns()
                result = self.run(message)
                self.timed(perf_counter_ns() - start_ns)
            except Exception as error:
                failure: Exception | None = error
            else:
                failure = None
                self._out += 1
                outgoing = self._outgoing(result)
        if failure is not None:
            self.fail(failure, message)
            return
        for pushes, out in outgoing:
            for push in pushes:
                push(out)

    def emit(self, result: Message | Iterable[Message] | None) -> None:
        """Carry one message, several, or none on to everybody who takes them."""
        for pushes, message in self._outgoing(result):
            for push in pushes:
                push(message)

    def _outgoing(self, result: Message | Iterable[Message] | None) -> list[tuple[tuple[Push, ...], Message]]:
        if result is None:
            return []
        messages = [result] if isinstance(result, Message) else result
        outgoing = [(self.pushes(type(message)), message) for message in messages]
        self._emitted += len(outgoing)
        self._sent += sum(len(pushes) for pushes, _ in outgoing)
        return outgoing

    def _feed(self, field: str) -> Push:
        def push(message: Message) -> None:
            lock = self.lock
            if lock is not None:
                lock.acquire()
            try:
                self._in += 1
                getattr(self.node, f"on_{field}")(message)
                self._out += 1
            except Exception as error:
                failure: Exception | None = error
            else:
                failure = None
            finally:
                if lock is not None:
                    lock.release()
            if failure is not None:
                self.fail(failure, message)

        return push

    # -- accounts -------------------------------------------------------------------------------------------------

    @property
    def held(self) -> int:
        """Messages that are in, and neither out nor dropped nor failed."""
        return 0

    @property
    def received(self) -> int:
        """Messages that edges brought."""
        return self.n_in

    @property
    def n_in(self) -> int:
        """Messages that came in."""
        return self._in + self._counts().taken

    @property
    def n_out(self) -> int:
        """Messages that were processed."""
        counts = self._counts()
        return self._out + counts.taken - counts.failed

    @property
    def emitted(self) -> int:
        """Messages that the node made."""
        return self._emitted + self._counts().made

    @property
    def sent(self) -> int:
        """Messages that the node made, times the edges they took."""
        return self._sent + self._counts().sent

    def count(self, came_in: int = 0, went_out: int = 0) -> None:
        """Count messages that no edge brought."""
        self._in += came_in
        self._out += went_out

    def timed(self, duration_ns: int) -> bool:
        """Count a duration; whether the node has proved to be quick, and need not be timed at each message."""
        self.times.add(duration_ns)
        if self.times.count == _LEARNING:
            self._quick = (self.times.quantile_ms(0.5) or 0) * 1e6 < _QUICK_NS
        return self._quick

    def fail(self, error: Exception, message: Message | None) -> None:
        """Contain what the node raised: count it, tell the log and whoever catches faults."""
        self.errors += 1
        self.last_error = f"{type(error).__name__}: {error}"
        self.tell(error, message)

    def tell(self, error: Exception, message: Message | None) -> None:
        """Tell the log and whoever catches faults."""
        self.on_fault(
            self,
            Fault(
                time_s=message.time_s if message is not None else self.context.clock.now_s(),
                camera_id=message.camera_id if message is not None else "",
                node=self.name,
                error=str(error),
                error_type=type(error).__name__,
                message_type=type(message).__name__ if message is not None else "",
            ),
        )

    def statistics(self) -> dict[str, Any]:
        """What `/api/status` and the report say of this node."""
        then, count, rate = self._rate
        now, done = monotonic(), self.n_out
        if now - then >= 1.0:
            rate = (done - count) / (now - then)
            self._rate = (now, done, rate)
        return {
            "type": self.spec.type.name,
            "in": self.n_in,
            "out": self.n_out,
            "emitted": self.emitted,
            "dropped": self.dropped,
            "errors": self.errors,
            "held": self.held,
            "rate_per_s": round(rate, 2),
            "process_ms": self.times.summary(),
            "last_error": self.last_error,
        }
