"""Events: what happened in front of a camera, and is worth keeping."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import msgspec

from flowrt.message import Count, Event, Fraction, NonNegative
from flowrt.traffic.kinds import Phase, Position, RoiType, Severity


class Location(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where: pixels of the picture, and metres on the ground plane where a homography is known."""

    x_px: float
    y_px: float
    x_m: float | None = None
    y_m: float | None = None
    lane_id: str | None = None


class RoadUser(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object of an event."""

    track_id: int
    label: str
    confidence: Fraction
    box_px: tuple[float, float, float, float]
    speed_kmh: NonNegative | None = None


class ZoneEvent(Event, frozen=True, kw_only=True, eq=False):
    """A road user entered, left or stayed in a zone, or crossed a line (roi_type `line`).

    dwell_time: seconds in the zone so far. object_count: objects in the zone at that moment.
    """

    port: ClassVar[str] = "zone_events"

    roi_id: str
    roi_type: RoiType
    event_type: Literal["entry", "exit", "dwell", "crossing", "violation"]
    object: RoadUser
    location: Location
    dwell_time: NonNegative = 0.0
    direction: str = ""
    object_count: Count = 0


class Violation(Event, frozen=True, kw_only=True, eq=False):
    """A traffic rule was broken. One id for its lifetime: `phase` new, then update, then end."""

    port: ClassVar[str] = "violations"
    critical: ClassVar[bool] = True

    violation_type: str
    severity: Severity
    phase: Phase
    location: Location
    object: RoadUser
    evidence: dict[str, Any]
    started_s: float
    roi_id: str = ""
    ended_s: float | None = None
    confidence: Fraction = 1.0
    description: str = ""


class PedestrianEvent(Event, frozen=True, kw_only=True, eq=False):
    """Pedestrian safety: a pedestrian stepped onto a crosswalk, crossed unsafely, or was nearly hit."""

    port: ClassVar[str] = "pedestrian_events"
    critical: ClassVar[bool] = True

    event_type: Literal["crosswalk_entry", "unsafe_crossing", "near_miss"]
    pedestrian_id: int
    risk_level: Severity
    location: Location
    roi_id: str = ""
    ttc_s: NonNegative | None = None
    pet_s: NonNegative | None = None
    vehicle_id: int | None = None


class LaneInterval(Event, frozen=True, kw_only=True, eq=False):
    """Traffic of one lane over one interval that ended at `time_s`. Speeds in km/h, flow in vehicles per hour.

    lane_occupancy: share of the interval during which the lane was occupied, 0 to 1.
    """

    port: ClassVar[str] = "traffic_flow"

    lane_id: str
    direction: str
    interval_s: NonNegative
    vehicle_count: Count
    average_speed: NonNegative | None
    lane_occupancy: Fraction
    congestion_level: Literal["low", "medium", "high"]
    flow_veh_h: NonNegative
    speed_p85_kmh: NonNegative | None = None
    speed_n: Count = 0
    headway_s: NonNegative | None = None
    queue_vehicles: Count = 0
    queue_m: NonNegative | None = None
    class_counts: dict[str, Count] = {}
    turning_movements: dict[str, Count] = {}
    density_veh_km: NonNegative | None = None
    camera_position: Position = ""
