"""The objects of one picture in the formats of other vision systems.

- SceneScape: what its scene controller takes from a camera on `scenescape/data/camera/{camera_id}`; field names as its
  published metadata schema (`detector`) has them: objects by category, boxes in pixels, ids that are whole numbers.
- DL Streamer: what its element gvametaconvert writes: boxes as x, y, w, h in pixels and as shares of the picture.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from flowrt import Objects, Tracks


def scenescape_topic(camera_id: str) -> str:
    """Where SceneScape's scene controller listens for a camera; not below flowrt's own prefix."""
    return f"scenescape/data/camera/{camera_id}"


def scenescape(seen: Objects, rate: float) -> dict[str, Any]:
    """A camera's message to SceneScape. rate: pictures per second.

    The id of an object is its track's; without tracks, its place in the picture, as the schema allows.
    """
    ids = _ids(seen)
    objects: dict[str, list[dict[str, Any]]] = {}
    for i, (category, (x, y, width, height)) in enumerate(zip(seen.label, _boxes_xywh(seen), strict=True)):
        found = {
            "category": category,
            "confidence": round(float(seen.confidence[i]), 4),
            "id": ids[i],
            "bounding_box_px": {"x": x, "y": y, "width": width, "height": height},
        }
        objects.setdefault(category, []).append(found)
    return {"id": seen.camera_id, "timestamp": _iso(seen.time_s), "rate": round(rate, 2), "objects": objects}


def dlstreamer(seen: Objects, source: str) -> dict[str, Any]:
    """What gvametaconvert would say of the picture. source: the camera's address. timestamp: nanoseconds since the epoch."""
    width, height = seen.picture_px
    ids = _ids(seen)
    shares = np.asarray(seen.boxes_px, np.float64) / (width, height, width, height)
    objects = []
    for i, (label, (x, y, w, h)) in enumerate(zip(seen.label, _boxes_xywh(seen), strict=True)):
        x_min, y_min, x_max, y_max = np.clip(shares[i], 0.0, 1.0).tolist()
        found: dict[str, Any] = {
            "x": round(x),
            "y": round(y),
            "w": round(w),
            "h": round(h),
            "region_id": i + 1,
            "roi_type": label,
            "detection": {
                "bounding_box": {"x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max},
                "confidence": round(float(seen.confidence[i]), 4),
                "label_id": int(seen.class_id[i]),
                "label": label,
            },
        }
        if isinstance(seen, Tracks):
            found["id"] = ids[i]
        objects.append(found)
    return {
        "resolution": {"width": width, "height": height},
        "source": source,
        "timestamp": round(seen.time_s * 1e6) * 1000,
        "objects": objects,
    }


def _ids(seen: Objects) -> list[int]:
    return seen.track_id.tolist() if isinstance(seen, Tracks) else list(range(1, len(seen) + 1))


def _boxes_xywh(seen: Objects) -> list[tuple[float, float, float, float]]:
    boxes = np.round(np.asarray(seen.boxes_px, np.float64), 1)
    sizes = np.round(boxes[:, 2:] - boxes[:, :2], 1)
    return [(x, y, w, h) for (x, y), (w, h) in zip(boxes[:, :2].tolist(), sizes.tolist(), strict=True)]


def _iso(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
