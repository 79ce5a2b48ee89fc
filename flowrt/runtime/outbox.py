"""Outboxes in the running graph: what a sink accepts goes to the delivery or, in tests and replays, to a recorder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from flowrt.flow import NodeSpec
from flowrt.journal import EventRow
from flowrt.message import Event, Message
from flowrt.node import Context, Node, Outbox
from flowrt.runtime.runner import NodeRunner, current
from flowrt.system.histogram import Histogram


class Outboxes(Protocol):
    """Where the records of outboxes go: `flowrt.delivery.Delivery`, or nowhere."""

    def add(self, name: str, node: Outbox) -> None: ...
    def swap(self, name: str, node: Outbox) -> None: ...
    def remove(self, name: str, *, timeout_s: float) -> int: ...
    def accept(self, name: str, records: Any, *, events: Any = (), origin_ns: int = 0) -> None: ...
    def statistics(self, recent_s: float | None = None) -> dict[str, Any]: ...
    def acceptance(self, name: str) -> Histogram: ...
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

    def accept(self, name: str, records: Any, *, events: Any = (), origin_ns: int = 0) -> None:
        """Nothing comes here."""

    def statistics(self, recent_s: float | None = None) -> dict[str, Any]:
        """No sinks."""
        return {}

    def acceptance(self, name: str) -> Histogram:
        """Nothing was accepted."""
        return Histogram()

    def trouble(self) -> list[str]:
        """Nothing can fail."""
        return []

    def drain(self, timeout_s: float) -> None:
        """Nothing is under way."""

    close = drain


class OutboxRunner(NodeRunner):
    """A sink that journals: what goes out was handed to the journal."""

    def __init__(self, *args: Any, accept: Callable[..., None], remember: Callable[[EventRow, bool], None]) -> None:
        self._accept = accept
        self._remember = remember
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        assert isinstance(node, Outbox), "only outboxes get this runner"
        self._encode = node.encode
        self.process = self._encode_and_accept

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
    """A sink in a test, whose node is not open: what reaches it is given to the recorder."""

    def __init__(self, *args: Any, record: Callable[[str, Message], None]) -> None:
        self._record = record
        super().__init__(*args)

    def install(self, spec: NodeSpec, node: Node, context: Context) -> None:
        super().install(spec, node, context)
        self.process = lambda message: self._record(self.name, message)
