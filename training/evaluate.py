"""Average precision of the network on cached pictures, while training and for choosing; and of exported models, on the same.

The examination with pictures that nothing was chosen by is `training.examine` (`flowrt_scoring.detector.evaluation`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowrt_scoring.detector.average_precision import Found, Truth, class_average_precision
from flowrt_scoring.detector.evaluation import SUPPRESSION_IOU, Detector, decode, suppress
from flowrt_sim import CLASSES
from training.augment import Example
from training.data import INPUT_PX, Pictures, batches
from training.model import STRIDES, Deployed, TrafficDetector


@torch.no_grad()
def network_map50(network: TrafficDetector, pictures: Pictures) -> tuple[float, dict[str, float]]:
    """mAP50 over the classes, and the average precision of each, of the network in PyTorch."""
    deployed = Deployed(network).eval()
    device = next(network.parameters()).device
    found: list[Found] = []
    for batch, _ in batches(pictures, 8, 0, 0):
        with torch.autocast(device.type, torch.bfloat16):
            rows = deployed(batch.to(device).float().contiguous(memory_format=torch.channels_last))
        found.extend(_found(one) for one in rows.double().cpu().numpy())
    return _scores(found, [_truth(pictures[i]) for i in range(len(pictures))])


def model_map50(path: Path, pictures: Pictures) -> tuple[float, dict[str, float]]:
    """The same of an exported model, in OpenVINO."""
    detector = Detector(path)
    examples = [pictures[i] for i in range(len(pictures))]
    return _scores([detector(e.picture) for e in examples], [_truth(e) for e in examples])


def _found(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Found:
    boxes_px, scores, class_ids = decode(rows, INPUT_PX, STRIDES)
    kept = suppress(boxes_px, scores, SUPPRESSION_IOU)
    return Found(np.clip(boxes_px[kept], 0, INPUT_PX * 2), scores[kept], class_ids[kept])


def _truth(example: Example) -> Truth:
    return Truth(example.boxes_px.astype(np.float64), example.classes, example.ignored)


def _scores(found: list[Found], truth: list[Truth]) -> tuple[float, dict[str, float]]:
    per_class = {name: round(class_average_precision(found, truth, i), 4) for i, name in enumerate(CLASSES)}
    return float(np.nanmean(list(per_class.values()))), per_class
