"""Running a flow under virtual time: no threads, no waiting, the same result every time.

Sources are merged by the time of their messages; the clock stands at the time of the message being carried.
Flow tests, scores and replays run this way.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from flowrt.clock import VirtualClock
from flowrt.messages import Message
from flowrt.node import Source
from flowrt.runtime.cell import InferenceCell, SourceCell
from flowrt.runtime.runtime import Runtime


def run(runtime: Runtime, *, until_s: float | None = None) -> int:
    """Carry the messages of all sources in time order until the sources with an end came to it, or until `until_s`.

    Returns the number of messages that sources made. What a source raises is contained and ends that source.
    The runtime must have been built with `threads=False` and a VirtualClock.
    """
    clock = runtime.clock
    assert isinstance(clock, VirtualClock)
    assert not runtime.threads
    order = count()
    heap: list[tuple[float, int, Message, SourceCell, Iterator[Message]]] = []
    finite = 0
    for name in runtime.flow.order():
        cell = runtime.cells[name]
        if isinstance(cell, SourceCell) and isinstance(cell.node, Source):
            messages = iter(cell.node.produce())
            finite += _fetch(heap, order, cell, messages) and not cell.node.endless
    made = 0
    while heap and (finite or until_s is not None):
        time_s, _, message, cell, messages = heapq.heappop(heap)
        if until_s is not None and time_s > until_s:
            break
        clock.move_to(time_s)
        cell.n_in += 1
        cell.n_out += 1
        cell.emit(message)
        made += 1
        if not _fetch(heap, order, cell, messages) and isinstance(cell.node, Source) and not cell.node.endless:
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


def _fetch(
    heap: list[tuple[float, int, Message, SourceCell, Iterator[Message]]],
    order: Iterator[int],
    cell: SourceCell,
    messages: Iterator[Message],
) -> bool:
    try:
        message = next(messages, None)
    except Exception as error:
        cell.n_in += 1
        cell.fail(error, None)
        return False
    if message is None:
        return False
    heapq.heappush(heap, (message.time_s, next(order), message, cell, messages))
    return True
