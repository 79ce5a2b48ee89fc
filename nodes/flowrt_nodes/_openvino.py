"""One compiled model for all detect nodes that want the same, and the infer requests that they take turns with.

Invariants
- A request belongs to one picture from `take` until `give_back`. There is always one to take: the pool grows by one when
  all are out, so no node ever waits for another to collect. Each node's depth is bounded, hence so is the pool. How many run
  at a time is the device's affair: requests beyond its streams queue inside the compiled model, first come first served.
- Pictures enter the model as u8, height x width x 3, BGR. Cast, colour order, layout and normalisation happen inside it; only
  the resize is done by OpenCV into the request's own input buffer, which was measured faster on CPU than a resize in the graph.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import openvino
from openvino.preprocess import ColorFormat, PrePostProcessor

from flowrt.messages import Floats, Image
from flowrt.problem import did_you_mean
from flowrt_nodes._cv import cv2
from flowrt_nodes._decoders import Layout, layout_of
from flowrt_nodes._model_info import Colours, Decoder, ModelInfo, Preparation, Resize, completed, read_info

FORMATS = (".xml", ".onnx", ".tflite", ".pdmodel")


class ModelError(ValueError):
    """A model or device that can't be used; the text is one line for people."""


class Wanted(NamedTuple):
    """What makes two nodes share a compiled model. stamp: size and time of the file, so that a new file is a new model."""

    path: Path
    stamp: tuple[int, int]
    device: str
    hint: str
    decoder: Decoder | None
    resize: Resize | None
    colours: Colours | None
    labels: tuple[str, ...]


class Placing(NamedTuple):
    """Where a picture lies in the model's input: input = picture * (scale_x, scale_y) + (left, top)."""

    picture_px: tuple[int, int]
    scale: tuple[float, float]
    left: int
    top: int
    width: int
    height: int

    @classmethod
    def of(cls, picture_px: tuple[int, int], input_px: tuple[int, int], how: Preparation) -> Placing:
        """Letterboxed or stretched."""
        (w, h), (into_w, into_h) = picture_px, input_px
        if how.resize == "stretch":
            return cls(picture_px, (into_w / w, into_h / h), 0, 0, into_w, into_h)
        scale = min(into_w / w, into_h / h)
        width, height = max(round(w * scale), 1), max(round(h * scale), 1)
        left, top = ((into_w - width) // 2, (into_h - height) // 2) if how.centred else (0, 0)
        return cls(picture_px, (width / w, height / h), left, top, width, height)

    def to_picture(self, boxes: Floats) -> Floats:
        """Boxes (K, 4) of the model's input in pixels of the picture, cut off at its border."""
        offset = np.array([self.left, self.top, self.left, self.top], np.float32)
        scale = np.array([*self.scale, *self.scale], np.float32)
        border = np.array([*self.picture_px, *self.picture_px], np.float32)
        moved: Floats = (boxes - offset) / scale
        return np.asarray(np.clip(moved, 0.0, border), np.float32)


class Request:
    """An infer request with an input buffer of its own, filled in place."""

    def __init__(self, request: Any, input_px: tuple[int, int], pad: int) -> None:
        self._request = request
        self._buffer = np.full((1, input_px[1], input_px[0], 3), pad, np.uint8)
        self._tensor = openvino.Tensor(self._buffer, shared_memory=True)
        self._pad = pad
        self._placing: Placing | None = None
        request.set_input_tensor(self._tensor)

    def start(self, image: Image, placing: Placing) -> None:
        """Put the picture into the input and begin."""
        if placing != self._placing:  # another camera's picture: what lies beside this one must be grey
            self._buffer.fill(self._pad)
            self._placing = placing
        p = placing
        cv2.resize(
            image,
            (p.width, p.height),
            dst=self._buffer[0, p.top : p.top + p.height, p.left : p.left + p.width],
            interpolation=cv2.INTER_LINEAR,
        )
        self._request.start_async()

    def outputs(self) -> list[Floats]:
        """Wait, and look at the outputs; they are the request's memory, valid until it is given back."""
        self._request.wait()
        return [tensor.data for tensor in self._request.output_tensors]

    @property
    def latency_ms(self) -> float:
        """What the last inference took on the device, its wait for a free stream included."""
        return float(self._request.latency)


class SharedModel:
    """A compiled model, its decoder, and its pool of requests."""

    def __init__(self, wanted: Wanted, cache: Path) -> None:
        self.name = wanted.path.stem
        core = openvino.Core()
        device = resolve_device(wanted.device, core.available_devices)
        model = _read(core, wanted.path)
        info = read_info(model)
        if wanted.labels:
            info = msgspec.structs.replace(info, labels=wanted.labels)
        _fix_shape(model, info, wanted.path.name)
        shape = model.inputs[0].shape
        self.input_px: tuple[int, int] = (int(shape[3]), int(shape[2]))
        self.layout = _layout(model, self.input_px, info, wanted)
        self.labels = completed(info.labels, max(self.layout.classes, len(info.labels)))
        self.iou = info.iou
        self.preparation = info.preparation(self.layout.decoder, wanted.resize, wanted.colours)
        properties = {"PERFORMANCE_HINT": wanted.hint.upper(), "CACHE_DIR": str(cache)}
        try:
            self._compiled = core.compile_model(_prepared(model, self.preparation), device, properties)
        except RuntimeError as error:
            raise ModelError(f"{wanted.path.name} can't be compiled for {device}: {_gist(error)}") from None
        self.optimal_requests = int(self._compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.device = device
        self._idle: list[Request] = []
        self._lock = threading.Lock()
        self.made = 0

    def take(self) -> Request:
        """A request that nobody uses."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            self.made += 1
        return Request(self._compiled.create_infer_request(), self.input_px, self.preparation.pad)

    def give_back(self, request: Request) -> None:
        """The request may be used for another picture."""
        with self._lock:
            self._idle.append(request)

    def close(self) -> None:
        """The last user is gone."""
        self._idle.clear()


def resolve_device(device: str, available: list[str]) -> str:
    """OpenVINO's name for the device. AUTO means CPU where there is nothing else, which spares AUTO's own bookkeeping."""
    known = {name.partition(".")[0] for name in available}
    if device == "AUTO":
        return "CPU" if known == {"CPU"} else "AUTO"
    kind, _, listed = device.partition(":")
    asked = listed.split(",") if listed else [] if kind in ("AUTO", "MULTI", "HETERO", "BATCH") else [kind]
    for name in asked:
        if name.strip("-").partition(".")[0].partition("(")[0] not in known:
            hint = did_you_mean(name, ["AUTO", *available])
            raise ModelError(f"OpenVINO has no device '{name}' here; there is {', '.join(available)} ({hint})")
    return device


def _read(core: openvino.Core, path: Path) -> openvino.Model:
    if not path.is_file():
        raise ModelError(f"{path.name}: there is no such model in {path.parent}")
    if path.suffix.lower() not in FORMATS:
        raise ModelError(f"{path.name}: expected a model file, one of {', '.join(FORMATS)}")
    if path.suffix == ".xml" and not path.with_suffix(".bin").is_file():
        raise ModelError(f"{path.name}: its weights, {path.stem}.bin, are not beside it")
    try:
        model = core.read_model(path)
    except RuntimeError as error:
        raise ModelError(f"{path.name}: not a model that OpenVINO can read: {_gist(error)}") from None
    if len(model.inputs) != 1 or model.inputs[0].partial_shape.rank.get_length() != 4:
        shapes = ", ".join(str(port.partial_shape) for port in model.inputs)
        raise ModelError(f"{path.name}: expected one input of a picture (1, 3, height, width), found {shapes}")
    return model


def _fix_shape(model: openvino.Model, info: ModelInfo, name: str) -> None:
    """Give an input that was left open its size: one picture, as large as the metadata says."""
    shape = model.inputs[0].partial_shape
    wanted = [1, 3, info.input_px[1], info.input_px[0]]
    fixed = [wanted[i] if dim.is_dynamic or i == 0 else dim.get_length() for i, dim in enumerate(shape)]
    if fixed[1] != 3:
        raise ModelError(f"{name}: expected an input of (1, 3, height, width), found {shape}")
    if fixed != [dim.get_length() if dim.is_static else -1 for dim in shape]:
        model.reshape(fixed)


def _layout(model: openvino.Model, input_px: tuple[int, int], info: ModelInfo, wanted: Wanted) -> Layout:
    names = [next(iter(sorted(port.names)), "") for port in model.outputs]
    shapes = [tuple(dim.get_length() if dim.is_static else -1 for dim in port.partial_shape) for port in model.outputs]
    try:
        return layout_of(names, shapes, input_px, info, wanted.decoder)
    except ValueError as error:
        raise ModelError(f"{wanted.path.name}: {error}") from None


def _prepared(model: openvino.Model, how: Preparation) -> openvino.Model:
    """The same model with a u8 NHWC BGR input: cast, colours, layout and normalisation become part of it."""
    steps = PrePostProcessor(model)
    entry = steps.input()
    entry.tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    entry.tensor().set_color_format(ColorFormat.BGR)
    entry.model().set_layout(openvino.Layout("NCHW"))
    entry.preprocess().convert_element_type(openvino.Type.f32)
    if how.colours == "rgb":
        entry.preprocess().convert_color(ColorFormat.RGB)
    for values, step in ((how.mean, entry.preprocess().mean), (how.scale, entry.preprocess().scale)):
        if values:
            step(values[0] if len(values) == 1 else list(values))
    for index in range(len(model.outputs)):
        steps.output(index).tensor().set_element_type(openvino.Type.f32)
    return steps.build()


def _gist(error: Exception) -> str:
    """The line of an OpenVINO error that says something."""
    lines = [line.strip() for line in str(error).splitlines()]
    said = [line for line in lines if line and not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return (said or lines or ["unknown error"])[0][:200]
