"""Node runners: one node in its place in the running graph, with its counters and its outgoing edges.

A message is carried by the thread that brought it. As long as each node passes on one message to one other node, `push` goes from
runner to runner in a loop; where the way forks, it calls `push` of each. `source`, `inference` and `outbox` have the other runners.
"""

from __future__ import annotations

import contextlib
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic, perf_counter_ns
from typing import Any, ClassVar, NamedTuple

from flowrt.contract.defects import is_time
from flowrt.flow import FROM, Edge, NodeSpec
from flowrt.journal import percentiles
from flowrt.message import Fault, Message
from flowrt.node import Context, Node
from flowrt.runtime.faults import Faults
from flowrt.system.histogram import Histogram
from flowrt.system.threads import from_keyboard, one_line, text_of

log = logging.getLogger("flowrt")

Push = Callable[[Message], None]
Observer = Callable[[Message], None]
"""Given each message that a node makes, on the thread that carries it: quick. One that raises is shown nothing more."""

RECENT = 512
"""Durations of so many messages are kept for the percentiles in the status."""
QUICK_NS = 20_000
"""A node whose median is below this, after its first messages, is timed only at one message in 64: timing would cost more than it does."""
LEARNING = 256


class Moment:
    """origin_ns: when a message was captured (time.monotonic_ns); 0 where that is not known. sender: the node that gave it to a sink."""

    __slots__ = ("origin_ns", "sender")

    def __init__(self) -> None:
        self.origin_ns, self.sender = 0, ""


class _Current(threading.local):
    """`moment` is this thread's own, of the message that it carries. A worker gets it once, since looking it up costs as much as a hop."""

    def __init__(self) -> None:
        self.moment = Moment()

    @property
    def origin_ns(self) -> int:
        """When the message that this thread carries was captured."""
        return self.moment.origin_ns


current = _Current()


class Outgoing(NamedTuple):
    """An outgoing edge. types: what travels on it. push: the target's entrance. direct: the target, where `NodeRunner.push` is it."""

    edge: Edge
    types: tuple[type[Message], ...]
    push: Push
    direct: NodeRunner | None


class NodeRunner:
    """One node at work. `install` puts another node into the same place; counters go on.

    n_in: messages that came in. timed: those whose processing was timed. lock: held while the node processes, where several workers reach it.
    """

    direct: ClassVar[bool] = True

    def __init__(
        self, spec: NodeSpec, node: Node, context: Context, on_fault: Callable[[NodeRunner, Fault, BaseException], None]
    ) -> None:
        self.on_fault = on_fault
        self.n_in = self.dropped = self.errors = self.unsendable = 0
        self._emitted = self._sent = self._passed = 0  # passed: emitted once and sent once, by the loop in `push`
        self.last_error = self._last_place = ""
        self.lock: threading.Lock | None = None
        self._counting = threading.Lock()  # what a node makes and its faults may be counted by two threads
        self._durations_ns: deque[int] = deque(maxlen=RECENT)
        self.processing = Histogram()
        self.timed = 0
        self._untimed = 0  # bit mask: a message is timed where none of these bits is set in its number
        self._outgoing: tuple[Outgoing, ...] = ()
        self._pushes: dict[type, tuple[Push, ...]] = {}
        self._next: dict[type, NodeRunner] = {}  # of one type at most, so that `_passed` says how many of it there were
        self._observers: tuple[Observer, ...] = ()
        self._made: dict[
            type, int
        ] = {}  # by type, those that `emit` counted or `_passed` did for a type that left `_next`
        self._passed_before = 0
        self.faults = Faults()
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
        self.process: Callable[[Any], Any] = process  # type: ignore[assignment]  # runners of nodes without one set their own

    @property
    def called(self) -> object:
        """The method of the node whose results go on."""
        return getattr(type(self.node), "process", None)

    # -- wiring ---------------------------------------------------------------------------------------------------

    def connect(self, outgoing: Iterable[Outgoing]) -> None:
        """Where messages go from now on. The graph must be paused."""
        self._outgoing = tuple(outgoing)
        self._forget_ways()

    def observe(self, observer: Observer) -> None:
        """Have each message that the node makes shown to an observer too. A node that nobody observes pays nothing for it."""
        self._set_observers((*self._observers, observer))

    def end_observation(self, observer: Observer) -> None:
        """Show it nothing more."""
        if observer in self._observers:
            self._set_observers(tuple(each for each in self._observers if each != observer))

    def take_observers(self, other: NodeRunner) -> None:
        """Show messages to the observers of the runner whose place this one takes."""
        self._set_observers(other._observers)

    def _set_observers(self, observers: tuple[Observer, ...]) -> None:
        with self._counting:
            self._observers = observers
        self._forget_ways()

    def _forget_ways(self) -> None:
        with self._counting:
            self._note_passed()
            self._pushes, self._next = {}, {}

    def _note_passed(self) -> None:
        """Count what `push` passed on for the type that it was, before that type leaves `_next`."""
        passed = self._passed
        for kind in self._next:
            self._made[kind] = self._made.get(kind, 0) + passed - self._passed_before
        self._passed_before = passed

    def made(self) -> dict[type, int]:
        """How many messages of each type the node has made."""
        with self._counting:
            made = dict(self._made)
            for kind in self._next:
                made[kind] = made.get(kind, 0) + self._passed - self._passed_before
        return made

    def edge_counts(self) -> list[tuple[Edge, int]]:
        """The edges that leave here, and how many messages of what travels on each the node has made."""
        made = self.made()
        return [
            (outgoing.edge, sum(count for kind, count in made.items() if issubclass(kind, outgoing.types)))
            for outgoing in self._outgoing
        ]

    @property
    def edges(self) -> list[Edge]:
        """The edges that leave here, as wired."""
        return [outgoing.edge for outgoing in self._outgoing]

    def entrance(self, field: str = FROM, *, shared: bool = False, source: str = "") -> Push:
        """The function that takes messages of an edge into this runner. shared: several workers reach it. source: where the edge begins."""
        if field != FROM:
            return self._side_entrance(field)
        return self.push_shared if shared else self.push

    def _targets(self, kind: type[Message]) -> tuple[Push, ...]:
        """The entrances of all that take messages of that type."""
        pushes = self._pushes.get(kind)
        if pushes is None:
            with self._counting:
                taking = [outgoing for outgoing in self._outgoing if issubclass(kind, outgoing.types)]
                pushes = tuple(outgoing.push for outgoing in taking)
                self._pushes = {**self._pushes, kind: pushes}
                if len(taking) == 1 and taking[0].direct is not None and not self._next and not self._observers:
                    self._next = {kind: taking[0].direct}
        return pushes

    # -- messages -------------------------------------------------------------------------------------------------

    def push(self, message: Message) -> None:
        """Process a message, and carry on what comes of it. For one thread at a time."""
        runner = self
        while True:
            number = runner.n_in = runner.n_in + 1
            try:
                result = runner.process(message) if number & runner._untimed else runner._timed_process(message)
                following = runner._next.get(type(result))
                if following is None:
                    made = messages_of(result)
            except BaseException as error:  # whatever a node raises is its own fault
                runner.fail(error, message)
                return
            if following is None:
                for each in made:
                    runner.emit(each)
                return
            runner._passed += 1
            runner, message = following, result

    def push_shared(self, message: Message) -> None:
        """The same for several threads: processing is exclusive, sending is not."""
        assert self.lock is not None, "wired as shared"
        made: Iterable[Message] = ()
        failure: BaseException | None = None
        with self.lock:
            self.n_in += 1
            try:
                made = messages_of(self._timed_process(message))
            except BaseException as error:  # whatever a node raises is its own fault
                failure = error
        if failure is not None:
            self.fail(failure, message)
        for each in made:
            self.emit(each)

    def carry(self, message: Message) -> None:
        """Carry on a message that the node made of nothing that came in, or made when it was recorded."""
        self.emit(message)

    def emit(self, message: Message) -> None:
        """Count a message that the node made, and carry it on to all that take it."""
        kind = type(message)
        pushes = self._targets(kind)
        with self._counting:
            self._emitted += 1
            self._sent += len(pushes)
            self._made[kind] = self._made.get(kind, 0) + 1
        for observe in self._observers:
            try:
                observe(message)
            except Exception as error:  # who looks on harms nothing: the look ends
                self.end_observation(observe)
                log.error("%s: a look at its messages ended: %s", self.spec.name, one_line(error))
        for push in pushes:
            push(message)

    def finish(self) -> Iterable[Message]:
        """What the node still owes. What it raises is raised here."""
        return messages_of(self.node.finish())

    def _timed_process(self, message: Message) -> Any:
        start_ns = perf_counter_ns()
        result = self.process(message)
        taken_ns = perf_counter_ns() - start_ns
        self._durations_ns.append(taken_ns)
        self.processing.observe(taken_ns / 1e9)
        self.timed += 1
        if self.timed == LEARNING:
            self._untimed = 63 if sorted(self._durations_ns)[LEARNING // 2] < QUICK_NS else 0
        return result

    def _side_entrance(self, field: str) -> Push:
        def push(message: Message) -> None:
            failure: BaseException | None = None
            with self.lock or contextlib.nullcontext():
                self.n_in += 1
                try:
                    getattr(self.node, f"on_{field}")(message)
                except BaseException as error:  # whatever a node raises is its own fault
                    failure = error
            if failure is not None:
                self.fail(failure, message)

        return push

    # -- accounts -------------------------------------------------------------------------------------------------

    @property
    def n_out(self) -> int:
        """Messages that were processed."""
        return self.n_in - self.errors

    @property
    def emitted(self) -> int:
        """Messages that the node made."""
        return self._emitted + self._passed

    @property
    def sent(self) -> int:
        """Messages that the node made, times the edges they took."""
        return self._sent + self._passed

    @property
    def held(self) -> int:
        """Messages that are in, and neither out nor dropped nor failed."""
        return 0

    @property
    def received(self) -> int:
        """Messages that edges brought."""
        return self.n_in

    def fail(self, error: BaseException, message: Message | None) -> None:
        """Contain what the node raised: count it, offer it to `catch` nodes, put it into the log.

        A KeyboardInterrupt on the main thread comes from the keyboard, and goes on.
        """
        if from_keyboard(error):
            raise error
        with self._counting:
            self.errors += 1
        self.report(error, message)

    def charge(self, error: BaseException, message: Message) -> None:
        """Count a message that this node made and no sink can encode; named once, until it makes another mistake."""
        with self._counting:
            self.unsendable += 1
            is_new = _without_numbers(one_line(error)) != _without_numbers(self.last_error)
        if is_new:
            self.report(error.with_traceback(None), message)  # where it was found says nothing of the node

    def report(self, error: BaseException, message: Message | None) -> None:
        """Tell the log and `catch` nodes of a fault, without counting a message for it."""
        now_s = self.context.clock.now_s()
        known = self.faults.note(error, self.spec, self.called, now_s)
        self.last_error, self._last_place = known.error, known.place
        self.on_fault(
            self,
            Fault(
                time_s=message.time_s if message is not None and is_time(message.time_s) else now_s,
                camera_id=message.camera_id if message is not None and isinstance(message.camera_id, str) else "",
                node=self.name,
                error=text_of(error, 2000),  # cut again once secrets are masked
                error_type=type(error).__name__,
                message_type=type(message).__name__ if message is not None else "",
                file=known.file,
                line=known.line,
                count=known.count,
                traceback=known.traceback if known.count == 1 else "",
            ),
            error,
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
            "unsendable": self.unsendable,
            "held": self.held,
            "rate_per_s": round(rate, 2),
            "process_ms": self._process_ms(),
            "last_error": f"{self.last_error} ({self._last_place})" if self._last_place else self.last_error,
            "faults": self.faults.as_data(),
        }

    def _process_ms(self) -> dict[str, float | None]:
        times_ms = [duration_ns / 1e6 for duration_ns in self._durations_ns.copy()]
        return {"p50": None, "p99": None} | {name: round(ms, 3) for name, ms in percentiles(times_ms).items()}


def _without_numbers(text: str) -> str:
    return "".join(char for char in text if not char.isdigit())


def messages_of(result: Any) -> Iterable[Message]:
    """What a node returned, as messages. Raises TypeError where it is anything else, naming what and where."""
    if result is None:
        return ()
    if isinstance(result, Message):
        return (result,)
    if isinstance(result, str | bytes) or not isinstance(result, Iterable):
        raise TypeError(f"returned {_shown(result)} in place of a message")
    messages = list(result)
    for number, message in enumerate(messages):
        if not isinstance(message, Message):
            raise TypeError(f"returned {_shown(message)} at [{number}] in place of a message")
    return messages


def _shown(value: Any) -> str:
    if value is None:
        return "None"
    try:
        return f"{type(value).__name__} {repr(value)[:60]}"
    except Exception:  # a repr of someone else's making
        return type(value).__name__
