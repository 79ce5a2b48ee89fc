"""A made-up day at an intersection: messages as the nodes send them, turned into points by the contract itself.

For tests of queries, alerts and pictures, where what matters is shape and amount, and a real run would take as long as it shows.
"""

from __future__ import annotations

import math
import random
import tempfile
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from harness import context, opened

from flowrt import (
    CameraStatus,
    Detections,
    Health,
    LaneInterval,
    Location,
    Message,
    PedestrianEvent,
    Performance,
    RoadUser,
    Violation,
    ZoneEvent,
)
from flowrt.contract import Contract
from flowrt.traffic import ServiceState
from flowrt_nodes.aggregate import Aggregates

END_S = 1_777_917_600.0  # 2026-05-04 18:00 UTC, a Monday
SITES = ("main-and-5th", "harbour.square", "3rd (east)")
"""Names with everything that a pattern has to escape."""
CAMERAS = ("north_camera", "south_camera")
LANES = {"n_in_1": "inbound", "n_in_2": "inbound", "n_out": "outbound", "s_in_1": "inbound", "s_out": "outbound"}
RULES = {
    "red_light": "critical",
    "speeding": "medium",
    "failure_to_yield": "high",
    "jaywalking": "low",
    "wrong_way": "critical",
    "near_miss": "high",
}
HOUR_S = 3600.0


def rush(time_s: float) -> float:
    """How much traffic there is at this hour, 0 to 1: two peaks, a quiet night."""
    hour = time_s / HOUR_S % 24.0
    return 0.12 + 0.62 * math.exp(-(((hour - 8.0) / 1.8) ** 2)) + 0.8 * math.exp(-(((hour - 17.3) / 2.2) ** 2))


def day(seed: int = 1, end_s: float = END_S) -> Iterator[Message]:
    """Six hours of lane intervals, events and violations, and the last hour of everything else."""
    chance = random.Random(seed)
    yield from _lanes(chance, end_s)
    yield from _events(chance, end_s)
    yield from _runtime(chance, end_s)


def _lanes(chance: random.Random, end_s: float) -> Iterator[Message]:
    for minute in range(360):
        time_s = end_s - 60.0 * (359 - minute)
        for i, (lane, direction) in enumerate(LANES.items()):
            vehicles = int(chance.gauss(16, 3) * rush(time_s) * (1.0 - 0.12 * i)) + 1
            speed = 52.0 - 22.0 * rush(time_s) + chance.gauss(0, 2) - i
            occupancy = min(0.9, vehicles / 34.0 + chance.random() * 0.05)
            left, right = int(vehicles * 0.2), int(vehicles * 0.25)
            yield LaneInterval(
                id=f"{lane}-{time_s}",
                time_s=time_s,
                camera_id=CAMERAS[lane.startswith("s")],
                camera_position="south" if lane.startswith("s") else "north",
                lane_id=lane,
                direction=direction,
                interval_s=60.0,
                vehicle_count=vehicles,
                average_speed=round(speed, 1),
                lane_occupancy=round(occupancy, 3),
                congestion_level="high" if occupancy > 0.45 else "medium" if occupancy > 0.25 else "low",
                flow_veh_h=60.0 * vehicles,
                speed_p85_kmh=round(speed * 1.13, 1),
                speed_n=vehicles,
                headway_s=round(60.0 / vehicles, 2),
                queue_vehicles=int(vehicles * 0.4),
                queue_m=round(vehicles * 2.6, 1),
                density_veh_km=round(60.0 * vehicles / speed, 1),
                observed_share=0.98,
                motor_vehicle_count=vehicles - vehicles // 8,
                bicycle_count=vehicles // 8,
                turning_movements={"left": left, "through": vehicles - left - right, "right": right}
                if "in" in lane
                else {},
            )


def _user(chance: random.Random, label: str) -> RoadUser:
    speed = chance.gauss(47 if label == "car" else 5, 9 if label == "car" else 1)
    box = (100.0, 100.0, 180.0, 160.0)
    return RoadUser(
        track_id=chance.randrange(1, 9999), label=label, confidence=0.9, box_px=box, speed_kmh=round(abs(speed), 1)
    )


def _events(chance: random.Random, end_s: float) -> Iterator[Message]:
    for minute in range(360):
        time_s = end_s - 60.0 * (359 - minute) - 30.0
        for zone, kind in (
            ("n_in_1", "lane"),
            ("s_in_1", "lane"),
            ("crosswalk_n", "crosswalk"),
            ("box", "intersection"),
        ):
            if chance.random() > rush(time_s):
                continue
            where, user = Location(x_px=400.0, y_px=300.0), _user(chance, "person" if kind == "crosswalk" else "car")
            inside, stay = chance.randrange(1, 5 if kind == "lane" else 9), abs(chance.gauss(9, 5))
            for event, late_s in (("entry", 0.0), ("exit", min(stay, 25.0))):
                yield ZoneEvent(
                    id=f"{zone}-{event}-{time_s}",
                    time_s=time_s + late_s,
                    camera_id=CAMERAS[zone.startswith("s")],
                    roi_id=zone,
                    roi_type=kind,
                    event_type=event,
                    object=user,
                    location=where,
                    dwell_time=round(late_s, 1),
                    object_count=inside,
                )
        if chance.random() < 0.6 * rush(time_s):
            yield _crossing(chance, time_s)
        if chance.random() < 0.35 * rush(time_s):
            yield _violation(chance, time_s)
        if chance.random() < 0.3 * rush(time_s):
            yield _encounter(chance, time_s)


def _crossing(chance: random.Random, time_s: float) -> ZoneEvent:
    return ZoneEvent(
        id=f"line-{time_s}",
        time_s=time_s,
        camera_id=CAMERAS[0],
        roi_id="stop_line",
        roi_type="line",
        event_type="crossing",
        object=_user(chance, "car"),
        location=Location(x_px=400.0, y_px=300.0),
        direction="forward",
        object_count=1,
    )


def _violation(chance: random.Random, time_s: float) -> Violation:
    rule = chance.choices(list(RULES), (4, 9, 3, 5, 1, 2))[0]
    user = _user(chance, "person" if rule == "jaywalking" else "car")
    name = f"{rule}-{user.track_id}-{time_s:.0f}"
    return Violation(
        id=name,
        time_s=time_s + 2.0,
        started_s=time_s,
        camera_id=chance.choice(CAMERAS),
        roi_id={"jaywalking": "carriageway", "red_light": "stop_line"}.get(rule, "n_in_1"),
        violation_type=rule,
        severity=RULES[rule],
        phase="end",
        ended_s=time_s + 2.0,
        location=Location(x_px=400.0, y_px=300.0),
        object=user,
        evidence={"snapshot": f"snapshots/{name}.jpg"},
        confidence=round(chance.uniform(0.6, 0.99), 2),
    )


def _encounter(chance: random.Random, time_s: float) -> PedestrianEvent:
    kind = chance.choices(("crosswalk_entry", "unsafe_crossing", "near_miss"), (6, 2, 1))[0]
    return PedestrianEvent(
        id=f"{kind}-{time_s}",
        time_s=time_s,
        camera_id=CAMERAS[0],
        event_type=kind,
        pedestrian_id=chance.randrange(1, 9999),
        risk_level={"near_miss": "high", "unsafe_crossing": "medium"}.get(kind, "low"),
        location=Location(x_px=400.0, y_px=300.0),
        roi_id="crosswalk_n",
        ttc_s=round(chance.uniform(0.7, 1.5) if kind == "near_miss" else chance.uniform(1.6, 6), 2),
        pet_s=round(chance.uniform(0.8, 7), 2),
    )


def _runtime(chance: random.Random, end_s: float) -> Iterator[Message]:
    for tick in range(720):
        time_s = end_s - 5.0 * (719 - tick)
        lost = 630 <= tick < 642  # the south camera is away for a minute
        reasons = ["south_camera: offline"] if lost else []
        services = {
            "mqtt": ServiceState(status="up", latency_ms=round(abs(chance.gauss(1.2, 0.3)), 2)),
            "influxdb": ServiceState(status="up", latency_ms=round(abs(chance.gauss(4, 1)), 2)),
            "grafana": ServiceState(status="down", error="no answer")
            if 560 <= tick < 580
            else ServiceState(status="up", latency_ms=3.0),
        }
        cpu = 46 + 12 * math.sin(tick / 30) + chance.gauss(0, 2)
        yield Health(
            time_s=time_s,
            status="degraded" if lost else "healthy",
            active_cameras=1 if lost else 2,
            services=services,
            uptime_seconds=86_400.0 + 5.0 * tick,
            host="edge-1",
            reasons=reasons,
            cpu_usage=round(cpu + 9, 1),
            memory_usage=412.0,
            disk_usage=38.2,
            latitude=59.9139,
            longitude=10.7522,
        )
        yield Performance(
            time_s=time_s,
            fps=14.6,
            processing_time_ms=8.0,
            cpu_usage=round(cpu, 1),
            memory_usage=round(405 + chance.gauss(0, 3), 1),
            gpu_usage=round(abs(chance.gauss(31, 4)), 1),
            camera_count=2,
            active_objects=chance.randrange(8, 24),
            frames_dropped=0,
            queue_depth=chance.choice((0, 0, 0, 1, 1, 2)),
            latency_p50_ms=round(24 + chance.gauss(0, 2), 1),
            latency_p99_ms=round(58 + abs(chance.gauss(0, 9)), 1),
            outbox_pending=max(0, 40 * (tick - 560)) if 560 <= tick < 580 else chance.randrange(0, 6),
        )
        for i, camera in enumerate(CAMERAS):
            away = lost and i == 1
            yield Performance(
                time_s=time_s,
                camera_id=camera,
                service="camera",
                fps=0.0 if away else round(14.6 + chance.gauss(0, 0.4), 2),
                processing_time_ms=8.0,
                cpu_usage=round(cpu, 1),
                memory_usage=405.0,
                frames_dropped=chance.choice((0, 0, 0, 0, 1)),
            )
            yield CameraStatus(
                time_s=time_s,
                camera_id=camera,
                status="offline" if away else "online",
                position=("north", "south")[i],
                fps=0.0 if away else 14.6,
                resolution="1280x720",
                reconnects=1 if tick >= 642 and i == 1 else 0,
                view="ok" if tick % 50 else "blurred",
                shift_px=0.4,
                jitter_ms=12.5,
            )
            if not away:
                yield from (_picture(chance, time_s + 2.5 * half, camera) for half in (0, 1))


def _picture(chance: random.Random, time_s: float, camera: str) -> Detections:
    cars, people = chance.randrange(3, 12), chance.randrange(0, 5)
    n = cars + people
    return Detections(
        time_s=time_s,
        camera_id=camera,
        boxes_px=np.tile(np.asarray([100, 100, 180, 160], np.float32), (n, 1)),
        confidence=np.asarray([chance.uniform(0.6, 0.95) for _ in range(n)], np.float32),
        class_id=np.asarray([0] * cars + [1] * people, np.int64),
        labels=("car", "person"),
        picture_px=(1280, 720),
        processing_time_ms=round(abs(chance.gauss(8, 0.6)), 2),
        model="crossing",
    )


def week(seed: int = 1, end_s: float = END_S) -> Iterator[Message]:
    """Seven days of aggregates, made by the `aggregate` node from coarse intervals."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, opened(Aggregates(), context(Path(folder))) as node:
        for quarter in range(7 * 24 * 4):
            time_s = end_s - 900.0 * (7 * 24 * 4 - quarter)
            yield from node.process(Performance(
                time_s=time_s, camera_id=CAMERAS[quarter % 2], service="camera", fps=round(14.6 + chance.gauss(0, 0.5), 2),
                processing_time_ms=8.0, cpu_usage=40.0, memory_usage=400.0,
            ))  # fmt: skip
            for i, (lane, direction) in enumerate(LANES.items()):
                vehicles = (
                    int(
                        chance.gauss(16, 3)
                        * rush(time_s)
                        * (1.0 - 0.12 * i)
                        * (0.6 if (quarter // 96) % 7 > 4 else 1)
                        * 15
                    )
                    + 1
                )
                yield from node.process(LaneInterval(
                    id=f"{lane}-{time_s}", time_s=time_s, camera_id=CAMERAS[0], lane_id=lane, direction=direction, interval_s=900.0,
                    vehicle_count=vehicles, average_speed=48.0 - 15.0 * rush(time_s), lane_occupancy=0.2, congestion_level="low",
                    flow_veh_h=4.0 * vehicles,
                ))  # fmt: skip
            if chance.random() < 1.2 * rush(time_s):
                violation = _violation(chance, time_s)
                yield from node.process(_new(violation))
        yield from node.finish()


def _new(violation: Violation) -> Violation:
    import msgspec

    return msgspec.structs.replace(violation, phase="new")


def write(url: str, contract: Contract, site: str, messages: Iterable[Message]) -> int:
    """Write the messages' points as `influx_out` does; returns how many there were."""
    lines: dict[str, list[bytes]] = {"traffic_monitoring": [], "traffic_analytics": []}
    for message in messages:
        analytics = contract.measurements_of(message)[0].bucket == "analytics"
        lines["traffic_analytics" if analytics else "traffic_monitoring"] += contract.lines(message, site)
    for bucket, of_bucket in lines.items():
        for start in range(0, len(of_bucket), 5000):
            body = b"\n".join(of_bucket[start : start + 5000])
            request = urllib.request.Request(
                f"{url}/api/v2/write?bucket={bucket}&precision=ns", data=body, method="POST"
            )
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 204
    return sum(map(len, lines.values()))
