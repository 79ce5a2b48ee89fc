"""One compiled model for all detect nodes that want the same, and the infer requests that they take turns with.

Invariants
- A request belongs to one picture from `take` until `give_back`. There is always one to take: the pool grows by one when
  all are out, so no node ever waits for another to collect. Each node's depth is bounded, hence so is the pool. How many run
  at a time is the device's affair: requests beyond its streams queue inside the compiled model, first come first served.
- Pictures enter the model as u8, height x width x 3, BGR. Cast, colour order, layout and normalisation happen inside it. The
  resize is done by OpenCV into the request's own input buffer, which was measured faster on CPU than a resize in the graph; on
  a GPU it is part of the graph, which is then compiled once per picture size.
"""

from __future__ import annotations

import sys
import threading
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec
import numpy as np
import openvino
from openvino import opset13 as opset
from openvino.frontend import FrontEndManager

from flowrt import Floats, Image
from flowrt.diagnostics import did_you_mean
from flowrt.system.private_files import make_private, make_private_folder
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.detect._decoding.candidates import Layout, Ports
from flowrt_nodes.detect._decoding.layouts import layout_of
from flowrt_nodes.detect._letterbox import Letterbox, prepared, prepared_for
from flowrt_nodes.detect._metadata import Colours, Decoder, Metadata, Preparation, Resize, read_metadata

FORMATS = {".xml": "ir", ".onnx": "onnx", ".tflite": "tflite", ".pdmodel": "paddle"}
"""Suffixes of model files, each with the frontend of OpenVINO that reads it."""

ACCELERATORS = ("dri/*", "dxg", "accel/*", "accel[0-9]*", "nvidia[0-9]*")
"""Files of GPUs and NPUs in `/dev` on Linux (in WSL: dxg)."""


class ModelError(ValueError):
    """A model or device that can't be used; the text is one line for people."""


class Wanted(NamedTuple):
    """What makes two nodes share a compiled model. stamp: size and time of its files, so that a new file is a new model."""

    path: Path
    stamp: tuple[tuple[int, int], ...]
    device: str
    hint: str
    decoder: Decoder | None
    resize: Resize | None
    colours: Colours | None
    mean: tuple[float, ...] | None
    scale: tuple[float, ...] | None
    labels: tuple[str, ...]
    resize_in: Literal["auto", "opencv", "model"]
    input_px: tuple[int, int] | None


class Request:
    """An infer request with an input buffer of its own, filled in place: `shape` is (1, height, width, 3).

    Outputs of a known shape have buffers of its own too: asking OpenVINO for them after each picture costs more than decoding them.
    """

    def __init__(self, pool: Pool, request: Any, shape: tuple[int, ...], pad: int) -> None:
        self.pool = pool
        self._request = request
        self._buffer = np.full(shape, pad, np.uint8)
        self._tensor = openvino.Tensor(self._buffer, shared_memory=True)
        self._pad = pad
        self._letterbox: Letterbox | None = None
        request.set_input_tensor(self._tensor)
        shapes = [port.partial_shape for port in request.model_outputs]
        self._outputs: list[Floats] | None = None
        if all(each.is_static for each in shapes):
            self._outputs = [np.zeros(tuple(each.to_shape()), np.float32) for each in shapes]
            for index, buffer in enumerate(self._outputs):
                request.set_output_tensor(index, openvino.Tensor(buffer, shared_memory=True))

    def start(self, image: Image, letterbox: Letterbox) -> None:
        """Put the picture into the input and begin."""
        if self.pool.whole_pictures:
            np.copyto(self._buffer[0], image)
        else:
            self._resize(image, letterbox)
        self._request.start_async()

    def for_grey(self) -> list[Floats]:
        """The outputs for a grey picture."""
        self._buffer.fill(self._pad)
        self._letterbox = None
        self._request.start_async()
        return self.outputs()

    def _resize(self, image: Image, letterbox: Letterbox) -> None:
        if letterbox != self._letterbox:  # another camera's picture: the border of this one must be grey
            self._buffer.fill(self._pad)
            self._letterbox = letterbox
        p = letterbox
        cv2.resize(
            image,
            (p.width, p.height),
            dst=self._buffer[0, p.top : p.top + p.height, p.left : p.left + p.width],
            interpolation=cv2.INTER_LINEAR,
        )

    def outputs(self) -> list[Floats]:
        """Wait for the outputs; they are the request's memory, valid until it is given back."""
        self._request.wait()
        return self._outputs or [tensor.data for tensor in self._request.output_tensors]

    @property
    def latency_ms(self) -> float:
        """What the last inference took on the device, its wait for a free stream included."""
        return float(self._request.latency)


class Pool:
    """A compiled model and its requests. whole_pictures: the resize is part of it, for pictures of one size."""

    def __init__(self, compiled: Any, whole_pictures: bool, pad: int) -> None:
        self.whole_pictures = whole_pictures
        self.optimal_requests = int(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS"))
        self.made = 0
        self._compiled = compiled
        self._pad = pad
        self._idle: list[Request] = []
        self._lock = threading.Lock()

    def take(self) -> Request:
        """An idle request."""
        with self._lock:
            if self._idle:
                return self._idle.pop()
            self.made += 1
        shape = tuple(int(side) for side in self._compiled.inputs[0].shape)
        return Request(self, self._compiled.create_infer_request(), shape, self._pad)

    def grey_outputs(self) -> list[Floats]:
        """What the model gives for a grey picture."""
        request = self.take()
        outputs = [each.copy() for each in request.for_grey()]
        self.give_back(request)
        return outputs

    def give_back(self, request: Request) -> None:
        """The request may be used for another picture."""
        with self._lock:
            self._idle.append(request)


class SharedModel:
    """A compiled model with its decoder."""

    def __init__(self, wanted: Wanted, cache: Path) -> None:
        self.name = wanted.path.stem
        self._core = openvino.Core()
        self._file = wanted.path.name
        if cache.is_symlink():
            raise ModelError(f"{cache} is a link, which is not followed: compiled models go there; remove it")
        make_private_folder(cache)
        self._cache = cache
        self._properties = {"PERFORMANCE_HINT": wanted.hint.upper(), "CACHE_DIR": str(cache)}
        self.device = resolve_device(wanted.device, _devices(self._core))
        self._model = model = _read(self._core, wanted.path)
        metadata = read_metadata(model, wanted.path)
        if wanted.labels:
            metadata = msgspec.structs.replace(metadata, labels=wanted.labels)
        _fix_shape(model, wanted.input_px, metadata, wanted.path.name)
        shape = model.inputs[0].shape
        self.input_px: tuple[int, int] = (int(shape[3]), int(shape[2]))
        self.layout = _layout(model, self.input_px, metadata, wanted)
        self.labels = self.layout.labels
        self.iou = metadata.iou
        self.preparation = _preparation(self.layout.preparation, metadata, wanted)
        resize_in = wanted.resize_in
        self._in_graph = self.device.startswith("GPU") if resize_in == "auto" else resize_in == "model"
        self._pools: dict[Letterbox | None, Pool] = {}
        self._compiling = threading.Lock()
        # Also where the resize will be in the graph: a model that can't be compiled is refused now, not at the first picture.
        self._pools[None] = self._compiled(prepared(model, self.preparation), whole_pictures=False)
        self.optimal_requests = self._pools[None].optimal_requests
        self.decode = self.layout.decode
        if self.layout.settled is not None:
            self.decode = self.layout.settled(self._pools[None].grey_outputs())

    def _compiled(self, model: openvino.Model, whole_pictures: bool) -> Pool:
        try:
            compiled = self._core.compile_model(model, self.device, self._properties)
        except RuntimeError as error:
            raise ModelError(f"{self._file} can't be compiled for {self.device}: {_gist(error)}") from None
        for file in self._cache.iterdir():
            make_private(file)
        return Pool(compiled, whole_pictures, self.preparation.pad)

    def take(self, letterbox: Letterbox) -> Request:
        """An idle request, for pictures in this letterbox."""
        key = letterbox if self._in_graph else None
        pool = self._pools.get(key)
        if pool is None:
            with self._compiling:
                pool = self._pools.get(key)
                if pool is None:
                    model = prepared_for(self._model, self.preparation, letterbox, self.input_px)
                    pool = self._pools[key] = self._compiled(model, whole_pictures=True)
        return pool.take()

    @property
    def made(self) -> int:
        """How many requests there are."""
        return sum(pool.made for pool in self._pools.values())

    def close(self) -> None:
        """The last user is gone."""
        self._pools.clear()


def _devices(core: openvino.Core) -> list[str]:
    """What OpenVINO can run models on here. To ask it loads its plugins for GPUs and NPUs, 37 MB that then stay: on Linux, where
    such a device shows as a file, it is asked only if there is one."""
    if sys.platform == "linux" and not any(any(Path("/dev").glob(name)) for name in ACCELERATORS):
        return ["CPU"]
    return list(core.available_devices)


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
        raise ModelError(f"{path.name}: not a model that OpenVINO can read: {_gist(error)}") from None
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
            raise ModelError(f"{name}: can't take {width}x{height} pixels: {_gist(error)}") from None


def _layout(model: openvino.Model, input_px: tuple[int, int], metadata: Metadata, wanted: Wanted) -> Layout:
    names = [next(iter(sorted(port.names)), "") for port in model.outputs]
    shapes = [tuple(dim.get_length() if dim.is_static else -1 for dim in port.partial_shape) for port in model.outputs]
    try:
        return layout_of(Ports(names, shapes, input_px), metadata, wanted.decoder)
    except ValueError as error:
        raise ModelError(f"{wanted.path.name}: {error}") from None


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


def _gist(error: Exception) -> str:
    """The one line of an OpenVINO error that names the cause."""
    lines = [line.strip() for line in str(error).splitlines()]
    telling = [line for line in lines if line and not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return (telling or lines or ["unknown error"])[0][:200]
