"""A track that leaves the picture does not come back as another road user."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from harness import context, opened
from traffic.street import LABELS, PICTURE_PX

from flowrt import Detections
from flowrt_nodes.track import Track


def seen(time_s: float, boxes: list[list[float]]) -> Detections:
    n = len(boxes)
    return Detections(
        time_s=time_s,
        camera_id="north",
        boxes_px=np.array(boxes, np.float32).reshape(-1, 4),
        confidence=np.full(n, 0.9, np.float32),
        class_id=np.zeros(n, np.int64),
        labels=LABELS,
        picture_px=PICTURE_PX,
    )


def test_a_vehicle_at_the_border_is_not_the_one_that_left_there(tmp_path: Path) -> None:
    """One drives out at the lower right; a second later another one comes in at the same place."""
    out = [[900.0 + 20 * i, 560.0 + 12 * i, min(1100.0 + 20 * i, 1280), min(680.0 + 12 * i, 720)] for i in range(12)]
    back = [[1120.0 - 20 * i, 650.0 - 10 * i, min(1320.0 - 20 * i, 1280), min(770.0 - 10 * i, 720)] for i in range(12)]
    pictures = [[box] for box in out] + [[]] * 8 + [[box] for box in back]
    with opened(Track(), context(tmp_path)) as node:
        made = [node.process(seen(i * 0.1, boxes)) for i, boxes in enumerate(pictures)]
    first = {int(track) for tracks in made[:12] for track in tracks.track_id}
    second = {int(track) for tracks in made[20:] for track in tracks.track_id}
    assert len(first) == len(second) == 1
    assert first != second
