"""Average precision of a detector, the area under its precision-recall curve.

Matching follows the COCO protocol at one IoU: detections are taken by falling score, each takes the best object of its
class and picture that is still free and overlaps enough; a detection that takes none is a false positive, unless it overlaps an ignored
object: then it is not counted. The area is that under the monotone envelope of the curve, at all points
(PASCAL VOC 2010 and later). Sources: Everingham et al. 2015, "The PASCAL Visual Object Classes Challenge: A Retrospective";
Lin et al. 2014, "Microsoft COCO".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Predictions:
    """What a detector predicts for one picture: corners [n, 4] in pixels, scores [n] and class ids [n]."""

    boxes_px: Floats
    scores: Floats
    class_ids: Ints


@dataclass(frozen=True)
class GroundTruth:
    """What is in one picture: corners [m, 4] in pixels, class ids [m], and which of them are ignored [m]."""

    boxes_px: Floats
    class_ids: Ints
    ignored: Flags


def pairwise_iou(a_px: npt.ArrayLike, b_px: npt.ArrayLike) -> Floats:
    """Intersection over union of corners [n, 4] with corners [m, 4], as [n, m]. Boxes without area overlap nothing."""
    a = np.asarray(a_px, dtype=np.float64).reshape(-1, 1, 4)
    b = np.asarray(b_px, dtype=np.float64).reshape(1, -1, 4)
    size = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None)
    shared = size[..., 0] * size[..., 1]
    union = _area(a) + _area(b) - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def average_precision(hits: npt.ArrayLike, objects: int) -> float:
    """Area under the curve of detections sorted by falling score: `hits` [n] says which were right.

    NaN without objects, for then recall means nothing.
    """
    if objects == 0:
        return float("nan")
    right = np.asarray(hits, dtype=bool)
    if right.size == 0:
        return 0.0
    recall = np.cumsum(right) / objects
    precision = np.cumsum(right) / np.arange(1, right.size + 1)
    envelope = np.maximum.accumulate(precision[::-1])[::-1]
    steps = np.diff(recall, prepend=0.0)
    return float(np.sum(steps * envelope))


def class_average_precision(
    predictions: Sequence[Predictions], truth: Sequence[GroundTruth], class_id: int, min_iou: float = 0.5
) -> float:
    """Average precision of one class over all pictures; NaN when no picture has a counted object of it.

    Raises ValueError when the two sequences are not of the same pictures.
    """
    if len(predictions) != len(truth):
        raise ValueError(f"predictions for {len(predictions)} pictures, but truth for {len(truth)}")
    scores: list[Floats] = []
    outcomes: list[Ints] = []
    objects = 0
    for predicted, real in zip(predictions, truth, strict=True):
        of_class = predicted.class_ids == class_id
        own = real.class_ids == class_id
        objects += int(np.sum(own & ~real.ignored))
        order = np.argsort(-predicted.scores[of_class], kind="stable")
        scores.append(predicted.scores[of_class][order])
        outcomes.append(_matched(predicted.boxes_px[of_class][order], real.boxes_px[own], real.ignored[own], min_iou))
    all_scores = np.concatenate(scores) if scores else np.zeros(0)
    all_outcomes = np.concatenate(outcomes) if outcomes else np.zeros(0, np.int64)
    order = np.argsort(-all_scores, kind="stable")
    counted = all_outcomes[order]
    return average_precision(counted[counted >= 0] == 1, objects)


def _matched(boxes_px: Floats, objects_px: Floats, ignored: Flags, min_iou: float) -> Ints:
    """For boxes by falling score: 1 a hit, 0 a false positive, -1 not counted."""
    outcome = np.zeros(len(boxes_px), np.int64)
    if not len(objects_px):
        return outcome
    iou = pairwise_iou(boxes_px, objects_px)
    free = ~ignored
    for row, overlaps in enumerate(iou):
        open_overlap = np.where(free, overlaps, 0.0)
        best = int(np.argmax(open_overlap))
        if open_overlap[best] >= min_iou:
            outcome[row] = 1
            free[best] = False
        elif np.any(overlaps[ignored] >= min_iou):
            outcome[row] = -1
    return outcome


def _area(boxes_px: Floats) -> Floats:
    size = np.clip(boxes_px[..., 2:] - boxes_px[..., :2], 0, None)
    return np.asarray(size[..., 0] * size[..., 1])
