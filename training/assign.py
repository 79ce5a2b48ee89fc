"""Which grid cells answer for which object: the dynamic assignment of YOLOX (SimOTA), for a whole batch at once.

A cell may answer for an object when its centre lies near the object's centre. Among those, each object takes the k cells of
least cost, where cost is the classification error plus three times -log IoU of what the cell predicts now, and k is the sum of
the object's ten best IoUs (at least one). A cell wanted by several objects goes to the cheapest.
Source: Ge et al. 2021, "YOLOX", section 2.1; Ge et al. 2021, "OTA: Optimal Transport Assignment for Object Detection".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from training.model import Grid

CANDIDATES = 10
RADIUS_CELLS = 2.0
IOU_WEIGHT = 3.0
FAR = 1e4
"""Cost added to a cell that may not answer: above any true cost, below float32's limits."""


class Targets(NamedTuple):
    """The objects of a batch, padded to the longest picture."""

    boxes_px: Tensor
    """[batch, objects, 4] corners in pixels of the input."""
    classes: Tensor
    """[batch, objects] int64, 0 in the padding."""
    counted: Tensor
    """[batch, objects] bool: an object to be found; False for the padding and for ignored objects."""
    ignored: Tensor
    """[batch, objects] bool: an object too hidden or too small to be asked for, where finding it is no mistake either."""


class Assignment(NamedTuple):
    """The answer cells of a batch."""

    positive: Tensor
    """[batch, cells] bool."""
    object_index: Tensor
    """[batch, cells] int64, the object that a positive cell answers for; 0 elsewhere."""
    iou: Tensor
    """[batch, cells] of the cell's present prediction with its object; 0 elsewhere."""
    neutral: Tensor
    """[batch, cells] bool: the cell lies in an ignored object and answers for none."""


def pairwise_iou(a_px: Tensor, b_px: Tensor) -> Tensor:
    """[..., m, 4] and [..., n, 4] corners to [..., m, n]."""
    a, b = a_px[..., :, None, :], b_px[..., None, :, :]
    size = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0)
    shared = size.prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).prod(-1)
    return shared / (area_a + area_b - shared).clamp(min=1e-6)


@torch.no_grad()
def assign(predicted_px: Tensor, objectness: Tensor, class_logits: Tensor, targets: Targets, grid: Grid) -> Assignment:
    """Cells for objects. `predicted_px` is [batch, cells, 4], the logits as the network gives them."""
    centres_px = (grid.columns_rows + 0.5) * grid.strides_px
    boxes = targets.boxes_px
    middle = (boxes[..., :2] + boxes[..., 2:]) / 2
    away = (centres_px[None, None] - middle[:, :, None]).abs() / grid.strides_px[None, None]
    near = (away < RADIUS_CELLS).all(-1)
    inside = _contains(boxes, centres_px)
    touching = (away < 1.0).all(-1)
    allowed = near & (inside | touching) & targets.counted[..., None]

    iou = pairwise_iou(boxes, predicted_px)
    log_score = class_logits.log_softmax(-1) + torch.nn.functional.logsigmoid(objectness)[..., None]
    wanted = targets.classes[..., None].expand(-1, -1, log_score.shape[1])
    class_cost = -log_score.transpose(1, 2).gather(1, wanted)
    cost = class_cost - IOU_WEIGHT * (iou + 1e-8).log() + FAR * ~allowed

    wanted_cells = (iou * allowed).topk(CANDIDATES, -1).values.sum(-1).floor().clamp(min=1).long()
    cheapest = cost.topk(CANDIDATES, -1, largest=False)
    taken = torch.arange(CANDIDATES) < wanted_cells[..., None]
    chosen = torch.zeros_like(allowed).scatter_(-1, cheapest.indices, taken) & allowed

    price = torch.where(chosen, cost, torch.full_like(cost, float("inf")))
    best = price.min(1)
    positive = best.values.isfinite()
    index = torch.where(positive, best.indices, torch.zeros_like(best.indices))
    own_iou = iou.gather(1, index[:, None]).squeeze(1) * positive
    in_ignored = (_contains(boxes, centres_px) & targets.ignored[..., None]).any(1)
    return Assignment(positive, index, own_iou, in_ignored & ~positive)


def _contains(boxes_px: Tensor, points_px: Tensor) -> Tensor:
    """[batch, objects, 4] and [cells, 2] to [batch, objects, cells]."""
    low = points_px[None, None] > boxes_px[:, :, None, :2]
    high = points_px[None, None] < boxes_px[:, :, None, 2:]
    return (low & high).all(-1)
