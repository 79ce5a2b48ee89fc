"""States: how signals, cameras, services and the runtime itself are at a moment."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

import msgspec

from flowrt.message import Count, Message, NonNegative
from flowrt.traffic.kinds import Position


class SignalState(Message, frozen=True, kw_only=True, eq=False):
    """State of the signal groups of an intersection at `time_s`.

    states: group name to SAE J2735 movement phase state; since_s: group name to the time the state began, where known.
    """

    port: ClassVar[str] = "signals"
    recorded: ClassVar[bool] = True

    states: dict[str, str]
    since_s: dict[str, float] = {}


class CameraStatus(Message, frozen=True, kw_only=True, eq=False):
    """State of one camera.

    clock: what the capture times of a live camera follow: its own clock, the presentation times of its stream, or the arrival.
    jitter_ms: standard deviation of what the network delays its pictures by.
    view: whether it still shows what it showed when its scene was drawn; empty until that is known. shift_px: how far the picture has
        shifted since, on average.
    """

    port: ClassVar[str] = "camera_status"
    recorded: ClassVar[bool] = True

    status: Literal["online", "offline", "error"]
    position: Position = ""
    fps: NonNegative = 0.0
    resolution: str = ""
    detail: str = ""
    reconnects: Count = 0
    clock: Literal["camera", "pts", "arrival", ""] = ""
    jitter_ms: NonNegative | None = None
    view: Literal["ok", "moved", "other", "blind", "frozen", "blurred", ""] = ""
    shift_px: NonNegative | None = None


class ServiceState(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a health probe found of one service."""

    status: Literal["up", "down", "unknown", "disabled"]
    latency_ms: NonNegative | None = None
    error: str = ""


class Health(Message, frozen=True, kw_only=True, eq=False):
    """State of the runtime. `reasons`: why it is not healthy. CPU, memory and disk of the machine in percent.

    latitude, longitude: where the intersection is, in degrees (WGS 84).
    """

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
    latitude: Annotated[float, msgspec.Meta(ge=-90, le=90)] | None = None
    longitude: Annotated[float, msgspec.Meta(ge=-180, le=180)] | None = None


class Performance(Message, frozen=True, kw_only=True, eq=False):
    """Runtime metrics over the last interval. Usage in percent, memory in MB; per camera where camera_id is set.

    frames_dropped: since the last report. queue_depth: the deepest of `queue_depths`.
    """

    port: ClassVar[str] = "performance"
    identity: ClassVar[tuple[str, ...]] = ("service",)

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
