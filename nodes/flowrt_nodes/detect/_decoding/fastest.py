"""Decoders of Yolo-FastestV2 (per stride maps of boxes, objectness and classes) and FastestDet (one map).

Sources: dog-qiuqiu/Yolo-FastestV2 and dog-qiuqiu/FastestDet (both BSD). Yolo-FastestV2 has three anchors a cell, whose sizes are not in the
file: they are those that it was published with, for COCO at 352x352, in proportion to the input.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from flowrt import Floats
from flowrt_nodes.detect._decoding.candidates import Candidates, Layout, Outputs, Ports, corners, sigmoid
from flowrt_nodes.detect._model.labels import COCO
from flowrt_nodes.detect._model.metadata import Metadata, Preparation

STRIDES = (16, 32)
ANCHORS = 3
ANCHORS_PX = (
    ((12.64, 19.39), (37.88, 51.48), (55.71, 138.31)),
    ((126.91, 78.23), (131.57, 214.55), (279.92, 258.87)),
)
"""Widths and heights, of stride 16 and of 32."""
ANCHORS_FOR_PX = 352
OBJECTNESS_POWER = 0.6
"""FastestDet's score is objectness to this power times class score to the rest of 1."""
FASTEST = Preparation("stretch", "bgr", scale=(255.0,))


def as_fastest(ports: Ports, metadata: Metadata, named: bool) -> Layout | None:
    return _v2(ports, metadata) or _det(ports, metadata)


def _v2(ports: Ports, metadata: Metadata) -> Layout | None:
    """[1, 12, H, W], [1, 3, H, W] and [1, C, H, W] for each of two strides, as logits."""
    width, height = ports.input_px
    maps: list[tuple[int, int, int, int, Floats]] = []
    classes: set[int] = set()
    for stride, anchors in zip(STRIDES, ANCHORS_PX, strict=True):
        size = (height // stride, width // stride)
        channels = {shape[1]: i for i, shape in enumerate(ports.shapes) if len(shape) == 4 and shape[2:] == size}
        others = channels.keys() - {4 * ANCHORS, ANCHORS}
        if len(channels) != 3 or len(others) != 1:
            return None
        classes |= others
        scaled = (np.array(anchors) * (width, height) / ANCHORS_FOR_PX).astype(np.float32)
        maps.append((channels[4 * ANCHORS], channels[ANCHORS], channels[min(others)], stride, scaled))
    if len(ports.shapes) != 3 * len(STRIDES) or len(classes) != 1:
        return None
    why = "for each of the strides 16 and 32 a map of boxes, of objectness and of class scores"
    return Layout("fastest", "Yolo-FastestV2", classes.pop(), metadata.labels, FASTEST, partial(_v2_boxes, maps), why)


def _v2_boxes(maps: list[tuple[int, int, int, int, Floats]], outputs: Outputs, floor: float) -> Candidates:
    """Each cell has the class scores of all its anchors in common."""
    parts = []
    for boxes, objectness, classes, stride, anchors in maps:
        logits = outputs[classes][0]
        power = np.exp(logits - logits.max(axis=0))
        best = power.argmax(axis=0)
        share = power.max(axis=0) / power.sum(axis=0)
        score = sigmoid(outputs[objectness][0]) * share
        anchor, row, column = np.nonzero(score >= floor)
        raw = outputs[boxes][0].reshape(ANCHORS, 4, *logits.shape[1:])[anchor, :, row, column]
        part = sigmoid(raw) * 2
        centre = (part[:, :2] - 0.5 + np.stack((column, row), axis=1)) * stride
        size = part[:, 2:] ** 2 * anchors[anchor]
        found = corners(np.concatenate((centre, size), axis=1).astype(np.float32))
        parts.append(Candidates(found, score[anchor, row, column], best[row, column]))
    return Candidates(*(np.concatenate([each[i] for each in parts]) for i in range(3)))


def _det(ports: Ports, metadata: Metadata) -> Layout | None:
    """[1, 5 + C, H, W]: objectness, box, class scores of each cell of one grid; scores as probabilities."""
    classes = len(metadata.labels) or len(COCO)
    width, height = ports.input_px
    if list(ports.shapes) != [(1, 5 + classes, height // STRIDES[0], width // STRIDES[0])]:
        return None
    why = f"one map of stride 16 with {5 + classes} channels: objectness, box and {classes} classes"
    decode = partial(_det_boxes, ports.input_px)
    return Layout("fastest", "FastestDet", classes, metadata.labels, FASTEST, decode, why)


def _det_boxes(input_px: tuple[int, int], outputs: Outputs, floor: float) -> Candidates:
    cells = outputs[0][0]
    score = cells[0] ** OBJECTNESS_POWER * cells[5:].max(axis=0) ** (1 - OBJECTNESS_POWER)
    row, column = np.nonzero(score >= floor)
    raw = cells[:, row, column].T
    grid = np.array(cells.shape[:0:-1], np.float32)  # width, height
    centre = (np.stack((column, row), axis=1) + np.tanh(raw[:, 1:3])) / grid
    shares = np.concatenate((centre, sigmoid(raw[:, 3:5])), axis=1)
    boxes = corners((shares * np.array([*input_px, *input_px])).astype(np.float32))
    return Candidates(boxes, score[row, column], raw[:, 5:].argmax(axis=1))
