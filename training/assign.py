"""The assignment of grid cells to objects: the dynamic assignment of YOLOX (SimOTA), for a whole batch at once.

A cell may predict an object when its centre lies near the object's centre. Among those, each object takes the k cells of
least cost, where cost is the classification error plus three times -log IoU of what the cell predicts now, and k is the sum of
the object's ten best IoUs (at least one). A cell taken by several objects goes to the cheapest.
Source: Ge et al. 2021, "YOLOX", section 2.1; Ge et al. 2021, "OTA: Optimal Transport Assignment for Object Detection".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.model import Grid

CANDIDATES = 10
RADIUS_CELLS = 2
WINDOW = 2 * RADIUS_CELLS
"""Cells a side, on each level, whose centres can lie within the radius of an object's centre."""
IOU_WEIGHT = 3.0
FAR = 1e4
"""Cost added to a cell that may not be assigned: above any true cost, below float32's limits."""


class Targets(NamedTuple):
    """The objects of a batch, padded to the longest picture."""

    boxes_px: Tensor
    """[batch, objects, 4] corners in pixels of the input."""
    classes: Tensor
    """[batch, objects] int64, 0 in the padding."""
    counted: Tensor
    """[batch, objects] bool: an object that counts; False for the padding and for ignored objects."""
    ignored: Tensor
    """[batch, objects] bool: an object too hidden or too small to count, neither as missed nor as false."""


class Assignment(NamedTuple):
    """The cells assigned in a batch."""

    positive: Tensor
    """[batch, cells] bool."""
    object_index: Tensor
    """[batch, cells] int64, the object of a positive cell; 0 elsewhere."""
    iou: Tensor
    """[batch, cells] of the cell's present prediction with its object; 0 elsewhere."""
    neutral: Tensor
    """[batch, cells] bool: the cell lies in an ignored object and has no object."""


class Nearby(NamedTuple):
    """For each object the cells around its centre on every level: k = levels * WINDOW * WINDOW of them."""

    cells: Tensor
    """[batch, objects, k] int64, the row of the output."""
    allowed: Tensor
    """[batch, objects, k] bool: the cell exists, and its centre is near enough to be assigned."""


@torch.no_grad()
def assign(predicted_px: Tensor, objectness: Tensor, class_logits: Tensor, targets: Targets, grid: Grid) -> Assignment:
    """Cells for objects. `predicted_px` is [batch, cells, 4], the logits as the network gives them.

    Only the cells around each object are looked at, which is what keeps this cheap beside the network itself.
    """
    batch, cell_count = objectness.shape
    nearby = cells_nearby(targets, grid)
    shape = nearby.cells.shape
    flat = nearby.cells.reshape(batch, -1)
    boxes = predicted_px.gather(1, flat[..., None].expand(-1, -1, 4)).reshape(*shape, 4)
    iou = _iou(targets.boxes_px[:, :, None], boxes)

    log_class = class_logits.log_softmax(-1).gather(1, flat[..., None].expand(-1, -1, class_logits.shape[-1]))
    wanted = targets.classes[..., None].expand(shape).reshape(batch, -1, 1)
    log_score = log_class.gather(2, wanted).squeeze(2) + functional.logsigmoid(objectness).gather(1, flat)
    cost = -log_score.reshape(shape) - IOU_WEIGHT * (iou + 1e-8).log() + FAR * ~nearby.allowed

    wanted_cells = (iou * nearby.allowed).topk(CANDIDATES, -1).values.sum(-1).floor().clamp(min=1)
    cheapest = cost.topk(CANDIDATES, -1, largest=False).indices
    taken = torch.arange(CANDIDATES) < wanted_cells[..., None]
    chosen = torch.zeros_like(nearby.allowed).scatter_(-1, cheapest, taken) & nearby.allowed

    price = torch.where(chosen, cost, torch.full_like(cost, torch.inf)).reshape(batch, -1)
    best = torch.full((batch, cell_count), torch.inf).scatter_reduce(1, flat, price, "amin")
    winner = chosen.reshape(batch, -1) & (price == best.gather(1, flat))
    picture, place = winner.nonzero(as_tuple=True)
    cell = flat[picture, place]
    positive = torch.zeros(batch, cell_count, dtype=torch.bool)
    positive[picture, cell] = True
    index = torch.zeros(batch, cell_count, dtype=torch.int64)
    index[picture, cell] = place // shape[-1]
    own_iou = torch.zeros(batch, cell_count)
    own_iou[picture, cell] = iou.reshape(batch, -1)[picture, place]
    return Assignment(positive, index, own_iou, _inside_ignored(targets, grid) & ~positive)


def cells_nearby(targets: Targets, grid: Grid) -> Nearby:
    """The cells that may be assigned: centre within the radius, and inside the object or less than one cell from its middle.

    The second half of the rule is for objects so small that no cell's centre lies in them.
    """
    boxes = targets.boxes_px
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    steps = torch.arange(WINDOW)
    row_steps, column_steps = torch.meshgrid(steps, steps, indexing="ij")
    cells, allowed = [], []
    for level in grid.levels:
        first = (middle / level.stride_px - 0.5).floor().long() - RADIUS_CELLS + 1
        columns = first[..., :1] + column_steps.reshape(-1)
        rows = first[..., 1:] + row_steps.reshape(-1)
        exists = (columns >= 0) & (columns < level.columns) & (rows >= 0) & (rows < level.rows)
        centre = (torch.stack((columns, rows), -1) + 0.5) * level.stride_px
        away = (centre - middle[:, :, None]).abs().amax(-1) / level.stride_px
        inside = ((centre > boxes[:, :, None, :2]) & (centre < boxes[:, :, None, 2:])).all(-1)
        allowed.append(exists & (away < RADIUS_CELLS) & (inside | (away < 1.0)) & targets.counted[..., None])
        cells.append(torch.where(exists, level.first_cell + rows * level.columns + columns, 0))
    return Nearby(torch.cat(cells, -1), torch.cat(allowed, -1))


def _iou(a_px: Tensor, b_px: Tensor) -> Tensor:
    """Of corners [..., 4] with corners [..., 4], shapes broadcast."""
    size = (torch.minimum(a_px[..., 2:], b_px[..., 2:]) - torch.maximum(a_px[..., :2], b_px[..., :2])).clamp(min=0)
    shared = size[..., 0] * size[..., 1]
    a, b = a_px[..., 2:] - a_px[..., :2], b_px[..., 2:] - b_px[..., :2]
    return shared / (a[..., 0] * a[..., 1] + b[..., 0] * b[..., 1] - shared).clamp(min=1e-6)


def _inside_ignored(targets: Targets, grid: Grid) -> Tensor:
    """[batch, cells]: whether the cell's centre lies in an ignored object."""
    centres_px = ((grid.columns_rows + 0.5) * grid.strides_px)[None, :, None]
    low, high = targets.boxes_px[:, None, :, :2], targets.boxes_px[:, None, :, 2:]
    inside = ((centres_px > low) & (centres_px < high)).all(-1)
    return (inside & targets.ignored[:, None]).any(-1)
