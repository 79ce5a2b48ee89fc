"""A detection model is read: its file, its metadata, the decoder for its outputs, and how pictures are prepared. Nothing is compiled.

OpenVINO is imported with this module, so it is imported where a model is really read.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import openvino
from openvino import opset13 as opset
from openvino.frontend import FrontEndManager

from flowrt_nodes.detect._decoding.candidates import Layout, Ports
from flowrt_nodes.detect._decoding.layouts import layout_of
from flowrt_nodes.detect._model.metadata import Metadata, Preparation, read_metadata
from flowrt_nodes.detect._model.wanted import ModelError, Wanted

FORMATS = {".xml": "ir", ".onnx": "onnx", ".tflite": "tflite", ".pdmodel": "paddle"}
"""Suffixes of model files, each with the frontend of OpenVINO that reads it."""


class ReadModel(NamedTuple):
    """A model with its input of one size. ports: its outputs. inputs: as the file has them, for people."""

    model: openvino.Model
    inputs: str
    ports: Ports
    input_px: tuple[int, int]
    metadata: Metadata
    layout: Layout
    preparation: Preparation


def read_detector(core: openvino.Core, wanted: Wanted) -> ReadModel:
    """Raises ModelError."""
    model = _read(core, wanted.path)
    inputs = ", ".join(f"{next(iter(sorted(port.names)), 'input')} {port.partial_shape}" for port in model.inputs)
    metadata = read_metadata(model, wanted.path)
    if wanted.labels:
        metadata = msgspec.structs.replace(metadata, labels=wanted.labels)
    _fix_shape(model, wanted.input_px, metadata, wanted.path.name)
    shape = model.inputs[0].shape
    input_px = (int(shape[3]), int(shape[2]))
    names = [next(iter(sorted(port.names)), "") for port in model.outputs]
    shapes = [tuple(dim.get_length() if dim.is_static else -1 for dim in port.partial_shape) for port in model.outputs]
    ports = Ports(names, shapes, input_px)
    try:
        layout = layout_of(ports, metadata, wanted.decoder)
    except ValueError as error:
        raise ModelError(f"{wanted.path.name}: {error}") from None
    return ReadModel(
        model, inputs, ports, input_px, metadata, layout, _preparation(layout.preparation, metadata, wanted)
    )


def _read(core: openvino.Core, path: Path) -> openvino.Model:
    if not path.is_file():
        raise ModelError(f"{path.name}: there is no such model in {path.parent}")
    if path.suffix.lower() not in FORMATS:
        raise ModelError(f"{path.name}: expected a model file, one of {', '.join(FORMATS)}")
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise ModelError(f"{path.name}: its weights, {path.stem}.bin, are not beside it")
    frontend = FrontEndManager().load_by_framework(FORMATS[path.suffix.lower()])
    if not frontend.supported(
        str(path)
    ):  # read_model would try every other frontend too, and some of them write to stderr
        raise ModelError(
            f"{path.name}: not a model that OpenVINO can read: its content is not that of {path.suffix} files"
        )
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise ModelError(f"{path.name}: not a model that OpenVINO can read: {gist(error)}") from None
    ranks = sorted(port.partial_shape.rank.get_length() for port in model.inputs)
    if ranks not in ([4], [2, 4]):
        shapes = ", ".join(str(port.partial_shape) for port in model.inputs)
        raise ModelError(f"{path.name}: expected one input of a picture (1, 3, height, width), found {shapes}")
    return model


def _fix_shape(model: openvino.Model, input_px: tuple[int, int] | None, metadata: Metadata, name: str) -> None:
    """Give the input its size: one picture, as large as asked for, else its own, else as large as the metadata says.

    A second input, (1, 2), is the size of the picture that boxes shall be in: that of the input.
    """
    picture = next(port for port in model.inputs if port.partial_shape.rank.get_length() == 4)
    shape = picture.partial_shape
    width, height = input_px or metadata.input_px
    wanted = [1, 3, height, width]
    free = 2 if input_px else 4  # from which dimension on the size asked for replaces the model's own
    fixed = [wanted[i] if dim.is_dynamic or i == 0 or i >= free else dim.get_length() for i, dim in enumerate(shape)]
    if fixed[1] != 3:
        raise ModelError(f"{name}: expected an input of (1, 3, height, width), found {shape}")
    for parameter in [each for each in model.get_parameters() if each.output(0).partial_shape.rank.get_length() == 2]:
        size = opset.constant(np.array([[fixed[3], fixed[2]]]), parameter.get_element_type())
        parameter.output(0).replace(size.output(0))
        model.remove_parameter(parameter)
    if fixed != [dim.get_length() if dim.is_static else -1 for dim in shape]:
        try:
            model.reshape(fixed)
        except RuntimeError as error:
            raise ModelError(f"{name}: can't take {width}x{height} pixels: {gist(error)}") from None


def _preparation(usual: Preparation, metadata: Metadata, wanted: Wanted) -> Preparation:
    """What models of that family want, overruled by the metadata, overruled by the settings."""
    of_metadata = metadata.mean or metadata.scale
    mean, scale = (metadata.mean, metadata.scale) if of_metadata else (usual.mean, usual.scale)
    return msgspec.structs.replace(
        usual,
        resize=wanted.resize or metadata.resize or usual.resize,
        colours=wanted.colours or metadata.colours or usual.colours,
        scale=scale if wanted.scale is None else wanted.scale,
        mean=mean if wanted.mean is None else wanted.mean,
    )


def gist(error: Exception) -> str:
    """The one line of an OpenVINO error that names the cause."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return (telling or lines or ["unknown error"])[0][:200]
