"""Messages: what travels on the edges of a flow.

Invariants
- A message is immutable. Arrays inside are shared, never copied and never written to after construction.
- `time_s` is the capture time (UTC seconds since the epoch) of the picture or fact the message speaks of,
  never the time it arrived or was computed.
- Objects of one picture travel as columns: arrays of equal length N, row i of each column is object i.
- The fields of an event are named as its topic's JSON Schema in `schemas/` names them: the payload is the message.

A port is a message type. Its name in a flow file (`from: zones.zone_events`) is the type's `port`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
Image = NDArray[np.uint8]

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


class Frame(Message, frozen=True, kw_only=True, eq=False):
    """One picture. image: u8, shape (height, width, 3), BGR, not to be written to. position: what the camera watches."""

    port: ClassVar[str] = "frames"

    image: Image
    number: int = 0
    position: Position = ""

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


class Objects(Message, frozen=True, kw_only=True, eq=False):
    """Objects of one picture, as columns of length N.

    boxes_px: float32 (N, 4), x_min, y_min, x_max, y_max in pixels of the picture.
    confidence: float32 (N,), 0 to 1.
    class_id: int64 (N,), an index into `labels`.
    labels: the class names of the model.
    picture_px: width and height of the picture.
    frame: the picture itself; None in replayed runs.
    processing_time_ms: what inference took for this picture.
    """

    port: ClassVar[str] = "objects"

    boxes_px: Floats
    confidence: Floats
    class_id: Ints
    labels: tuple[str, ...]
    picture_px: tuple[int, int]
    frame_number: int = 0
    frame: Frame | None = None
    processing_time_ms: float = 0.0

    def __len__(self) -> int:
        return len(self.boxes_px)

    @property
    def ground_px(self) -> Floats:
        """(N, 2): bottom centre of each box, where wheels or feet touch the ground."""
        boxes = self.boxes_px
        return np.column_stack(((boxes[:, 0] + boxes[:, 2]) * 0.5, boxes[:, 3]))

    @property
    def camera_position(self) -> Position:
        """The approach that the camera watches; empty where it is unknown, as in replayed runs."""
        return self.frame.position if self.frame else ""

    @property
    def label(self) -> list[str]:
        """Class name of each object."""
        return [self.labels[i] for i in self.class_id]

    def of_class(self, names: frozenset[str]) -> Bools:
        """(N,): which objects belong to one of the named classes."""
        member = np.fromiter((name in names for name in self.labels), bool, len(self.labels))
        return member[self.class_id] if len(self.labels) else np.zeros(len(self), bool)


class Detections(Objects, frozen=True, kw_only=True, eq=False):
    """What a detector found in one picture."""

    port: ClassVar[str] = "detections"

    model: str = ""


class Tracks(Objects, frozen=True, kw_only=True, eq=False):
    """The confirmed tracks seen in one picture.

    track_id: int64 (N,), positive, unique per camera node for the life of the tracker.
    age_s: float32 (N,), seconds since the track was first seen.
    velocity_px_s: float32 (N, 2), picture velocity of the ground point.
    ground_m, velocity_m_s: float32 (N, 2), metres on the ground plane; NaN until a `speed` node has filled them.
    speed_kmh, speed_sigma_kmh, heading_deg: float32 (N,); NaN until a `speed` node has filled them. Heading is
        counted from the ground plane's +x axis towards +y, in degrees, -180 to 180.
    zones: names of the zones looked at by the `roi` nodes upstream; in_zone: bool (N, Z), column z for zones[z].
    zone_since_s: float64 (N, Z), time at which the object entered the zone; NaN outside of it.
    """

    port: ClassVar[str] = "tracks"

    track_id: Ints
    age_s: Floats
    velocity_px_s: Floats
    ground_m: Floats
    velocity_m_s: Floats
    speed_kmh: Floats
    speed_sigma_kmh: Floats
    heading_deg: Floats
    zones: tuple[str, ...] = ()
    in_zone: Bools
    zone_since_s: NDArray[np.float64]
    model: str = ""

    @classmethod
    def of(
        cls,
        seen: Objects,
        rows: NDArray[Any],
        *,
        track_id: Ints,
        age_s: Floats,
        velocity_px_s: Floats,
        boxes_px: Floats | None = None,
    ) -> Tracks:
        """Tracks for the given rows of a picture's objects, with speed unknown and no zones looked at."""
        n = len(rows)
        nothing = np.full(n, np.nan, np.float32)
        nowhere = np.full((n, 2), np.nan, np.float32)
        return cls(
            time_s=seen.time_s,
            camera_id=seen.camera_id,
            boxes_px=seen.boxes_px[rows] if boxes_px is None else boxes_px,
            confidence=seen.confidence[rows],
            class_id=seen.class_id[rows],
            labels=seen.labels,
            picture_px=seen.picture_px,
            frame_number=seen.frame_number,
            frame=seen.frame,
            processing_time_ms=seen.processing_time_ms,
            track_id=track_id,
            age_s=age_s,
            velocity_px_s=velocity_px_s,
            ground_m=nowhere,
            velocity_m_s=nowhere,
            speed_kmh=nothing,
            speed_sigma_kmh=nothing,
            heading_deg=nothing,
            in_zone=np.zeros((n, 0), bool),
            zone_since_s=np.zeros((n, 0), np.float64),
            model=getattr(seen, "model", ""),
        )

    def __getitem__(self, rows: NDArray[Any]) -> Self:
        """The same picture with only the rows of a mask (N,) or index array."""
        return msgspec.structs.replace(self, **{name: getattr(self, name)[rows] for name in _TRACK_COLUMNS})

    def replace(self, **columns: Any) -> Self:
        """The same picture with some columns exchanged."""
        return msgspec.structs.replace(self, **columns)

    def zone_mask(self, zone: str) -> Bools:
        """(N,): who is in the zone; nobody where no `roi` upstream looked at it."""
        if zone not in self.zones:
            return np.zeros(len(self), bool)
        return self.in_zone[:, self.zones.index(zone)]


_TRACK_COLUMNS = (
    "boxes_px", "confidence", "class_id", "track_id", "age_s", "velocity_px_s", "ground_m", "velocity_m_s",
    "speed_kmh", "speed_sigma_kmh", "heading_deg", "in_zone", "zone_since_s",
)  # fmt: skip


class SignalState(Message, frozen=True, kw_only=True, eq=False):
    """State of the signal groups of an intersection at `time_s`.

    states: group name to SAE J2735 movement phase state; since_s: group name to the time the state began, where known.
    """

    port: ClassVar[str] = "signals"

    states: dict[str, str]
    since_s: dict[str, float] = {}


class Event(Message, frozen=True, kw_only=True, eq=False):
    """Something that happened, worth keeping.

    id: deterministic (the same input gives the same id), so that a repeated delivery is harmless.
    """

    port: ClassVar[str] = "events"

    id: str


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
    """Somebody entered, left or stayed in a zone, or crossed a line (roi_type `line`).

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
    """A traffic rule was broken. One id for its whole life: `phase` new, then update, then end."""

    port: ClassVar[str] = "violations"

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
    """Pedestrian safety: somebody stepped onto a crosswalk, crossed unsafely, or was nearly hit."""

    port: ClassVar[str] = "pedestrian_events"

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


class CameraStatus(Message, frozen=True, kw_only=True, eq=False):
    """State of one camera."""

    port: ClassVar[str] = "camera_status"

    status: Literal["online", "offline", "error"]
    position: Position = ""
    fps: NonNegative = 0.0
    resolution: str = ""
    detail: str = ""
    reconnects: Count = 0


class ServiceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a health probe found of one service."""

    status: Literal["up", "down", "unknown", "disabled"]
    latency_ms: NonNegative | None = None
    error: str = ""


class Health(Message, frozen=True, kw_only=True, eq=False):
    """State of the whole runtime. `reasons` says why it is not healthy. CPU, memory and disk of the machine in percent."""

    port: ClassVar[str] = "health"

    status: Literal["healthy", "degraded", "critical"]
    active_cameras: Count
    services: dict[str, ServiceState]
    uptime_seconds: NonNegative
    host: str
    reasons: list[str] = []
    cpu_usage: NonNegative = 0.0
    memory_usage: NonNegative = 0.0
    disk_usage: NonNegative = 0.0


class Performance(Message, frozen=True, kw_only=True, eq=False):
    """Runtime metrics over the last interval. Usage in percent, memory in MB; per camera where camera_id is set.

    frames_dropped: since the last report. queue_depth: the deepest of `queue_depths`.
    """

    port: ClassVar[str] = "performance"

    fps: NonNegative
    processing_time_ms: NonNegative
    cpu_usage: NonNegative
    memory_usage: NonNegative
    gpu_usage: NonNegative | None = None
    service: str = "flowrt"
    camera_count: Count = 0
    active_objects: Count = 0
    frames_dropped: Count = 0
    queue_depths: dict[str, Count] = {}
    queue_depth: Count = 0
    latency_p50_ms: NonNegative | None = None
    latency_p99_ms: NonNegative | None = None
    outbox_pending: Count = 0


class Aggregate(Message, frozen=True, kw_only=True, eq=False):
    """A total over a window, kept long. `time_s` is the window's beginning, so a repeated total overwrites the former.

    A window that was joined late (the flow began within it) carries the time of its first message instead: its point stands
    beside the one of the run before, and their sum is right.
    """

    port: ClassVar[str] = "aggregates"

    window_s: NonNegative


class FpsMinute(Aggregate, frozen=True, kw_only=True, eq=False):
    """Mean pictures per second of one camera over a minute. n: how many reports it is the mean of."""

    port: ClassVar[str] = "fps_per_minute"

    fps: NonNegative
    frames_dropped: Count
    n: Count


class VehicleCount(Aggregate, frozen=True, kw_only=True, eq=False):
    """Vehicles of one lane over five minutes. average_speed: km/h, weighted by vehicles; None where nobody's was known."""

    port: ClassVar[str] = "vehicle_counts"

    lane_id: str
    direction: str
    vehicle_count: Count
    average_speed: NonNegative | None = None


class ViolationCount(Aggregate, frozen=True, kw_only=True, eq=False):
    """Violations of one type and severity over an hour."""

    port: ClassVar[str] = "violation_counts"

    violation_type: str
    severity: Severity
    count: Count


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
