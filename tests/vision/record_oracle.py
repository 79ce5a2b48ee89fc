"""Record what the ByteTrack of PyPI's `trackers` makes of our scenes, for `test_track.py` to compare with.

It needs an environment of its own, since `trackers` brings several hundred MiB along:

    python -m venv oracle && oracle/bin/pip install trackers==2.6.1
    oracle/bin/python tests/vision/record_oracle.py
"""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

import numpy as np
import supervision
from track_scenes import SCENES, Picture
from trackers import ByteTrackTracker

SETTINGS = {
    "lost_track_buffer": 45,
    "frame_rate": 30.0,
    "track_activation_threshold": 0.35,
    "minimum_consecutive_frames": 3,
    "minimum_iou_threshold": 0.2,
    "high_conf_det_threshold": 0.35,
}


def numbers(pictures: list[Picture]) -> list[list[int]]:
    """Per picture, the track of each detection; -1 for none."""
    tracker = ByteTrackTracker(**SETTINGS)
    result = []
    for picture in pictures:
        seen = supervision.Detections(
            xyxy=picture.boxes, confidence=picture.confidence, data={"row": np.arange(len(picture.boxes))}
        )
        seen.class_id = np.zeros(len(seen), int)
        tracked = tracker.update(seen, timestamp=picture.time_s)
        given = np.full(len(picture.boxes), -1)
        if len(tracked):
            given[tracked.data["row"]] = tracked.tracker_id
        result.append(given.tolist())
    return result


if __name__ == "__main__":
    recorded = {
        "package": f"trackers {importlib.metadata.version('trackers')}",
        "settings": SETTINGS,
        "scenes": {name: numbers(make()) for name, make in SCENES.items()},
    }
    file = Path(__file__).with_name("oracle_tracks.json")
    file.write_text(json.dumps(recorded, separators=(",", ":")) + "\n")
    print(f"{file.name}: {file.stat().st_size} bytes")
