"""Running one node in a test: a context, a virtual clock, the messages that arrive, and what the node makes of them.

What the runtime promises to a node's author is kept: ports are read from the annotations, one `open`, one `close`, `collect` in the order
of `submit`, `finish` at the end.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from flowrt.catalog import ports_of
from flowrt.clock import Clock, VirtualClock
from flowrt.contract import Contract
from flowrt.message import Message
from flowrt.node import Context, Inference, Node, Outbox, Shared, Source, Transform, close_node, open_node
from flowrt.sink import OutboxRecord, Reject, Retry

N = TypeVar("N", bound=Node)

MOST = 1000
"""Messages that are taken of a source without an end."""


class StandAlone:
    """The runtime's view of a node that lives alone."""

    def status(self, recent_s: float | None = None) -> dict[str, Any]:
        return {}


def context(
    folder: Path,
    *,
    node: str = "node",
    site: str = "test-site",
    clock: Clock | None = None,
    services: Mapping[str, Any] | None = None,
    shared: Shared | None = None,
    contract: Contract | None = None,
    **entries: Any,
) -> Context:
    """A context whose flow file lies in `folder`; virtual time, and the shipped contract, unless given otherwise.

    entries: what the node's settings name in sections of the flow file, by setting; None is left out.
    """
    data = folder / "data"
    data.mkdir(exist_ok=True)
    return Context(
        node=node,
        flow="test",
        site=site,
        folder=folder,
        data=data,
        clock=clock or VirtualClock(),
        log=logging.getLogger(f"flowrt.{node}"),
        shared=shared or Shared(),
        runtime=StandAlone(),
        contract=contract or Contract.load(),
        entries={setting: entry for setting, entry in entries.items() if entry is not None},
        services=services or {},
    )


@contextmanager
def opened(node: N, where: Context) -> Iterator[N]:
    """The node, open; closed at the end."""
    where.stopping.clear()
    open_node(node, where)
    try:
        yield node
    finally:
        where.stopping.set()
        close_node(node)


def run(
    node: Node,
    messages: Iterable[Message] = (),
    *,
    context: Context | None = None,
    until_s: float | None = None,
    **entries: Any,
) -> list[Message]:
    """Everything that a node makes: of the messages and at its end, or, of a source, by itself.

    Messages arrive in the order of their times, under a virtual clock; one that the node does not take by `from` goes to the side input
    that takes its type, at equal times first. A source runs until it ends or until `until_s`; of one without an end come MOST messages.
    context: where there is one already. entries: as `context()` takes them, such as `scene=…`.

    Raises NodeTypeError where the annotations are no ports, TypeError for a message that no port takes, and what the node raises.
    """
    ports_of(type(node))
    if isinstance(node, Outbox):
        raise TypeError(f"{type(node).__name__} is a sink: `deliver` runs it")
    with _open(node, context, entries) as where:
        made: list[Message] = []
        for part in _produced(node) if isinstance(node, Source) else _processed(node, messages, where, until_s):
            if until_s is not None and part.time_s > until_s:
                break
            _move(where, part.time_s)
            made.append(part)
            if isinstance(node, Source) and node.endless and until_s is None and len(made) == MOST:
                break
        made += node.finish()
    return made


def messages_of(result: Any) -> list[Message]:
    """What a node returned (None, one message or several) as a list."""
    if result is None:
        return []
    return [result] if isinstance(result, Message) else list(result)


def _produced(source: Source) -> Iterator[Message]:
    for part in source.produce():
        yield from messages_of(part)


def _processed(node: Node, messages: Iterable[Message], where: Context, until_s: float | None) -> Iterator[Message]:
    waiting: list[Any] = []
    for message, side_input in _arriving(node, messages):
        if until_s is not None and message.time_s > until_s:
            break
        _move(where, message.time_s)
        if side_input:
            getattr(node, f"on_{side_input}")(message)
        elif isinstance(node, Inference):
            pending = node.submit(message)
            waiting += [] if pending is None else [pending]
            if len(waiting) >= node.in_flight:
                yield from messages_of(node.collect(waiting.pop(0)))
        elif isinstance(node, Transform):
            yield from messages_of(node.process(message))
    if isinstance(node, Inference):
        for pending in waiting:
            yield from messages_of(node.collect(pending))


def _arriving(node: Node, messages: Iterable[Message]) -> list[tuple[Message, str]]:
    """Each message with the side input it goes to, empty for the node's own input; by time, side inputs first."""
    ports = ports_of(type(node))
    arriving = []
    for message in messages:
        if isinstance(message, ports.inputs):
            arriving.append((message, ""))
            continue
        side_input = next((name for name, kinds in ports.side_inputs.items() if isinstance(message, kinds)), "")
        if not side_input:
            takes = ", ".join(kind.__name__ for kind in (*ports.inputs, *sum(ports.side_inputs.values(), ())))
            raise TypeError(f"{type(node).__name__} takes {takes or 'no messages'}, found {type(message).__name__}")
        arriving.append((message, side_input))
    return sorted(arriving, key=lambda each: (each[0].time_s, not each[1]))


class FakeSink:
    """The outside of a sink in a test, which notes what became of each record.

    records: all that were to be delivered. sent: those that were. refused: those that never will be, with the reason. retries: each
    Retry that the node raised.
    """

    def __init__(self) -> None:
        self.records: list[OutboxRecord] = []
        self.sent: list[OutboxRecord] = []
        self.refused: list[tuple[OutboxRecord, str]] = []
        self.retries: list[Retry] = []

    @property
    def waiting(self) -> list[OutboxRecord]:
        """Records of which nothing was said yet."""
        settled = {record.number for record in (*self.sent, *(record for record, _ in self.refused))}
        return [record for record in self.records if record.number not in settled]

    def delivered(self, record: OutboxRecord) -> None:
        """The outside acknowledged it."""
        self.sent.append(record)

    def delivered_all(self, records: Iterable[OutboxRecord]) -> None:
        """The outside acknowledged them."""
        self.sent.extend(records)

    def rejected(self, record: OutboxRecord, reason: str) -> None:
        """The outside will never take it."""
        self.refused.append((record, reason))

    def rejected_all(self, records: Sequence[OutboxRecord], reason: str) -> None:
        """The outside will never take them."""
        self.refused.extend((record, reason) for record in records)


def deliver(
    node: Outbox,
    messages: Iterable[Message],
    *,
    attempts: int = 3,
    context: Context | None = None,
    **entries: Any,
) -> FakeSink:
    """What becomes of messages at a sink: encoded, then delivered, as often as `attempts` while records wait.

    A Retry is noted and the records are delivered again, without the pause it asks for; after a Reject they are delivered one by one, to
    find which are refused. Acknowledgements from other threads count until the node is closed.
    """
    sink = FakeSink()
    with _open(node, context, entries) as where:
        for message, side_input in _arriving(node, messages):
            _move(where, message.time_s)
            if side_input:
                getattr(node, f"on_{side_input}")(message)
                continue
            for record in node.encode(message):
                sink.records.append(msgspec.structs.replace(record, number=len(sink.records) + 1))
        for attempt in range(attempts):
            if not sink.waiting:
                break
            _attempt(node, [msgspec.structs.replace(each, attempts=attempt) for each in sink.waiting], sink)
    return sink


def _attempt(node: Outbox, records: Sequence[OutboxRecord], sink: FakeSink) -> None:
    try:
        node.deliver(records, sink)
    except Retry as retry:
        sink.retries.append(retry)
    except Reject as reject:
        if len(records) == 1:
            sink.rejected(records[0], str(reject))
        else:  # one by one, as the runtime does, to find which
            for record in [each for each in records if each.number in {other.number for other in sink.waiting}]:
                _attempt(node, [record], sink)


@contextmanager
def _open(node: Node, where: Context | None, entries: Mapping[str, Any]) -> Iterator[Context]:
    """The context of an open node: the given one, or one in a folder that is removed at the end."""
    with ExitStack() as stack:
        if where is None:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flowrt-test-")))
            where = context(folder, **entries)
        stack.enter_context(opened(node, where))
        yield where


def _move(where: Context, time_s: float) -> None:
    if isinstance(where.clock, VirtualClock):
        where.clock.move_to(time_s)
