"""One message of every type that the contract carries, as a flow would make them."""

from __future__ import annotations

import numpy as np

from flowrt.message import Fault, Message
from flowrt.traffic import (
    CameraStatus,
    Detections,
    FpsMinute,
    Frame,
    Health,
    LaneInterval,
    Location,
    PedestrianEvent,
    Performance,
    RoadUser,
    ServiceState,
    Tracks,
    VehicleCount,
    Violation,
    ViolationCount,
    ZoneEvent,
)

SITE = "main-and-5th"
TIME_S = 1777888800.25
CAMERA = "north_camera"
USER = RoadUser(track_id=17, label="car", confidence=0.91, box_px=(512.0, 300.5, 640.0, 420.0), speed_kmh=38.4)
PLACE = Location(x_px=576.0, y_px=420.0, x_m=3.1, y_m=12.6, lane_id="n_in_1")


def detections(n: int = 3, frame: Frame | None = None) -> Detections:
    """n objects, cars and persons in turn."""
    left = np.arange(n, dtype=np.float32) * 20
    return Detections(
        time_s=TIME_S,
        camera_id=CAMERA,
        boxes_px=np.column_stack((left, left + 5, left + 15, left + 50)).astype(np.float32).reshape(n, 4),
        confidence=np.linspace(0.9, 0.5, n, dtype=np.float32),
        class_id=np.arange(n) % 2,
        labels=("car", "person"),
        picture_px=(640, 480),
        frame_number=1042,
        frame=frame,
        processing_time_ms=7.9,
        model="yolox_nano",
    )


def tracks(n: int = 3) -> Tracks:
    """The same as confirmed tracks: speed and ground known of all but the last, the first two in a lane."""
    made = Tracks.of(
        detections(n),
        np.arange(n),
        track_id=np.arange(n) + 17,
        age_s=np.full(n, 2.0, np.float32),
        velocity_px_s=np.zeros((n, 2), np.float32),
    )
    ground, speed = made.ground_m.copy(), made.speed_kmh.copy()
    ground[:-1], speed[:-1] = (3.1, 12.6), 38.4
    in_zone = np.zeros((n, 2), bool)
    in_zone[:2, 0] = True
    return made.replace(
        ground_m=ground,
        speed_kmh=speed,
        heading_deg=speed,
        zones=("n_in_1", "crosswalk"),
        in_zone=in_zone,
        zone_since_s=np.where(in_zone, TIME_S - 1, np.nan),
    )


def violation(phase: str = "new", time_s: float = TIME_S, track_id: int = 17) -> Violation:
    """A red-light violation that began at TIME_S."""
    return Violation(
        time_s=time_s,
        camera_id=CAMERA,
        id=f"{CAMERA}-red_light-{track_id}-{TIME_S}",
        violation_type="red_light",
        severity="high",
        phase=phase,  # type: ignore[arg-type]
        location=PLACE,
        object=RoadUser(track_id=track_id, label="car", confidence=0.91, box_px=USER.box_px, speed_kmh=38.4),
        evidence={
            "signal": "phase_2",
            "red_for_s": np.float32(2.5),
            "samples": np.array([[1.0, 2.0], [3.0, np.nan]]),
            "zones": frozenset({"b", "a"}),
            "ids": (np.int64(17), 18),
        },
        started_s=TIME_S,
        ended_s=time_s if phase == "end" else None,
        roi_id="stop_line",
        confidence=0.93,
    )


def zone_event(track_id: int = 17, count: int = 3) -> ZoneEvent:
    """Somebody left a lane."""
    return ZoneEvent(
        time_s=TIME_S,
        camera_id=CAMERA,
        id=f"{CAMERA}-n_in_1-{track_id}-exit",
        roi_id="n_in_1",
        roi_type="lane",
        event_type="exit",
        object=USER,
        location=PLACE,
        dwell_time=6.4,
        object_count=count,
    )


def health() -> Health:
    """One service up, one down, one that nobody wants."""
    return Health(
        time_s=TIME_S,
        status="degraded",
        active_cameras=3,
        services={
            "mqtt": ServiceState(status="up", latency_ms=0.8),
            "influxdb": ServiceState(status="down", error="connection refused"),
            "grafana": ServiceState(status="disabled"),
        },
        uptime_seconds=86412.5,
        host="edge-01",
        reasons=["influxdb: connection refused"],
        cpu_usage=71.5,
        memory_usage=41.0,
        disk_usage=38.0,
        latitude=59.9139,
        longitude=10.7522,
    )


def every() -> list[Message]:
    """At least one of each type, with the rare fields filled in one and absent in another."""
    at = {"time_s": TIME_S, "camera_id": CAMERA}
    return [
        detections(),
        detections(0),
        tracks(),
        violation(),
        violation("end", TIME_S + 3),
        zone_event(),
        health(),
        PedestrianEvent(
            time_s=TIME_S,
            camera_id=CAMERA,
            id="p1",
            event_type="near_miss",
            pedestrian_id=31,
            risk_level="high",
            location=Location(x_px=1.0, y_px=2.0),
            roi_id="crosswalk",
            ttc_s=1.2,
            pet_s=2.8,
            vehicle_id=17,
        ),
        LaneInterval(
            time_s=TIME_S,
            camera_id=CAMERA,
            id="n_in_1-1",
            lane_id="n_in_1",
            direction="inbound",
            interval_s=60.0,
            vehicle_count=14,
            average_speed=41.2,
            lane_occupancy=0.18,
            congestion_level="low",
            flow_veh_h=840.0,
            class_counts={"car": 11, "truck": 3},
            turning_movements={"left": 5, "through": 9},
            camera_position="north",
        ),
        LaneInterval(
            time_s=TIME_S,
            id="n_in_1-2",
            lane_id="n_in_1",
            direction="",
            interval_s=60.0,
            vehicle_count=0,
            average_speed=None,
            lane_occupancy=0.0,
            congestion_level="low",
            flow_veh_h=0.0,
        ),
        CameraStatus(**at, status="online", position="north", fps=14.9, resolution="1280x720"),
        CameraStatus(**at, status="offline", detail="no picture for 10 s", reconnects=1),
        Performance(time_s=TIME_S, fps=59.8, processing_time_ms=8.1, cpu_usage=71.5, memory_usage=412.0),
        Performance(
            **at, fps=15.0, processing_time_ms=8.1, cpu_usage=71.5, memory_usage=412.0, gpu_usage=3.0, service="camera"
        ),
        Fault(**at, node="speed", error="singular", error_type="ValueError", message_type="Tracks"),
        FpsMinute(**at, window_s=60.0, fps=14.8, frames_dropped=3, n=12),
        VehicleCount(time_s=TIME_S, window_s=300.0, lane_id="n_in_1", direction="inbound", vehicle_count=70),
        ViolationCount(**at, window_s=3600.0, violation_type="red_light", severity="high", count=2),
    ]
