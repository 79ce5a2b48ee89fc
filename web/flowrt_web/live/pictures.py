"""Pictures of cameras for whoever looks: the newest one only, encoded once for each width, with the boxes of that very picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import cv2
import msgspec
import numpy as np
from numpy.typing import NDArray

from flowrt import Frame, Message, Objects, Tracks
from flowrt.flow import Flow
from flowrt.http import Host
from flowrt.traffic.scene import Scene
from flowrt_web.live.footprints import footprints
from flowrt_web.views import CameraView

QUALITY = 72
MIN_WIDTH, MAX_WIDTH = 160, 1920


class Picture:
    """One picture and what was seen in it. number: counts pictures of this camera since it is looked at."""

    def __init__(self, number: int, frame: Frame, seen: Objects | None) -> None:
        self.number, self.frame, self.seen = number, frame, seen
        self._packed: dict[int, bytes] = {}
        self._lock = threading.Lock()

    def packed(self, width: int, camera: str, scene: Scene | None) -> bytes:
        """Header length (4 bytes, little endian), header as JSON, JPEG. Takes milliseconds: not for the server's thread."""
        with self._lock:  # one tab encodes, the others get the same
            if width not in self._packed:
                self._packed[width] = self._pack(width, camera, scene)
            return self._packed[width]

    def _pack(self, width: int, camera: str, scene: Scene | None) -> bytes:
        image: NDArray[Any] = self.frame.image
        if width < image.shape[1]:
            height = max(1, round(image.shape[0] * width / image.shape[1]))
            image = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        header = msgspec.json.encode(
            {
                "camera": camera,
                "number": self.number,
                "frame": self.frame.number,
                "time_s": self.frame.time_s,
                "picture_px": self.frame.size_px,
                "objects": columns(self.seen, scene) if self.seen is not None else None,
            }
        )
        return len(header).to_bytes(4, "little") + header + jpeg.tobytes()


def scene_of(flow: Flow, view: CameraView) -> Scene | None:
    """The scene of a camera, as it is in force."""
    scene: Scene | None = flow.sections.get("scene", {}).get(view.scene)
    return scene


class Watched:
    """One camera that somebody looks at. on_new: called on the thread that carries the message."""

    def __init__(self, host: Host, view: CameraView, on_new: Callable[[], None]) -> None:
        self.view = view
        self.newest: Picture | None = None
        self._on_new = on_new
        self._number = 0
        self.scene = scene_of(host.runtime.flow, view)
        self._end = host.runtime.observe(view.node, self._observe)

    def close(self) -> None:
        """Nobody looks any more."""
        self._end()

    def _observe(self, message: Message) -> None:
        frame = message if isinstance(message, Frame) else message.frame if isinstance(message, Objects) else None
        if frame is not None:
            self._number += 1
            self.newest = Picture(self._number, frame, message if isinstance(message, Objects) else None)
            self._on_new()


def columns(seen: Objects, scene: Scene | None) -> dict[str, Any]:
    """The boxes of a picture as columns, rounded to what a screen shows."""
    shown: dict[str, Any] = {
        "label": seen.label,
        "confidence": _rounded(seen.confidence, 2),
        "box": _rounded(seen.boxes_px, 1),
        "ground": _rounded(seen.ground_px, 1),
    }
    if isinstance(seen, Tracks):
        shown |= {
            "track": seen.track_id.tolist(),
            "speed_kmh": _rounded(seen.speed_kmh, 1),
            "footprint": footprints(seen, scene),
            "zones": [
                [zone for zone, inside in zip(seen.zones, row, strict=True) if inside] for row in seen.in_zone.tolist()
            ],
        }
    return shown


def delay_ms(time_s: float) -> float:
    """How long ago a picture was taken."""
    return round((time.time() - time_s) * 1e3, 1)


def _rounded(column: Any, digits: int) -> Any:
    rows = np.round(np.asarray(column, np.float64), digits)
    return [None if value != value else value for value in rows.tolist()] if rows.ndim == 1 else rows.tolist()
