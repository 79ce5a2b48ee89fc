"""Parts of events: deterministic ids, the road user, and its location."""

from __future__ import annotations

import hashlib
import math

from flowrt.traffic.events import Location, RoadUser
from flowrt.traffic.objects import Tracks


def event_id(*parts: object) -> str:
    """The same parts give the same id: 20 hexadecimal digits of the SHA-1 of the parts. Times go in as `ms(time_s)`."""
    return hashlib.sha1("\x1f".join(map(str, parts)).encode(), usedforsecurity=False).hexdigest()[:20]


def ms(time_s: float) -> int:
    """Whole milliseconds, which survive the way through JSON and back."""
    return round(time_s * 1000)


def known(value: float, digits: int = 2) -> float | None:
    """A rounded number, or None for NaN: JSON has no NaN."""
    return round(float(value), digits) if math.isfinite(value) else None


def road_user(tracks: Tracks, row: int) -> RoadUser:
    """The object in that row."""
    x0, y0, x1, y1 = (round(edge, 1) for edge in tracks.boxes_px[row].tolist())
    return RoadUser(
        track_id=int(tracks.track_id[row]),
        label=tracks.labels[tracks.class_id[row]],
        confidence=round(float(tracks.confidence[row]), 3),
        box_px=(x0, y0, x1, y1),
        speed_kmh=known(tracks.speed_kmh[row]),
    )


def location(tracks: Tracks, row: int, lane_id: str | None = None) -> Location:
    """The ground point of that object."""
    x0, _, x1, y1 = tracks.boxes_px[row].tolist()
    return Location(
        x_px=round((x0 + x1) / 2, 1),
        y_px=round(y1, 1),
        x_m=known(tracks.ground_m[row, 0]),
        y_m=known(tracks.ground_m[row, 1]),
        lane_id=lane_id,
    )
