"""Runners for nodes that do more than to process: sources, sinks that journal, sinks that are recorded, inference."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from time import perf_counter_ns
from typing import Any

from flowrt.flow import FROM, NodeSpec
from flowrt.journal import EventRow
from flowrt.message import Event, Message
from flowrt.node import Context, Inference, Node, Outbox
from flowrt.runtime.chain import Counts, Push, PushAll, begin, chain
from flowrt.runtime.channel import Channel, Closed
from flowrt.runtime.runner import NodeRunner, current


class SourceRunner(NodeRunner):
    """A source: what comes in is what the source made, what goes out is what was carried on."""

    frames = 0
    fed = 0  # messages that came in by a feed; they are none of the source's own
    waiting: Channel | None = None
    first: type[Message] | None = None  # the type of message that takes the quick way
    push: Push
    push_all: PushAll
    dated = True  # whether anything behind asks when a message was captured
    taken = 0  # how many the worker has taken out of the channel and carried on

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

    def fuse(self, following: Sequence[NodeRunner]) -> None:
        """Go on with a line of what only this source feeds."""
        self.first = None
        self._chain = self._part_of(chain(following), following) if following else None
        self._feeds_several = not following

    def _counts(self) -> Counts:
        if self._chain is None:
            return Counts()
        counts = self._chain.counts(0)  # nobody else enters there: what it took is what the source made
        return counts if self._feeds_several else Counts(counts.taken, 0, counts.taken, counts.taken)

    def carry(self, message: Message) -> None:
        """Take a message that the source made, count it as come in and gone out, and carry it on.

        From the second of its type on, messages of the `first` type may go straight into `push`, and several into `push_all`.
        """
        self.count(came_in=1, went_out=1)
        self.emit(message)
        kind = type(message)
        if self.first is not None or kind.replaceable:  # pictures are counted, which the quick way does not
            return
        pushes = self.pushes(kind)
        if self._chain is None:
            self._chain = begin(pushes)
        elif not pushes:
            return
        self.push, self.push_all, self.first = self._chain.push, self._chain.push_all, kind

    @property
    def quick(self) -> bool:
        """Whether all that a message meets on the quick way has proved to be quick."""
        return self._chain is not None and self._chain.quick()

    def emit(self, result: Message | Iterable[Message] | None) -> None:
        self.frames += isinstance(result, Message) and result.replaceable
        super().emit(result)

    @property
    def held(self) -> int:
        return self.waiting.accepted - self.waiting.dropped - self.taken if self.waiting is not None else 0


class OutboxRunner(NodeRunner):
    """A sink that journals: what goes out was handed to the journal."""

    def __init__(self, *args: Any, accept: Callable[..., None], remember: Callable[[EventRow, bool], None]) -> None:
        self._accept = accept
        self._remember = remember
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        assert isinstance(node, Outbox)
        self._encode = node.encode
        self.run = self._encode_and_accept

    def _encode_and_accept(self, message: Message) -> None:
        records = list(self._encode(message))
        events: tuple[EventRow, ...] = ()
        if isinstance(message, Event):
            payload = self.context.contract.encode_payload(message, self.context.site)
            row = EventRow(id=message.id, time_s=message.time_s, type=message.port, node=self.name, payload=payload)
            self._remember(row, message.critical)
            events = (row,)
        if records or events:
            self._accept(self.name, records, events=events, origin_ns=current.origin_ns)


class RecordingRunner(NodeRunner):
    """A sink in a test: what reaches it is written down."""

    def __init__(self, *args: Any, record: Callable[[str, Message], None]) -> None:
        self._record = record
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        self.run = lambda message: self._record(self.name, message)


class InferenceRunner(NodeRunner):
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
            self.pipe.put((node, pending, message, current.origin_ns))
        except Closed:  # only behind a worker that was left behind
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
        current.moment.origin_ns = item[3]
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
