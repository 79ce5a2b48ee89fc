"""Inference in the running graph: messages are submitted by the worker that brought them, and their results carried on by another."""

from __future__ import annotations

import threading
from time import perf_counter_ns
from typing import Any, NamedTuple

from flowrt.flow import NodeSpec
from flowrt.message import Message
from flowrt.node import Context, Inference, Node
from flowrt.runtime.channel import Channel, Closed
from flowrt.runtime.runner import NodeRunner, current, messages_of
from flowrt.runtime.worker import Worker
from flowrt.system.threads import Supervisor


class Submitted(NamedTuple):
    """A message in flight, and the node that began it."""

    message: Message
    node: Any
    pending: Any
    origin_ns: int


class InferenceRunner(NodeRunner):
    """A node whose work runs elsewhere. Submitted messages wait in `pipe`, in order, for the collector to fetch them."""

    direct = False

    def __init__(self, *args: Any, threaded: bool) -> None:
        self.pipe = Channel("block", 1)
        self.begun = self.ended = self._out = 0
        self.collecting = threading.Lock()
        self._threaded = threaded
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        assert isinstance(node, Inference), "only inference nodes get this runner"
        self.pipe.size = max(1, node.in_flight)
        self._submit = node.submit

    @property
    def called(self) -> object:
        return getattr(type(self.node), "collect", None)

    @property
    def n_out(self) -> int:
        return self._out

    @property
    def held(self) -> int:
        return self.begun - self.ended

    def push(self, message: Message) -> None:
        """Begin with a message."""
        self.n_in += 1
        node = self.node
        try:
            pending = self._submit(message)
        except BaseException as error:  # whatever a node raises is its own fault
            self.fail(error, message)
            return
        if pending is None:
            self._out += 1
            return
        self.begun += 1
        if not self._threaded and len(self.pipe) >= self.pipe.size:
            self.collect_now()
        try:
            self.pipe.put(Submitted(message, node, pending, current.origin_ns))
        except Closed:  # only behind a worker that was left behind
            self.ended += 1
            self.dropped += 1

    def push_shared(self, message: Message) -> None:
        assert self.lock is not None, "wired as shared"
        with self.lock:
            self.push(message)

    def carry(self, message: Message) -> None:
        self._out += 1
        self.emit(message)

    def collect(self, item: Submitted) -> tuple[list[Message], BaseException | None]:
        """Wait for one result; to be followed by `carry_on`."""
        with self.collecting:
            start_ns = perf_counter_ns()
            try:
                return list(messages_of(item.node.collect(item.pending))), None
            except BaseException as error:  # whatever a node raises is its own fault
                return [], error
            finally:
                taken_ns = perf_counter_ns() - start_ns
                self._durations_ns.append(taken_ns)
                self.processing.observe(taken_ns / 1e9)

    def carry_on(self, item: Submitted, made: list[Message], error: BaseException | None) -> None:
        """Count one result and carry it on, under the collector's lock."""
        self.ended += 1
        current.moment.origin_ns = item.origin_ns
        if error is not None:
            self.fail(error, item.message)
            return
        self._out += 1
        for message in made:
            self.emit(message)

    def collect_now(self) -> bool:
        """Fetch and carry on the oldest result on this thread; False where there is none."""
        item = self.pipe.get_now()
        if item is None:
            return False
        self.carry_on(item, *self.collect(item))
        return True


class Collector(Worker):
    """Fetches the results of one inference runner, in order, and carries them on."""

    def __init__(self, runner: InferenceRunner, supervisor: Supervisor) -> None:
        super().__init__(runner, supervisor)
        self.pipe = runner.pipe
        self._inference = runner
        self._thread(self._run, "results")

    def stop(self) -> None:
        self.pipe.close()

    def _run(self) -> None:
        while True:
            try:
                item: Submitted = self.pipe.get()
            except Closed:
                return
            self.carrying = True  # from here on: a result that never comes has to show
            outcome = self._inference.collect(item)
            with self._exclusive():
                self._inference.carry_on(item, *outcome)
                self.carrying = False
