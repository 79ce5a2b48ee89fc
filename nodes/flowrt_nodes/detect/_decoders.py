"""From the outputs of a detection model to boxes, vectorised, with an early cut by score.

A decoder is made once per model from the shapes of its outputs, and called once per picture with the output arrays. It gives
boxes as x_min, y_min, x_max, y_max in pixels of the model's input, with scores and classes, for every candidate that reaches
`floor`; non-maximum suppression comes after (`suppress`).

Sources of the layouts: YOLOX, Ge et al., arXiv:2107.08430 (raw grid offsets, objectness, classes); Ultralytics' YOLOv5
(N, 5 + C) and YOLOv8 (4 + C, N) exports, end-to-end heads (N, 6); OpenVINO's DetectionOutput operation ([1, 1, N, 7]);
DETR, Carion et al., arXiv:2005.12872 (logits with a last "no object" class), and its descendants with a sigmoid per class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from flowrt import Floats, Ints
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.detect._model_info import Decoder, ModelInfo

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (16,), (8,), (32,), (8, 16), (4, 8, 16, 32))
END_TO_END_MAX = 1000


FOOTPRINTS = "footprints"
"""Name of an output beside the boxes; of our own models."""


class Candidates(NamedTuple):
    """boxes: float32 (K, 4) in pixels of the model's input; score: float32 (K,); class_id: int64 (K,).

    footprints: float32 (K, 6), as `Objects.footprints_px`, in pixels of the input; None of models that don't tell.
    """

    boxes: Floats
    score: Floats
    class_id: Ints
    footprints: Floats | None = None

    def take(self, rows: Ints) -> Candidates:
        """Only these rows."""
        stand = None if self.footprints is None else self.footprints.take(rows, axis=0)
        return Candidates(self.boxes.take(rows, axis=0), self.score.take(rows), self.class_id.take(rows), stand)


Outputs = Sequence[Floats]
Decode = Callable[[Outputs, float], Candidates]


class Layout(NamedTuple):
    """What was made of a model's outputs: how they are decoded, and how many classes there are (0: not known)."""

    decoder: Decoder
    classes: int
    decode: Decode


class UnknownOutputs(ValueError):
    """The outputs fit no decoder, or not the one that was asked for."""


def layout_of(
    names: Sequence[str],
    shapes: Sequence[tuple[int, ...]],
    input_px: tuple[int, int],
    info: ModelInfo,
    wanted: Decoder | None,
) -> Layout:
    """Choose and build the decoder. A dimension of -1 is not known before inference. Raises UnknownOutputs."""
    wanted = wanted or info.decoder
    attempts = {"ssd": _as_ssd, "detr": _as_detr, "yolox": _as_yolox, "yolo": _as_yolo}
    for decoder, attempt in attempts.items():
        if wanted in (None, decoder):
            layout = attempt(names, shapes, input_px, info)
            if layout is not None:
                return layout
    seen = ", ".join(f"{name or 'output'} {list(shape)}" for name, shape in zip(names, shapes, strict=True))
    if wanted is not None:
        raise UnknownOutputs(f"the outputs ({seen}) are not those of a '{wanted}' model; see the setting 'decoder'")
    raise UnknownOutputs(
        f"no decoder fits the outputs ({seen}); known are {', '.join(sorted(attempts))}: name one with the setting 'decoder'"
    )


def _cells(input_px: tuple[int, int], strides: Sequence[int]) -> int:
    return sum((input_px[0] // stride) * (input_px[1] // stride) for stride in strides)


# SSD


def _as_ssd(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], input_px: tuple[int, int], info: ModelInfo
) -> Layout | None:
    which = [i for i, shape in enumerate(shapes) if len(shape) == 4 and shape[:2] == (1, 1) and shape[3] == 7]
    if not which:
        return None
    scale = np.array([*input_px, *input_px], np.float32)

    def decode(outputs: Outputs, floor: float) -> Candidates:
        rows = outputs[which[0]].reshape(-1, 7)
        rows = rows[(rows[:, 2] >= floor) & (rows[:, 0] >= 0)]  # a picture number of -1 ends the list
        return Candidates(rows[:, 3:7] * scale, rows[:, 2], rows[:, 1].astype(np.int64))

    return Layout("ssd", len(info.labels) or 91, decode)


# DETR


def _as_detr(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], input_px: tuple[int, int], info: ModelInfo
) -> Layout | None:
    flat = [i for i, shape in enumerate(shapes) if len(shape) == 3]
    of_boxes = [i for i in flat if shapes[i][2] == 4]
    if len(flat) < 2 or not of_boxes:
        return None
    boxes = next((i for i in of_boxes if "box" in names[i].lower()), of_boxes[0])
    scores = next((i for i in flat if i != boxes and shapes[i][1] == shapes[boxes][1]), None)
    if scores is None:
        return None
    channels = shapes[scores][2]
    # One channel more than there are names is the "no object" class of a softmax; else each class is a sigmoid of its own.
    softmax = channels == len(info.labels) + 1 if info.labels else channels in (81, 92)
    scale = np.array([*input_px, *input_px], np.float32)

    def decode(outputs: Outputs, floor: float) -> Candidates:
        logits, centred = outputs[scores][0], outputs[boxes][0]
        if softmax:
            power = np.exp(logits - logits.max(axis=1, keepdims=True))
            probability = (power / power.sum(axis=1, keepdims=True))[:, :-1]
        else:
            probability = 1.0 / (1.0 + np.exp(-logits))
        score = probability.max(axis=1)
        keep = np.flatnonzero(score >= floor)
        return Candidates(_corners(centred[keep]) * scale, score[keep], probability[keep].argmax(axis=1))

    return Layout("detr", channels - softmax, decode)


# YOLOX


def _as_yolox(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], input_px: tuple[int, int], info: ModelInfo
) -> Layout | None:
    beside = list(names).index(FOOTPRINTS) if FOOTPRINTS in names else None
    which = [i for i in range(len(shapes)) if i != beside]
    if len(which) != 1 or len(shapes[which[0]]) != 3 or shapes[which[0]][2] < 6:
        return None
    count, width = shapes[which[0]][1:]
    if beside is not None and tuple(shapes[beside]) != (1, count, 6):
        return None
    if info.decoder != "yolox" and len(info.labels) == width - 4:
        return None  # no objectness: a YOLOv8 head that was exported the other way round
    known = (info.strides,) if info.strides else STRIDES
    strides = next((strides for strides in known if _cells(input_px, strides) == count), None)
    if strides is None:
        return None
    grid, stride = _grid(input_px, strides)

    def decode(outputs: Outputs, floor: float) -> Candidates:
        rows = outputs[which[0]][0]
        keep = (rows[:, 4] >= floor).nonzero()[0]  # no class can score higher than the objectness
        rows = rows.take(keep, axis=0)
        score, class_id = _best(rows[:, 5:], rows[:, 4])
        sure = (score >= floor).nonzero()[0]
        rows, keep = rows[:, :4].take(sure, axis=0), keep.take(sure)
        steps = stride.take(keep, axis=0)
        size = np.exp(rows[:, 2:]) * steps
        boxes = np.empty((len(sure), 4), np.float32)
        least, most = boxes[:, :2], boxes[:, 2:]
        np.subtract((rows[:, :2] + grid.take(keep, axis=0)) * steps, size * 0.5, out=least)
        np.add(least, size, out=most)
        stand = None if beside is None else _footprints(outputs[beside][0].take(keep, axis=0), boxes)
        return Candidates(boxes, score.take(sure), class_id.take(sure), stand)

    return Layout("yolox", width - 5, decode)


def _footprints(values: Floats, boxes: Floats) -> Floats:
    """(K, 6) values of our own head beside the boxes (K, 4), to `Candidates.footprints`.

    Middle: from the box's centre, in widths and heights. Axis: over the box's size (root of its area), with its angle doubled, so
    that front and rear are the same. Spreads: logarithms of the scales of Laplace distributions in two dimensions, density
    exp(-r / b) / (2 pi b²), whose variance along each axis is 3 b².
    """
    extent = boxes[:, 2:] - boxes[:, :2]
    size = np.sqrt(np.maximum(extent[:, :1] * extent[:, 1:], 1e-6))
    found = np.empty_like(values)
    found[:, :2] = (boxes[:, :2] + boxes[:, 2:]) * 0.5 + values[:, :2] * extent
    x, y = values[:, 2], values[:, 3]
    angle, length = np.arctan2(y, x) * 0.5, np.hypot(x, y)[:, None] * size
    found[:, 2:4] = np.stack((np.cos(angle), np.sin(angle)), axis=1) * length
    found[:, 4:] = np.exp(np.clip(values[:, 4:], -6.0, 2.0)) * (size * np.sqrt(3.0))
    return found


def _grid(input_px: tuple[int, int], strides: Sequence[int]) -> tuple[Floats, Floats]:
    """Column and row (N, 2) and stride (N, 1) of every cell, stride by stride, row by row."""
    cells, sizes = [], []
    for stride in strides:
        columns, rows = input_px[0] // stride, input_px[1] // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        cells.append(np.stack((x.ravel(), y.ravel()), axis=1))
        sizes.append(np.full((columns * rows, 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(sizes).astype(np.float32)


# YOLO


def _as_yolo(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], input_px: tuple[int, int], info: ModelInfo
) -> Layout | None:
    flat = [i for i, shape in enumerate(shapes) if len(shape) == 3]
    if not flat or (len(shapes) > 1 and info.decoder != "yolo"):
        return None
    which = flat[0]
    first, last = shapes[which][1:]
    anchors = 3 * _cells(input_px, (8, 16, 32))
    if last == 6 and first <= END_TO_END_MAX and first not in (anchors, anchors // 3):
        return Layout("yolo", len(info.labels) or 80, lambda outputs, floor: _end_to_end(outputs[which][0], floor))
    if last > 5 and (first == anchors or (info.labels and last == len(info.labels) + 5)):
        return Layout("yolo", last - 5, lambda outputs, floor: _with_objectness(outputs[which][0], floor))
    if last > 4 and (first > last or (info.labels and last == len(info.labels) + 4)):
        return Layout("yolo", last - 4, lambda outputs, floor: _without_objectness(outputs[which][0].T, floor))
    if first > 4:
        return Layout("yolo", first - 4, lambda outputs, floor: _without_objectness(outputs[which][0], floor))
    return None


def _end_to_end(rows: Floats, floor: float) -> Candidates:
    """(N, 6): corners, score, class; suppression was done inside the model."""
    rows = rows[rows[:, 4] >= floor]
    return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def _with_objectness(rows: Floats, floor: float) -> Candidates:
    """(N, 5 + C): centre, size, objectness, class scores."""
    rows = rows[rows[:, 4] >= floor]
    score, class_id = _best(rows[:, 5:], rows[:, 4])
    sure = np.flatnonzero(score >= floor)
    return Candidates(_corners(rows[sure, :4]), score[sure], class_id[sure])


def _without_objectness(columns: Floats, floor: float) -> Candidates:
    """(4 + C, N): centre, size, class scores."""
    score = columns[4:].max(axis=0)
    keep = np.flatnonzero(score >= floor)
    rows = columns[:, keep]
    return Candidates(_corners(rows[:4].T), score[keep], rows[4:].argmax(axis=0))


# Common


def _best(classes: Floats, objectness: Floats) -> tuple[Floats, Ints]:
    class_id = classes.argmax(axis=1)
    return classes[np.arange(len(classes)), class_id] * objectness, class_id


def _corners(centred: Floats) -> Floats:
    """Centre and size (K, 4) to corners (K, 4)."""
    half = centred[:, 2:4] * 0.5
    return np.concatenate((centred[:, :2] - half, centred[:, :2] + half), axis=1)


def suppress(found: Candidates, iou: float, across_classes: bool) -> Ints:
    """Rows that stay after non-maximum suppression, best first."""
    if len(found.score) < 2:
        return np.arange(len(found.score))
    boxes = found.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    if across_classes:
        kept = cv2.dnn.NMSBoxes(boxes, found.score, 0.0, iou)  # type: ignore[arg-type]  # arrays are taken as they are
    else:
        kept = cv2.dnn.NMSBoxesBatched(boxes, found.score, found.class_id.astype(np.int32), 0.0, iou)  # type: ignore[arg-type]
    return np.asarray(kept, np.int64).ravel()
