"""Rendered pictures on disk, and batches of them for training.

Rendering costs more than reading, so each picture is rendered once and stored, at the size of the network's input or, with room
for it, as it was rendered: `training/cache/NAME-COUNT-WIDTHxHEIGHT/` with `pictures.npy` ([n, h, w, 3] uint8 BGR) and
`labels.npz`. The same seeds give the same cache, whatever the number of processes. A cache is complete when its `labels.npz`
is there.

    python -m training.data --train 8000 --validation 280
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from flowrt_scoring.detector.evaluation import HIDDEN_SHARE, SMALLEST_HEIGHT_PX
from flowrt_sim.dataset import sample
from training.assign import Targets
from training.augment import Example, Floats, augmented
from training.model import INPUT_HEIGHT_PX, INPUT_WIDTH_PX
from training.splits import TRAIN, VALIDATION, Split

CACHE = Path(__file__).parent / "cache"
RENDERED_PX = (1280, 720)
INPUT_PX = (INPUT_WIDTH_PX, INPUT_HEIGHT_PX)
TRAINED_HIDDEN_SHARE = 0.6
TRAINED_HEIGHT_PX = 18.0
"""Objects that count in training: a little more than in evaluation, so that training has no edge at the limit of evaluation."""
CHUNK = 56
"""Pictures rendered by a process at a time: whole places, which share their painting."""
START = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
"""How processes are started: not as copies of this one, in which OpenCV's and PyTorch's threads may hold locks."""


def rendered(split: Split, seed: int, size_px: tuple[int, int] = INPUT_PX) -> Example:
    """One picture at a size, with its boxes; objects that are hardly visible are marked as ignored."""
    training = split == TRAIN
    hidden_share = TRAINED_HIDDEN_SHARE if training else HIDDEN_SHARE
    height_px = TRAINED_HEIGHT_PX if training else SMALLEST_HEIGHT_PX
    light, weather = split.condition(seed)
    shown = sample(seed, size=RENDERED_PX, light=light, weather=weather)
    picture = cv2.resize(shown.image_bgr, size_px, interpolation=cv2.INTER_LINEAR)
    boxes = shown.boxes_xyxy_px.astype(np.float32).reshape(-1, 4)
    small = boxes[:, 3] - boxes[:, 1] < height_px
    scale = np.array([size_px[0] / RENDERED_PX[0], size_px[1] / RENDERED_PX[1]] * 2, np.float32)
    ignored = (shown.occlusion > hidden_share) | small
    return Example(
        np.asarray(picture, dtype=np.uint8),
        boxes * scale,
        shown.class_ids.astype(np.int64),
        ignored,
        shown.footprints_px * scale,
    )


class Pictures:
    """A cached split: `len()` and `[i]` give examples; pictures are read from disk when asked for."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pictures = np.load(folder / "pictures.npy", mmap_mode="r")
        with np.load(folder / "labels.npz") as labels:
            self._starts = labels["starts"]
            self._boxes, self._classes, self._ignored = labels["boxes_px"], labels["classes"], labels["ignored"]
            self._footprints = labels["footprints_px"]

    def __reduce__(self) -> tuple[type[Pictures], tuple[Path]]:
        """Another process opens the folder itself: the pictures may be more than fits into memory."""
        return Pictures, (self._folder,)

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> Example:
        own = slice(self._starts[index], self._starts[index + 1])
        picture = np.asarray(self._pictures[index], dtype=np.uint8)
        return Example(picture, self._boxes[own], self._classes[own], self._ignored[own], self._footprints[own])

    def class_counts(self, classes: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The number of counted objects of each class."""
        return np.bincount(self._classes[~self._ignored], minlength=classes)


def cached(split: Split, count: int, size_px: tuple[int, int] = INPUT_PX, processes: int | None = None) -> Pictures:
    """The first `count` pictures of a split, rendered now by so many processes (by default one per core) unless they are on disk."""
    folder = CACHE / f"{split.name}-{count}-{size_px[0]}x{size_px[1]}"
    if not (folder / "labels.npz").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        shape = (count, size_px[1], size_px[0], 3)
        np.lib.format.open_memmap(folder / "pictures.npy", mode="w+", dtype=np.uint8, shape=shape).flush()
        with ProcessPoolExecutor(processes or os.cpu_count(), multiprocessing.get_context(START)) as pool:
            chunks = [range(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
            rendered_chunks = pool.map(partial(_render_chunk, split, folder, size_px), chunks)
            labels = [label for chunk in rendered_chunks for label in chunk]
        np.savez(
            folder / "labels.npz",
            starts=np.cumsum([0] + [len(label.classes) for label in labels]),
            boxes_px=np.concatenate([label.boxes_px for label in labels]),
            classes=np.concatenate([label.classes for label in labels]),
            ignored=np.concatenate([label.ignored for label in labels]),
            footprints_px=np.concatenate([label.footprints_px for label in labels]),
        )
    return Pictures(folder)


class Augmentation(NamedTuple):
    """How pictures are augmented: see `training.augment.augmented`."""

    view_px: tuple[int, int]
    wanted: Floats
    share: float
    zoom: tuple[float, float]


class _Augmented(Dataset[Example]):
    """Pictures of one epoch, each augmented by a generator of its own: the result depends on seed, epoch and picture alone."""

    def __init__(self, pictures: Pictures, seed: int, epoch: int, augmentation: Augmentation | None) -> None:
        self._pictures, self._seed, self._epoch, self._augmentation = pictures, seed, epoch, augmentation

    def __getitem__(self, index: int) -> Example:
        example = self._pictures[index]
        if self._augmentation is None:
            return example
        return augmented(example, np.random.default_rng([self._seed, self._epoch, index]), *self._augmentation)


def batches(
    pictures: Pictures, size: int, seed: int, epoch: int, augmentation: Augmentation | None = None, processes: int = 1
) -> Iterator[tuple[torch.Tensor, Targets]]:
    """All pictures once, in an order fixed by seed and epoch, as ([b, 3, h, w] uint8, targets), whatever the number of processes.

    With `augmentation` (in training), a last batch that is not full is left out.
    """
    order = np.arange(len(pictures))
    if augmentation is not None:
        order = np.random.default_rng([seed, epoch]).permutation(order)
    groups = [order[i : i + size].tolist() for i in range(0, len(order), size)]
    if augmentation is not None:
        groups = [g for g in groups if len(g) == size]
    yield from DataLoader(
        _Augmented(pictures, seed, epoch, augmentation),
        batch_sampler=groups,
        num_workers=processes,
        multiprocessing_context=START,
        collate_fn=collated,
        worker_init_fn=_one_thread,
        prefetch_factor=4,
        pin_memory=torch.cuda.is_available(),
    )


def collated(examples: list[Example]) -> tuple[torch.Tensor, Targets]:
    """Examples of one size as a batch: pictures [b, 3, h, w] uint8, and targets padded with uncounted objects."""
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
    return stacked.permute(0, 3, 1, 2), Targets(boxes, classes, counted, ignored)


def _one_thread(_process: int) -> None:
    cv2.setNumThreads(1)


def _render_chunk(split: Split, folder: Path, size_px: tuple[int, int], chunk: range) -> list[Example]:
    """Render a chunk into the folder's pictures; its labels go back, with empty pictures."""
    cv2.setNumThreads(1)
    pictures = np.load(folder / "pictures.npy", mmap_mode="r+")
    labels = []
    for i in chunk:
        example = rendered(split, split.first_seed + i, size_px)
        pictures[i] = example.picture
        labels.append(example._replace(picture=np.empty((0, 0, 3), np.uint8)))
    return labels


def main() -> None:
    """Render the caches."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--train", type=int, default=8000, help="training pictures")
    parser.add_argument(
        "--validation", type=int, default=280, help="validation pictures, by which the best state is chosen"
    )
    parser.add_argument("--whole", action="store_true", help="store the training pictures as rendered, 1280x720")
    options = parser.parse_args()
    train_px = RENDERED_PX if options.whole else INPUT_PX
    for split, count, size_px in ((TRAIN, options.train, train_px), (VALIDATION, options.validation, INPUT_PX)):
        print(f"{split.name}: {len(cached(split, count, size_px))} pictures of {size_px[0]}x{size_px[1]}")


if __name__ == "__main__":
    main()
