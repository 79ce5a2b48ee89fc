"""The tracks of recent pictures, kept by reference: evidence for events, and speeds over a section."""

from __future__ import annotations

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from flowrt.traffic.event_parts import known
from flowrt.traffic.geometry.per_frame import per_frame
from flowrt.traffic.objects import Tracks


class Sample(NamedTuple):
    """One track in one picture. Metres and speed are NaN where unknown. scale_sigma: see `Tracks`."""

    time_s: float
    x_px: float
    y_px: float
    x_m: float
    y_m: float
    speed_kmh: float
    speed_sigma_kmh: float
    scale_sigma: float


@per_frame
def row_by_id(tracks: Tracks) -> dict[int, int]:
    """The row of each track id."""
    return {track: row for row, track in enumerate(tracks.track_id.tolist())}


@per_frame
def without_picture(tracks: Tracks) -> Tracks:
    """The same tracks without a reference to the picture; one copy for all that remember them."""
    return tracks if tracks.frame is None else tracks.replace(frame=None)


class History:
    """The last `keep_s` seconds of tracks, without their pictures; at most 1,000 messages."""

    def __init__(self, keep_s: float) -> None:
        self.keep_s = keep_s
        self._past: deque[Tracks] = deque(maxlen=1000)

    def add(self, tracks: Tracks) -> None:
        """Remember a picture's tracks."""
        past, oldest_s = self._past, tracks.time_s - self.keep_s
        past.append(without_picture(tracks))
        while past[0].time_s < oldest_s:
            past.popleft()

    def of(self, camera_id: str, track_id: int, since_s: float) -> list[Sample]:
        """One track's samples from `since_s` on, oldest first."""
        samples = []
        for tracks in reversed(self._past):
            if tracks.time_s < since_s:
                break
            if tracks.camera_id != camera_id:
                continue
            row = row_by_id(tracks).get(track_id)
            if row is None:
                continue
            x0, _, x1, y1 = tracks.boxes_px[row].tolist()
            x_m, y_m = tracks.ground_m[row].tolist()
            speed, sigma = float(tracks.speed_kmh[row]), float(tracks.speed_sigma_kmh[row])
            scale = 0.0 if tracks.scale_sigma is None else float(tracks.scale_sigma[row])
            samples.append(Sample(tracks.time_s, (x0 + x1) / 2, y1, x_m, y_m, speed, sigma, scale))
        return samples[::-1]

    def evidence(self, camera_id: str, track_id: int, every_s: float = 0.2) -> list[dict[str, Any]]:
        """One track's samples, thinned, as a violation's evidence."""
        kept: list[dict[str, Any]] = []
        next_s = -np.inf
        for sample in self.of(camera_id, track_id, -np.inf):
            if sample.time_s < next_s - 1e-3:
                continue
            next_s = sample.time_s + every_s
            shown: dict[str, Any] = {
                "time_s": round(sample.time_s, 3),
                "x_px": round(sample.x_px, 1),
                "y_px": round(sample.y_px, 1),
            }
            metric = {"x_m": known(sample.x_m), "y_m": known(sample.y_m), "speed_kmh": known(sample.speed_kmh, 1)}
            kept.append(shown | {name: value for name, value in metric.items() if value is not None})
        return kept
