"""What training minimises: where the boxes are (GIoU), whether something is there (BCE), what it is (cross entropy).

The target of an assigned cell's objectness is (1 + IoU) / 2 of its own box, so that among several cells on one object the
one with the best box wins the suppression. GIoU: Rezatofighi et al. 2019, "Generalized Intersection over Union".
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from training.assign import Targets, assign
from training.model import Grid, RawOutput

BOX_WEIGHT = 4.0


class Loss(NamedTuple):
    """The parts, each divided by the number of assigned cells; `total` is what is differentiated."""

    total: Tensor
    box: Tensor
    objectness: Tensor
    classes: Tensor


def detection_loss(
    raw: RawOutput, targets: Targets, grid: Grid, class_weights: Tensor, class_weight: float = 1.0
) -> Loss:
    """The loss of a batch. `class_weights` is [classes] and lifts the rare ones, `class_weight` all of them against the boxes."""
    boxes_px = grid.boxes_px(raw.offsets)
    assigned = assign(boxes_px.detach(), raw.objectness.detach(), raw.classes.detach(), targets, grid)
    count = max(1, int(assigned.positive.sum()))

    wanted_px = targets.boxes_px.gather(1, assigned.object_index[..., None].expand(-1, -1, 4))[assigned.positive]
    wanted_class = targets.classes.gather(1, assigned.object_index)[assigned.positive]
    box = (1 - paired_giou(boxes_px[assigned.positive], wanted_px)).sum() / count

    goal = torch.where(assigned.positive, 0.5 + 0.5 * assigned.iou, torch.zeros_like(assigned.iou))
    per_cell = functional.binary_cross_entropy_with_logits(raw.objectness, goal, reduction="none")
    objectness = (per_cell * ~assigned.neutral).sum() / count

    per_object = functional.cross_entropy(
        raw.classes[assigned.positive], wanted_class, weight=class_weights, reduction="none", label_smoothing=0.02
    )
    classes = per_object.sum() / count
    return Loss(BOX_WEIGHT * box + objectness + class_weight * classes, box, objectness, classes)


def paired_giou(a_px: Tensor, b_px: Tensor) -> Tensor:
    """[n, 4] and [n, 4] corners to the generalised IoU of each pair, [n], from -1 to 1."""
    low, high = torch.maximum(a_px[:, :2], b_px[:, :2]), torch.minimum(a_px[:, 2:], b_px[:, 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (a_px[:, 2:] - a_px[:, :2]).prod(-1) + (b_px[:, 2:] - b_px[:, :2]).prod(-1) - shared
    hull = (torch.maximum(a_px[:, 2:], b_px[:, 2:]) - torch.minimum(a_px[:, :2], b_px[:, :2])).prod(-1)
    return shared / union.clamp(min=1e-6) - (hull - union) / hull.clamp(min=1e-6)
