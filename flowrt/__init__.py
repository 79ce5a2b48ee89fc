"""flowrt: a dataflow runtime for smart traffic intersections, configured in YAML.

`__all__` is what is public here, and `flowrt.testing` has its own; docs/api lists both with their docstrings. What rules are made of
is imported when it is first asked for: it needs numpy, which a flow without pictures does not wait for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.message import (
    Bools,
    Column,
    Count,
    Event,
    Fault,
    Floats,
    Fraction,
    Image,
    Ints,
    Message,
    NonNegative,
    Record,
    Tick,
    Times,
    event_id,
)
from flowrt.node import (
    CheckView,
    Context,
    FilePath,
    Inference,
    M,
    NodeName,
    Outbox,
    ServiceName,
    SideInput,
    Source,
    Transform,
    reference,
    setting,
)
from flowrt.sink import Acknowledger, OutboxRecord, Priority, Reject, Retry
from flowrt.traffic import (
    PEDESTRIANS,
    VEHICLES,
    Aggregate,
    CameraStatus,
    Detections,
    FpsMinute,
    Frame,
    Health,
    Homography,
    Lamp,
    LaneInterval,
    Line,
    LineName,
    Location,
    Objects,
    PedestrianEvent,
    Performance,
    Phase,
    Position,
    RoadUser,
    RoiType,
    Scene,
    SceneName,
    ServiceState,
    Severity,
    SignalName,
    SignalSource,
    SignalState,
    Tracks,
    VehicleCount,
    ViewFault,
    Violation,
    ViolationCount,
    Zone,
    ZoneEvent,
    ZoneName,
    scene_in,
    scene_of,
)

if TYPE_CHECKING:
    from flowrt.traffic.geometry.camera_view import CameraView
    from flowrt.traffic.rules.rule import Finding, Rule, SignalRule

__version__ = "0.1.0"

__all__ = [
    "PEDESTRIANS",
    "VEHICLES",
    "Acknowledger",
    "Aggregate",
    "Bools",
    "CameraStatus",
    "CameraView",
    "CheckView",
    "Column",
    "Context",
    "Count",
    "Detections",
    "Diagnostic",
    "Event",
    "Fault",
    "FilePath",
    "Finding",
    "Floats",
    "FlowError",
    "FpsMinute",
    "Fraction",
    "Frame",
    "Health",
    "Homography",
    "Image",
    "Inference",
    "Ints",
    "Lamp",
    "LaneInterval",
    "Line",
    "LineName",
    "Location",
    "M",
    "Message",
    "NodeName",
    "NonNegative",
    "Objects",
    "Outbox",
    "OutboxRecord",
    "PedestrianEvent",
    "Performance",
    "Phase",
    "Position",
    "Priority",
    "Record",
    "Reject",
    "Retry",
    "RoadUser",
    "RoiType",
    "Rule",
    "Scene",
    "SceneName",
    "ServiceName",
    "ServiceState",
    "Severity",
    "SideInput",
    "SignalName",
    "SignalRule",
    "SignalSource",
    "SignalState",
    "Source",
    "Tick",
    "Times",
    "Tracks",
    "Transform",
    "VehicleCount",
    "ViewFault",
    "Violation",
    "ViolationCount",
    "Zone",
    "ZoneEvent",
    "ZoneName",
    "event_id",
    "reference",
    "scene_in",
    "scene_of",
    "setting",
]

_WHEN_ASKED = {
    "CameraView": "flowrt.traffic.geometry.camera_view",
    "Finding": "flowrt.traffic.rules.rule",
    "Rule": "flowrt.traffic.rules.rule",
    "SignalRule": "flowrt.traffic.rules.rule",
}


def __getattr__(name: str) -> object:
    if name not in _WHEN_ASKED:
        raise AttributeError(f"module 'flowrt' has no attribute '{name}'")
    return getattr(import_module(_WHEN_ASKED[name]), name)
