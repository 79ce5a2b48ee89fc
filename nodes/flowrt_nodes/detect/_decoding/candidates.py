"""What every decoder gives: boxes with scores and classes; how a model's outputs are read; and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from flowrt import Floats, Ints
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.detect._model.metadata import Decoder, Preparation


class Candidates(NamedTuple):
    """boxes: float32 (K, 4), corners in pixels of the model's input; score: float32 (K,); class_id: int64 (K,).

    footprints: float32 (K, 6), as `Objects.footprints_px`, in pixels of the input; None of models that don't measure them.
    """

    boxes: Floats
    score: Floats
    class_id: Ints
    footprints: Floats | None = None

    def take(self, rows: Ints) -> Candidates:
        """Only these rows."""
        footprints = None if self.footprints is None else self.footprints.take(rows, axis=0)
        return Candidates(self.boxes.take(rows, axis=0), self.score.take(rows), self.class_id.take(rows), footprints)


Outputs = Sequence[Floats]
Decode = Callable[[Outputs, float], Candidates]
"""Outputs of one picture, and the least score that a candidate must have."""


class Ports(NamedTuple):
    """A model's outputs: names, and shapes where -1 is a dimension not known before inference; and its input's width and height."""

    names: Sequence[str]
    shapes: Sequence[tuple[int, ...]]
    input_px: tuple[int, int]

    def __str__(self) -> str:
        return ", ".join(
            f"{name or 'output'} {list(shape)}" for name, shape in zip(self.names, self.shapes, strict=True)
        )


class Settled(NamedTuple):
    """The decoder for the form that the outputs have. form: for people."""

    decode: Decode
    form: str


class Layout(NamedTuple):
    """How a model's outputs are read.

    family and why, the reason for it: for people. classes: how many there are. labels: their names where family or metadata tell them.
    settled: chooses between forms that only values tell apart, from the outputs for a grey picture; None where there is nothing to choose.
    """

    decoder: Decoder
    family: str
    classes: int
    labels: tuple[str, ...]
    preparation: Preparation
    decode: Decode
    why: str
    settled: Callable[[Outputs], Settled] | None = None


class UnknownOutputs(ValueError):
    """The outputs fit no decoder, or not the one that was asked for."""


def best_class(classes: Floats, objectness: Floats) -> tuple[Floats, Ints]:
    """(K,) twice: score and number of the best of classes (K, C), times objectness (K,)."""
    class_id = classes.argmax(axis=1)
    return classes[np.arange(len(classes)), class_id] * objectness, class_id


def corners(centred: Floats) -> Floats:
    """Centre and size (K, 4) to corners (K, 4)."""
    half = centred[:, 2:4] * 0.5
    return np.concatenate((centred[:, :2] - half, centred[:, :2] + half), axis=1)


def sigmoid(values: Floats) -> Floats:
    """Between 0 and 1, without overflow."""
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * values)), np.float32)


def suppress(found: Candidates, iou: float, across_classes: bool) -> Ints:
    """Rows that stay after non-maximum suppression, best first."""
    if len(found.score) < 2:
        return np.arange(len(found.score))
    boxes = found.boxes.copy()
    boxes[:, 2:] -= boxes[:, :2]
    if across_classes:
        kept = cv2.dnn.NMSBoxes(boxes, found.score, 0.0, iou)  # type: ignore[arg-type]  # arrays are taken as they are
    else:
        kept = cv2.dnn.NMSBoxesBatched(boxes, found.score, found.class_id.astype(np.int32), 0.0, iou)  # type: ignore[arg-type]  # the same
    return np.asarray(kept, np.int64).ravel()
