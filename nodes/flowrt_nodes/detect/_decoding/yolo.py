"""Decoders of the YOLO families, vectorised, with an early cut by score.

Sources of the layouts: YOLOX, Ge et al., arXiv:2107.08430 (raw grid offsets, objectness, classes); Ultralytics' exports: YOLOv5
(N, 5 + C), YOLOv8 and later (4 + C, N), end-to-end heads (N, 6); segmentation, pose and oriented boxes append columns to either.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from flowrt import Floats
from flowrt_nodes.detect._decoding.candidates import (
    Candidates,
    Decode,
    Layout,
    Outputs,
    Ports,
    Settled,
    UnknownOutputs,
    best_class,
    corners,
)
from flowrt_nodes.detect._model.labels import COCO
from flowrt_nodes.detect._model.metadata import Metadata, Preparation

STRIDES = ((8, 16, 32), (8, 16, 32, 64), (16, 32), (16,), (8,), (32,), (8, 16), (4, 8, 16, 32))
ANCHORS = 3
"""Boxes a cell of YOLOv3 to v7."""
END_TO_END, END_TO_END_MAX = 6, 1000
"""Columns of a model with suppression inside: corners, score, class; and how many rows it has at most."""
BODY_KEYPOINTS = 17 * 3
"""Numbers of a pose model trained on COCO: x, y and visibility of each keypoint."""
MASK_COEFFICIENTS = 32
FOOTPRINTS = "footprints"
"""Name of an output beside the boxes; of our own models."""
YOLO = Preparation("letterbox", "rgb", centred=True, scale=(255.0,))
YOLOX = Preparation("letterbox", "bgr")
RT_DETR = Preparation("stretch", "rgb", scale=(255.0,))


def cells(input_px: tuple[int, int], strides: Sequence[int]) -> int:
    """How many cells the grids have together."""
    return sum((input_px[0] // stride) * (input_px[1] // stride) for stride in strides)


# YOLOX


def as_yolox(ports: Ports, metadata: Metadata, named: bool) -> Layout | None:
    """named: the decoder was asked for, or the metadata say so."""
    beside = list(ports.names).index(FOOTPRINTS) if FOOTPRINTS in ports.names else None
    which = [i for i in range(len(ports.shapes)) if i != beside]
    if len(which) != 1 or len(ports.shapes[which[0]]) != 3 or ports.shapes[which[0]][2] < 6:
        return None
    count, width = ports.shapes[which[0]][1:]
    if beside is not None and tuple(ports.shapes[beside]) != (1, count, 6):
        return None
    if not named and (len(metadata.labels) or len(COCO)) != width - 5:
        return None  # no objectness: a YOLOv8 head that was exported the other way round, or a head with more columns
    known = (metadata.strides,) if metadata.strides else STRIDES
    strides = next((strides for strides in known if cells(ports.input_px, strides) == count), None)
    if strides is None:
        return None
    raw = _yolox(which[0], beside, *_grid(ports.input_px, strides))

    def settled(outputs: Outputs) -> Settled:
        """Exported with its decoding inside, sizes are pixels; else they are logarithms, which small objects make negative."""
        sizes = outputs[which[0]][0][:, 2:4]
        if sizes.min() >= 0 and sizes.max() > LARGEST_LOGARITHM:
            return Settled(partial(_objectness, which[0], width - 5), "decoded boxes (sizes are pixels)")
        return Settled(raw, "raw grid offsets (sizes are logarithms)")

    choose = None if metadata.own or beside is not None else settled
    why = f"{count} rows are the cells of grids with strides {', '.join(map(str, strides))}; {width} columns are box, objectness and {width - 5} classes"
    return Layout("yolox", "YOLOX", width - 5, metadata.labels, YOLOX, raw, why, choose)


LARGEST_LOGARITHM = 10.0
"""No object is exp(10) cells wide."""


def _yolox(index: int, beside: int | None, grid: Floats, stride: Floats) -> Decode:
    """Raw offsets from cells (N, 2) of a grid with strides (N, 1)."""

    def decode(outputs: Outputs, floor: float) -> Candidates:
        rows = outputs[index][0]
        keep = (rows[:, 4] >= floor).nonzero()[0]  # no class can score higher than the objectness
        rows = rows.take(keep, axis=0)
        score, class_id = best_class(rows[:, 5:], rows[:, 4])
        confident = (score >= floor).nonzero()[0]
        rows, keep = rows[:, :4].take(confident, axis=0), keep.take(confident)
        steps = stride.take(keep, axis=0)
        size = np.exp(rows[:, 2:]) * steps
        boxes = np.empty((len(confident), 4), np.float32)
        least, most = boxes[:, :2], boxes[:, 2:]
        np.subtract((rows[:, :2] + grid.take(keep, axis=0)) * steps, size * 0.5, out=least)
        np.add(least, size, out=most)
        footprints = None if beside is None else _footprints(outputs[beside][0].take(keep, axis=0), boxes)
        return Candidates(boxes, score.take(confident), class_id.take(confident), footprints)

    return decode


def _footprints(values: Floats, boxes: Floats) -> Floats:
    """(K, 6) values of our own head beside the boxes (K, 4), to `Candidates.footprints`.

    Middle: from the box's centre, in widths and heights. Axis: over the box's size (root of its area), with its angle doubled, so
    that front and rear are the same. Spreads: logarithms of the scales of Laplace distributions in two dimensions, density
    exp(-r / b) / (2 pi b²), whose variance along each axis is 3 b².
    """
    extent = boxes[:, 2:] - boxes[:, :2]
    size = np.sqrt(np.maximum(extent[:, :1] * extent[:, 1:], 1e-6))
    footprints = np.empty_like(values)
    footprints[:, :2] = (boxes[:, :2] + boxes[:, 2:]) * 0.5 + values[:, :2] * extent
    x, y = values[:, 2], values[:, 3]
    angle, length = np.arctan2(y, x) * 0.5, np.hypot(x, y)[:, None] * size
    footprints[:, 2:4] = np.stack((np.cos(angle), np.sin(angle)), axis=1) * length
    footprints[:, 4:] = np.exp(np.clip(values[:, 4:], -6.0, 2.0)) * (size * np.sqrt(3.0))
    return footprints


def _grid(input_px: tuple[int, int], strides: Sequence[int]) -> tuple[Floats, Floats]:
    """Column and row (N, 2) and stride (N, 1) of every cell, stride by stride, row by row."""
    places, sizes = [], []
    for stride in strides:
        columns, rows = input_px[0] // stride, input_px[1] // stride
        x, y = np.meshgrid(np.arange(columns), np.arange(rows))
        places.append(np.stack((x.ravel(), y.ravel()), axis=1))
        sizes.append(np.full((columns * rows, 1), stride))
    return np.concatenate(places).astype(np.float32), np.concatenate(sizes).astype(np.float32)


# YOLO


class Columns(NamedTuple):
    """The numbers that a model gives for each candidate: box, perhaps objectness, class scores, and perhaps others behind them."""

    classes: int
    objectness: bool
    others: str


def as_yolo(ports: Ports, metadata: Metadata, named: bool) -> Layout | None:
    """Raises UnknownOutputs where the number of columns does not go with the class names."""
    flat = [i for i, shape in enumerate(ports.shapes) if len(shape) == 3]
    prototypes = [i for i, shape in enumerate(ports.shapes) if len(shape) == 4 and shape[1] == MASK_COEFFICIENTS]
    if len(flat) != 1 or len(flat) + len(prototypes) != len(ports.shapes):
        return None
    which, masks = flat[0], bool(prototypes)
    first, last = ports.shapes[which][1:]
    if min(first, last) < 5:
        return None
    if _is_rt_detr(ports, first, last, metadata):
        return _rt_detr_layout(which, last - 4, ports.input_px, metadata)
    if _is_end_to_end(ports, first, last, metadata, masks):
        return _end_to_end_layout(which, last, metadata, masks)
    per_row = _is_per_row(ports, first, last, metadata)
    columns = _columns(ports, first, last, per_row, metadata, masks, named)
    labels = metadata.labels or (("person",) if columns.others == "keypoints" and columns.classes == 1 else ())
    unused = f", its {columns.others} unused" if columns.others else ""
    form = "rows" if per_row else "columns"
    why = f"{last if per_row else first} numbers a candidate, in {form}: a box, {columns.classes} classes"
    if columns.objectness:
        why += ", objectness"
        decode: Decode = partial(_objectness, which, columns.classes)
        return Layout("yolo", f"YOLO with objectness{unused}", columns.classes, labels, YOLO, decode, why)
    turned = columns.others == "angles"
    decode = partial(_classes_only, which, per_row, columns.classes, turned)
    return Layout("yolo", f"YOLO{unused}", columns.classes, labels, YOLO, decode, why)


def _is_grid(input_px: tuple[int, int], count: int) -> bool:
    """Whether so many candidates are the cells of a usual set of grids."""
    return any(count in (cells(input_px, strides), ANCHORS * cells(input_px, strides)) for strides in STRIDES)


def _is_rt_detr(ports: Ports, first: int, last: int, metadata: Metadata) -> bool:
    """Whether candidates are queries, not cells: rows of a box as shares of the input, and class scores."""
    if not 0 < first <= END_TO_END_MAX or metadata.end_to_end:
        return False
    if "detr" in metadata.description.lower():
        return True
    return last == len(metadata.labels) + 4 and last != END_TO_END and not _is_grid(ports.input_px, first)


def _rt_detr_layout(which: int, classes: int, input_px: tuple[int, int], metadata: Metadata) -> Layout:
    relative = partial(_relative, which, input_px)

    def settled(outputs: Outputs) -> Settled:
        if outputs[which][0][:, :4].max() <= 2.0:
            return Settled(relative, "boxes as shares of the input")
        return Settled(partial(_classes_only, which, True, classes, False), "boxes in pixels")

    why = f"rows of a box and {classes} class scores that are no cells of a grid: queries"
    return Layout("detr", "RT-DETR", classes, metadata.labels, RT_DETR, relative, why, settled)


def _is_end_to_end(ports: Ports, first: int, last: int, metadata: Metadata, masks: bool) -> bool:
    """Whether suppression is inside: rows of corners, score, class, and others behind them."""
    if metadata.end_to_end and last < first:
        return True
    known = {END_TO_END, END_TO_END + (metadata.keypoint_values or BODY_KEYPOINTS)}
    known |= {END_TO_END + MASK_COEFFICIENTS} if masks else {END_TO_END + 1} if metadata.task == "obb" else set()
    return last in known and 0 < first <= END_TO_END_MAX and not _is_grid(ports.input_px, first)


def _end_to_end_layout(which: int, last: int, metadata: Metadata, masks: bool) -> Layout:
    if metadata.task == "obb":
        raise UnknownOutputs("an end-to-end model of oriented boxes is no detector here; export it with nms=False")
    others = ", its mask coefficients unused" if masks else ", its keypoints unused" if last > END_TO_END else ""
    labels = metadata.labels or (("person",) if last > END_TO_END and not masks else COCO)
    why = f"{last} numbers a row, at most {END_TO_END_MAX} rows: corners, score, class"
    family = f"YOLO with suppression inside{others}"
    return Layout("yolo", family, len(labels), labels, YOLO, partial(_end_to_end, which), why)


def _is_per_row(ports: Ports, first: int, last: int, metadata: Metadata) -> bool:
    """Whether each candidate is a row (N, columns) rather than a column (columns, N)."""
    if _is_grid(ports.input_px, first) and last == (len(metadata.labels) or len(COCO)) + 5:
        return True
    if _is_grid(ports.input_px, first) != _is_grid(ports.input_px, last):
        return _is_grid(ports.input_px, first)
    expected = {len(metadata.labels) + 4, len(metadata.labels) + 5} if metadata.labels else {84, 85}
    if (first in expected) != (last in expected):
        return last in expected
    return first > last


def _columns(
    ports: Ports, first: int, last: int, per_row: bool, metadata: Metadata, masks: bool, named: bool
) -> Columns:
    """What the columns of each candidate are. Raises UnknownOutputs."""
    count, width = (first, last) if per_row else (last, first)
    three_each = any(count == ANCHORS * cells(ports.input_px, strides) for strides in STRIDES)
    behind = MASK_COEFFICIENTS if masks else 0
    objectness = three_each or (per_row and named and width == len(COCO) + 5 and not metadata.labels)
    names = len(metadata.labels)
    if not names:
        if metadata.task == "pose" and width == 5 + (metadata.keypoint_values or BODY_KEYPOINTS):
            return Columns(1, False, "keypoints")
        if metadata.task == "obb":
            return Columns(width - 5, False, "angles")
        if not objectness and width == 5 + BODY_KEYPOINTS:
            raise UnknownOutputs(
                f"the outputs ({ports}) are those of a pose model (one class and 17 keypoints) or of {width - 4} "
                "unnamed classes: name the classes with 'labels'"
            )
        if per_row and not objectness and width - behind != len(COCO) + 4:
            raise UnknownOutputs(
                f"the outputs ({ports}) may be {width - 5} classes with objectness or {width - 4} without: name the classes "
                "with 'labels'"
            )
        return Columns(width - 4 - behind - objectness, objectness, "mask coefficients" if masks else "")
    masked = "mask coefficients" if masks else ""
    if objectness and width - behind == names + 5:
        return Columns(names, True, masked)
    more = width - 4 - names
    if more == behind:
        return Columns(names, False, masked)
    if more == 1 and not masks and (count < 0 or _is_grid(ports.input_px, count)):
        # Objectness came with rows; heads that give columns have none, but an angle where boxes are oriented.
        return Columns(names, True, "") if per_row and metadata.task != "obb" else Columns(names, False, "angles")
    if more == (metadata.keypoint_values or BODY_KEYPOINTS) and metadata.task in ("", "pose"):
        return Columns(names, False, "keypoints")
    raise UnknownOutputs(
        f"the outputs ({ports}) have {width} columns a candidate, which do not go with {names} class "
        f"name{'' if names == 1 else 's'}: a YOLO detector has 4 more, or 5 with objectness"
    )


def _end_to_end(index: int, outputs: Outputs, floor: float) -> Candidates:
    """(N, 6 and more): corners, score, class."""
    rows = outputs[index][0]
    rows = rows[rows[:, 4] >= floor]
    return Candidates(rows[:, :4], rows[:, 4], rows[:, 5].astype(np.int64))


def _objectness(index: int, classes: int, outputs: Outputs, floor: float) -> Candidates:
    """(N, 5 + C and more): centre, size, objectness, class scores."""
    rows = outputs[index][0]
    rows = rows[rows[:, 4] >= floor]
    score, class_id = best_class(rows[:, 5 : 5 + classes], rows[:, 4])
    confident = np.flatnonzero(score >= floor)
    return Candidates(corners(rows[confident, :4]), score[confident], class_id[confident])


def _classes_only(index: int, per_row: bool, classes: int, turned: bool, outputs: Outputs, floor: float) -> Candidates:
    """(4 + C and more, N), or the other way round: centre, size, class scores. turned: the last number is the box's angle."""
    columns = outputs[index][0].T if per_row else outputs[index][0]
    scores = columns[4 : 4 + classes]
    score = scores.max(axis=0)
    keep = np.flatnonzero(score >= floor)
    rows = columns[:4, keep].T
    if turned:
        angle = columns[-1, keep]
        cosine, sine = np.abs(np.cos(angle)), np.abs(np.sin(angle))
        around = np.stack((rows[:, 2] * cosine + rows[:, 3] * sine, rows[:, 2] * sine + rows[:, 3] * cosine), axis=1)
        rows = np.concatenate((rows[:, :2], around), axis=1)
    return Candidates(corners(rows), score[keep], scores[:, keep].argmax(axis=0))


def _relative(index: int, input_px: tuple[int, int], outputs: Outputs, floor: float) -> Candidates:
    """(N, 4 + C): centre and size as shares of the input, class scores."""
    rows = outputs[index][0]
    score = rows[:, 4:].max(axis=1)
    keep = np.flatnonzero(score >= floor)
    boxes = corners(rows[keep, :4]) * np.array([*input_px, *input_px], np.float32)
    return Candidates(boxes, score[keep], rows[keep, 4:].argmax(axis=1))
