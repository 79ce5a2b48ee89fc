"""`flowrt models show`: how `detect` will read a model, why, and what it finds in one picture."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from flowrt import PEDESTRIANS, VEHICLES, Detections, Frame, Image
from flowrt.commands import Failure, UsageError
from flowrt.commands.terminal.tables import printable, table
from flowrt.system.downloads import cache_folder
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes._lib.overlay import Overlay
from flowrt_nodes.detect._decoding.candidates import suppress
from flowrt_nodes.detect._letterbox import Letterbox
from flowrt_nodes.detect._model.files import missing_model, model_file
from flowrt_nodes.detect._model.labels import read_labels
from flowrt_nodes.detect._model.wanted import Wanted
from flowrt_nodes.detect._openvino import SharedModel

USUAL_IOU = 0.5
MOST_CLASSES = 12
"""So many names are printed of the classes that are no road users."""


def show(args: argparse.Namespace) -> None:
    """Print what is known; with a picture, what is found there. Raises Failure, UsageError."""
    if args.output and not args.picture:
        raise UsageError("-o draws what is found in a picture: name one with --picture")
    if args.output and args.output.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise UsageError(f"-o {args.output}: expected a .png or .jpg")
    file = model_file(args.model, Path())
    if file is None:
        raise Failure(": ".join(missing_model(args.model, Path())))
    image = _picture(args.picture, args.at) if args.picture else None
    try:
        model = SharedModel(_wanted(args, file), cache_folder() / "compiled")
        facts = _facts(args, file, model)
        found = None if image is None else _found(model, image, args.min_confidence)
    except ValueError as error:
        raise Failure(str(error)) from error
    if found is not None:
        facts["objects"] = [
            {"class": label, "confidence": round(float(score), 3), "box_px": [round(float(side), 1) for side in box]}
            for label, score, box in zip(found.label, found.confidence, found.boxes_px, strict=True)
        ]
        facts["inference_ms"] = round(found.processing_time_ms or 0.0, 1)
    if args.json:
        print(json.dumps(facts, indent=2))
    else:
        _print(facts)
    if args.output and found is not None:
        if not cv2.imwrite(str(args.output), Overlay(None).draw(found)):
            raise Failure(f"{args.output} can't be written")
        print(f"{args.output}: {len(found)} objects drawn", file=sys.stderr)


def _wanted(args: argparse.Namespace, file: Path) -> Wanted:
    return Wanted(
        path=file, stamp=(), device="CPU", hint="latency", decoder=args.decoder, resize=args.resize, colours=args.colours,
        mean=None if args.mean is None else tuple(args.mean), scale=None if args.scale is None else tuple(args.scale),
        labels=read_labels(args.labels) if args.labels else (), resize_in="opencv",
        input_px=tuple(args.input_px) if args.input_px else None,
    )  # fmt: skip


def _picture(file: Path, at_s: float) -> Image:
    """A picture, or one of a video."""
    if not file.is_file():
        raise Failure(f"there is no picture {file}")
    image = cv2.imread(str(file))
    if image is None:
        video = cv2.VideoCapture(str(file))
        if at_s:
            video.set(cv2.CAP_PROP_POS_MSEC, at_s * 1e3)
        image = video.read()[1]
        video.release()
    if image is None:
        raise Failure(f"{file}: no picture could be read, of a video at {at_s:g} s")
    return np.asarray(image, np.uint8)


def _facts(args: argparse.Namespace, file: Path, model: SharedModel) -> dict[str, Any]:
    read, how, of_family = model.read, model.preparation, model.layout.preparation
    said = read.metadata
    normalised = bool(said.mean or said.scale)
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    road_users = [name for name in model.labels if name in VEHICLES or name in PEDESTRIANS]
    return {
        "model": str(file),
        "sha256": sha256,
        "inputs": read.inputs,
        "outputs": str(read.ports),
        "family": model.layout.family,
        "decoder": model.layout.decoder,
        "why": _why(args, model),
        "form": model.form,
        "input_px": list(model.input_px),
        "resize": _setting(how.resize, args.resize, said.resize),
        "centred": how.centred,
        "pad": how.pad,
        "colours": _setting(how.colours, args.colours, said.colours),
        "mean": _setting(list(how.mean), args.mean, normalised or None),
        "scale": _setting(list(how.scale), args.scale, normalised or None),
        "of_family": {"resize": of_family.resize, "colours": of_family.colours},
        "iou": {"value": model.iou or USUAL_IOU, "from": "metadata" if model.iou else "default"},
        "classes": list(model.labels),
        "road_users": road_users,
    }


def _why(args: argparse.Namespace, model: SharedModel) -> str:
    if args.decoder:
        return f"asked for; {model.layout.why}"
    return f"the metadata say so; {model.layout.why}" if model.read.metadata.decoder else model.layout.why


def _setting(value: Any, asked: Any, metadata: Any) -> dict[str, Any]:
    """A setting in force, and where it is from."""
    return {"value": value, "from": "setting" if asked is not None else "metadata" if metadata else "family"}


def _found(model: SharedModel, image: Image, least: float) -> Detections:
    size = (image.shape[1], image.shape[0])
    letterbox = Letterbox.of(size, model.input_px, model.preparation)
    request = model.take(letterbox)
    began_s = time.perf_counter()
    request.start(image, letterbox)
    found = model.found(request.outputs(), least)
    found = found.take(suppress(found, model.iou or USUAL_IOU, False))
    took_ms = (time.perf_counter() - began_s) * 1e3
    return Detections(
        time_s=0.0,
        camera_id="picture",
        boxes_px=letterbox.to_picture(found.boxes),
        confidence=found.score.astype(np.float32, copy=False),
        class_id=found.class_id.astype(np.int64, copy=False),
        labels=model.labels,
        picture_px=size,
        frame=Frame(time_s=0.0, camera_id="picture", image=image),
        processing_time_ms=took_ms,
        model=model.name,
    )


def _print(facts: dict[str, Any]) -> None:
    def of(name: str) -> str:
        each = facts[name]
        value = each["value"]
        text = ", ".join(f"{number:g}" for number in value) if isinstance(value, list) else str(value)
        return f"{text or 'none'} ({each['from']})"

    others = [name for name in facts["classes"] if name not in facts["road_users"]]
    more = f" and {len(others) - MOST_CLASSES} more" if len(others) > MOST_CLASSES else ""
    place = f", grey {facts['pad']} {'around' if facts['centred'] else 'at the right and below'}"
    lines = {
        "model": f"{facts['model']}  SHA-256 {facts['sha256']}",
        "inputs": facts["inputs"],
        "outputs": facts["outputs"],
        "family": facts["family"],
        "decoder": facts["decoder"] + (f", {facts['form']}" if facts["form"] else ""),
        "because": facts["why"],
        "picture": f"{facts['input_px'][0]}x{facts['input_px'][1]}, {of('resize')}"
        + (place if facts["resize"]["value"] == "letterbox" else ""),
        "colours": of("colours"),
        "mean": of("mean"),
        "scale": of("scale"),
        "overlap": f"boxes of a class that overlap more than {of('iou')} are one",
        "road users": ", ".join(facts["road_users"]) or "none: nothing would be counted; see the setting `rename`",
        "others": ", ".join(others[:MOST_CLASSES]) + more or "none",
    }
    width = max(map(len, lines))
    for name, text in lines.items():
        print(f"{name:<{width}}  {printable(text)}")
    if "objects" in facts:
        print(
            f"\n{len(facts['objects'])} objects in {facts['inference_ms']:.1f} ms, the first picture of a model is slow"
        )
        rows = [
            [each["class"], f"{each['confidence']:.2f}", " ".join(f"{side:.0f}" for side in each["box_px"])]
            for each in facts["objects"]
        ]
        if rows:
            table(["class", "confidence", "box_px"], rows, right=frozenset({1}))
