"""Average precision on the validation pictures: of the network while it trains, and of exported models.

The test pictures are evaluated by `flowrt score detector` (`flowrt_scoring.detector.evaluation`).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from flowrt_scoring.detector.average_precision import GroundTruth, Predictions, class_average_precision
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
    predictions: list[Predictions] = []
    for batch, _ in batches(pictures, 8, 0, 0):
        with torch.autocast(device.type, torch.bfloat16):
            rows = deployed(batch.to(device).float().contiguous(memory_format=torch.channels_last))
        predictions.extend(_predictions(one) for one in rows.double().cpu().numpy())
    return _scores(predictions, [_truth(pictures[i]) for i in range(len(pictures))])


def model_map50(path: Path, pictures: Pictures) -> tuple[float, dict[str, float]]:
    """The same of an exported model, in OpenVINO."""
    detector = Detector(path)
    examples = [pictures[i] for i in range(len(pictures))]
    return _scores([detector(e.picture) for e in examples], [_truth(e) for e in examples])


def _predictions(rows: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Predictions:
    boxes_px, scores, class_ids = decode(rows, INPUT_PX, STRIDES)
    left = suppress(boxes_px, scores, SUPPRESSION_IOU)
    return Predictions(np.clip(boxes_px[left], 0, INPUT_PX * 2), scores[left], class_ids[left])


def _truth(example: Example) -> GroundTruth:
    return GroundTruth(example.boxes_px.astype(np.float64), example.classes, example.ignored)


def _scores(predictions: list[Predictions], truth: list[GroundTruth]) -> tuple[float, dict[str, float]]:
    per_class = {name: round(class_average_precision(predictions, truth, i), 4) for i, name in enumerate(CLASSES)}
    return float(np.nanmean(list(per_class.values()))), per_class
