"""Where records go from a running graph: to the delivery, or nowhere."""

from __future__ import annotations

from typing import Any, Protocol

from flowrt.node import Outbox


class Outboxes(Protocol):
    """Where records go: `flowrt.delivery.Delivery`, or a recorder in flow tests."""

    def add(self, name: str, node: Outbox) -> None: ...
    def swap(self, name: str, node: Outbox) -> None: ...
    def remove(self, name: str, *, timeout_s: float) -> int: ...
    def accept(self, name: str, records: Any, *, events: Any = (), origin_ns: int = 0) -> None: ...
    def statistics(self, recent_s: float | None = None) -> dict[str, Any]: ...
    def drain(self, timeout_s: float) -> None: ...
    def close(self, timeout_s: float) -> None: ...


class NoOutboxes:
    """In place of the delivery where outboxes are recorded."""

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

    def drain(self, timeout_s: float) -> None:
        """Nothing is under way."""

    close = drain
