"""Simulated traffic as a detector would see it: the truth's boxes with the misses, edges, classes and false boxes of a profile.

Everything is drawn from one seed, object by object, so that the same run is disturbed in the same way. What a profile says from one
picture to the next holds for its own rate, and is converted to the time that passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flowrt_scoring.noise.measure import KINDS
from flowrt_scoring.noise.profile import QUANTILES, FalseBox, Flips, Kind, Profile, SizeClass

Floats = npt.NDArray[np.float64]

SPOKEN = {"person": "pedestrian"}
"""COCO's words, and the simulator's."""
_NORMAL = NormalDist()


class Noisy(NamedTuple):
    """What is seen: boxes (K, 4), labels and confidences (K,)."""

    boxes: Floats
    labels: list[str]
    confidence: list[float]


@dataclass
class _Memory:
    """Of one object. lasting: a number from 0 to 1 that says whether it is one of those never seen."""

    lasting: float
    seen: bool
    rank: float
    edges: Floats
    label: str = ""
    """The wrong class it is taken for; empty for none."""
    at_s: float = 0.0


@dataclass
class Disturbance:
    """Disturbs the pictures of one camera, in order. input_px: of the model."""

    profile: Profile
    picture_px: tuple[int, int]
    input_px: tuple[int, int]
    seed: tuple[int, ...]
    _objects: dict[int, _Memory] = field(default_factory=dict)
    _false: list[FalseBox] = field(default_factory=list)
    _last_s: float | None = None

    def __post_init__(self) -> None:
        self._rng = np.random.default_rng(self.seed)
        self._scale = min(a / b for a, b in zip(self.input_px, self.picture_px, strict=True))

    def see(self, time_s: float, numbers: Sequence[int], labels: Sequence[str], boxes: Floats) -> Noisy:
        """The picture of a time as the detector sees it."""
        found = Noisy(np.empty((0, 4)), [], [])
        rows: list[Floats] = []
        for number, label, box in zip(numbers, labels, boxes, strict=True):
            kind = self.profile.kinds.get(KINDS.get(label, ""))
            if kind is None:
                continue
            memory = self._remembered(number, time_s, kind, label, box)
            size = box[2:] - box[:2]
            of_size = kind.of_size(self._px(size))
            if not memory.seen or memory.lasting < of_size.never:
                continue
            rows.append(box + memory.edges * of_size.edges * np.tile(size, 2))
            found.labels.append(memory.label or label)
            found.confidence.append(self._confidence(of_size, memory.rank))
            if kind.split_boxes and self._rng.random() < kind.split:
                *share, confidence = kind.split_boxes[self._rng.integers(len(kind.split_boxes))]
                rows.append(np.tile(box[:2], 2) + np.array(share) * np.tile(size, 2))
                found.labels.append(memory.label or label)
                found.confidence.append(confidence)
        for false in self._false_boxes(time_s):
            rows.append(np.array(false.box) * np.tile(self.picture_px, 2))
            found.labels.append(SPOKEN.get(false.label, false.label))
            found.confidence.append(false.confidence)
        self._last_s = time_s
        border = np.tile(self.picture_px, 2).astype(np.float64)
        cut = np.clip(np.array(rows).reshape(-1, 4), 0, border)
        whole: list[bool] = np.all(cut[:, 2:] - cut[:, :2] >= 1, axis=1).tolist()
        return Noisy(
            cut[whole],
            [label for label, kept in zip(found.labels, whole, strict=True) if kept],
            [confidence for confidence, kept in zip(found.confidence, whole, strict=True) if kept],
        )

    def _px(self, size: Floats) -> float:
        return float(np.sqrt(np.prod(size)) * self._scale)

    def _remembered(self, number: int, time_s: float, kind: Kind, label: str, box: Floats) -> _Memory:
        """The object's memory, brought to this picture."""
        rng = self._rng
        of_size = kind.of_size(self._px(box[2:] - box[:2]))
        memory = self._objects.get(number)
        if memory is None:
            both = of_size.lost + of_size.found
            seen = rng.random() < (of_size.found / both if both else 1.0)
            memory = _Memory(rng.random(), seen, rng.normal(), rng.normal(size=4), at_s=time_s)
            self._objects[number] = memory
            return memory
        steps = (time_s - memory.at_s) * self.profile.rate_hz
        memory.at_s = time_s
        lost, found = _after(of_size.lost, of_size.found, steps)
        memory.seen = rng.random() >= lost if memory.seen else rng.random() < found
        memory.rank = _drift(memory.rank, kind.confidence_hold, steps, rng.normal())
        hold = kind.edges_hold**steps
        memory.edges = hold * memory.edges + np.sqrt(1 - hold**2) * rng.normal(size=4)
        flips = kind.flips.get(label) or kind.flips.get({"pedestrian": "person"}.get(label, label))
        if flips:
            self._flip(memory, flips, steps)
        return memory

    def _flip(self, memory: _Memory, flips: Flips, steps: float) -> None:
        begin, end = _after(flips.begin, 1 - flips.stay, steps)
        if not memory.label and self._rng.random() < begin:
            shares = np.array(list(flips.to.values()))
            chosen = list(flips.to)[self._rng.choice(len(shares), p=shares / shares.sum())]
            memory.label = SPOKEN.get(chosen, chosen)
        elif memory.label and self._rng.random() < end:
            memory.label = ""

    def _confidence(self, of_size: SizeClass, rank: float) -> float:
        share = _NORMAL.cdf(rank)
        return float(np.interp(share, QUANTILES, of_size.confidence))

    def _false_boxes(self, time_s: float) -> list[FalseBox]:
        false, rng = self.profile.false, self._rng
        passed_s = 1 / self.profile.rate_hz if self._last_s is None else time_s - self._last_s
        stay = false.stay ** (passed_s * self.profile.rate_hz)
        self._false = [each for each in self._false if rng.random() < stay]
        if false.seen:
            new = rng.poisson(false.per_s * passed_s)
            self._false += [false.seen[rng.integers(len(false.seen))] for _ in range(new)]
        return self._false


def _after(there: float, back: float, steps: float) -> tuple[float, float]:
    """The probabilities of both changes of a chain of two states after so many of its steps."""
    both = there + back
    if not both:
        return 0.0, 0.0
    changed = 1 - max(1 - both, 0.0) ** steps
    return there / both * changed, back / both * changed


def _drift(value: float, hold: float, steps: float, noise: float) -> float:
    kept = hold**steps
    return float(kept * value + np.sqrt(1 - kept**2) * noise)
