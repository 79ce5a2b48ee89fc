"""What a detection model says about itself: class names, kind of outputs, how pictures are to be prepared.

Read from the model's `rt_info`: our own models carry a `flowrt` section (labels, strides, decoder, resize, colours); exports of
Ultralytics and of OpenVINO's Model API carry a `model_info` or `framework` section. What is not said there is what models of
that decoder usually want, and a setting of the node has the last word.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

Decoder = Literal["yolox", "yolo", "ssd", "detr"]
Resize = Literal["letterbox", "stretch"]
Colours = Literal["bgr", "rgb"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)

_COCO_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush
"""
COCO = tuple(name.strip() for name in _COCO_NAMES.split(","))
"""The 80 classes of COCO in the order that detectors trained on it use; assumed for 80 unnamed classes."""


class Preparation(msgspec.Struct, frozen=True):
    """How a BGR u8 picture becomes the model's input: (picture in `colours` - mean) / scale.

    centred: a letterboxed picture lies in the middle, else at the top left. pad: the grey beside it.
    """

    resize: Resize
    colours: Colours
    centred: bool = False
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    pad: int = 114


USUAL: dict[Decoder, Preparation] = {
    "yolox": Preparation("letterbox", "bgr"),
    "yolo": Preparation("letterbox", "rgb", centred=True, scale=(255.0,)),
    "ssd": Preparation("stretch", "bgr"),
    "detr": Preparation("stretch", "rgb", mean=(123.675, 116.28, 103.53), scale=(58.395, 57.12, 57.375)),
}


class ModelInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What the model's metadata says; empty where it says nothing. input_px: width and height for inputs left open. iou: the overlap
    for suppression that the model was measured with."""

    labels: tuple[str, ...] = ()
    decoder: Decoder | None = None
    strides: tuple[int, ...] = ()
    resize: Resize | None = None
    colours: Colours | None = None
    scale: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    input_px: tuple[int, int] = (640, 640)
    iou: float | None = None

    def preparation(self, decoder: Decoder, resize: Resize | None, colours: Colours | None) -> Preparation:
        """What models of that decoder usually want, overruled by the metadata, overruled by the settings."""
        usual = USUAL[decoder]
        return msgspec.structs.replace(
            usual,
            resize=resize or self.resize or usual.resize,
            colours=colours or self.colours or usual.colours,
            scale=self.scale or usual.scale,
            mean=self.mean or usual.mean,
        )


def read_info(model: Any) -> ModelInfo:
    """From an `openvino.Model`. Entries that make no sense are passed over."""

    def said(*names: tuple[str, str]) -> str:
        for section, key in names:
            if model.has_rt_info([section, key]):
                return str(model.get_rt_info([section, key]).value)
        return ""

    decoder = said(("flowrt", "decoder"), ("model_info", "model_type")).lower()
    resize = said(("flowrt", "resize"), ("model_info", "resize_type")).lower()
    colours = said(("flowrt", "colours")).lower()
    if not colours and (reverse := said(("model_info", "reverse_input_channels")).lower()):
        colours = "rgb" if reverse in ("true", "yes", "1") else "bgr"
    iou = _numbers(said(("flowrt", "nms_iou"), ("model_info", "iou_threshold")))
    size = _numbers(said(("model_info", "imgsz"), ("framework", "imgsz")))  # height, width
    return ModelInfo(
        labels=_labels(
            said(("flowrt", "labels"), ("model_info", "labels"), ("framework", "names"), ("framework", "labels"))
        ),
        decoder=next((known for known in DECODERS if decoder.startswith(known)), None),
        strides=tuple(int(stride) for stride in _numbers(said(("flowrt", "strides")))),
        resize="letterbox" if "letterbox" in resize else "stretch" if resize in ("stretch", "standard") else None,
        colours="bgr" if colours == "bgr" else "rgb" if colours == "rgb" else None,
        scale=_numbers(said(("flowrt", "scale"), ("model_info", "scale_values"))),
        mean=_numbers(said(("flowrt", "mean"), ("model_info", "mean_values"))),
        input_px=(int(size[-1]), int(size[0])) if size else (640, 640),
        iou=iou[0] if iou and 0 < iou[0] <= 1 else None,
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").strip("[]() ").split())
    except ValueError:
        return ()


def _labels(text: str) -> tuple[str, ...]:
    """`car, bus`; `car bus traffic_light`; or a mapping as Ultralytics writes it, `{0: 'car', 1: 'bus'}`."""
    text = text.strip()
    if text.startswith(("{", "[")):
        try:
            return _named(ast.literal_eval(text))
        except (ValueError, SyntaxError):
            return ()
    return tuple(label.strip() for label in (text.split(",") if "," in text else text.split()))


def _named(names: Any) -> tuple[str, ...]:
    if isinstance(names, dict):
        return tuple(str(names[key]) for key in sorted(names, key=int))
    return tuple(str(name) for name in names)


def read_labels(file: Path) -> tuple[str, ...]:
    """Class names from a text file (one a line) or a JSON list or mapping. Raises ValueError with a line for people."""
    try:
        text = file.read_text("utf-8-sig").strip()
        labels = _named(json.loads(text)) if file.suffix == ".json" else tuple(map(str.strip, text.splitlines()))
    except OSError as error:
        raise ValueError(f"{file.name}: the labels file can't be read: {error.strerror}") from None
    except (ValueError, TypeError):
        raise ValueError(f"{file.name}: the labels file is neither text with a name per line nor a JSON list") from None
    if not labels or not all(labels):
        raise ValueError(f"{file.name}: the labels file is empty or has an empty line; it has one class name a line")
    return labels


def completed(labels: Iterable[str], count: int) -> tuple[str, ...]:
    """Exactly `count` names: COCO's for 80 unnamed classes, `class_7` for whatever has no name."""
    known = tuple(labels) or (COCO if count == len(COCO) else ())
    return tuple(known[i] if i < len(known) else f"class_{i}" for i in range(count))
