"""Names of classes: those that models are trained with, files of names, and how names are compared."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from flowrt import PEDESTRIANS, VEHICLES

_COCO_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, -, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, -, backpack, umbrella, -, -,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, -, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, -, dining table, -, -, toilet, -, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, -, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush
"""
_NUMBERED = tuple(name.strip() for name in _COCO_NAMES.split(","))
COCO = tuple(name for name in _NUMBERED if name != "-")
"""The 80 classes of COCO in the order that detectors trained on it use; assumed for 80 unnamed classes."""
COCO_NUMBERED = tuple(f"class_{i}" if name == "-" else name for i, name in enumerate(("-", *_NUMBERED)))
"""COCO's original numbers, 1 to 90 with gaps, as DETR and RF-DETR use them; assumed for 91 unnamed classes."""
OPEN_MODEL_ZOO = {
    **dict.fromkeys(
        [f"person-vehicle-bike-detection-{number}" for number in (2000, 2001, 2002)], ("vehicle", "person", "bike")
    ),
    **dict.fromkeys(
        [f"person-vehicle-bike-detection-{number}" for number in (2003, 2004)], ("vehicle", "person", "non-vehicle")
    ),
    "person-vehicle-bike-detection-crossroad-1016": ("non-vehicle", "vehicle", "person"),
    **dict.fromkeys([f"vehicle-detection-0{number}" for number in (200, 201, 202)], ("vehicle",)),
}
"""Classes of models that say nothing of themselves, by the name of their file; from their pages at docs.openvino.ai."""
USUAL = {len(COCO): COCO, len(COCO_NUMBERED): COCO_NUMBERED}
_KNOWN = {name.casefold(): name for name in (*COCO, *VEHICLES, *PEDESTRIANS)}


class LabelsError(ValueError):
    """A file without usable names; one line for people."""


def folded(name: str) -> str:
    """What two names have in common that mean the same class: without case, `_` and `-` as spaces."""
    return " ".join(name.replace("_", " ").replace("-", " ").casefold().split())


def usual_spelling(name: str) -> str:
    """`Car` is `car` and `Traffic_Light` is `traffic light`; a name that is not known stays as it is."""
    return _KNOWN.get(folded(name), name)


def find_label(name: str, labels: Sequence[str]) -> str | None:
    """The label that a setting means: as it is, else without regard to case and underscores."""
    if name in labels:
        return name
    return next((label for label in labels if folded(label) == folded(name)), None)


def counts_in_traffic(labels: Iterable[str]) -> bool:
    """Whether one of them is a vehicle or a pedestrian."""
    return any(label in VEHICLES or label in PEDESTRIANS for label in labels)


def named(names: Any) -> tuple[str, ...]:
    """From a list of names, or a mapping of number to name. Raises ValueError where it is neither, or numbers are missing."""
    if isinstance(names, dict):
        numbers = sorted(int(key) for key in names)
        if numbers != list(range(len(numbers))):
            raise ValueError("numbers are missing")
        by_number = {int(key): name for key, name in names.items()}
        return tuple(str(by_number[number]) for number in numbers)
    if isinstance(names, list):
        return tuple(str(name) for name in names)
    raise ValueError("neither a list nor a mapping")


def read_labels(file: Path) -> tuple[str, ...]:
    """Class names from a file: text with one a line; a JSON or YAML list or mapping, or one below `names:`. Raises LabelsError."""
    try:
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise LabelsError(f"{file.name}: the labels file can't be read: {why}") from None
    kind = file.suffix.lower()
    if kind not in (".json", ".yaml", ".yml"):
        labels = tuple(line.strip() for line in text.strip().splitlines())
        if not labels or not all(labels):
            raise LabelsError(
                f"{file.name}: the labels file is empty or has an empty line; it has one class name a line"
            )
        return labels
    try:
        content = json.loads(text) if kind == ".json" else _yaml(text)
        if isinstance(content, dict) and "names" in content:
            content = content["names"]
        labels = named(content)
    except (ValueError, TypeError):
        expected = "a list of names, a mapping of number to name, or one of them below 'names:'"
        raise LabelsError(f"{file.name}: the labels file holds no class names: expected {expected}") from None
    if not labels or not all(each.strip() for each in labels):
        raise LabelsError(f"{file.name}: the labels file has an empty name")
    return labels


def _yaml(text: str) -> Any:
    import yaml  # only models with such a file pay for it

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
