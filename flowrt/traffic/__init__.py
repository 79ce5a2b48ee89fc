"""The traffic domain: the messages that its nodes exchange, the geometry of a scene, and what a rule is made of.

Nothing else in `flowrt/` imports this package, but for `flowrt/__init__.py`, which re-exports its names. The `scene` section of flow
files registers itself by an entry point, as a third party's section would (`scene_section.py`).
"""

from flowrt.traffic.events import LaneInterval, Location, PedestrianEvent, RoadUser, Violation, ZoneEvent
from flowrt.traffic.kinds import PEDESTRIANS, VEHICLES, Phase, Position, RoiType, Severity, ViewFault
from flowrt.traffic.objects import Detections, Frame, Objects, Tracks
from flowrt.traffic.scene import (
    Homography,
    Lamp,
    Line,
    LineName,
    Scene,
    SceneName,
    SignalName,
    SignalSource,
    Zone,
    ZoneName,
    scene_in,
    scene_of,
)
from flowrt.traffic.states import CameraStatus, Health, Performance, ServiceState, SignalState
from flowrt.traffic.totals import Aggregate, FpsMinute, VehicleCount, ViolationCount

__all__ = [
    "PEDESTRIANS",
    "VEHICLES",
    "Aggregate",
    "CameraStatus",
    "Detections",
    "FpsMinute",
    "Frame",
    "Health",
    "Homography",
    "Lamp",
    "LaneInterval",
    "Line",
    "LineName",
    "Location",
    "Objects",
    "PedestrianEvent",
    "Performance",
    "Phase",
    "Position",
    "RoadUser",
    "RoiType",
    "Scene",
    "SceneName",
    "ServiceState",
    "Severity",
    "SignalName",
    "SignalSource",
    "SignalState",
    "Tracks",
    "VehicleCount",
    "ViewFault",
    "Violation",
    "ViolationCount",
    "Zone",
    "ZoneEvent",
    "ZoneName",
    "scene_in",
    "scene_of",
]
