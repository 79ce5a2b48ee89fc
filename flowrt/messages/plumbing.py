"""What a flow says of itself, and what has no type of its own: faults, ticks, free-form records."""

from __future__ import annotations

from typing import Any, ClassVar

from flowrt.messages.base import Message


class Fault(Message, frozen=True, kw_only=True, eq=False):
    """A node raised while it processed a message; offered to `catch` nodes."""

    port: ClassVar[str] = "faults"

    node: str
    error: str
    error_type: str
    message_type: str = ""


class Tick(Message, frozen=True, kw_only=True, eq=False):
    """A timer fired. count starts at 0."""

    port: ClassVar[str] = "ticks"

    count: int


class Record(Message, frozen=True, kw_only=True, eq=False):
    """A free-form JSON object, as `mqtt_in` and `map` make them. topic: where it came from or should go."""

    port: ClassVar[str] = "records"

    data: dict[str, Any]
    topic: str = ""
