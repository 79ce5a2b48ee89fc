"""A hop: the way of one message through one cell, as plain function calls.

It is a closure because local variables cost a third of what attributes of an object cost, and a hop has nothing else to do but to count.
It knows one kind of message by heart, the first that its node sent since the last wiring; every other goes the cell's general way.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, NamedTuple

from flowrt.messages import Message

Push = Callable[[Message], None]


class Counts(NamedTuple):
    """What a hop counted. taken: messages that came in; failed: those whose processing raised; made: messages sent on the
    known way; sent: the same, times the edges they took."""

    taken: int
    failed: int
    made: int
    sent: int


class Hop(NamedTuple):
    """push: the entrance. process: exchanges the node's function. know: learns a kind and where it goes, None to forget.
    counts: reads the counters; call it, like the others but push, only while nothing travels, or accept to be one off."""

    push: Push
    process: Callable[[Callable[[Any], Any] | None], None]
    know: Callable[[type[Message] | None, tuple[Push, ...]], None]
    counts: Callable[[], Counts]


def hop(timed: Callable[[int], int], general: Callable[[Any], None], fail: Callable[[Exception, Message], None]) -> Hop:
    """A hop for one driver at a time.

    timed: is told what processing took, in ns, and says which messages to time: those whose number has none of the returned
    bits set. general: takes results of a kind not known. fail: takes what processing raised.
    """
    taken = failed = made = known = sent = mask = edges = 0
    run: Any = None
    kind: type[Message] | None = None
    onward: Push = _nobody

    def push(message: Message) -> None:
        nonlocal taken, failed, made, mask
        taken += 1
        try:
            if taken & mask:
                result = run(message)
            else:
                start_ns = perf_counter_ns()
                result = run(message)
                mask = timed(perf_counter_ns() - start_ns)
        except Exception as error:
            failed += 1
            fail(error, message)
            return
        if type(result) is kind:
            made += 1
            onward(result)
        elif result is not None:
            general(result)

    def process(function: Callable[[Any], Any] | None) -> None:
        nonlocal run
        run = function

    def know(new: type[Message] | None, pushes: tuple[Push, ...]) -> None:
        nonlocal made, sent, edges, kind, onward, known
        known += made
        sent += made * edges
        made, edges, kind = 0, len(pushes), new
        onward = pushes[0] if edges == 1 else _fan(pushes) if edges else _nobody

    def counts() -> Counts:
        return Counts(taken, failed, known + made, sent + made * edges)

    return Hop(push, process, know, counts)


def start(general: Callable[[Any], None]) -> Hop:
    """As `hop`, where the way begins: what comes in was made by a source and goes on as it is."""
    taken = made = known = sent = edges = 0
    kind: type[Message] | None = None
    onward: Push = _nobody

    def push(message: Message) -> None:
        nonlocal taken, made
        taken += 1
        if type(message) is kind:
            made += 1
            onward(message)
        else:
            general(message)

    def know(new: type[Message] | None, pushes: tuple[Push, ...]) -> None:
        nonlocal made, known, sent, edges, kind, onward
        known += made
        sent += made * edges
        made, edges, kind = 0, len(pushes), new
        onward = pushes[0] if edges == 1 else _fan(pushes) if edges else _nobody

    def counts() -> Counts:
        return Counts(taken, 0, known + made, sent + made * edges)

    return Hop(push, _keep, know, counts)


def _nobody(_: Message) -> None:
    pass


def _keep(_: Callable[[Any], Any] | None) -> None:
    pass


def _fan(pushes: tuple[Push, ...]) -> Push:
    def fan(message: Message) -> None:
        for push in pushes:
            push(message)

    return fan
