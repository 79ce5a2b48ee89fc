"""Outboxes in the running graph: what a sink accepts goes to the delivery or, in tests and replays, to a recorder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Protocol

from flowrt.contract.defects import defect_of, shown_message
from flowrt.flow import FROM, Flow, NodeSpec
from flowrt.journal import EventRow
from flowrt.message import Event, Message
from flowrt.node import Context, Node, Outbox
from flowrt.runtime.runner import NodeRunner, Push, current
from flowrt.sink import OutboxRecord, Reject
from flowrt.system.histogram import Histogram
from flowrt.system.threads import from_keyboard, one_line, text_of


class Outboxes(Protocol):
    """Where the records of outboxes go: `flowrt.delivery.Delivery`, or nowhere."""

    def add(self, name: str, node: Outbox) -> None: ...
    def swap(self, name: str, node: Outbox) -> None: ...
    def remove(self, name: str, *, timeout_s: float) -> int: ...
    def accept(
        self, name: str, records: Any, *, events: Any = (), refused: Any = (), origin_ns: int = 0
    ) -> Sequence[str]: ...
    def statistics(self, recent_s: float | None = None) -> dict[str, Any]: ...
    def acceptance(self, name: str) -> Histogram: ...
    def parked(self) -> dict[str, int]: ...
    def trouble(self) -> list[str]: ...
    def drain(self, timeout_s: float) -> None: ...
    def close(self, timeout_s: float) -> None: ...


class NoOutboxes:
    """In place of the delivery where messages are recorded."""

    def add(self, name: str, node: Outbox) -> None:
        """Nothing is delivered."""

    swap = add

    def remove(self, name: str, *, timeout_s: float) -> int:
        """Nothing is left behind."""
        return 0

    def accept(
        self, name: str, records: Any, *, events: Any = (), refused: Any = (), origin_ns: int = 0
    ) -> Sequence[str]:
        """Nothing comes here."""
        return ()

    def statistics(self, recent_s: float | None = None) -> dict[str, Any]:
        """No sinks."""
        return {}

    def acceptance(self, name: str) -> Histogram:
        """Nothing was accepted."""
        return Histogram()

    def parked(self) -> dict[str, int]:
        """Nothing waits."""
        return {}

    def trouble(self) -> list[str]:
        """Nothing can fail."""
        return []

    def drain(self, timeout_s: float) -> None:
        """Nothing is under way."""

    close = drain


class Unsendable(Exception):
    """A message that no sink can encode: not the sink's fault, but that of the node that made it."""


def maker_of(message: Message, sender: str, runners: Mapping[str, NodeRunner], flow: Flow) -> NodeRunner | None:
    """The node that made a message: the one that gave it to a sink, or one before that where it only passes on."""
    maker = runners.get(sender)
    while maker is not None and maker.spec.type.ports.passes:
        before = {
            edge.source
            for edge in maker.spec.edges
            if edge.field == FROM and isinstance(message, flow.arriving.get(edge, Message))
        }
        if len(before) != 1:
            break  # several may have made it: the one they meet in is named
        maker = runners.get(before.pop())
    return maker


class OutboxRunner(NodeRunner):
    """A sink that journals: what goes out was handed to the journal, as a dead letter where it can't be encoded.

    `charge` is called with the node that brought a message that can't be encoded, for the graph to find the one that made it.
    """

    direct: ClassVar[bool] = False  # its entrances note from where a message comes

    def __init__(
        self,
        *args: Any,
        accept: Callable[..., Sequence[str]],
        remember: Callable[[EventRow, bool], None],
        charge: Callable[[str, Unsendable, Message], None],
    ) -> None:
        self._accept, self._remember, self._charge = accept, remember, charge
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        assert isinstance(node, Outbox), "only outboxes get this runner"
        self._encode = node.encode
        self.process = self._encode_and_accept

    def entrance(self, field: str = FROM, *, shared: bool = False, source: str = "") -> Push:
        push = super().entrance(field, shared=shared)
        if field != FROM:
            return push

        def push_from(message: Message) -> None:
            current.moment.sender = source
            push(message)

        return push_from

    def fail(self, error: BaseException, message: Message | None) -> None:
        if isinstance(error, Unsendable) and message is not None:
            self._charge(current.moment.sender, error, message)
        else:
            super().fail(error, message)

    @property
    def called(self) -> object:
        return getattr(type(self.node), "encode", None)

    def _encode_and_accept(self, message: Message) -> None:
        try:
            records = list(self._encode(message))
            events = self._events_of(message)
        except BaseException as error:  # whatever a node raises is its own fault, or that of the message
            if from_keyboard(error):
                raise
            self._set_aside(message, error)
            return
        if records or events:
            wrong = self._accept(self.name, records, events=events, origin_ns=current.origin_ns)
            if wrong and (defect := defect_of(message)):
                raise Unsendable(defect)

    def _events_of(self, message: Message) -> Iterable[EventRow]:
        if not isinstance(message, Event):
            return ()
        payload = self.context.contract.encode_payload(message, self.context.site)
        row = EventRow(id=message.id, time_s=message.time_s, type=message.port, node=self.name, payload=payload)
        self._remember(row, message.critical)
        return (row,)

    def _set_aside(self, message: Message, error: BaseException) -> None:
        """Keep what can be shown of a message as a dead letter, and say whose fault it is."""
        defect = "" if isinstance(error, Reject) else defect_of(message)
        reason = f"can't be encoded: {defect or one_line(error)}"
        if isinstance(error, Reject):
            reason = text_of(error)
        stand_in = OutboxRecord(
            id=getattr(message, "id", ""), time_s=message.time_s, address=message.port, body=shown_message(message)
        )
        self._accept(self.name, (), refused=[(stand_in, reason)], origin_ns=current.origin_ns)
        if defect:
            raise Unsendable(defect)
        if not isinstance(error, Reject):
            raise error


class RecordingRunner(NodeRunner):
    """A sink in a test, whose node is not open: what reaches it is given to the recorder."""

    def __init__(self, *args: Any, record: Callable[[str, Message], None]) -> None:
        self._record = record
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        self.process = lambda message: self._record(self.name, message)
