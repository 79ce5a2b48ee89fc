"""mark: notes when pictures come out of inference."""

from __future__ import annotations

import time

from flowrt import Detections, Transform


class Mark(Transform):
    """Pass detections on. times_s: time.perf_counter of each."""

    def process(self, detections: Detections) -> Detections:
        self.__dict__.setdefault("times_s", []).append(time.perf_counter())
        return detections
