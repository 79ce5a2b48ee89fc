"""stamp: notes when each picture's tracks came by, and when the picture was captured."""

from __future__ import annotations

import time

from flowrt import Tracks, Transform
from flowrt.runtime.runner import current


class Stamp(Transform):
    """Pass tracks on. seen: capture time in microseconds to (captured ns, passed ns, inference ms), monotonic clock."""

    def process(self, tracks: Tracks) -> Tracks:
        seen = self.__dict__.setdefault("seen", {})
        seen[round(tracks.time_s * 1e6)] = (current.origin_ns, time.monotonic_ns(), tracks.processing_time_ms)
        return tracks
