"""Running a flow under virtual time: no threads, no waiting, the same result every time.

Sources are merged by the time of their messages; the clock stands at the time of the message being carried.
Flow tests, scores and replays run this way.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count, repeat

from flowrt.clock import VirtualClock
from flowrt.message import Message
from flowrt.node import Source
from flowrt.runtime.inference import InferenceRunner
from flowrt.runtime.runner import NodeRunner, messages_of
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.source import SourceRunner


def run(runtime: Runtime, *, until_s: float | None = None, stream: Iterable[tuple[str, Message]] = ()) -> int:
    """Carry the messages of all sources in time order until the sources with an end came to it, or until `until_s`.

    A clock that has no beginning of its own begins with the first message of the sources that have an end, so that timers and
    probes don't tick their way from 1970 to a recording's day.
    stream: (source, message) as they once travelled, merged with the sources' own without changing their order.
    Returns the number of messages that sources made. What a source raises is contained and ends that source.
    The runtime must have been built with `threads=False` and a VirtualClock.
    """
    clock = runtime.clock
    assert isinstance(clock, VirtualClock)
    assert not runtime.threads
    heap: list[tuple[float, int, Message, NodeRunner, _Stream]] = []
    recorded = ((runtime.runners[name], message) for name, message in stream)
    streams = [_Stream(None, recorded)]
    for name in runtime.flow.order():
        runner = runtime.runners[name]
        if isinstance(runner, SourceRunner) and isinstance(runner.node, Source):
            streams.append(_Stream(runner, zip(repeat(runner), _one_by_one(runner.node), strict=False)))
    order = count(len(streams))  # at equal times the first messages go in the order of the file
    finite = sum(incoming.next_into(heap, rank) for rank, incoming in enumerate(streams) if not incoming.endless)
    if heap and not clock.begun:
        clock.move_to(heap[0][0])
    for rank, incoming in enumerate(streams):
        if incoming.endless:
            incoming.next_into(heap, rank)
    made = 0
    while heap and (finite or until_s is not None):
        time_s, _, message, runner, incoming = heapq.heappop(heap)
        if until_s is not None and time_s > until_s:
            break
        clock.move_to(time_s)
        runner.n_in += 1
        runner.carry(message)
        made += 1
        if not incoming.next_into(heap, next(order)) and not incoming.endless:
            finite -= 1
            if finite == 0:
                break
    for runner_ in runtime.runners.values():
        runner_.context.stopping.set()
    for name in runtime.flow.order():
        inference = runtime.runners[name]
        while isinstance(inference, InferenceRunner) and inference.collect_now():
            pass
    return made


class _Stream:
    """One source's messages, or a stream of several sources'. due_s never goes back within a stream."""

    def __init__(self, runner: SourceRunner | None, messages: Iterator[tuple[NodeRunner, Message]]) -> None:
        self.runner = runner
        self.endless = runner is not None and isinstance(runner.node, Source) and runner.node.endless
        self._messages = messages
        self._due_s = float("-inf")

    def next_into(self, heap: list[tuple[float, int, Message, NodeRunner, _Stream]], rank: int) -> bool:
        """Push the next message, behind those of the same time and a lower rank; False when there is none."""
        try:
            item = next(self._messages, None)
        except BaseException as error:  # whatever a source raises is its own fault
            if self.runner is None:
                raise
            self.runner.fail(error, None)
            return False
        if item is None:
            return False
        runner, message = item
        self._due_s = message.time_s if self.runner is not None else max(self._due_s, message.time_s)
        heapq.heappush(heap, (self._due_s, rank, message, runner, self))
        return True


def _one_by_one(source: Source) -> Iterator[Message]:
    for made in source.produce():
        yield from messages_of(made)
