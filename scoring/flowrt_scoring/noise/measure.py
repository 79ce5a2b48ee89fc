"""The noise of a detector: its boxes compared with what was there, counted, and made into a profile."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from flowrt_scoring.detector.average_precision import pairwise_iou
from flowrt_scoring.noise.profile import (
    QUANTILES,
    SIZES_PX,
    FalseBox,
    FalseBoxes,
    Flips,
    Kind,
    Profile,
    SizeClass,
)
from flowrt_scoring.noise.reference_tracks import Present, Seen, best_pairs

Floats = npt.NDArray[np.float64]
T = TypeVar("T")

KINDS = {
    **dict.fromkeys(("car", "van", "truck", "bus"), "vehicle"),
    **dict.fromkeys(("motorcycle", "bicycle"), "two_wheeler"),
    **dict.fromkeys(("person", "pedestrian"), "pedestrian"),
}
RATE_HZ = 5.0
"""Of the pictures that are compared; a clip with more is gone through several times, beginning at another one."""
SAME_IOU = 0.4
INSIDE, SMALLER = 0.7, 0.7
"""A second box that lies so much inside of an object, and has at most this share of its area, is a split one."""
NEAR = 0.3
"""A box that overlaps so much with anything that the reference suspects is not called false."""
SUSPECTED = 0.1
"""Confidence from which the reference suspects something."""
NEVER_SHARE = 0.1
"""An object that is seen in fewer of its pictures counts as never seen."""
LEAST_BOXES = 60
"""A class of size with fewer boxes is measured together with the next one."""
MOST_SAMPLES = 60


class Clip(NamedTuple):
    """A clip through both detectors. scale: pixels of the model's input for one of the picture."""

    name: str
    measured: list[Seen]
    suspected: list[Seen]
    present: list[Present]
    size_px: tuple[int, int]
    scale: float


@dataclass
class _Object:
    """One object in the pictures of one pass: kind, true class, and for each picture size, box where seen, label, confidence."""

    label: str
    sizes: list[float] = field(default_factory=list)
    edges: list[Floats | None] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    confidence: list[float] = field(default_factory=list)


@dataclass
class _Counts:
    objects: list[_Object] = field(default_factory=list)
    split: dict[str, list[tuple[float, float, float, float, float]]] = field(default_factory=lambda: defaultdict(list))
    false: list[FalseBox] = field(default_factory=list)
    false_begun: int = 0
    false_next: int = 0
    picture_s: float = 0.0
    seconds: float = 0.0


def measure(clips: Iterable[Clip], **known: object) -> Profile:
    """known: the fields of the profile that say what was measured."""
    counts, names = _Counts(), []
    for clip in clips:
        names.append(clip.name)
        times = [seen.time_s for seen in clip.measured]
        step_s = float(np.median(np.diff(times)))
        every = max(round(1 / RATE_HZ / step_s), 1)
        for first in range(every):
            _pass(clip, range(first, len(times), every), every * step_s, counts)
        counts.seconds += times[-1] - times[0]
    kinds = {}
    for kind in dict.fromkeys(KINDS.values()):
        objects = [each for each in counts.objects if KINDS[each.label] == kind]
        if sum(len(each.sizes) for each in objects) >= LEAST_BOXES:
            kinds[kind] = _kind(objects, counts.split[kind])
    false = FalseBoxes(
        per_s=counts.false_begun / counts.picture_s,
        stay=counts.false_next / max(len(counts.false), 1),
        seen=tuple(_some(counts.false)),
    )
    boxes = sum(len(each.sizes) for each in counts.objects)
    facts = {"rate_hz": RATE_HZ, "clips": tuple(names), "seconds": round(counts.seconds, 1), "boxes": boxes}
    return Profile(kinds=kinds, false=false, **facts, **known)  # type: ignore[arg-type]  # the caller's fields


def _pass(clip: Clip, rows: range, step_s: float, counts: _Counts) -> None:
    """Compare every so many pictures of a clip."""
    objects: dict[int, _Object] = {}
    false_before: Floats = np.empty((0, 4))
    for row in rows:
        seen, there, suspected = clip.measured[row], clip.present[row], clip.suspected[row]
        overlap = pairwise_iou(there.boxes, seen.boxes)
        matched = _matched(overlap, there, seen)
        for i, number in enumerate(there.numbers.tolist()):
            each = objects.setdefault(number, _Object(there.labels[i]))
            box = there.boxes[i]
            size = box[2:] - box[:2]
            each.sizes.append(float(np.sqrt(np.prod(size))) * clip.scale)
            j = matched.get(i)
            each.edges.append(None if j is None else (seen.boxes[j] - box) / np.tile(size, 2))
            each.labels.append("" if j is None else seen.labels[j])
            each.confidence.append(0.0 if j is None else float(seen.confidence[j]))
        left = [j for j in range(len(seen.boxes)) if j not in matched.values()]
        false = []
        for j in left:
            box = seen.boxes[j]
            inside = _inside(box, there.boxes)
            over = int(inside.argmax()) if len(inside) else -1
            if over >= 0 and inside[over] >= INSIDE:
                whole = there.boxes[over]
                if over in matched and _area(box) <= SMALLER * _area(whole):
                    size = whole[2:] - whole[:2]
                    share = (box - np.tile(whole[:2], 2)) / np.tile(size, 2)
                    kind = KINDS[there.labels[over]]
                    counts.split[kind].append((*share.tolist(), float(seen.confidence[j])))
            elif not _near(box, suspected):
                false.append(j)
        boxes = seen.boxes[false].reshape(-1, 4)
        again = pairwise_iou(boxes, false_before).max(axis=1, initial=0.0) > NEAR
        counts.false_begun += int((~again).sum())
        counts.false_next += int(again.sum())
        for j in false:
            share = tuple((seen.boxes[j] / np.tile(clip.size_px, 2)).tolist())
            counts.false.append(FalseBox(label=seen.labels[j], confidence=float(seen.confidence[j]), box=share))
        false_before = boxes
        counts.picture_s += step_s
    counts.objects.extend(objects.values())


def _matched(overlap: Floats, there: Present, seen: Seen) -> dict[int, int]:
    """Rows of what is there to rows of what is seen: the largest overlap first, those of the same kind before others."""
    same = np.array([[KINDS[a] == KINDS[b] for b in seen.labels] for a in there.labels]).reshape(overlap.shape)
    return best_pairs(overlap + same, overlap >= SAME_IOU)


def _area(box: Floats) -> float:
    return float(np.prod(np.maximum(box[2:] - box[:2], 0)))


def _inside(box: Floats, others: Floats) -> Floats:
    """The share of a box that lies in each of the others."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    share: Floats = np.prod(np.maximum(sides, 0), axis=1) / max(_area(box), 1e-9)
    return share


def _near(box: Floats, suspected: Seen) -> bool:
    return bool(
        len(suspected.boxes)
        and max(_inside(box, suspected.boxes).max(), pairwise_iou(box[None], suspected.boxes).max()) > NEAR
    )


def _kind(objects: list[_Object], split: list[tuple[float, float, float, float, float]]) -> Kind:
    sizes = _size_classes(objects)
    seen = sum(edges is not None for each in objects for edges in each.edges)
    return Kind(
        sizes=tuple(sizes),
        edges_hold=_hold([_runs(each.edges) for each in objects]),
        confidence_hold=_hold([_runs([None if not c else np.array([c]) for c in each.confidence]) for each in objects]),
        split=len(split) / max(seen, 1),
        split_boxes=tuple(_some(split)),
        flips=_flips(objects),
    )


def _size_classes(objects: list[_Object]) -> list[SizeClass]:
    """A class with few boxes goes with the next larger one, the largest with the one before."""
    groups: list[tuple[float, list[_Object]]] = []
    waiting: list[_Object] = []
    for low, end in zip((0.0, *SIZES_PX), (*SIZES_PX, 0.0), strict=True):
        waiting += [part for each in objects if (part := _part(each, low, end or np.inf)).sizes]
        if sum(len(part.sizes) for part in waiting) >= LEAST_BOXES:
            groups.append((end, waiting))
            waiting = []
    if waiting:
        _, before = groups.pop()  # the kind as a whole has enough boxes
        groups.append((0.0, before + waiting))
    return [_size_class(end, parts) for end, parts in groups]


def _part(each: _Object, low: float, high: float) -> _Object:
    rows = [i for i, size in enumerate(each.sizes) if low <= size < high]
    return _Object(
        each.label,
        [each.sizes[i] for i in rows],
        [each.edges[i] for i in rows],
        [each.labels[i] for i in rows],
        [each.confidence[i] for i in rows],
    )


def _size_class(end: float, parts: list[_Object]) -> SizeClass:
    never = [part for part in parts if np.mean([edges is not None for edges in part.edges]) < NEVER_SHARE]
    known = [part for part in parts if not any(part is each for each in never)]
    moves = Counter(
        (before is not None, after is not None)
        for part in known
        for before, after in zip(part.edges, part.edges[1:], strict=False)
    )
    seen = [edges for part in parts for edges in part.edges if edges is not None]
    confidence = [c for part in parts for c in part.confidence if c]
    boxes = sum(len(part.sizes) for part in parts)
    return SizeClass(
        to_px=end,
        boxes=boxes,
        never=sum(len(part.sizes) for part in never) / boxes,
        lost=moves[True, False] / max(moves[True, True] + moves[True, False], 1),
        found=moves[False, True] / max(moves[False, True] + moves[False, False], 1),
        edges=_deviation(np.array(seen)) if seen else 0.0,
        confidence=tuple(np.quantile(confidence, QUANTILES).tolist()) if confidence else (0.0,) * len(QUANTILES),
    )


def _deviation(values: Floats) -> float:
    """Robust: from the median of the absolute deviations."""
    return float(1.4826 * np.median(np.abs(values - np.median(values, axis=0))))


def _runs(values: list[Floats | None]) -> list[tuple[Floats, Floats]]:
    return [(a, b) for a, b in itertools.pairwise(values) if a is not None and b is not None]


def _hold(runs: list[list[tuple[Floats, Floats]]]) -> float:
    """Correlation from one picture to the next."""
    pairs = [pair for run in runs for pair in run]
    if len(pairs) < LEAST_BOXES:
        return 0.0
    before, after = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    limit = 5 * max(_deviation(before[:, None]), 1e-6)  # a box of another object says nothing of edges
    usual = (np.abs(before - np.median(before)) < limit) & (np.abs(after - np.median(after)) < limit)
    before, after = before[usual], after[usual]
    if not before.std() or not after.std():
        return 0.0
    return float(np.clip(np.corrcoef(before, after)[0, 1], 0.0, 0.99))


def _flips(objects: list[_Object]) -> dict[str, Flips]:
    result = {}
    for label in dict.fromkeys(each.label for each in objects):
        runs = [[name for name in each.labels if name] for each in objects if each.label == label]
        wrong = Counter(name for run in runs for name in run if name != label)
        moves = Counter((a == label, b == label) for run in runs for a, b in itertools.pairwise(run))
        total = sum(wrong.values())
        if sum(map(len, runs)) < LEAST_BOXES or not total:
            continue
        result[label] = Flips(
            begin=moves[True, False] / max(moves[True, False] + moves[True, True], 1),
            stay=moves[False, False] / max(moves[False, False] + moves[False, True], 1),
            to={name: number / total for name, number in wrong.most_common()},
        )
    return result


def _some(values: list[T]) -> list[T]:
    """At most MOST_SAMPLES of them, evenly."""
    return (
        values
        if len(values) <= MOST_SAMPLES
        else [values[i * len(values) // MOST_SAMPLES] for i in range(MOST_SAMPLES)]
    )
