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
from typing import Any

import numpy as np
import openvino

from flowrt import Floats, Image
from flowrt.diagnostics import did_you_mean
from flowrt.system.private_files import make_private, make_private_folder
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.detect._decoding.candidates import Candidates
from flowrt_nodes.detect._letterbox import Letterbox, prepared, prepared_for
from flowrt_nodes.detect._model.reading import gist, read_detector
from flowrt_nodes.detect._model.wanted import ModelError, Wanted

ACCELERATORS = ("dri/*", "dxg", "accel/*", "accel[0-9]*", "nvidia[0-9]*")
"""Files of GPUs and NPUs in `/dev` on Linux (in WSL: dxg)."""


CERTAIN = 1.01
"""No confidence is higher than 1, but for rounding."""


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
    """A compiled model with its decoder. form: which of several forms its outputs have, for people."""

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
        self.read = read_detector(self._core, wanted)
        self.input_px, self.layout, self.preparation = self.read.input_px, self.read.layout, self.read.preparation
        self.labels = self.layout.labels
        self.iou = self.read.metadata.iou
        resize_in = wanted.resize_in
        self._in_graph = self.device.startswith("GPU") if resize_in == "auto" else resize_in == "model"
        self._pools: dict[Letterbox | None, Pool] = {}
        self._compiling = threading.Lock()
        # Also where the resize will be in the graph: a model that can't be compiled is refused now, not at the first picture.
        self._pools[None] = self._compiled(prepared(self.read.model, self.preparation), whole_pictures=False)
        self.optimal_requests = self._pools[None].optimal_requests
        self.decode, self.form = self.layout.decode, ""
        if self.layout.settled is not None:
            self.decode, self.form = self.layout.settled(self._pools[None].grey_outputs())

    def _compiled(self, model: openvino.Model, whole_pictures: bool) -> Pool:
        try:
            compiled = self._core.compile_model(model, self.device, self._properties)
        except RuntimeError as error:
            raise ModelError(f"{self._file} can't be compiled for {self.device}: {gist(error)}") from None
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
                    model = prepared_for(self.read.model, self.preparation, letterbox, self.input_px)
                    pool = self._pools[key] = self._compiled(model, whole_pictures=True)
        return pool.take()

    def found(self, outputs: list[Floats], least: float) -> Candidates:
        """What the outputs say, from a confidence on. Raises ModelError where that can't be: it must never be taken for objects."""
        found = self.decode(outputs, least)
        if not len(found.score):
            return found
        if found.score.max() > CERTAIN:
            raise ModelError(
                f"{self._file} gives a confidence of {found.score.max():.3g}: its outputs are not those of a "
                f"'{self.layout.decoder}' model; see the setting 'decoder'"
            )
        if not 0 <= found.class_id.min() <= found.class_id.max() < len(self.labels):
            numbers = f"{found.class_id.min()} to {found.class_id.max()}"
            raise ModelError(
                f"{self._file} finds classes {numbers}, and has {len(self.labels)} class names; see the settings 'labels' and 'decoder'"
            )
        return found

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
