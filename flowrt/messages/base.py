"""What every message has, and the types and words that several kinds of message share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Ints = NDArray[np.int64]
    Bools = NDArray[np.bool_]
    Image = NDArray[np.uint8]
    Times = NDArray[np.float64]
else:

    class Array:
        """What columns are called where the program runs: a flow without pictures need not wait for numpy."""

    Floats = Ints = Bools = Image = Times = Array

VEHICLES = frozenset({"car", "van", "truck", "bus", "motorcycle", "bicycle", "train", "vehicle"})
PEDESTRIANS = frozenset({"person", "pedestrian"})

Severity = Literal["low", "medium", "high", "critical"]
Phase = Literal["new", "update", "end"]
Position = Literal["", "north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"]
"""The approach a camera watches; empty where nobody said so."""
RoiType = Literal[
    "lane", "crosswalk", "sidewalk", "carriageway", "box", "conflict", "no_stopping", "intersection", "other", "line"
]
"""What a zone is, as in scenes, or a line."""

# Bounds that the contract proves a payload to keep; declared here, checked on the way out.
Count = Annotated[int, msgspec.Meta(ge=0)]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]
NonNegative = Annotated[float, msgspec.Meta(ge=0)]


class Message(msgspec.Struct, frozen=True, kw_only=True, eq=False):
    """What every message has.

    time_s: capture time, UTC seconds since the epoch.
    camera_id: the camera node that saw it; empty where no camera is involved.
    """

    port: ClassVar[str] = "messages"

    time_s: float
    camera_id: str = ""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "port" not in cls.__dict__:
            raise TypeError(f'{cls.__name__}: a message type names its port: `port: ClassVar[str] = "..."`')
