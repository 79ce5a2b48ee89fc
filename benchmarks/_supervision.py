"""The other side of benchmarks/rules.py, for a Python that has supervision: a line in, CPU milliseconds a picture out."""

from __future__ import annotations

import sys
import time

import numpy as np
import supervision as sv  # type: ignore[import-not-found]  # lives in another Python

from benchmarks._crowd import (
    COSINE,
    LIMIT_KMH,
    PICTURES,
    RULES,
    SPEED_KMH,
    TOLERANCE_KMH,
    TRACKS,
    VELOCITY_M_S,
    boxes,
    zones,
)


def main() -> None:
    watched = [sv.PolygonZone(np.array(points), triggering_anchors=[sv.Position.BOTTOM_CENTER]) for points in zones()]
    lines = [sv.LineZone(sv.Point(*points[0]), sv.Point(*points[3])) for points in zones()]
    speed_kmh, velocity = np.full(TRACKS, SPEED_KMH), np.full((TRACKS, 2), VELOCITY_M_S)
    since_s = np.full((RULES, TRACKS), np.nan)
    inside = np.zeros((len(watched), TRACKS), bool)
    number = 0
    for _ in sys.stdin:
        pictures = [
            sv.Detections(xyxy=boxes(number + i), class_id=np.zeros(TRACKS, int), tracker_id=np.arange(1, TRACKS + 1))
            for i in range(PICTURES // 4)
        ]
        number += len(pictures)
        began_s = time.thread_time()
        for i, detections in enumerate(pictures):
            there = np.array([zone.trigger(detections) for zone in watched])
            changed = np.argwhere(there != inside).tolist()
            crossed = [line.trigger(detections) for line in lines]
            inside = there
            pace = np.hypot(velocity[:, 0], velocity[:, 1])
            for rule in range(RULES):
                fast, against = speed_kmh > LIMIT_KMH + TOLERANCE_KMH, velocity[:, 0] < COSINE * pace
                offends = (there & (fast if rule % 2 else against)).any(axis=0)
                since_s[rule] = np.where(offends, np.fmin(since_s[rule], (number + i) / 25), np.nan)
                changed += np.flatnonzero((number + i) / 25 - since_s[rule] > 1.0).tolist()
            assert len(crossed) == len(lines)
        print((time.thread_time() - began_s) / len(pictures) * 1e3, flush=True)


if __name__ == "__main__":
    main()
