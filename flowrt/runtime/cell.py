"""Cells: one node in its place in the running graph, with its counters and its way on."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable
from time import monotonic, perf_counter_ns
from typing import Any

from flowrt.flow import FROM, Edge, NodeSpec
from flowrt.journal import EventRow
from flowrt.messages import Event, Fault, Frame, Message
from flowrt.node import Context, Inference, Node, Outbox
from flowrt.runtime.channel import Channel, Closed
from flowrt.runtime.hop import Hop, Push, hop, start
from flowrt.runtime.statistics import Histogram

current = threading.local()
"""`current.origin_ns`: when the message that this thread carries was captured (time.monotonic_ns)."""

_QUICK_NS = 20_000
_LEARNING = 256


class Cell:
    """One node at work. `install` puts another node into the same place; counters go on."""

    def __init__(self, spec: NodeSpec, node: Node, context: Context, on_fault: Callable[[Cell, Fault], None]) -> None:
        self.on_fault = on_fault
        self._in = self._out = self._emitted = self._sent = self.dropped = self.errors = 0
        self.times = Histogram()
        self.last_error = ""
        self.lock: threading.Lock | None = None
        self._mask = 0
        self._hop = self._make_hop()
        self._ways: tuple[tuple[Edge, tuple[type[Message], ...], Push], ...] = ()
        self._table: dict[type, tuple[Push, ...]] = {}
        self._rate = (monotonic(), 0, 0.0)
        self.install(spec, node, context)

    def _make_hop(self) -> Hop:
        return hop(self._timed, self._general, self.fail)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        """Put a node to work in this place."""
        self.spec, self.node, self.context = spec, node, context
        self.name = spec.name
        process = getattr(node, "process", None)
        if process is not None and inspect.isgeneratorfunction(process):
            generate = process
            process = lambda message: list(generate(message))  # noqa: E731
        self._process: Callable[[Any], Any] | None = process

    # -- wiring ---------------------------------------------------------------------------------------------------

    def connect(self, ways: Iterable[tuple[Edge, tuple[type[Message], ...], Push]]) -> None:
        """Where messages go from now on: edge, the types that travel on it, and the target's entrance."""
        self._ways = tuple(ways)
        self._table = {}
        self._knows = False
        self._hop.process(self._process)
        self._hop.know(None, ())

    @property
    def edges(self) -> list[Edge]:
        """The edges that leave here, as wired."""
        return [edge for edge, _, _ in self._ways]

    def entrance(self, field: str, shared: bool) -> Push:
        """The function that takes messages of an edge into this cell."""
        if field != FROM:
            return self._feed(field)
        return self.push_shared if shared else self._hop.push

    def _pushes(self, kind: type) -> tuple[Push, ...]:
        pushes = self._table.get(kind)
        if pushes is None:
            pushes = tuple(push for _, types, push in self._ways if issubclass(kind, types))
            self._table = {**self._table, kind: pushes}
        return pushes

    # -- hot path -------------------------------------------------------------------------------------------------

    def _general(self, result: Message | Iterable[Message]) -> None:
        """Carry on what the hop does not know by heart; the first message is of the kind that it knows from now on."""
        self.emit(result)
        if isinstance(result, Message) and not self._knows:
            self._knows = True
            self._hop.know(type(result), self._pushes(type(result)))

    def push_shared(self, message: Message) -> None:
        """As the hop's `push`, for a cell that several drivers reach: processing is exclusive, sending is not."""
        assert self.lock is not None
        with self.lock:
            self._in += 1
            try:
                start_ns = perf_counter_ns()
                result = self._process(message)  # type: ignore[misc]
                self._timed(perf_counter_ns() - start_ns)
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
        outgoing = [(self._pushes(type(message)), message) for message in messages]
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
        return self._in + self._hop.counts().taken

    @property
    def n_out(self) -> int:
        """Messages that were processed."""
        counts = self._hop.counts()
        return self._out + counts.taken - counts.failed

    @property
    def emitted(self) -> int:
        """Messages that the node made."""
        return self._emitted + self._hop.counts().made

    @property
    def sent(self) -> int:
        """Messages that the node made, times the edges they took."""
        return self._sent + self._hop.counts().sent

    def count(self, came_in: int = 0, went_out: int = 0) -> None:
        """Count messages that no edge brought."""
        self._in += came_in
        self._out += went_out

    def _timed(self, duration_ns: int) -> int:
        """Count a duration; nodes that prove to be quick are timed once in 64 messages. Returns the mask of those not timed."""
        self.times.add(duration_ns)
        if self.times.count == _LEARNING and (self.times.quantile_ms(0.5) or 0) * 1e6 < _QUICK_NS:
            self._mask = 63
        return self._mask

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


class SourceCell(Cell):
    """A source: what comes in is what the source made, what goes out is what was carried on."""

    frames = 0
    fed = 0  # messages that came in by a feed; they are none of the source's own
    waiting: Channel | None = None
    taken = 0  # how many the driver has taken out of the channel and carried on

    @property
    def received(self) -> int:
        return self.fed

    def _feed(self, field: str) -> Push:
        feeding = threading.Lock()  # a source makes messages on its own thread meanwhile

        def push(message: Message) -> None:
            with feeding:
                self.fed += 1
                try:
                    getattr(self.node, f"on_{field}")(message)
                except Exception as error:
                    self.last_error = f"{type(error).__name__}: {error}"
                    failure = error
                else:
                    return
            self.tell(failure, message)

        return push

    def _make_hop(self) -> Hop:
        return start(self._general)

    @property
    def carry(self) -> Push:
        """Takes a message that the source made, counts it as come in and gone out, and carries it on."""
        return self._hop.push

    def _general(self, result: Message | Iterable[Message]) -> None:
        if isinstance(result, Frame):  # the hop does not count pictures, so it must not know them
            self.emit(result)
        else:
            super()._general(result)

    def emit(self, result: Message | Iterable[Message] | None) -> None:
        self.frames += isinstance(result, Frame)
        super().emit(result)

    @property
    def held(self) -> int:
        return self.waiting.accepted - self.waiting.dropped - self.taken if self.waiting is not None else 0


class OutboxCell(Cell):
    """A sink that journals: what goes out was handed to the journal."""

    def __init__(self, *args: Any, accept: Callable[..., None], remember: Callable[[EventRow], None]) -> None:
        self._accept = accept
        self._remember = remember
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        assert isinstance(node, Outbox)
        self._encode = node.encode
        self._process = self._encode_and_accept

    def _encode_and_accept(self, message: Message) -> None:
        letters = list(self._encode(message))
        events: tuple[EventRow, ...] = ()
        if isinstance(message, Event):
            payload = self.context.contract.encode_payload(message, self.context.site)
            row = EventRow(id=message.id, time_s=message.time_s, type=message.port, node=self.name, payload=payload)
            self._remember(row)
            events = (row,)
        if letters or events:
            self._accept(self.name, letters, events=events, origin_ns=getattr(current, "origin_ns", 0))


class RecordingCell(Cell):
    """A sink in a test: what reaches it is written down."""

    def __init__(self, *args: Any, record: Callable[[str, Message], None]) -> None:
        self._record = record
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        self._process = lambda message: self._record(self.name, message)


class InferenceCell(Cell):
    """A node whose work runs elsewhere. Submitted messages wait in `pipe`, in order, for the collector to fetch them."""

    def __init__(self, *args: Any) -> None:
        self.pipe = Channel("block", 1)
        self.begun = self.ended = 0
        self.collecting = threading.Lock()
        self.threaded = True
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        assert isinstance(node, Inference)
        self.pipe.size = max(1, node.in_flight)
        self._submit = node.submit

    @property
    def held(self) -> int:
        return self.begun - self.ended

    def entrance(self, field: str, shared: bool) -> Push:
        if field == FROM and not shared:
            return self.push
        return super().entrance(field, shared)

    def push(self, message: Message) -> None:
        """Begin with a message."""
        self._in += 1
        node: Any = self.node
        try:
            pending = self._submit(message)
        except Exception as error:
            self.fail(error, message)
            return
        if pending is None:
            self._out += 1
            return
        self.begun += 1
        if not self.threaded and len(self.pipe) >= self.pipe.size:
            self.collect_now()
        try:
            self.pipe.put((node, pending, message, getattr(current, "origin_ns", 0)))
        except Closed:  # only behind a driver that was left behind
            self.ended += 1
            self.dropped += 1

    def push_shared(self, message: Message) -> None:
        assert self.lock is not None
        with self.lock:
            self.push(message)

    def collect(self, item: Any) -> tuple[Any, Exception | None]:
        """Wait for one result; to be followed by `settle`."""
        node, pending, _, _ = item
        start_ns = perf_counter_ns()
        try:
            with self.collecting:
                return node.collect(pending), None
        except Exception as error:
            return None, error
        finally:
            self.times.add(perf_counter_ns() - start_ns)

    def settle(self, item: Any, result: Any, error: Exception | None) -> None:
        """Count one result and carry it on, under the collector's lock."""
        self.ended += 1
        current.origin_ns = item[3]
        if error is not None:
            self.fail(error, item[2])
            return
        self._out += 1
        self.emit(result)

    def collect_now(self) -> bool:
        """Fetch and carry on the oldest result on this thread; False where there is none."""
        item = self.pipe.get_now()
        if item is None:
            return False
        self.settle(item, *self.collect(item))
        return True
