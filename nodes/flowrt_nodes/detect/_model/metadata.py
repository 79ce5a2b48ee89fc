"""A detection model's own metadata: class names, kind of outputs, how pictures are to be prepared.

Read from the model's `rt_info` (our own models carry a `flowrt` section, exports of Ultralytics and of OpenVINO's Model API a
`model_info` or `framework` section), and from a `metadata.yaml` beside it, as exporters write it. Where there is none, the usual
of the model's family holds, and a setting of the node has the last word.
"""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec

from flowrt_nodes.detect._model.labels import OPEN_MODEL_ZOO, named, usual_spelling

Decoder = Literal["yolox", "yolo", "ssd", "detr", "atss", "nanodet", "fastest"]
Resize = Literal["letterbox", "stretch"]
Colours = Literal["bgr", "rgb"]
DECODERS: tuple[Decoder, ...] = get_args(Decoder)
MODEL_SUFFIXES = (".xml", ".onnx", ".tflite", ".pdmodel")
UNSET_PX = (640, 640)
RT_INFO_BYTES = 200_000
"""So much of the end of an IR holds its metadata."""


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


class Metadata(msgspec.Struct, frozen=True, kw_only=True):
    """The model's metadata; empty where there is none.

    own: it is a model of ours, whose decoder is certain. task: `detect`, `segment`, `pose`, `obb`, … keypoint_values: numbers per
    object of a pose model. end_to_end: suppression is inside. input_px: width and height for inputs left open. iou: the
    overlap for suppression that the model was measured with.
    """

    own: bool = False
    labels: tuple[str, ...] = ()
    decoder: Decoder | None = None
    description: str = ""
    task: str = ""
    keypoint_values: int = 0
    end_to_end: bool = False
    strides: tuple[int, ...] = ()
    resize: Resize | None = None
    colours: Colours | None = None
    scale: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    input_px: tuple[int, int] = UNSET_PX
    iou: float | None = None


def read_metadata(model: Any, file: Path) -> Metadata:
    """Of an `openvino.Model` that was read from `file`. Entries that make no sense are passed over."""
    beside = _beside(file)

    def entry(*names: tuple[str, str]) -> str:
        for section, key in names:
            if model.has_rt_info([section, key]):
                return str(model.get_rt_info([section, key]).value)
        return next((str(beside[key]) for section, key in names if section == "framework" and key in beside), "")

    decoder = entry(("flowrt", "decoder"), ("model_info", "model_type")).lower()
    resize = entry(("flowrt", "resize"), ("model_info", "resize_type")).lower()
    colours = entry(("flowrt", "colours")).lower()
    if not colours and (reverse := entry(("model_info", "reverse_input_channels")).lower()):
        colours = "rgb" if reverse in ("true", "yes", "1") else "bgr"
    iou = _numbers(entry(("flowrt", "nms_iou"), ("model_info", "iou_threshold")))
    size = _numbers(entry(("model_info", "imgsz"), ("framework", "imgsz")))  # height, width
    keypoints = _numbers(entry(("framework", "kpt_shape")))
    names = (("flowrt", "labels"), ("model_info", "labels"), ("framework", "names"), ("framework", "labels"))
    return Metadata(
        own=bool(entry(("flowrt", "decoder"))),
        labels=_labels(entry(*names)) or OPEN_MODEL_ZOO.get(file.stem, ()),
        decoder=next((known for known in DECODERS if decoder.startswith(known)), None),
        description=entry(("framework", "description")),
        task=entry(("framework", "task")).lower(),
        keypoint_values=int(keypoints[0] * keypoints[1]) if len(keypoints) == 2 else 0,
        end_to_end=entry(("framework", "end2end")).lower() == "true",
        strides=tuple(int(stride) for stride in _numbers(entry(("flowrt", "strides")))),
        resize="letterbox" if "letterbox" in resize else "stretch" if resize in ("stretch", "standard") else None,
        colours="bgr" if colours == "bgr" else "rgb" if colours == "rgb" else None,
        scale=_numbers(entry(("flowrt", "scale"), ("model_info", "scale_values"))),
        mean=_numbers(entry(("flowrt", "mean"), ("model_info", "mean_values"))),
        input_px=(int(size[-1]), int(size[0])) if size else UNSET_PX,
        iou=iou[0] if iou and 0 < iou[0] <= 1 else None,
    )


def declared_labels(file: Path) -> tuple[str, ...]:
    """Class names that an IR of ours says in its last lines, without reading the model; empty where it does not."""
    names = re.findall(r'<(?:labels|names) value="([^"]*)"', _end(file))
    return tuple(map(usual_spelling, _labels(html.unescape(names[0])))) if len(names) == 1 else ()


def is_own(file: Path) -> bool:
    """Whether it is an IR of ours, whose outputs are certain."""
    return file.suffix.lower() == ".xml" and re.search(r"<flowrt>.*<decoder value=", _end(file), re.DOTALL) is not None


def _end(file: Path) -> str:
    with file.open("rb") as content:
        content.seek(max(file.stat().st_size - RT_INFO_BYTES, 0))
        return content.read().decode("utf-8", "replace")


def metadata_file(file: Path) -> Path | None:
    """The `metadata.yaml` beside a model, where no other model of the folder could be meant."""
    beside = file.with_name("metadata.yaml")
    if not beside.is_file():
        return None
    models = [each for each in file.parent.iterdir() if each.suffix.lower() in MODEL_SUFFIXES]
    return beside if models == [file] else None


def _beside(file: Path) -> dict[str, Any]:
    beside = metadata_file(file)
    if beside is None:
        return {}
    import yaml  # only models with such a file pay for it

    try:
        content = yaml.safe_load(beside.read_text("utf-8-sig"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return content if isinstance(content, dict) else {}


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.replace(",", " ").strip("[]() ").split())
    except ValueError:
        return ()


def _labels(text: str) -> tuple[str, ...]:
    """`car, bus`; `car bus traffic_light`; or a list or mapping as Ultralytics writes it, `{0: 'car', 1: 'bus'}`."""
    text = text.strip()
    if text.startswith(("{", "[")):
        read: Callable[[str], Any] = ast.literal_eval
        try:
            return named(read(text))
        except (ValueError, SyntaxError, TypeError):
            return ()
    return tuple(label.strip() for label in (text.split(",") if "," in text else text.split()))
