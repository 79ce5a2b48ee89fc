"""The other side of benchmarks/rules.py, for a Python that has supervision: a line in, CPU milliseconds a picture out."""

from __future__ import annotations

import sys
import time

import numpy as np
import supervision as sv  # type: ignore[import-not-found]  # lives in another Python

from benchmarks.rules import HEIGHT, PICTURES, TRACKS, WIDTH, boxes, zones


def main() -> None:
    watched = [sv.PolygonZone(np.array(points), triggering_anchors=[sv.Position.BOTTOM_CENTER]) for points in zones()]
    lines = [sv.LineZone(sv.Point(*points[0]), sv.Point(*points[3])) for points in zones()]
    assert WIDTH > HEIGHT > 0
    number = 0
    for _ in sys.stdin:
        pictures = [
            sv.Detections(xyxy=boxes(number + i), class_id=np.zeros(TRACKS, int), tracker_id=np.arange(1, TRACKS + 1))
            for i in range(PICTURES // 4)
        ]
        number += len(pictures)
        began_s = time.thread_time()
        for detections in pictures:
            for zone in watched:
                zone.trigger(detections)
            for line in lines:
                line.trigger(detections)
        print((time.thread_time() - began_s) / len(pictures) * 1e3, flush=True)


if __name__ == "__main__":
    main()
