"""What is counted of one lane during one interval, and the message made from it."""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from flowrt import LaneInterval, event_id
from flowrt.traffic.event_parts import known


class LaneCount(msgspec.Struct, kw_only=True):
    """One lane, one interval. speeds_kmh: one per vehicle, at the place where it was counted."""

    classes: dict[str, int] = {}
    turns: dict[str, int] = {}
    speeds_kmh: list[float] = []
    passed_s: list[float] = []
    occupied_s: float = 0.0
    watched_s: float = 0.0
    queue_vehicles: int = 0
    queue_m: float = 0.0

    def passed(self, label: str, time_s: float, speed_kmh: float) -> None:
        """A vehicle was counted."""
        self.classes[label] = self.classes.get(label, 0) + 1
        self.passed_s.append(time_s)
        if speed_kmh == speed_kmh:
            self.speeds_kmh.append(speed_kmh)

    @property
    def count(self) -> int:
        """Vehicles counted."""
        return len(self.passed_s)


class SavedInterval(msgspec.Struct, kw_only=True):
    """An interval as it is saved. end_s: None while it is open; last_s: the last picture in it. Others as in `TrafficFlow`."""

    begin_s: float
    last_s: float
    end_s: float | None
    newest_s: float | None
    again: int
    camera: str
    position: str
    counts: dict[str, LaneCount]
    last_passed_s: dict[str, float]


class SavedIntervals(msgspec.Struct, kw_only=True):
    """The intervals that ended a moment ago, whose messages may not have been kept yet, and the open one."""

    intervals: list[SavedInterval]


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """Where congestion begins: occupancy, and the mean speed as a share of the limit."""

    medium_occupancy: float
    high_occupancy: float


def interval_of(
    lane: LaneCount,
    *,
    site: str,
    camera_id: str,
    camera_position: str,
    lane_id: str,
    direction: str,
    begin_s: float,
    end_s: float,
    levels: Levels,
    metric: bool,
    last_passed_s: float | None,
    again: int,
) -> LaneInterval:
    """The message about one lane's interval. again: how often the clock was set back behind its beginning; each time is a point of its
    own, so many milliseconds later.

    flow: count over the interval. occupancy: occupied over watched time. headway: mean front-to-front time between vehicles
    that followed each other, counted from the last one of the interval before. density: flow over space-mean speed (the
    harmonic mean). V85: the 85th percentile of speeds. Source: Highway Capacity Manual; Roess, Prassas, McShane, Traffic
    Engineering, chapter 5.
    """
    length_s = max(end_s - begin_s, 1e-9)
    observed_s = min(lane.watched_s, length_s)
    flow = lane.count * 3600 / length_s
    bicycles = lane.classes.get("bicycle", 0)
    speeds = np.array(lane.speeds_kmh)
    occupancy = min(lane.occupied_s / lane.watched_s, 1.0) if lane.watched_s > 0 else 0.0
    times = sorted(([last_passed_s] if last_passed_s is not None else []) + lane.passed_s)
    density = None
    if len(speeds) and (slow := speeds[speeds > 1.0]).size:
        density = flow / (len(slow) / float((1 / slow).sum()))
    return LaneInterval(
        time_s=end_s + again * 1e-3,
        camera_id=camera_id,
        camera_position=camera_position,  # type: ignore[arg-type]  # a scene's position is one of them
        id=event_id(site, camera_id, "traffic_flow", lane_id, begin_s, end_s, *([f"again-{again}"] if again else [])),
        lane_id=lane_id,
        direction=direction,
        interval_s=round(length_s, 3),
        observed_share=round(observed_s / length_s, 4),
        vehicle_count=lane.count,
        motor_vehicle_count=lane.count - bicycles,
        bicycle_count=bicycles,
        average_speed=known(float(speeds.mean()), 1) if len(speeds) else None,
        lane_occupancy=round(occupancy, 4),
        congestion_level=_level(occupancy, lane.queue_vehicles, levels),
        flow_veh_h=round(flow, 1),
        speed_p85_kmh=known(float(np.percentile(speeds, 85)), 1) if len(speeds) else None,
        speed_n=len(speeds),
        headway_s=known(float(np.diff(times).mean())) if len(times) > 1 else None,
        queue_vehicles=lane.queue_vehicles,
        queue_m=known(lane.queue_m, 1) if metric else None,
        class_counts=dict(lane.classes),
        turning_movements=dict(lane.turns),
        density_veh_km=known(density) if density is not None else None,
    )


_COMPASS = ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest")


def movement_of(begin: str, end: str) -> str:
    """The turn from one approach to another; `from-to` where they are no points of the compass.

    A vehicle from the north drives south, with the east on its left.
    """
    if begin not in _COMPASS or end not in _COMPASS:
        return f"{begin}-{end}"
    eighths = (_COMPASS.index(end) - _COMPASS.index(begin)) % len(_COMPASS)
    return "u_turn" if eighths == 0 else "through" if eighths == 4 else "left" if eighths < 4 else "right"


def _level(occupancy: float, queue: int, levels: Levels) -> Literal["low", "medium", "high"]:
    if occupancy >= levels.high_occupancy or queue >= 10:
        return "high"
    return "medium" if occupancy >= levels.medium_occupancy or queue >= 4 else "low"
