"""Objects in pictures, by any detection model that OpenVINO reads."""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np

from flowrt import CheckView, Context, Detections, Diagnostic, Frame, Inference, setting
from flowrt.diagnostics import did_you_mean
from flowrt.resources import share

if TYPE_CHECKING:
    from flowrt_nodes.detect._openvino import Request, SharedModel, Wanted
    from flowrt_nodes.detect._preparing import Placing

Share = Annotated[float, setting("A share from 0 to 1.", ge=0, le=1)]
Side = Annotated[int, setting("Pixels.", ge=32, le=8192)]
EVERY_OTHER_CLASS = "*"
USUAL_IOU = 0.5


class Pending(NamedTuple):
    """A picture under way in the model."""

    frame: Frame
    request: Request
    placing: Placing
    prepared_ms: float


class Detect(Inference[Pending]):
    """Objects in pictures, by any OpenVINO IR or ONNX detection model; nodes with the same model share it."""

    example = """
objects:
  type: detect
  from: north_camera
  model: flowrt-traffic-fp16.xml
  keep: [car, van, truck, bus, pedestrian]
  min_confidence: {"*": 0.4, pedestrian: 0.25}
"""

    model: Annotated[
        str,
        setting(
            "An OpenVINO IR (.xml) or ONNX file, relative to the flow file, or the name of a bundled model.",
            min_length=1,
            restart=True,
        ),
    ]
    device: Annotated[
        str,
        setting(
            "OpenVINO's name of the device: AUTO, CPU, GPU, GPU.1, NPU, MULTI:GPU,CPU, AUTO:GPU,CPU. AUTO takes the best there is.",
            pattern=r"^[A-Z]+(\.\d+)?(:.+)?$",
            restart=True,
        ),
    ] = "AUTO"
    hint: Annotated[
        Literal["latency", "throughput"],
        setting("What the device is tuned for: one picture as soon as possible, or as many as possible.", restart=True),
    ] = "throughput"
    rename: Annotated[
        dict[str, str],
        setting(
            "Other names for the model's classes, e.g. {van: car, lorry: truck}; everything else uses the new names."
        ),
    ] = {}
    keep: Annotated[list[str], setting("Classes to keep; empty for all.")] = []
    min_confidence: Annotated[
        Share | dict[str, Share],
        setting("Least confidence to report an object with: a number, or one per class with `*` for the others."),
    ] = 0.25
    iou: (
        Annotated[
            float,
            setting(
                "Boxes that overlap more than this are one object; without it what the model says, else 0.5.",
                gt=0,
                le=1,
            ),
        ]
        | None
    ) = None
    nms: Annotated[
        Literal["per_class", "across"],
        setting("Suppress overlapping boxes within each class, or across classes (a van seen as car and truck)."),
    ] = "per_class"
    decoder: Annotated[
        Literal["auto", "yolox", "yolo", "ssd", "detr"],
        setting(
            "How the outputs are read: `auto` looks at the model's metadata and the outputs' shapes.", restart=True
        ),
    ] = "auto"
    labels: Annotated[
        str, setting("A file with the class names, one a line, for models that don't name them.", restart=True)
    ] = ""
    resize: Annotated[
        Literal["auto", "letterbox", "stretch"], setting("How pictures fill the model's input.", restart=True)
    ] = "auto"
    input_px: (
        Annotated[
            tuple[Side, Side],
            setting(
                "Width and height that the model looks at, multiples of 32; without it the model's own. Larger finds what is small "
                "and far away, and takes longer in proportion. Only for models that may be resized.",
                restart=True,
            ),
        ]
        | None
    ) = None
    resize_in: Annotated[
        Literal["auto", "opencv", "model"],
        setting(
            "Where pictures are resized: by OpenCV (faster on CPU), or within the model; `auto`: within it on a GPU.",
            restart=True,
        ),
    ] = "auto"
    colours: Annotated[Literal["auto", "bgr", "rgb"], setting("The colour order the model wants.", restart=True)] = (
        "auto"
    )
    every: Annotated[int, setting("Look at every Nth picture; the others end here.", ge=1)] = 1
    requests: Annotated[
        int, setting("Pictures under way at a time; 0 for what the device asks for, and one more.", ge=0, le=64)
    ] = 0

    @property
    def in_flight(self) -> int:
        if self.requests:
            return self.requests
        shared: SharedModel | None = self.__dict__.get("_shared")
        return shared.optimal_requests + 1 if shared else 3

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        file = model_file(self.model, view.folder)
        if file is None:
            beside = [each.name for each in view.folder.iterdir() if each.suffix in (".xml", ".onnx")]
            hint = did_you_mean(self.model, [*beside, *(each.name for each in _bundled())])
            yield Diagnostic(("model",), f"there is no model '{self.model}'", hint)
        for i, side in enumerate(self.input_px or ()):
            if side % 32:
                yield Diagnostic(
                    ("input_px", i), f"{side} is no multiple of 32", f"take {max(32, round(side / 32) * 32)}"
                )
        labels: tuple[str, ...] = ()
        if self.labels:
            try:
                labels = _labels_of(view.folder / self.labels)
            except ValueError as error:
                yield Diagnostic(("labels",), str(error))
        for name in self.rename:
            if labels and name not in labels:
                yield Diagnostic(("rename", name), f"the model has no class '{name}'", did_you_mean(name, labels))
        labels = tuple(self.rename.get(name, name) for name in labels)
        for where, name in self._classes_named():
            if labels and name not in labels:
                yield Diagnostic(where, f"the model has no class '{name}'", did_you_mean(name, labels))

    def _classes_named(self) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Every class name in the settings, with where it stands."""
        for i, name in enumerate(self.keep):
            yield ("keep", i), name
        if isinstance(self.min_confidence, dict):
            for name in self.min_confidence:
                if name != EVERY_OTHER_CLASS:
                    yield ("min_confidence", name), name

    def files(self, folder: Path) -> Iterable[Path]:
        file = model_file(self.model, folder)
        if file is not None:
            yield file
            if file.suffix == ".xml":
                yield file.with_suffix(".bin")
        if self.labels:
            yield (folder / self.labels).resolve()

    def open(self, context: Context) -> None:
        from flowrt_nodes.detect._openvino import SharedModel

        self._shared: SharedModel | None = None
        self._key = self._wanted()
        cache = context.data / "model_cache"
        self._shared = context.shared.acquire(self._key, lambda: SharedModel(self._key, cache))
        self.on_close(partial(context.shared.release, self._key))
        self._placing: Placing | None = None
        self._seen = 0
        self._set_thresholds()
        context.log.info(
            "detect %s: %s on %s, %d classes, decoder %s", context.node, self.model, self._shared.device,
            len(self._shared.labels), self._shared.layout.decoder,
        )  # fmt: skip

    def _wanted(self) -> Wanted:
        from flowrt_nodes.detect._openvino import ModelError, Wanted

        file = model_file(self.model, self.context.folder)
        if file is None:
            raise ModelError(
                f"there is no model '{self.model}', neither beside the flow file nor among the bundled ones"
            )
        facts = [each.stat() for each in self.files(self.context.folder) if each.exists()]
        return Wanted(
            path=file,
            stamp=tuple((each.st_size, each.st_mtime_ns) for each in facts),
            device=self.device,
            hint=self.hint,
            decoder=None if self.decoder == "auto" else self.decoder,
            resize=None if self.resize == "auto" else self.resize,
            colours=None if self.colours == "auto" else self.colours,
            labels=_labels_of(self.context.path(self.labels)) if self.labels else (),
            resize_in=self.resize_in,
            input_px=self.input_px,
        )

    def _set_thresholds(self) -> None:
        """One least score per class; more than 1 for those not to be kept."""
        model_labels = self._model.labels
        for name in self.rename:
            if name not in model_labels:
                raise ValueError(f"rename: {self.model} has no class '{name}' ({did_you_mean(name, model_labels)})")
        labels = self._labels = tuple(self.rename.get(name, name) for name in model_labels)
        for where, name in self._classes_named():
            if name not in labels:
                raise ValueError(f"{where[0]}: {self.model} has no class '{name}' ({did_you_mean(name, labels)})")
        given = self.min_confidence
        per_class = given if isinstance(given, dict) else {EVERY_OTHER_CLASS: given}
        usual = per_class.get(EVERY_OTHER_CLASS, 0.25)
        least = [per_class.get(name, usual) if not self.keep or name in self.keep else 2.0 for name in labels]
        self._least = np.array([*least, 2.0], np.float32)  # the last for classes that the model does not name
        self._floor = float(self._least.min(initial=1.0))

    @property
    def _model(self) -> SharedModel:
        assert self._shared is not None
        return self._shared

    def reconfigured(self, changed: frozenset[str]) -> None:
        if changed & {"rename", "keep", "min_confidence"}:
            self._set_thresholds()

    def submit(self, frame: Frame) -> Pending | None:
        from flowrt_nodes.detect._preparing import Placing

        self._seen += 1
        if (self._seen - 1) % self.every:
            return None
        began_s = time.perf_counter()
        model = self._model
        placing = self._placing
        if placing is None or placing.picture_px != frame.size_px:
            placing = self._placing = Placing.of(frame.size_px, model.input_px, model.preparation)
        request = model.take(placing)
        request.start(frame.image, placing)
        return Pending(frame, request, placing, (time.perf_counter() - began_s) * 1e3)

    def collect(self, pending: Pending) -> Detections:
        from flowrt_nodes.detect._decoders import suppress

        frame, request, placing, prepared_ms = pending
        model = self._model
        try:
            outputs = request.outputs()
            began_s = time.perf_counter()
            found = model.layout.decode(outputs, self._floor)
            inference_ms = request.latency_ms
        finally:
            request.pool.give_back(request)
        least = self._least.take(found.class_id, mode="clip")
        found = found.take((found.score >= least).nonzero()[0])
        found = found.take(suppress(found, self.iou or model.iou or USUAL_IOU, self.nms == "across"))
        boxes = placing.to_picture(found.boxes)
        stand = None if found.footprints is None else placing.footprints_to_picture(found.footprints)
        return Detections(
            time_s=frame.time_s,
            camera_id=frame.camera_id,
            boxes_px=boxes,
            confidence=found.score.astype(np.float32, copy=False),
            class_id=found.class_id.astype(np.int64, copy=False),
            labels=self._labels,
            picture_px=frame.size_px,
            footprints_px=stand,
            frame_number=frame.number,
            frame=frame,
            processing_time_ms=round(prepared_ms + inference_ms + (time.perf_counter() - began_s) * 1e3, 3),
            model=model.name,
        )

    def status(self) -> dict[str, Any]:
        model = self._shared
        if model is None:
            return {}
        return {
            "model": model.name,
            "device": model.device,
            "decoder": model.layout.decoder,
            "input_px": list(model.input_px),
            "requests": model.made,
        }


def model_file(name: str, folder: Path) -> Path | None:
    """The model of that name: beside the flow file, else a bundled one (its suffix may be left out)."""
    beside = (folder / name).resolve()
    if beside.is_file():
        return beside
    return next((file for file in _bundled() if name in (file.name, file.stem)), None)


@functools.cache  # what is installed stays as it is while a program runs; a reload need not look again
def _bundled() -> tuple[Path, ...]:
    try:
        folder = share("models")
    except FileNotFoundError:
        return ()
    return tuple(sorted([*folder.glob("**/*.xml"), *folder.glob("**/*.onnx")]))


def _labels_of(file: Path) -> tuple[str, ...]:
    from flowrt_nodes.detect._model_info import read_labels

    return read_labels(file)
