"""Decoders of NanoDet (per stride a table of class scores and one of distances to the box's edges) and NanoDet-Plus (one table).

Source: RangiLyu/nanodet (Apache-2.0); the distances are distributions, Li et al., Generalized Focal Loss, arXiv:2006.04388. The
tables are told apart by their columns: names of outputs are often wrong in exports.
"""

from __future__ import annotations

from functools import partial

import numpy as np

from flowrt import Floats
from flowrt_nodes.detect._decoding.candidates import Candidates, Decode, Layout, Outputs, Ports, Settled, sigmoid
from flowrt_nodes.detect._model.labels import COCO
from flowrt_nodes.detect._model.metadata import Metadata, Preparation

STRIDES = ((8, 16, 32), (8, 16, 32, 64))
PLUS_STRIDES = (8, 16, 32, 64)
BINS = 8
"""Of the distribution of a distance: 0 to 7 strides."""
NANODET = Preparation("stretch", "bgr", mean=(103.53, 116.28, 123.675), scale=(57.375, 57.12, 58.395))


def as_nanodet(ports: Ports, metadata: Metadata, named: bool) -> Layout | None:
    return _plus(ports, metadata) or _tables(ports, metadata)


def _plus(ports: Ports, metadata: Metadata) -> Layout | None:
    """[1, N, C + 32], all strides one below the other; cells are measured from their corner."""
    classes = len(metadata.labels) or len(COCO)
    counts = [_cells(ports.input_px, stride) for stride in PLUS_STRIDES]
    if list(ports.shapes) != [(1, sum(counts), classes + 4 * BINS)]:
        return None

    def split(outputs: Outputs) -> list[Floats]:
        pieces = np.split(outputs[0][0], np.cumsum(counts)[:-1])
        return [part for piece in pieces for part in (piece[:, :classes], piece[:, classes:])]

    tables = [(2 * i, 2 * i + 1, stride) for i, stride in enumerate(PLUS_STRIDES)]

    def decoder(logits: bool) -> Decode:
        return lambda outputs, floor: _nanodet(tables, ports.input_px[0], 0.0, logits, split(outputs), floor)

    def settled(outputs: Outputs) -> Settled:
        logits = bool(outputs[0][0, :, :classes].min() < 0)
        return Settled(decoder(logits), _form(logits))

    why = f"{sum(counts)} rows are the cells of strides 8 to 64; {classes} class scores and {4 * BINS} distances"
    return Layout("nanodet", "NanoDet-Plus", classes, metadata.labels, NANODET, decoder(False), why, settled)


def _form(logits: bool) -> str:
    return "scores as logits" if logits else "scores as probabilities"


def _cells(input_px: tuple[int, int], stride: int) -> int:
    return -(-input_px[0] // stride) * -(-input_px[1] // stride)


def _tables(ports: Ports, metadata: Metadata) -> Layout | None:
    shapes = [shape[-2:] for shape in ports.shapes if len(shape) in (2, 3)]
    if len(shapes) != len(ports.shapes):
        return None
    width = ports.input_px[0]
    for strides in STRIDES:
        counts = [_cells(ports.input_px, stride) for stride in strides]
        distances = [_index(shapes, count, 4 * BINS) for count in counts]
        scores = [_index(shapes, count, None) for count in counts]
        if len(shapes) != 2 * len(counts) or None in distances or None in scores:
            continue
        classes = {shapes[i][1] for i in scores if i is not None}
        if len(classes) != 1:
            continue
        tables = [
            (i, j, s) for i, j, s in zip(scores, distances, strides, strict=True) if i is not None and j is not None
        ]

        def settled(outputs: Outputs, tables: list[tuple[int, int, int]] = tables) -> Settled:
            """Some exports give probabilities, others logits, which are negative where there is nothing."""
            logits = any(outputs[i].min() < 0 for i, _, _ in tables)
            return Settled(partial(_nanodet, tables, width, 0.5, logits), _form(logits))

        decode = partial(_nanodet, tables, width, 0.5, False)
        why = f"for each of the strides {', '.join(map(str, strides))} a table of class scores and one of {4 * BINS} distances"
        return Layout("nanodet", "NanoDet", classes.pop(), metadata.labels, NANODET, decode, why, settled)
    return None


def _index(shapes: list[tuple[int, ...]], count: int, columns: int | None) -> int | None:
    """The only table of that many rows, with these columns, or with any other number than a distance table has."""
    fits = [
        i
        for i, shape in enumerate(shapes)
        if shape[0] == count and (shape[1] == columns if columns else shape[1] != 4 * BINS)
    ]
    return fits[0] if len(fits) == 1 else None


def _nanodet(
    tables: list[tuple[int, int, int]], width: int, middle: float, logits: bool, outputs: Outputs, floor: float
) -> Candidates:
    """middle: where in a cell distances begin, in strides."""
    boxes, scores, class_ids = [], [], []
    steps = np.arange(BINS, dtype=np.float32)
    for score_table, distance_table, stride in tables:
        classes = outputs[score_table].reshape(-1, outputs[score_table].shape[-1])
        if logits:
            classes = sigmoid(classes)
        score = classes.max(axis=1)
        keep = np.flatnonzero(score >= floor)
        spread = outputs[distance_table].reshape(-1, 4, BINS)[keep]
        power = np.exp(spread - spread.max(axis=2, keepdims=True))
        distance = (power * steps).sum(axis=2) / power.sum(axis=2) * stride
        columns = -(-width // stride)
        centre = (np.stack((keep % columns, keep // columns), axis=1) + middle) * stride
        boxes.append(np.concatenate((centre - distance[:, :2], centre + distance[:, 2:]), axis=1).astype(np.float32))
        scores.append(score[keep])
        class_ids.append(classes[keep].argmax(axis=1))
    return Candidates(_joined(boxes), np.concatenate(scores), np.concatenate(class_ids))


def _joined(boxes: list[Floats]) -> Floats:
    return np.concatenate(boxes)
