"""Train the footprint head, which predicts how objects stand on the ground, on top of a frozen detector.

    python -m training.footprints --run training/runs/main --train 4000
    python -m training.footprints --run training/runs/main --train 4000 --shipped models/flowrt-traffic/flowrt-traffic-fp16.xml

The features around the cells that predict an object are computed once for each picture and augmentation, and held in memory;
the head trains on them within minutes. It predicts the middle of each footprint, the axis along which the object stands, and
the error of both: a Laplace distribution's negative logarithm (Kendall and Gal 2017, "What
Uncertainties Do We Need in Bayesian Deep Learning for Computer Vision?"). The head ends up in `RUN/footprints.pt`; with
`--shipped` the network of an exported model is the body, and is written to `RUN/best.pt`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from flowrt_sim import CLASSES
from training.assign import assign
from training.augment import Example, augmented
from training.data import RENDERED_PX, Pictures, cached, collated
from training.model import FootprintHead, Grid, TrafficDetector, cell_rows
from training.shipped import detector_of
from training.splits import TRAIN, VALIDATION

WHOLE_PX = (1280, 736)
"""Size of the validation pictures: that of the shipped flows."""
CROP_PX = (960, 544)
ZOOM = (0.6, 1.1)
BATCH, PICTURES = 2048, 4
LEAST_IOU = 0.5
"""The footprint of a cell whose box misses the object is not trained."""
RATE, DECAY = 3e-3, 0.01
FARTHEST = 3.0
"""A middle or an axis longer than so many sizes belongs to an object of which hardly anything is in the picture."""


class Seen(NamedTuple):
    """What one level of the network saw around n assigned cells, and what is true there."""

    around: Tensor
    """[n, channels, 5, 5] half: the level's values at the cell and around it."""
    truth: Tensor
    """[n, 4] as columns 0 to 3 of the head."""
    size: Tensor
    """[n, 2] width and height of the box that the cell predicts."""
    facts: Tensor
    """[n, 3]: picture, object, objectness."""
    classes: Tensor
    """[n]."""


def wanted(boxes_px: Tensor, footprints_px: Tensor) -> Tensor:
    """[n, 4] predicted boxes and [n, 4] true footprints, in pixels, to the first four values of the head: see `FootprintHead`."""
    extent = boxes_px[:, 2:] - boxes_px[:, :2]
    middle = (footprints_px[:, :2] - (boxes_px[:, :2] + boxes_px[:, 2:]) / 2) / extent
    axis = (footprints_px[:, 2:] - footprints_px[:, :2]) / extent.prod(1, keepdim=True).sqrt()
    x, y = axis.unbind(1)
    doubled = torch.stack((x * x - y * y, 2 * x * y), 1) / axis.norm(dim=1, keepdim=True).clamp(min=1e-4)
    return torch.cat((middle, doubled), 1)


def footprint_loss(found: Tensor, truth: Tensor, extent: Tensor) -> Tensor:
    """Of [n, 6] values of the head, [n, 4] true ones and [n, 2] widths and heights in pixels: mean of both Laplace terms."""
    size = extent.prod(1, keepdim=True).sqrt()
    off = ((found[:, :2] - truth[:, :2]) * extent / size, found[:, 2:4] - truth[:, 2:4])
    spread = found[:, 4:].clamp(-6, 2).unbind(1)
    terms = [((part * part).sum(1) + 1e-6).sqrt() * torch.exp(-s) + 2 * s for part, s in zip(off, spread, strict=True)]
    return (terms[0] + terms[1]).mean()


@torch.no_grad()
def cell_features(detector: TrafficDetector, examples: list[Example], first: int) -> list[Seen]:
    """What the detector sees of a batch of pictures, one `Seen` a level. first: the number of the first picture."""
    height, width = examples[0].picture.shape[:2]
    grid = Grid.of(width, height)
    shown, targets = collated(examples)
    with torch.autocast("cpu", torch.bfloat16):
        levels = detector.levels(shown.float().contiguous(memory_format=torch.channels_last))
        rows = cell_rows(detector.features(levels)).float()
    boxes_px = grid.boxes_px(rows[..., :4])
    found = assign(boxes_px, rows[..., 4], rows[..., 5:], targets, grid)
    longest = targets.classes.shape[1]
    stands = torch.zeros(len(examples), longest, 4)
    for i, example in enumerate(examples):
        stands[i, : len(example.classes)] = torch.from_numpy(example.footprints_px)
    reach = FootprintHead.REACH
    seen = []
    for level, values in zip(grid.levels, levels, strict=True):
        own = slice(level.first_cell, level.first_cell + level.columns * level.rows)
        picture, cell = (found.positive[:, own] & (found.iou[:, own] > LEAST_IOU)).nonzero(as_tuple=True)
        thing = found.object_index[:, own][picture, cell]
        wide = functional.pad(values.float(), [reach] * 4)
        side = torch.arange(2 * reach + 1)
        row, column = cell // level.columns, cell % level.columns
        around = wide[picture[:, None, None], :, (row[:, None] + side)[:, :, None], (column[:, None] + side)[:, None]]
        boxes = boxes_px[:, own][picture, cell]
        truth = wanted(boxes, stands[picture, thing])
        facts = torch.stack((picture + first, thing, rows[:, own, 4][picture, cell]), 1)
        near = (truth.abs().amax(1) < FARTHEST) & ((boxes[:, 2:] - boxes[:, :2]).amin(1) > 3)
        each = Seen(
            around.permute(0, 3, 1, 2).half(),
            truth,
            boxes[:, 2:] - boxes[:, :2],
            facts,
            targets.classes[picture, thing],
        )
        seen.append(Seen(*(column[near] for column in each)))
    return seen


def features(detector: TrafficDetector, pictures: Pictures, passes: int | None, seed: int) -> list[Seen]:
    """The features of all pictures, or of so many (`passes`) augmented crops of each."""
    levels: list[list[Seen]] = [[], [], []]
    began = time.monotonic()
    for turn in range(passes or 1):
        for first in range(0, len(pictures), PICTURES):
            numbers = range(first, min(first + PICTURES, len(pictures)))
            if passes is None:
                examples = [_whole(pictures[i]) for i in numbers]
            else:
                examples = [_crop(pictures[i], np.random.default_rng([seed, turn, i])) for i in numbers]
            for level, seen in zip(levels, cell_features(detector, examples, first), strict=True):
                level.append(seen)
        print(f"pass {turn + 1}: {len(pictures)} pictures, {time.monotonic() - began:.0f} s", flush=True)
    return [Seen(*(torch.cat(column) for column in zip(*level, strict=True))) for level in levels]


def fit(head: FootprintHead, seen: list[Seen], epochs: int) -> None:
    """Train each level's part of the head on the features of that level."""
    for number, (part, level) in enumerate(zip(head.heads, seen, strict=True)):
        steps = len(level.truth) // BATCH * epochs
        optimiser = torch.optim.AdamW(part.parameters(), lr=RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=max(steps, 2))
        for epoch in range(epochs):
            total, order = 0.0, torch.randperm(len(level.truth))
            for start in range(0, len(order) - BATCH + 1, BATCH):
                some = order[start : start + BATCH]
                loss = footprint_loss(_middle(part, level.around[some]), level.truth[some], level.size[some])
                optimiser.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]  # torch's stubs do not type backward
                optimiser.step()
                schedule.step()
                total += float(loss.detach())
            batches = max(len(order) // BATCH, 1)
            print(f"level {number} epoch {epoch + 1}/{epochs} loss {total / batches:.3f}", flush=True)


@torch.no_grad()
def measured(head: FootprintHead, seen: list[Seen]) -> dict[str, dict[str, float]]:
    """Per class, of the surest cell of each object: error of the middle as a share of the box's size, and of the axis in degrees of
    the picture (median and nine in ten)."""
    surest: dict[tuple[int, int], tuple[float, int, float, float]] = {}
    for part, level in zip(head.heads, seen, strict=True):
        found = torch.cat([_middle(part, some) for some in level.around.split(BATCH)])
        size = level.size.prod(1).sqrt()
        middle = ((found[:, :2] - level.truth[:, :2]) * level.size).norm(dim=1) / size
        a, b = found[:, 2:4], level.truth[:, 2:4]
        turn = torch.atan2(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], (a * b).sum(1)).abs().rad2deg() / 2
        for (picture, thing, sure), kind, off, angle in zip(
            level.facts.tolist(), level.classes.tolist(), middle.tolist(), turn.tolist(), strict=True
        ):
            key = int(picture), int(thing)
            if key not in surest or surest[key][0] < sure:
                surest[key] = sure, kind, off, angle
    table = {}
    for kind, name in enumerate(CLASSES):
        own = np.array([(off, angle) for _, other, off, angle in surest.values() if other == kind])
        if len(own):
            middle, turn = own.T
            table[name] = {
                "objects": len(own),
                "middle": round(float(np.median(middle)), 4),
                "middle_p90": round(float(np.quantile(middle, 0.9)), 4),
                "axis_deg": round(float(np.median(turn)), 2),
                "axis_deg_p90": round(float(np.quantile(turn, 0.9)), 2),
            }
    return table


def _middle(part: nn.Module, around: Tensor) -> Tensor:
    """[n, channels, 5, 5] to the head's values [n, 6] at the cell in the middle, which depends on all of them."""
    for layer in part.children():
        if isinstance(layer, nn.Conv2d):
            around = functional.conv2d(around.float(), layer.weight, layer.bias)
        else:
            around = layer(around)
    return around[:, :, 0, 0]


def _crop(example: Example, rng: np.random.Generator) -> Example:
    return augmented(example, rng, CROP_PX, np.ones(len(CLASSES), np.float32), 0.5, ZOOM)


def _whole(example: Example) -> Example:
    scale = np.array([WHOLE_PX[0] / RENDERED_PX[0], WHOLE_PX[1] / RENDERED_PX[1]] * 2, np.float32)
    picture = np.asarray(cv2.resize(example.picture, WHOLE_PX, interpolation=cv2.INTER_LINEAR), np.uint8)
    return example._replace(
        picture=picture, boxes_px=example.boxes_px * scale, footprints_px=example.footprints_px * scale
    )


def main() -> None:
    """Read the command line, train, measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--run", default="training/runs/main", help="folder with best.pt")
    parser.add_argument("--shipped", help="an exported FP16 model, whose network is the body instead of best.pt")
    parser.add_argument("--train", type=int, default=4000, help="training pictures, as rendered")
    parser.add_argument("--validation", type=int, default=280, help="pictures to measure on")
    parser.add_argument("--passes", type=int, default=3, help="augmented crops of each picture")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    torch.set_num_threads(options.threads)
    run = Path(options.run)
    run.mkdir(parents=True, exist_ok=True)
    if options.shipped:
        detector = detector_of(Path(options.shipped))
        torch.save({"average": detector.state_dict()}, run / "best.pt")
    else:
        detector = TrafficDetector(len(CLASSES))
        detector.load_state_dict(torch.load(run / "best.pt", weights_only=True, map_location="cpu")["average"])
    detector.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs lack memory_format alone
    head = FootprintHead()
    fit(
        head,
        features(detector, cached(TRAIN, options.train, RENDERED_PX), options.passes, options.seed),
        options.epochs,
    )
    table = measured(head, features(detector, cached(VALIDATION, options.validation, RENDERED_PX), None, options.seed))
    torch.save(head.state_dict(), run / "footprints.pt")
    (run / "footprints.json").write_text(json.dumps(table, indent=1) + "\n")
    for name, row in table.items():
        print(f"{name:12}", *(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
