"""Clips through two detectors, the one that is measured and the reference, as a flow runs them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import yaml

from flowrt import Detections, Message
from flowrt.config import load
from flowrt.testing.replay import rehearse, tapped
from flowrt_scoring.noise.measure import KINDS, SUSPECTED, Clip
from flowrt_scoring.noise.reference_tracks import Seen, present

MEASURED, REFERENCE = "measured", "reference"


def watch(
    clip: Path,
    model: str,
    reference: str,
    *,
    min_confidence: float,
    input_px: tuple[int, int],
    reference_px: tuple[int, int] | None,
    fps: float,
) -> Clip:
    """Run a clip, at most so many pictures a second of it. Raises FlowError where a model or the clip can't be used."""
    detect = {"type": "detect", "from": "camera", "nms": "across", "hint": "throughput"}
    measured = {**detect, "model": model, "min_confidence": min_confidence, "input_px": list(input_px)}
    larger = {**detect, "model": reference, "min_confidence": SUSPECTED}
    if reference_px:
        larger["input_px"] = list(reference_px)
    nodes = {
        "camera": {"type": "camera", "uri": str(clip.resolve()), "pace": "asap", "fps": fps},
        MEASURED: measured,
        REFERENCE: larger,
        "end": {"type": "file_out", "from": [MEASURED, REFERENCE], "path": "/dev/null"},
    }
    seen: dict[str, list[Seen]] = {MEASURED: [], REFERENCE: []}
    sizes = set()

    def take(node: str, message: Message) -> None:
        if isinstance(message, Detections):  # what is kept of it has no picture
            seen[node].append(_seen(message))
            sizes.add(message.picture_px)

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "noise.yaml"
        file.write_text(yaml.safe_dump({"flow": "noise", "nodes": nodes}), "utf-8")
        rehearse(tapped(load(file), seen, take), kind=())
    size = sizes.pop()
    scale = min(input_px[0] / size[0], input_px[1] / size[1])
    return Clip(clip.name, seen[MEASURED], seen[REFERENCE], present(seen[REFERENCE]), size, scale)


def _seen(found: Detections) -> Seen:
    """The road users among what was found."""
    rows = [row for row, label in enumerate(found.label) if label in KINDS]
    labels = tuple(found.label[row] for row in rows)
    return Seen(
        found.time_s, found.boxes_px[rows].astype(np.float64), labels, found.confidence[rows].astype(np.float64)
    )
