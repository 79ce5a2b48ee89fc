"""How a picture gets into a model: where it lies in the input, and what the model does to it.

What OpenVINO's PrePostProcessor adds becomes part of the compiled model: u8 to float, BGR to RGB, the layout, normalisation, and
where wanted the resize and the grey beside a letterboxed picture.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import openvino
from openvino.preprocess import ColorFormat, PaddingMode, PrePostProcessor, ResizeAlgorithm

from flowrt import Floats
from flowrt_nodes.detect._model.metadata import Preparation


class Letterbox(NamedTuple):
    """Where a picture lies in the model's input: input = picture * (scale_x, scale_y) + (left, top)."""

    picture_px: tuple[int, int]
    scale: tuple[float, float]
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, picture_px: tuple[int, int], input_px: tuple[int, int], how: Preparation) -> Letterbox:
        """For pictures of a size, letterboxed or stretched."""
        (w, h), (into_w, into_h) = picture_px, input_px
        if how.resize == "stretch":
            return cls(picture_px, (into_w / w, into_h / h), 0, 0, into_w, into_h)
        scale = min(into_w / w, into_h / h)
        width, height = max(round(w * scale), 1), max(round(h * scale), 1)
        left, top = ((into_w - width) // 2, (into_h - height) // 2) if how.centred else (0, 0)
        return cls(picture_px, (width / w, height / h), left, top, width, height)

    def to_picture(self, boxes: Floats) -> Floats:
        """Boxes (K, 4) of the model's input in pixels of the picture, cut off at its border."""
        offset, scale, border = _edges(self)
        moved: Floats = (boxes - offset) / scale
        np.maximum(moved, 0.0, out=moved)
        return np.minimum(moved, border, out=moved)

    def footprints_to_picture(self, found: Floats) -> Floats:
        """Footprints (K, 6) of the model's input, see `Objects.footprints_px`, in pixels of the picture."""
        x, y = self.scale
        both = math.sqrt(x * y)
        moved: Floats = found.copy()
        moved[:, :2] -= np.array([self.left, self.top], np.float32)
        moved /= np.array([x, y, x, y, both, both], np.float32)
        return moved


@lru_cache(maxsize=64)
def _edges(letterbox: Letterbox) -> tuple[Floats, Floats, Floats]:
    """(4,) each: where a picture begins in the input, its scale, and its border, for the four edges of a box."""
    offset = (letterbox.left, letterbox.top, letterbox.left, letterbox.top)
    return tuple(np.array(each, np.float32) for each in (offset, letterbox.scale * 2, letterbox.picture_px * 2))  # type: ignore[return-value]  # a generator of three gives a tuple of three


def prepared(model: openvino.Model, how: Preparation) -> openvino.Model:
    """The same model for u8 NHWC BGR pictures of exactly its input's size."""
    return _built(model, how, None, (0, 0))


def prepared_for(
    model: openvino.Model, how: Preparation, letterbox: Letterbox, input_px: tuple[int, int]
) -> openvino.Model:
    """The same model for u8 NHWC BGR pictures of the size in `letterbox`; the resize is part of it."""
    return _built(model, how, letterbox, input_px)


def _built(
    model: openvino.Model, how: Preparation, letterbox: Letterbox | None, input_px: tuple[int, int]
) -> openvino.Model:
    steps = PrePostProcessor(model.clone())
    entry = steps.input()
    entry.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    entry.tensor().set_color_format(ColorFormat.BGR)
    entry.model().set_layout(openvino.Layout("NCHW"))
    entry.preprocess().convert_element_type(openvino.Type.f32)
    if letterbox is not None:
        p = letterbox
        entry.tensor().set_shape([1, p.picture_px[1], p.picture_px[0], 3])
        entry.preprocess().resize(ResizeAlgorithm.RESIZE_LINEAR, p.height, p.width)
        after = [0, input_px[1] - p.top - p.height, input_px[0] - p.left - p.width, 0]
        if p.top or p.left or any(after):
            entry.preprocess().pad([0, p.top, p.left, 0], after, float(how.pad), PaddingMode.CONSTANT)
    if how.colours == "rgb":
        entry.preprocess().convert_color(ColorFormat.RGB)
    for values, step in ((how.mean, entry.preprocess().mean), (how.scale, entry.preprocess().scale)):
        if values:
            step(values[0] if len(values) == 1 else list(values))
    for index in range(len(model.outputs)):
        steps.output(index).tensor().set_element_type(openvino.Type.f32)
    return steps.build()
