"""Decoders of SSD, ATSS and the DETR families, whose boxes come with their scores.

Sources of the layouts: OpenVINO's DetectionOutput operation ([1, 1, N, 7]); Open Model Zoo's ATSS models (`boxes` [N, 5], `labels`
[N]); DETR, Carion et al., arXiv:2005.12872 (logits with a last "no object" class), and its descendants with a sigmoid per class; the
official exports of RT-DETR, D-FINE and DEIM (`labels`, `boxes`, `scores`).
"""

from __future__ import annotations

from functools import partial

import numpy as np

from flowrt import Floats
from flowrt_nodes.detect._decoding.candidates import Candidates, Layout, Outputs, Ports, corners, sigmoid
from flowrt_nodes.detect._model.labels import COCO, COCO_NUMBERED
from flowrt_nodes.detect._model.metadata import Metadata, Preparation

STRETCHED_BGR = Preparation("stretch", "bgr")
STRETCHED_RGB = Preparation("stretch", "rgb", scale=(255.0,))
IMAGENET = Preparation("stretch", "rgb", mean=(123.675, 116.28, 103.53), scale=(58.395, 57.12, 57.375))
NO_OBJECT = (len(COCO) + 1, len(COCO_NUMBERED) + 1)
"""Channels of a softmax over COCO's classes and "no object"."""
UNNAMED = 91
"""How many classes of an SSD without names are told apart."""
POSTPROCESSED = frozenset({"labels", "boxes", "scores"})


def as_ssd(ports: Ports, metadata: Metadata, named: bool) -> Layout | None:
    which = [i for i, shape in enumerate(ports.shapes) if len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == 7]
    if len(which) != 1:
        return None
    decode = partial(_ssd, which[0], _scale(ports))
    # How many classes there are does not show, nor in whose order.
    names = metadata.labels or tuple(f"class_{i}" for i in range(UNNAMED))
    return Layout(
        "ssd",
        "SSD",
        len(names),
        names,
        STRETCHED_BGR,
        decode,
        "an output of [1, 1, N, 7]: picture, class, score, corners",
    )


def _ssd(index: int, scale: Floats, outputs: Outputs, floor: float) -> Candidates:
    rows = outputs[index].reshape(-1, 7)
    rows = rows[(rows[:, 2] >= floor) & (rows[:, 0] >= 0)]  # a picture number of -1 ends the list
    return Candidates(rows[:, 3:7] * scale, rows[:, 2], rows[:, 1].astype(np.int64))


def as_atss(ports: Ports, metadata: Metadata, named: bool) -> Layout | None:
    by_name = dict(zip(ports.names, range(len(ports.names)), strict=True))
    if set(by_name) != {"boxes", "labels"}:
        return None
    boxes, labels = by_name["boxes"], by_name["labels"]
    if len(ports.shapes[boxes]) != 2 or ports.shapes[boxes][1] != 5 or len(ports.shapes[labels]) != 1:
        return None
    classes = len(metadata.labels) or 3
    why = "outputs `boxes` [N, 5] and `labels` [N]"
    return Layout("atss", "ATSS", classes, metadata.labels, STRETCHED_BGR, partial(_atss, boxes, labels), why)


def _atss(boxes: int, labels: int, outputs: Outputs, floor: float) -> Candidates:
    rows, class_id = outputs[boxes], outputs[labels]
    keep = np.flatnonzero(rows[:, 4] >= floor)
    return Candidates(rows[keep, :4], rows[keep, 4], class_id[keep].astype(np.int64))


def as_detr(ports: Ports, metadata: Metadata, named: bool) -> Layout | None:
    return _postprocessed(ports, metadata) or _logits_and_boxes(ports, metadata)


def _postprocessed(ports: Ports, metadata: Metadata) -> Layout | None:
    """`labels`, `boxes` and `scores`, in pixels of the size that the second input names: that of the model's input."""
    if set(ports.names) != POSTPROCESSED or len(ports.names) != len(POSTPROCESSED):
        return None
    labels, boxes, scores = (list(ports.names).index(name) for name in ("labels", "boxes", "scores"))
    if ports.shapes[boxes][-1] != 4:
        return None
    classes = len(metadata.labels) or len(COCO)
    decode = partial(_labels_boxes_scores, labels, boxes, scores)
    why = "outputs `labels`, `boxes` and `scores`"
    return Layout("detr", "RT-DETR, D-FINE or DEIM", classes, metadata.labels, STRETCHED_RGB, decode, why)


def _labels_boxes_scores(labels: int, boxes: int, scores: int, outputs: Outputs, floor: float) -> Candidates:
    score = outputs[scores].reshape(-1)
    keep = np.flatnonzero(score >= floor)
    class_id = outputs[labels].reshape(-1)[keep].astype(np.int64)
    return Candidates(outputs[boxes].reshape(-1, 4)[keep], score[keep], class_id)


def _logits_and_boxes(ports: Ports, metadata: Metadata) -> Layout | None:
    shapes, names = ports.shapes, ports.names
    flat = [i for i, shape in enumerate(shapes) if len(shape) == 3]
    of_boxes = [i for i in flat if shapes[i][2] == 4]
    if len(flat) != 2 or len(shapes) != 2 or not of_boxes:
        return None
    boxes = next((i for i in of_boxes if "box" in names[i].lower() or names[i] == "dets"), of_boxes[0])
    scores = next(i for i in flat if i != boxes)
    if shapes[scores][1] != shapes[boxes][1]:
        return None
    channels = shapes[scores][2]
    # One channel more than there are names is the "no object" class of a softmax; else each class is a sigmoid of its own.
    softmax = channels == len(metadata.labels) + 1 if metadata.labels else channels in NO_OBJECT
    classes = channels - softmax
    numbered = classes == len(COCO_NUMBERED)  # DETR and RF-DETR; other descendants count COCO's 80
    preparation = IMAGENET if softmax or numbered else STRETCHED_RGB
    family = "DETR" if softmax else "RF-DETR" if numbered else "RT-DETR, D-FINE or DEIM"
    decode = partial(_centred, scores, boxes, softmax, _scale(ports))
    last = ", the last of them no object" if softmax else ", counted as COCO numbers its categories" if numbered else ""
    why = f"an output of as many rows of boxes as of {channels} class scores{last}"
    return Layout("detr", family, classes, metadata.labels, preparation, decode, why)


def _centred(scores: int, boxes: int, softmax: bool, scale: Floats, outputs: Outputs, floor: float) -> Candidates:
    logits, centred = outputs[scores][0], outputs[boxes][0]
    if softmax:
        power = np.exp(logits - logits.max(axis=1, keepdims=True))
        probability = (power / power.sum(axis=1, keepdims=True))[:, :-1]
    else:
        probability = sigmoid(logits)
    score = probability.max(axis=1)
    keep = np.flatnonzero(score >= floor)
    return Candidates(corners(centred[keep]) * scale, score[keep], probability[keep].argmax(axis=1))


def _scale(ports: Ports) -> Floats:
    return np.array([*ports.input_px, *ports.input_px], np.float32)
