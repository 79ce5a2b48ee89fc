"""Lines: nodes in a row, each of which feeds only the next, gone through in one loop.

A message costs a hop its node's call, a look at the type of what came back, and nothing else: where every message goes on to the
next node, one count at the head of the line says what each of its nodes took, and only what leaves the line early is counted where
it leaves. The loop is a closure, because local variables cost a third of what attributes of an object cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple, Protocol

from flowrt.message import Message

Push = Callable[[Message], None]
PushAll = Callable[[Sequence[Message], type[Message] | None, Push], None]
"""Messages, the type that they are expected to have, and who takes those of another."""

BURST = 64
"""Quick lines are timed once in so many messages, and a list of messages is carried in parts of this length."""


class Stage(Protocol):
    """What a line asks of a runner in it."""

    run: Callable[[Any], Any]

    def timed(self, duration_ns: int) -> bool:
        """Count a duration; whether the node has proved to be quick."""
        ...

    def fail(self, error: Exception, message: Message | None) -> None:
        """Contain what the node raised."""
        ...

    def emit(self, result: Message | Iterable[Message]) -> None:
        """Count and carry on what the line can't."""
        ...

    def pushes(self, kind: type[Message]) -> tuple[Push, ...]:
        """The entrances of those who take that type."""
        ...


class Counts(NamedTuple):
    """What one stage counted. taken: messages that came in; failed: those whose processing raised; made: messages that went on
    within the line or, at its end, on the known way; sent: the same, times the edges they took."""

    taken: int = 0
    failed: int = 0
    made: int = 0
    sent: int = 0


class Chain(NamedTuple):
    """push: the entrance. push_all: the entrance for several messages at once. counts: what the stage of that number counted;
    exact while nothing travels. quick: whether every stage has proved to be quick."""

    push: Push
    push_all: PushAll
    counts: Callable[[int], Counts]
    quick: Callable[[], bool]


class _End:
    """The type that no message has: what comes out of the last stage always leaves the loop."""


def chain(stages: Sequence[Stage]) -> Chain:
    """A line of one or more stages, for one worker at a time.

    A stage but the last goes on to the next one with messages of the one type that it knows, which it learns from the first; the
    last sends the type that it knows to everybody who takes it. Whatever else comes back takes the stage's general way, `emit`.
    """
    last = len(stages) - 1
    started = made = edges = mask = 0
    gone, failed = [0] * len(stages), [0] * len(stages)
    steps: tuple[tuple[Callable[[Any], Any], Any, int], ...]
    steps = tuple((stage.run, _End, number) for number, stage in enumerate(stages))
    kind: Any = None
    onward: Push = _nobody

    def push(message: Any) -> None:
        nonlocal started, made
        started += 1
        if not started & mask:
            timed(message)
            return
        number = 0
        try:
            for run, goes_on, number in steps:  # noqa: B007
                message = run(message)
                if type(message) is not goes_on:
                    break
        except Exception as error:
            fault(number, error, message)
            return
        if number == last:
            if message is None:
                return
            if type(message) is kind:
                made += 1
                onward(message)
                return
        leave(number, message)

    def push_all(messages: Sequence[Message], first: type[Message] | None, strange: Push) -> None:
        nonlocal started, made
        if not mask:
            _one_by_one(messages, first, push, strange)
            return
        before = started
        started += len(messages)
        rest: Iterable[Any] = messages
        if before & ~mask != started & ~mask and type(messages[0]) is first:
            timed(messages[0])
            rest = _after_first(messages)
        number = 0
        for message in rest:
            if type(message) is not first:
                started -= 1
                strange(message)
                continue
            try:
                for run, goes_on, number in steps:  # noqa: B007
                    message = run(message)
                    if type(message) is not goes_on:
                        break
            except Exception as error:
                fault(number, error, message)
                continue
            if number == last:
                if message is None:
                    continue
                if type(message) is kind:
                    made += 1
                    onward(message)
                    continue
            leave(number, message)

    def timed(message: Message) -> None:
        """The same, looking at the clock before and after each node."""
        nonlocal made, mask
        quick = True
        number = 0
        result: Any = message
        for run, goes_on, number in steps:
            try:
                start_ns = perf_counter_ns()
                result = run(message)
                quick &= stages[number].timed(perf_counter_ns() - start_ns)
            except Exception as error:
                fault(number, error, message)
                return
            if type(result) is not goes_on:
                break
            message = result
        if number == last:
            if quick:
                mask = BURST - 1
            if result is None:
                return
            if type(result) is kind:
                made += 1
                onward(result)
                return
        leave(number, result)

    def fault(number: int, error: Exception, message: Any) -> None:
        gone[number] += 1
        failed[number] += 1
        stages[number].fail(error, message)

    def leave(number: int, result: Any) -> None:
        nonlocal steps, kind, onward, edges
        gone[number] += 1
        if result is None:
            return
        stages[number].emit(result)
        if not isinstance(result, Message):
            return
        pushes = stages[number].pushes(type(result))
        if number < last:
            if pushes and steps[number][1] is _End:
                steps = (*steps[:number], (steps[number][0], type(result), number), *steps[number + 1 :])
        elif kind is None:
            kind, edges, onward = type(result), len(pushes), together(pushes)

    def counts(number: int) -> Counts:
        taken = started - sum(gone[:number])
        if number < last:
            goes_on = taken - gone[number]
            return Counts(taken, failed[number], goes_on, goes_on)
        return Counts(taken, failed[number], made, made * edges)

    return Chain(push, push_all, counts, lambda: bool(mask))


def _one_by_one(messages: Sequence[Message], first: type[Message] | None, push: Push, strange: Push) -> None:
    for message in messages:
        (push if type(message) is first else strange)(message)


def _after_first(messages: Sequence[Message]) -> Iterator[Message]:
    rest = iter(messages)
    next(rest)
    return rest


def begin(pushes: tuple[Push, ...]) -> Chain:
    """The line of a source that feeds several nodes: it only counts what it sends to them."""
    made = 0
    onward = together(pushes)

    def push(message: Message) -> None:
        nonlocal made
        made += 1
        onward(message)

    def push_all(messages: Sequence[Message], first: type[Message] | None, strange: Push) -> None:
        _one_by_one(messages, first, push, strange)

    return Chain(push, push_all, lambda _: Counts(made, 0, made, made * len(pushes)), lambda: False)


def together(pushes: tuple[Push, ...]) -> Push:
    """One function that calls all of them."""
    if len(pushes) == 1:
        return pushes[0]

    def fan(message: Message) -> None:
        for push in pushes:
            push(message)

    return fan if pushes else _nobody


def _nobody(_: Message) -> None:
    pass
