"""Running a flow under virtual time: no threads, no waiting, the same result every time.

Sources are merged by the time of their messages; the clock stands at the time of the message being carried.
Flow tests, scores and replays run this way.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from itertools import count, repeat

from flowrt.clock import VirtualClock
from flowrt.messages import Message
from flowrt.node import Source
from flowrt.runtime.cell import Cell
from flowrt.runtime.cells import InferenceCell, SourceCell
from flowrt.runtime.runtime import Runtime


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
    heap: list[tuple[float, int, Message, Cell, _Feed]] = []
    recorded = ((runtime.cells[name], message) for name, message in stream)
    feeds = [_Feed(None, recorded)]
    for name in runtime.flow.order():
        cell = runtime.cells[name]
        if isinstance(cell, SourceCell) and isinstance(cell.node, Source):
            feeds.append(_Feed(cell, zip(repeat(cell), _one_by_one(cell.node), strict=False)))
    order = count(len(feeds))  # at equal times the first messages go in the order of the file
    finite = sum(feed.next_into(heap, rank) for rank, feed in enumerate(feeds) if not feed.endless)
    if heap and not clock.begun:
        clock.move_to(heap[0][0])
    for rank, feed in enumerate(feeds):
        if feed.endless:
            feed.next_into(heap, rank)
    made = 0
    while heap and (finite or until_s is not None):
        time_s, _, message, cell, feed = heapq.heappop(heap)
        if until_s is not None and time_s > until_s:
            break
        clock.move_to(time_s)
        cell.count(came_in=1, went_out=1)
        cell.emit(message)
        made += 1
        if not feed.next_into(heap, next(order)) and not feed.endless:
            finite -= 1
            if finite == 0:
                break
    for cell_ in runtime.cells.values():
        cell_.context.stopping.set()
    for name in runtime.flow.order():
        inference = runtime.cells[name]
        while isinstance(inference, InferenceCell) and inference.collect_now():
            pass
    return made


class _Feed:
    """One source's messages, or a stream of several sources'. due_s never goes back within a stream."""

    def __init__(self, cell: SourceCell | None, messages: Iterator[tuple[Cell, Message]]) -> None:
        self.cell = cell
        self.endless = cell is not None and isinstance(cell.node, Source) and cell.node.endless
        self._messages = messages
        self._due_s = float("-inf")

    def next_into(self, heap: list[tuple[float, int, Message, Cell, _Feed]], rank: int) -> bool:
        """Put the next message in line, behind those of the same time and a lower rank; False when there is none."""
        try:
            item = next(self._messages, None)
        except Exception as error:
            if self.cell is None:
                raise
            self.cell.count(came_in=1)
            self.cell.fail(error, None)
            return False
        if item is None:
            return False
        cell, message = item
        self._due_s = message.time_s if self.cell is not None else max(self._due_s, message.time_s)
        heapq.heappush(heap, (self._due_s, rank, message, cell, self))
        return True


def _one_by_one(source: Source) -> Iterator[Message]:
    for made in source.produce():
        if isinstance(made, Message):
            yield made
        else:
            yield from made
