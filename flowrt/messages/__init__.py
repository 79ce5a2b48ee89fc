"""Messages: what travels on the edges of a flow.

Invariants
- A message is immutable. Arrays inside are shared, never copied and never written to after construction.
- `time_s` is the capture time (UTC seconds since the epoch) of the picture or fact the message speaks of,
  never the time it arrived or was computed.
- Objects of one picture travel as columns: arrays of equal length N, row i of each column is object i.
- The fields of an event are named as its topic's JSON Schema in `schemas/` names them: the payload is the message.

A port is a message type. Its name in a flow file (`from: zones.zone_events`) is the type's `port`.
"""

from flowrt.messages.base import (
    PEDESTRIANS,
    VEHICLES,
    Bools,
    Count,
    Floats,
    Fraction,
    Image,
    Ints,
    Message,
    NonNegative,
    Phase,
    Position,
    RoiType,
    Severity,
    Times,
)
from flowrt.messages.events import (
    Event,
    LaneInterval,
    Location,
    PedestrianEvent,
    RoadUser,
    Violation,
    ZoneEvent,
)
from flowrt.messages.pictures import (
    Detections,
    Frame,
    Objects,
    Tracks,
)
from flowrt.messages.plumbing import (
    Fault,
    Record,
    Tick,
)
from flowrt.messages.states import (
    CameraStatus,
    Health,
    Performance,
    ServiceState,
    SignalState,
)
from flowrt.messages.totals import (
    Aggregate,
    FpsMinute,
    VehicleCount,
    ViolationCount,
)

__all__ = [
    "PEDESTRIANS",
    "VEHICLES",
    "Aggregate",
    "Bools",
    "CameraStatus",
    "Count",
    "Detections",
    "Event",
    "Fault",
    "Floats",
    "FpsMinute",
    "Fraction",
    "Frame",
    "Health",
    "Image",
    "Ints",
    "LaneInterval",
    "Location",
    "Message",
    "NonNegative",
    "Objects",
    "PedestrianEvent",
    "Performance",
    "Phase",
    "Position",
    "Record",
    "RoadUser",
    "RoiType",
    "ServiceState",
    "Severity",
    "SignalState",
    "Tick",
    "Times",
    "Tracks",
    "VehicleCount",
    "Violation",
    "ViolationCount",
    "ZoneEvent",
]
