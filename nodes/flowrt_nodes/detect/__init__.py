"""Objects in pictures, by any detection model that OpenVINO reads."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np

from flowrt import CheckView, Context, Detections, Diagnostic, Frame, Inference, setting
from flowrt.diagnostics import did_you_mean
from flowrt.system.downloads import DownloadError, progress
from flowrt_nodes.detect._model.facts import facts_of
from flowrt_nodes.detect._model.files import missing_model, model_file
from flowrt_nodes.detect._model.labels import counts_in_traffic, find_label, read_labels
from flowrt_nodes.detect._model.metadata import metadata_file
from flowrt_nodes.detect._model.public import fetch, public_name
from flowrt_nodes.detect._model.wanted import ModelError, Wanted

if TYPE_CHECKING:
    from flowrt_nodes.detect._filters import Filters
    from flowrt_nodes.detect._openvino import Request, SharedModel
    from flowrt_nodes.detect._parts import Part

Share = Annotated[float, setting("A share from 0 to 1.", ge=0, le=1)]
Side = Annotated[int, setting("Pixels.", ge=32, le=8192)]
EVERY_OTHER_CLASS = "*"
USUAL_IOU = 0.5
RENDER_TRAINED = "flowrt-traffic"
"""What the names of the bundled models begin with; they know only the simulator's pictures."""


class Pending(NamedTuple):
    """A picture under way in the model, in one part or in several."""

    frame: Frame
    requests: list[Request]
    parts: list[Part]
    prepared_ms: float


class Detect(Inference[Pending]):
    """Objects in pictures, by any OpenVINO IR or ONNX detection model; nodes with the same model share it."""

    example = """
objects:
  type: detect
  from: north_camera
  model: yolox_nano.onnx
  keep: [car, truck, bus, person]
  min_confidence: {"*": 0.4, person: 0.25}
"""

    model: Annotated[
        str,
        setting(
            "An OpenVINO IR (.xml) or ONNX file or the folder that an exporter wrote, relative to the flow file, or the name of a "
            "bundled model or of a public one (`flowrt models list`).",
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
                "Boxes that overlap more than this are one object; without it what the model's metadata say, else 0.5.",
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
        Literal["auto", "yolox", "yolo", "ssd", "detr", "atss", "nanodet", "fastest"],
        setting("How the outputs are read: `auto` goes by the model's outputs and metadata.", restart=True),
    ] = "auto"
    labels: Annotated[
        str,
        setting(
            "A file with the class names, for models that don't name them: text with one a line; JSON or YAML with a list or a "
            "mapping of number to name, also below `names`.",
            restart=True,
        ),
    ] = ""
    resize: Annotated[
        Literal["auto", "letterbox", "stretch"], setting("How pictures fill the model's input.", restart=True)
    ] = "auto"
    input_px: (
        Annotated[
            tuple[Side, Side],
            setting(
                "Width and height of the model's input, multiples of 32; without it the model's own. Larger finds what is small "
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
    mean: (
        Annotated[
            list[float],
            setting(
                "Subtracted from each channel, in the model's colour order; without it what the metadata say, else the usual of "
                "the model's family. `[]` for nothing.",
                restart=True,
            ),
        ]
        | None
    ) = None
    scale: (
        Annotated[
            list[float],
            setting("Each channel is divided by this, after `mean`; one number for all or three.", restart=True),
        ]
        | None
    ) = None
    crop: (
        Annotated[
            tuple[float, float, float, float],
            setting(
                "The part of the picture to look at: x_min, y_min, x_max, y_max in its pixels.",
                examples=[[0, 200, 1280, 720]],
            ),
        ]
        | None
    ) = None
    tiles: Annotated[
        str,
        setting(
            "Look at so many parts, side by side and one above the other, each as large as the model's input: finds what is small and far "
            "away, and costs an inference for each.",
            pattern=r"^[1-9]x[1-9]$",
            examples=["2x1"],
        ),
    ] = "1x1"
    tile_overlap: Annotated[
        float,
        setting("Share of a tile that lies in the next one too: as wide as the widest of what is small.", ge=0, le=0.5),
    ] = 0.2
    mask: Annotated[
        list[list[tuple[float, float]]],
        setting(
            "Polygons, in pixels of the picture: what stands within one of them is left out.",
            examples=[[[[0, 0], [200, 0], [0, 150]]]],
        ),
    ] = []
    min_px: Annotated[float, setting("Boxes whose longer side is shorter are left out.", ge=0)] = 0.0
    max_px: Annotated[float, setting("Boxes whose longer side is longer are left out.", gt=0)] | None = None
    aspect: (
        Annotated[
            tuple[float, float],
            setting("Boxes of another width by height than from one to the other are left out.", examples=[[0.2, 5]]),
        ]
        | None
    ) = None
    every: Annotated[int, setting("Detect in every Nth picture; the others end here.", ge=1)] = 1
    requests: Annotated[
        int, setting("Pictures under way at a time; 0 for what the device asks for, and one more.", ge=0, le=64)
    ] = 0

    @property
    def in_flight(self) -> int:
        if self.requests:
            return self.requests
        return self._shared.optimal_requests + 1 if self._shared else 3

    def fetch(self, view: CheckView) -> Iterable[Diagnostic]:
        name = public_name(self.model)
        if name is None or model_file(self.model, view.folder) is not None:
            return
        try:
            fetch(name, tell=progress)
        except DownloadError as error:
            yield Diagnostic(("model",), str(error))

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        file = model_file(self.model, view.folder)
        if file is None:
            yield Diagnostic(("model",), *missing_model(self.model, view.folder))
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if values is not None and len(values) not in (0, 1, 3):
                yield Diagnostic((name,), f"{len(values)} numbers", "expected one number for all channels, or three")
        if self.scale is not None and 0 in self.scale:
            yield Diagnostic(("scale",), "division by 0", "expected e.g. 255")
        for i, side in enumerate(self.input_px or ()):
            if side % 32:
                yield Diagnostic(
                    ("input_px", i), f"{side} is no multiple of 32", f"take {max(32, round(side / 32) * 32)}"
                )
        for name, limits in (
            ("aspect", self.aspect),
            ("crop", self.crop and self.crop[::2]),
            ("crop", self.crop and self.crop[1::2]),
        ):
            if limits is not None and limits[0] >= limits[1]:
                yield Diagnostic(
                    (name,), f"{limits[0]:g} is not less than {limits[1]:g}", "give the lower number first"
                )
        for i, polygon in enumerate(self.mask):
            if len(polygon) < 3:
                yield Diagnostic(("mask", i), f"{len(polygon)} corners", "a polygon has at least 3")
        labels: tuple[str, ...] = ()
        if self.labels:
            try:
                labels = read_labels(view.folder / self.labels)
            except ValueError as error:
                yield Diagnostic(("labels",), str(error))
                return
        if file is not None:
            facts = facts_of(self._wanted(file, view.folder, labels))
            labels = facts.labels
            if facts.problem:
                yield Diagnostic(("model",), facts.problem)
        unknown = list(self._unknown_classes(labels)) if labels else []
        for where, name, known in unknown:
            yield Diagnostic(where, f"the model has no class '{name}'", did_you_mean(name, known))
        if labels and not unknown and (said := self._without_traffic(labels)):
            yield Diagnostic(("model",), *said, severity="warning")

    def _without_traffic(self, labels: tuple[str, ...]) -> tuple[str, str] | None:
        """Message and hint where no class that is kept is a vehicle or a pedestrian."""
        renamed = self._renamed(labels)
        kept = {find_label(name, renamed) for name in self.keep} or set(renamed)
        reported = [name for name in renamed if name in kept]
        if not reported or counts_in_traffic(reported):
            return None
        message = f"none of its classes ({', '.join(reported[:5])}) counts as a vehicle or a pedestrian"
        return message, f"rename: {{{reported[0]}: car}} would say that one does"

    def _renamed(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The model's class names after `rename`."""
        new_names = {find_label(name, labels): new for name, new in self.rename.items()}
        return tuple(new_names.get(name, name) for name in labels)

    def _unknown_classes(self, labels: tuple[str, ...]) -> Iterable[tuple[tuple[str | int, ...], str, tuple[str, ...]]]:
        """Class names in the settings that the model does not have: where, the name, and the known ones."""
        for name in self.rename:
            if find_label(name, labels) is None:
                yield ("rename", name), name, labels
        renamed = self._renamed(labels)
        for where, name in self._classes_named():
            if find_label(name, renamed) is None:
                yield where, name, renamed

    def _classes_named(self) -> Iterable[tuple[tuple[str | int, ...], str]]:
        """Every class name in the settings, with its place."""
        for i, name in enumerate(self.keep):
            yield ("keep", i), name
        if isinstance(self.min_confidence, dict):
            for name in self.min_confidence:
                if name != EVERY_OTHER_CLASS:
                    yield ("min_confidence", name), name

    def simulation_only(self) -> Diagnostic | None:
        """See `flowrt.traffic.checks.simulation`."""
        if not Path(self.model).name.startswith(RENDER_TRAINED):
            return None
        hint = "take one that was trained on real pictures: `flowrt models list` has some, such as `model: yolox-nano`"
        return Diagnostic(("model",), f"'{self.model}' was trained on rendered pictures only", hint)

    def files(self, folder: Path) -> Iterable[Path]:
        file = model_file(self.model, folder)
        if file is not None:
            yield file
            if file.suffix == ".xml":
                yield file.with_suffix(".bin")
            if (beside := metadata_file(file)) is not None:
                yield beside
        if self.labels:
            yield (folder / self.labels).resolve()

    def open(self, context: Context) -> None:
        from flowrt_nodes.detect._openvino import SharedModel

        self._shared: SharedModel | None = None
        file = model_file(self.model, context.folder)
        if file is None:
            message, hint = missing_model(self.model, context.folder)
            raise ModelError(f"{message} ({hint})")
        self._key = self._wanted(file, context.folder, read_labels(context.path(self.labels)) if self.labels else ())
        cache = context.data / "model_cache"
        self._shared = context.shared.acquire(self._key, lambda: SharedModel(self._key, cache))
        self.on_close(partial(context.shared.release, self._key))
        self._laid_out_px: tuple[int, int] | None = None
        self._parts: list[Part] = []
        self._filters: Filters | None = None
        self._seen = 0
        self._set_thresholds()
        context.log.info(
            "%s on %s, classes: %d, %s", self.model, self._shared.device,
            len(self._shared.labels), self._shared.layout.family,
        )  # fmt: skip

    def _wanted(self, file: Path, folder: Path, labels: tuple[str, ...]) -> Wanted:
        """folder: the flow file's. labels: of the setting."""
        facts = [each.stat() for each in self.files(folder) if each.exists()]
        return Wanted(
            path=file,
            stamp=tuple((each.st_size, each.st_mtime_ns) for each in facts),
            device=self.device,
            hint=self.hint,
            decoder=None if self.decoder == "auto" else self.decoder,
            resize=None if self.resize == "auto" else self.resize,
            colours=None if self.colours == "auto" else self.colours,
            mean=None if self.mean is None else tuple(self.mean),
            scale=None if self.scale is None else tuple(self.scale),
            labels=labels,
            resize_in=self.resize_in,
            input_px=self.input_px,
        )

    def _set_thresholds(self) -> None:
        """One least score per class; more than 1 for those not to be kept."""
        labels = self._model.labels
        for where, name, known in self._unknown_classes(labels):
            raise ValueError(f"{where[0]}: {self.model} has no class '{name}' ({did_you_mean(name, known)})")
        self._labels = labels = self._renamed(labels)
        given = self.min_confidence
        per_class = given if isinstance(given, dict) else {EVERY_OTHER_CLASS: given}
        usual = per_class.get(EVERY_OTHER_CLASS, 0.25)
        wanted = {find_label(name, labels): share for name, share in per_class.items()}
        kept = {find_label(name, labels) for name in self.keep} or set(labels)
        least = [wanted.get(name, usual) if name in kept else 2.0 for name in labels]
        self._least = np.array(least, np.float32)
        self._floor = float(self._least.min(initial=1.0))
        if said := self._without_traffic(self._model.labels):
            self.context.log.warning("%s; %s", *said)

    @property
    def _model(self) -> SharedModel:
        assert self._shared is not None  # between `open` and `close`
        return self._shared

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._laid_out_px = None
        if changed & {"rename", "keep", "min_confidence"}:
            self._set_thresholds()

    def submit(self, frame: Frame) -> Pending | None:
        from flowrt_nodes.detect._parts import start

        self._seen += 1
        if (self._seen - 1) % self.every:
            return None
        began_s = time.perf_counter()
        if self._laid_out_px != frame.size_px:
            self._lay_out(frame.size_px)
        requests = start(frame.image, self._parts, self._model)
        return Pending(frame, requests, self._parts, (time.perf_counter() - began_s) * 1e3)

    def _lay_out(self, picture_px: tuple[int, int]) -> None:
        """Settle, for pictures of a size, what the model sees of them and what is left out."""
        from flowrt_nodes.detect._filters import Filters
        from flowrt_nodes.detect._parts import parts_of
        from flowrt_nodes.detect._regions import regions_of

        regions = regions_of(picture_px, self.crop, self.tiles, self.tile_overlap)
        self._parts = parts_of(picture_px, regions, self._model)
        self._filters = Filters.of(picture_px, self.mask, self.min_px, self.max_px, self.aspect)
        self._laid_out_px = picture_px

    def collect(self, pending: Pending) -> Detections:
        from flowrt_nodes.detect._parts import Limits, collect

        frame, requests, parts, prepared_ms = pending
        model = self._model
        limits = Limits(self._least, self._floor, self.iou or model.iou or USUAL_IOU, self.nms == "across")
        found, inference_ms, decoding_ms = collect(requests, parts, model, limits)
        if self._filters is not None:
            found = found.take(self._filters.stays(found.boxes).nonzero()[0])
        return Detections(
            time_s=frame.time_s,
            camera_id=frame.camera_id,
            boxes_px=found.boxes,
            confidence=found.score.astype(np.float32, copy=False),
            class_id=found.class_id.astype(np.int64, copy=False),
            labels=self._labels,
            picture_px=frame.size_px,
            footprints_px=found.footprints,
            frame_number=frame.number,
            frame=frame,
            view_fault=frame.view_fault,
            view_cuts=frame.view_cuts,
            processing_time_ms=round(prepared_ms + inference_ms + decoding_ms, 3),
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
            "family": model.layout.family,
            "input_px": list(model.input_px),
            "requests": model.made,
        }
