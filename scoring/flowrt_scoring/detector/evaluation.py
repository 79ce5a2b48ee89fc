"""The bundled detector against rendered pictures with known boxes: average precision at IoU 0.5, per class and condition.

The pictures are those of `flowrt_sim.dataset` from seeds that training never used, half of them in combinations of light and
weather that training never used either. An object counts when at most HIDDEN_SHARE of it is hidden or outside the picture and it is at
least SMALLEST_HEIGHT_PX high in the 1280x720 picture; other objects count neither as missed nor as false.

OpenVINO is imported when a model is loaded, so the package can be used without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_scoring.detector.average_precision import (
    Floats,
    GroundTruth,
    Predictions,
    class_average_precision,
    pairwise_iou,
)
from flowrt_sim import CLASSES
from flowrt_sim.dataset import SHARING, sample

HIDDEN_SHARE = 0.5
SMALLEST_HEIGHT_PX = 25.0
"""As KITTI draws the line for its "moderate" and "hard" objects (Geiger et al. 2012): below this a box is a guess."""
LOWEST_SCORE = 0.02
SUPPRESSION_IOU = 0.6

TEST_FIRST_SEED = 9_000_000
"""Seeds from here on are for the test pictures only; training uses none of them."""
TRAINED_CONDITIONS: tuple[tuple[str, str], ...] = (
    ("day", "clear"),
    ("day", "overcast"),
    ("day", "rain"),
    ("dusk", "clear"),
    ("dusk", "overcast"),
    ("night", "clear"),
    ("night", "rain"),
)
"""Light and weather of the training pictures."""
HELD_OUT_CONDITIONS: tuple[tuple[str, str], ...] = (("dusk", "rain"), ("night", "overcast"))
"""Light and weather of test pictures only."""


@dataclass(frozen=True)
class EvaluatedPicture:
    """One picture: what the detector predicts, what is true, light and weather."""

    predictions: Predictions
    truth: GroundTruth
    light: str
    weather: str


@dataclass(frozen=True)
class DetectorScore:
    """Average precision at IoU 0.5 of one model. Classes without a counted object are left out."""

    model: str
    pictures: int
    objects: int
    map50: float
    per_class: dict[str, float]
    per_condition: dict[str, float]


class Detector:
    """A detector in YOLOX's layout as OpenVINO IR or ONNX: pictures in, boxes out. For measuring, one picture at a time."""

    def __init__(self, model_path: Path, device: str = "CPU") -> None:
        """Raises FileNotFoundError when the file is missing, RuntimeError when OpenVINO can't read it."""
        import openvino

        if not model_path.exists():
            raise FileNotFoundError(f"{model_path}: no such model; the bundled ones are in models/flowrt-traffic")
        model: Any = openvino.Core().read_model(model_path)
        height, width = (int(n) for n in list(model.input(0).shape)[2:])
        self._size_px = (width, height)
        self._strides = _strides(model)
        self._compiled: Any = openvino.Core().compile_model(model, device, {"PERFORMANCE_HINT": "LATENCY"})

    def __call__(self, picture_bgr: npt.NDArray[np.uint8]) -> Predictions:
        """Boxes in pixels of the picture [h, w, 3], after suppression."""
        height, width = picture_bgr.shape[:2]
        small = cv2.resize(picture_bgr, self._size_px, interpolation=cv2.INTER_LINEAR)
        blob = np.ascontiguousarray(small.transpose(2, 0, 1)[None], dtype=np.float32)
        rows = np.asarray(self._compiled(blob)[0], dtype=np.float64)[0]
        boxes_px, scores, class_ids = decode(rows, self._size_px, self._strides)
        boxes_px *= np.array([width / self._size_px[0], height / self._size_px[1]] * 2)
        left = suppress(boxes_px, scores, SUPPRESSION_IOU)
        return Predictions(np.clip(boxes_px[left], 0, [width, height] * 2), scores[left], class_ids[left])


def decode(
    rows: Floats, size_px: tuple[int, int], strides: Sequence[int] = (8, 16, 32), lowest_score: float = LOWEST_SCORE
) -> tuple[Floats, Floats, npt.NDArray[np.int64]]:
    """Output rows [cells, 5 + classes] in YOLOX's layout to corners [n, 4] in pixels of the input, scores [n], class ids [n].

    Each cell gives its best class. Raises ValueError when the number of rows does not fit size and strides.
    """
    grids = [
        np.stack(np.meshgrid(np.arange(size_px[0] // s), np.arange(size_px[1] // s)), -1).reshape(-1, 2)
        for s in strides
    ]
    cells = np.concatenate(grids).astype(np.float64)
    if len(cells) != len(rows):
        raise ValueError(
            f"an input of {size_px} with strides {tuple(strides)} has {len(cells)} cells, the output {len(rows)}"
        )
    stride = np.concatenate([np.full(len(g), float(s)) for g, s in zip(grids, strides, strict=True)])[:, None]
    class_ids = np.argmax(rows[:, 5:], axis=1)
    scores = rows[:, 4] * rows[np.arange(len(rows)), 5 + class_ids]
    likely = scores >= lowest_score
    centre = (rows[likely, :2] + cells[likely]) * stride[likely]
    half = np.exp(rows[likely, 2:4]) * stride[likely] / 2
    return np.concatenate((centre - half, centre + half), axis=1), scores[likely], class_ids[likely]


def suppress(boxes_px: Floats, scores: Floats, max_iou: float) -> npt.NDArray[np.int64]:
    """Indices of the boxes left by greedy non-maximum suppression over all classes, by falling score."""
    order = np.argsort(-scores, kind="stable")
    boxes = boxes_px[order]
    iou = pairwise_iou(boxes, boxes)
    gone = np.zeros(len(order), dtype=bool)
    for i in range(len(order)):
        if not gone[i]:
            gone[i + 1 :] |= iou[i, i + 1 :] > max_iou
    return order[~gone]


def picture_plan(count: int, first_seed: int = TEST_FIRST_SEED) -> list[tuple[int, str, str]]:
    """Seeds with light and weather, two pictures a place: every second place shows a condition that training never shows."""
    plan = []
    for i in range(count):
        place = i // 2
        pool = HELD_OUT_CONDITIONS if place % 2 else TRAINED_CONDITIONS
        light, weather = pool[place // 2 % len(pool)]
        plan.append((first_seed + place * SHARING + i % 2, light, weather))
    return plan


def evaluate(detectors: Sequence[Detector], plan: Iterable[tuple[int, str, str]]) -> list[list[EvaluatedPicture]]:
    """Every picture of the plan, rendered once, through every detector: one list for each detector."""
    results: list[list[EvaluatedPicture]] = [[] for _ in detectors]
    for seed, light, weather in plan:
        shown = sample(seed, light=light, weather=weather)
        boxes_px = shown.boxes_xyxy_px.astype(np.float64).reshape(-1, 4)
        small = boxes_px[:, 3] - boxes_px[:, 1] < SMALLEST_HEIGHT_PX
        truth = GroundTruth(boxes_px, shown.class_ids.astype(np.int64), (shown.occlusion > HIDDEN_SHARE) | small)
        for result, detector in zip(results, detectors, strict=True):
            result.append(EvaluatedPicture(detector(shown.image_bgr), truth, light, weather))
    return results


def summarise(model: str, pictures: Sequence[EvaluatedPicture]) -> DetectorScore:
    """Scores over all pictures, per class, and per light and weather."""
    conditions = sorted({(p.light, p.weather) for p in pictures})
    per_class = _per_class(pictures)
    return DetectorScore(
        model=model,
        pictures=len(pictures),
        objects=int(sum(np.sum(~p.truth.ignored) for p in pictures)),
        map50=_mean(per_class),
        per_class=per_class,
        per_condition={
            f"{a} {b}": _mean(_per_class([p for p in pictures if (p.light, p.weather) == (a, b)]))
            for a, b in conditions
        },
    )


def score_detector(
    model_paths: Sequence[Path], pictures: int = 160, first_seed: int = TEST_FIRST_SEED
) -> list[DetectorScore]:
    """Score models on the same pictures. Raises FileNotFoundError or RuntimeError when a model can't be loaded."""
    results = evaluate([Detector(path) for path in model_paths], picture_plan(pictures, first_seed))
    return [summarise(path.stem, result) for path, result in zip(model_paths, results, strict=True)]


def table(scores: Sequence[DetectorScore]) -> str:
    """The scores side by side, one column a model, as lines of text."""
    names = ["mAP50", *scores[0].per_class, *scores[0].per_condition]
    lines = [f"{'':16}" + "".join(f"{s.model:>26}" for s in scores)]
    for name in names:
        cells = [
            s.map50 if name == "mAP50" else s.per_class.get(name, s.per_condition.get(name, float("nan")))
            for s in scores
        ]
        lines.append(f"{name:16}" + "".join(f"{c:26.3f}" for c in cells))
    return "\n".join([*lines, f"{scores[0].pictures} pictures, {scores[0].objects} objects, IoU 0.5"])


def _per_class(pictures: Sequence[EvaluatedPicture]) -> dict[str, float]:
    predictions, truth = [p.predictions for p in pictures], [p.truth for p in pictures]
    scores = {name: class_average_precision(predictions, truth, i) for i, name in enumerate(CLASSES)}
    return {name: score for name, score in scores.items() if not np.isnan(score)}


def _mean(scores: dict[str, float]) -> float:
    return float(np.mean(list(scores.values()))) if scores else float("nan")


def _strides(model: Any) -> tuple[int, ...]:
    """The strides that the model's metadata names, else YOLOX's."""
    if model.has_rt_info(["flowrt", "strides"]):
        return tuple(int(s) for s in model.get_rt_info(["flowrt", "strides"]).value.split())
    return (8, 16, 32)
