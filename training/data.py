"""Rendered pictures on disk, and batches of them for training.

Rendering costs more than reading, so each picture is rendered once, at full size, and kept at the size of the network's
input: `training/cache/NAME-COUNT/` with `pictures.npy` ([n, h, w, 3] uint8 BGR) and `labels.npz`. The same seeds give the
same cache, whatever the number of processes. A cache is complete when its `labels.npz` is there.

    python -m training.data --learn 6400 --choose 280
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch

from flowrt_sim.dataset import sample
from flowrt_sim.scoring.detector import HIDDEN_SHARE, SMALLEST_HEIGHT_PX
from training.assign import Targets
from training.augment import Example, Floats, augmented
from training.model import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from training.splits import CHOOSE, LEARN, Split

CACHE = Path(__file__).parent / "cache"
RENDERED_PX = (1280, 720)
LEARNT_HIDDEN_SHARE = 0.6
LEARNT_HEIGHT_PX = 18.0
"""What is asked for when learning: a little more than when examining, so that the examination's limit is no edge."""
CHUNK = 56
"""Pictures rendered by a process at a time: whole places, which share their painting."""


def rendered(split: Split, seed: int) -> Example:
    """One picture at the size of the network's input, boxes scaled along; what is hardly visible is marked as ignored."""
    learning = split == LEARN
    hidden_share = LEARNT_HIDDEN_SHARE if learning else HIDDEN_SHARE
    height_px = LEARNT_HEIGHT_PX if learning else SMALLEST_HEIGHT_PX
    light, weather = split.condition(seed)
    found = sample(seed, size=RENDERED_PX, light=light, weather=weather)
    picture = cv2.resize(found.image_bgr, (INPUT_WIDTH_PX, INPUT_HEIGHT_PX), interpolation=cv2.INTER_LINEAR)
    boxes = found.boxes_xyxy_px.astype(np.float32).reshape(-1, 4)
    small = boxes[:, 3] - boxes[:, 1] < height_px
    scale = np.array([INPUT_WIDTH_PX / RENDERED_PX[0], INPUT_HEIGHT_PX / RENDERED_PX[1]] * 2, np.float32)
    ignored = (found.occlusion > hidden_share) | small
    return Example(np.asarray(picture, dtype=np.uint8), boxes * scale, found.class_ids.astype(np.int64), ignored)


class Pictures:
    """A cached split: `len()` and `[i]` give examples; pictures are read from disk when asked for."""

    def __init__(self, folder: Path) -> None:
        self._pictures = np.load(folder / "pictures.npy", mmap_mode="r")
        with np.load(folder / "labels.npz") as labels:
            self._starts = labels["starts"]
            self._boxes, self._classes, self._ignored = labels["boxes_px"], labels["classes"], labels["ignored"]

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Example:
        own = slice(self._starts[index], self._starts[index + 1])
        picture = np.asarray(self._pictures[index], dtype=np.uint8)
        return Example(picture, self._boxes[own], self._classes[own], self._ignored[own])

    def class_counts(self, classes: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """How many counted objects there are of each class."""
        return np.bincount(self._classes[~self._ignored], minlength=classes)


def cached(split: Split, count: int, processes: int = 2) -> Pictures:
    """The first `count` pictures of a split, rendered now unless they are on disk already."""
    folder = CACHE / f"{split.name}-{count}"
    if not (folder / "labels.npz").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shape = (count, INPUT_HEIGHT_PX, INPUT_WIDTH_PX, 3)
        pictures = np.lib.format.open_memmap(folder / "pictures.npy", mode="w+", dtype=np.uint8, shape=shape)
        labels: list[Example] = []
        starts = range(0, count, CHUNK)
        with ProcessPoolExecutor(processes) as pool:
            for at, chunk in zip(starts, pool.map(partial(_render_chunk, split, count), starts), strict=True):
                for i, example in enumerate(chunk, at):
                    pictures[i] = example.picture
                    labels.append(example)
        pictures.flush()
        np.savez(
            folder / "labels.npz",
            starts=np.cumsum([0] + [len(e.classes) for e in labels]),
            boxes_px=np.concatenate([e.boxes_px for e in labels]),
            classes=np.concatenate([e.classes for e in labels]),
            ignored=np.concatenate([e.ignored for e in labels]),
        )
    return Pictures(folder)


class Change(NamedTuple):
    """How pictures are augmented: see `training.augment.augmented`."""

    view_px: tuple[int, int]
    wanted: Floats
    share: float


def batches(
    pictures: Pictures, size: int, seed: int, epoch: int, change: Change | None = None
) -> Iterator[tuple[torch.Tensor, Targets]]:
    """All pictures once, in an order fixed by seed and epoch, as ([b, 3, h, w] float32, targets).

    With `change` each is augmented by a generator of its own: the result depends on seed, epoch and picture alone. The next
    batches are prepared in a thread while this one is used. When learning, a last batch that is not full is left out.
    """
    order = np.arange(len(pictures))
    if change is not None:
        order = np.random.default_rng([seed, epoch]).permutation(order)
    groups = [order[i : i + size] for i in range(0, len(order), size)]
    if change is not None:
        groups = [g for g in groups if len(g) == size]

    def prepare(group: np.ndarray[tuple[int], np.dtype[np.int64]]) -> tuple[torch.Tensor, Targets]:
        examples = [pictures[int(i)] for i in group]
        if change is not None:
            seeds = ([seed, epoch, int(i)] for i in group)
            examples = [
                augmented(e, np.random.default_rng(s), change.view_px, change.wanted, change.share)
                for e, s in zip(examples, seeds, strict=True)
            ]
        return collated(examples)

    with ThreadPoolExecutor(1) as worker:
        waiting: list[Future[tuple[torch.Tensor, Targets]]] = [worker.submit(prepare, g) for g in groups[:3]]
        for i in range(len(groups)):
            ready = waiting.pop(0).result()
            if i + 3 < len(groups):
                waiting.append(worker.submit(prepare, groups[i + 3]))
            yield ready


def collated(examples: list[Example]) -> tuple[torch.Tensor, Targets]:
    """Examples of one size as a batch: pictures [b, 3, h, w] float32 in 0..255, and targets padded with uncounted objects."""
    stacked = torch.from_numpy(np.stack([e.picture for e in examples]))
    longest = max(1, max(len(e.classes) for e in examples))
    boxes = torch.zeros(len(examples), longest, 4)
    classes = torch.zeros(len(examples), longest, dtype=torch.int64)
    counted = torch.zeros(len(examples), longest, dtype=torch.bool)
    ignored = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        n = len(example.classes)
        boxes[row, :n] = torch.from_numpy(example.boxes_px)
        classes[row, :n] = torch.from_numpy(example.classes)
        counted[row, :n] = torch.from_numpy(~example.ignored)
        ignored[row, :n] = torch.from_numpy(example.ignored)
    return stacked.permute(0, 3, 1, 2).float(), Targets(boxes, classes, counted, ignored)


def _render_chunk(split: Split, count: int, start: int) -> list[Example]:
    cv2.setNumThreads(1)
    return [rendered(split, split.first_seed + i) for i in range(start, min(start + CHUNK, count))]


def main() -> None:
    """Render the caches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--learn", type=int, default=8000, help="pictures to learn from")
    parser.add_argument("--choose", type=int, default=280, help="pictures to choose the best state by")
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    for split, count in ((LEARN, options.learn), (CHOOSE, options.choose)):
        print(f"{split.name}: {len(cached(split, count, options.processes))} pictures")


if __name__ == "__main__":
    main()
