"""Tiny OpenVINO models with the outputs of known detectors: real inference with a known answer.

Each model takes a picture (1, 3, 64, 64), and its outputs are constants plus zero times the picture, so that the picture is
really prepared, sent and computed. `averaging` is different: it says the mean colour it was given, as boxes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as ops

SIZE = 64


def save(model: openvino.Model, file: Path, **info: object) -> Path:
    """Write as IR, with a `flowrt` section of metadata."""
    for key, value in info.items():
        model.set_rt_info(value, ["flowrt", key])
    openvino.save_model(model, file, compress_to_fp16=False)
    return file


def constant(file: Path, outputs: dict[str, np.ndarray], **info: object) -> Path:
    """A model whose outputs are always these."""
    picture = ops.parameter([1, 3, SIZE, SIZE], np.float32, name="picture")
    nothing = ops.multiply(ops.reduce_mean(picture, np.array([0, 1, 2, 3]), keep_dims=False), np.float32(0))
    results = []
    for name, values in outputs.items():
        result = ops.result(ops.add(ops.constant(values.astype(np.float32)), nothing))
        result.output(0).get_tensor().set_names({name})
        results.append(result)
    return save(openvino.Model(results, [picture], "constant"), file, **info)


def averaging(file: Path, **info: object) -> Path:
    """YOLO outputs (1, 4 + 3, 84) whose first candidate has the score of each colour channel's mean over 255."""
    picture = ops.parameter([1, 3, SIZE, SIZE], np.float32, name="picture")
    mean = ops.reduce_mean(picture, np.array([0, 2, 3]), keep_dims=False)  # (3,)
    scores = ops.reshape(mean, np.array([1, 3, 1]), special_zero=False)
    box = ops.constant(np.array([32, 32, 16, 16], np.float32).reshape(1, 4, 1))
    first = ops.concat([box, scores], 1)
    others = ops.constant(np.zeros((1, 7, 83), np.float32))
    result = ops.result(ops.concat([first, others], 2))
    result.output(0).get_tensor().set_names({"output0"})
    return save(openvino.Model([result], [picture], "averaging"), file, **info)


def inverse_yolox(boxes: np.ndarray, cells: list[tuple[int, int, int]], strides: tuple[int, ...]) -> np.ndarray:
    """Raw YOLOX rows (84, 4) that mean `boxes` (centre, size) at the cells (stride, column, row)."""
    raw = np.zeros((sum((SIZE // stride) ** 2 for stride in strides), 4), np.float32)
    for (cx, cy, w, h), (stride, column, row) in zip(boxes, cells, strict=True):
        before = sum((SIZE // s) ** 2 for s in strides if s < stride)
        place = before + row * (SIZE // stride) + column
        raw[place] = (cx / stride - column, cy / stride - row, np.log(w / stride), np.log(h / stride))
    return raw


def row_of(stride: int, column: int, row: int, strides: tuple[int, ...] = (8, 16, 32)) -> int:
    """Which candidate the cell is."""
    return sum((SIZE // s) ** 2 for s in strides if s < stride) + row * (SIZE // stride) + column
