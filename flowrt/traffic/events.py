"""Events: what happened in front of a camera, and is worth keeping."""

from __future__ import annotations

from math import isnan, nan
from typing import Any, ClassVar, Literal, Self

import msgspec

from flowrt.message import Count, Event, Fraction, NonNegative
from flowrt.traffic.event_parts import known
from flowrt.traffic.kinds import Phase, Position, RoiType, Severity
from flowrt.traffic.objects import Tracks


class Location(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where: pixels of the picture, and metres on the ground plane where a homography is known."""

    x_px: float
    y_px: float
    x_m: float | None = None
    y_m: float | None = None
    lane_id: str | None = None

    @classmethod
    def of(cls, tracks: Tracks, row: int, lane_id: str | None = None) -> Self:
        """The ground point of the object in that row."""
        x0, _, x1, y1 = tracks.boxes_px[row].tolist()
        return cls(
            x_px=round((x0 + x1) / 2, 1),
            y_px=round(y1, 1),
            x_m=known(tracks.ground_m[row, 0]),
            y_m=known(tracks.ground_m[row, 1]),
            lane_id=lane_id,
        )


NOWHERE = Location(x_px=nan, y_px=nan)
"""A location that was not given: an event takes that of its object."""


class RoadUser(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One object of an event."""

    track_id: int
    label: str
    confidence: Fraction
    box_px: tuple[float, float, float, float]
    speed_kmh: NonNegative | None = None

    @classmethod
    def of(cls, tracks: Tracks, row: int) -> Self:
        """The object in that row."""
        x0, y0, x1, y1 = (round(edge, 1) for edge in tracks.boxes_px[row].tolist())
        return cls(
            track_id=int(tracks.track_id[row]),
            label=tracks.labels[tracks.class_id[row]],
            confidence=round(float(tracks.confidence[row]), 3),
            box_px=(x0, y0, x1, y1),
            speed_kmh=known(tracks.speed_kmh[row]),
        )

    @property
    def location(self) -> Location:
        """The bottom centre of its box."""
        x0, _, x1, y1 = self.box_px
        return Location(x_px=round((x0 + x1) / 2, 1), y_px=y1)


def _locate(event: Event, user: RoadUser) -> None:
    """Fill in the location of an event that was given none."""
    if getattr(event, "location", None) is NOWHERE:
        msgspec.structs.force_setattr(event, "location", user.location)


class ZoneEvent(Event, frozen=True, kw_only=True, eq=False):
    """A road user entered, left or stayed in a zone, or crossed a line (roi_type `line`).

    dwell_time: seconds in the zone so far. object_count: objects in the zone at that moment.
    """

    port: ClassVar[str] = "zone_events"
    filled: ClassVar[tuple[str, ...]] = ("roi_type", "location")

    roi_id: str
    roi_type: RoiType = "other"
    event_type: Literal["entry", "exit", "dwell", "crossing", "violation"]
    object: RoadUser
    location: Location = NOWHERE
    dwell_time: NonNegative = 0.0
    direction: str = ""
    object_count: Count = 0

    def __post_init__(self) -> None:
        _locate(self, self.object)
        super().__post_init__()

    @classmethod
    def of(cls, tracks: Tracks, row: int, **known: Any) -> Self:
        """What happened to the object in that row; `known` are further fields."""
        user, where = RoadUser.of(tracks, row), Location.of(tracks, row)
        return cls(
            **{"time_s": tracks.time_s, "camera_id": tracks.camera_id, "object": user, "location": where, **known}
        )

    def identifies(self) -> tuple[Any, ...]:
        return self.event_type, self.roi_id, self.object.track_id, self.time_s


class Violation(Event, frozen=True, kw_only=True, eq=False):
    """A traffic rule was broken. One id for its lifetime: `phase` new, then update, then end.

    `Violation(time_s=…, camera_id=…, violation_type=…, object=…)` is one: it begins now, where its object is. A `Rule` makes them with
    phases and evidence.
    """

    port: ClassVar[str] = "violations"
    critical: ClassVar[bool] = True
    filled: ClassVar[tuple[str, ...]] = ("severity", "phase", "location", "evidence", "started_s")

    violation_type: str
    severity: Severity = "medium"
    phase: Phase = "new"
    location: Location = NOWHERE
    object: RoadUser
    evidence: dict[str, Any] = {}
    started_s: float = nan
    roi_id: str = ""
    ended_s: float | None = None
    confidence: Fraction = 1.0
    description: str = ""

    def __post_init__(self) -> None:
        _locate(self, self.object)
        if isnan(self.started_s):
            msgspec.structs.force_setattr(self, "started_s", self.time_s)
        super().__post_init__()

    @classmethod
    def of(cls, tracks: Tracks, row: int, **known: Any) -> Self:
        """A violation by the object in that row; `known` are further fields, and `lane_id` of its location."""
        user, where = RoadUser.of(tracks, row), Location.of(tracks, row, known.pop("lane_id", None))
        return cls(
            **{"time_s": tracks.time_s, "camera_id": tracks.camera_id, "object": user, "location": where, **known}
        )

    def identifies(self) -> tuple[Any, ...]:
        return self.violation_type, self.roi_id, self.object.track_id, self.started_s


class PedestrianEvent(Event, frozen=True, kw_only=True, eq=False):
    """Pedestrian safety: a pedestrian stepped onto a crosswalk, crossed unsafely, or was nearly hit."""

    port: ClassVar[str] = "pedestrian_events"
    critical: ClassVar[bool] = True
    filled: ClassVar[tuple[str, ...]] = ("risk_level",)

    event_type: Literal["crosswalk_entry", "unsafe_crossing", "near_miss"]
    pedestrian_id: int
    risk_level: Severity = "medium"
    location: Location
    roi_id: str = ""
    ttc_s: NonNegative | None = None
    pet_s: NonNegative | None = None
    vehicle_id: int | None = None

    def identifies(self) -> tuple[Any, ...]:
        return self.event_type, self.pedestrian_id, self.vehicle_id, self.time_s


class LaneInterval(Event, frozen=True, kw_only=True, eq=False):
    """Traffic of one lane over one interval that ended at `time_s`. Speeds in km/h, flow in vehicles per hour.

    vehicle_count: all vehicles, the motor vehicles and the bicycles. lane_occupancy: share of the observed time during which the lane was
    occupied, 0 to 1. observed_share: share of the interval in which pictures came: a count is that of the observed time.
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
    observed_share: Fraction | None = None
    motor_vehicle_count: Count | None = None
    bicycle_count: Count | None = None
    camera_position: Position = ""

    def identifies(self) -> tuple[Any, ...]:
        return self.lane_id, self.interval_s, self.time_s
