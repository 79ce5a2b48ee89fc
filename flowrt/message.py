"""Messages: what travels on the edges of a flow.

Invariants
- A message is immutable. Arrays inside are shared, never copied and never written to after construction.
- `time_s` is the capture time (UTC seconds since the epoch) of what the message speaks of, never the time it arrived or was computed.
- Rows of the same thing travel as columns: arrays of equal length N, row i of each column is object i.
- The fields of an event are named as its topic's JSON Schema in `schemas/` names them: the payload is the message.

A port is a message type. Its name in a flow file (`from: zones.zone_events`) is the type's `port`.
The messages of the traffic domain are in `flowrt.traffic`; here is what every domain shares.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple

import msgspec


class Array:
    """Stands for a numpy array at run time: a flow without pictures need not wait for numpy."""


if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Image = NDArray[np.uint8]
    Times = NDArray[np.float64]
else:
    Floats = Ints = Bools = Image = Times = Array

# Bounds that the contract proves a payload to keep; declared here, checked on the way out.
Count = Annotated[int, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]


class Column(NamedTuple):
    """A column of a message, as recordings store it.

    dtype: numpy's name of the stored type. width: numbers in a row; 0 for a plain column of length N, -1 for as many as the field
    named by `Message.wide_as` has entries. wider: the type in memory, where it differs. optional: None is stored as None; any other
    column may be NaN throughout, which is stored as nothing.
    """

    name: str
    dtype: str
    width: int = 0
    wider: str = ""
    optional: bool = False


class Message(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What every message has.

    time_s: capture time, UTC seconds since the epoch.
    camera_id: the camera node that saw it; empty where no camera is involved.

    A message type says about itself
    port: its name in flow files. replaceable: a live source may drop it for a newer one (video frames).
    recorded: `flowrt record` records it unless told otherwise. What is replaceable can't be recorded.
    identity: fields that, besides camera, port and time, make the id of a message that is no event.
    columns: its columns, for recordings; empty for a message of plain fields. wide_as: see `Column.width`.
    transient: fields that no recording keeps (the picture itself).
    payload_type: the struct that describes its payload, where the payload is not the message's own fields; then `payload_fields` and
    `facts` give it. text_facts: names of texts among its facts that are no part of the payload.
    """

    port: ClassVar[str] = "messages"
    replaceable: ClassVar[bool] = False
    recorded: ClassVar[bool] = False
    identity: ClassVar[tuple[str, ...]] = ()
    columns: ClassVar[tuple[Column, ...]] = ()
    wide_as: ClassVar[str] = ""
    transient: ClassVar[tuple[str, ...]] = ()
    payload_type: ClassVar[type[msgspec.Struct] | None] = None
    text_facts: ClassVar[tuple[str, ...]] = ()

    time_s: float
    camera_id: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "port" not in cls.__dict__:
            raise TypeError(f'{cls.__name__}: a message type names its port: `port: ClassVar[str] = "..."`')

    def payload_fields(self) -> dict[str, Any]:
        """What a topic carries besides the envelope; only of types with a `payload_type`."""
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """What a measurement may keep of a message; only of types with a `payload_type`."""
        raise NotImplementedError


class Event(Message, frozen=True, kw_only=True, eq=False):
    """Something that happened, worth keeping.

    id: deterministic (the same input gives the same id), so that a repeated delivery is harmless. An event built without one gets
    one made of `identifies`.

    critical: shown first to people. filled: fields that need not be given, since the type fills them in: its payload always has them.
    """

    port: ClassVar[str] = "events"
    critical: ClassVar[bool] = False
    filled: ClassVar[tuple[str, ...]] = ()

    id: str = ""

    def __post_init__(self) -> None:
        if not self.id:
            msgspec.structs.force_setattr(self, "id", event_id(self.port, self.camera_id, *self.identifies()))

    def identifies(self) -> tuple[Any, ...]:
        """What, besides port and camera, tells this event from others: all that is known of it, unless its type knows better."""
        return msgspec.structs.astuple(self)


def event_id(*parts: object) -> str:
    """The same parts give the same id: 20 hexadecimal digits of the SHA-1 of the parts.

    A float is a time in seconds, of which whole milliseconds count: those survive the way through JSON and back.
    """
    words = (str(round(part * 1000)) if isinstance(part, float) else str(part) for part in parts)
    return hashlib.sha1("\x1f".join(words).encode(), usedforsecurity=False).hexdigest()[:20]


class Fault(Message, frozen=True, kw_only=True, eq=False):
    """A node raised while it processed a message; offered to `catch` nodes.

    file, line: where, as near to the node's own code as can be told. count: how often this node raised such an exception there, this one
    included. traceback: only with the first.
    """

    port: ClassVar[str] = "faults"
    identity: ClassVar[tuple[str, ...]] = ("node",)

    node: str
    error: str
    error_type: str
    message_type: str = ""
    file: str = ""
    line: Count = 0
    count: Count = 1
    traceback: str = ""


class Tick(Message, frozen=True, kw_only=True, eq=False):
    """A timer fired. count starts at 0."""

    port: ClassVar[str] = "ticks"

    count: int


class Record(Message, frozen=True, kw_only=True, eq=False):
    """A free-form JSON object, as `mqtt_in` and `map` make them. topic: where it came from or should go."""

    port: ClassVar[str] = "records"

    data: dict[str, Any]
    topic: str = ""
