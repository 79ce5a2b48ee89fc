"""The network of an exported FP16 model, so that training can go on from the shipped one.

Constants keep the names of the network's layers in the IR. Batch normalisation was folded into the convolutions, and the scaling
to 0..1 into the first one: they become a normalisation that only adds the bias.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import openvino
import torch
from torch import Tensor, nn

from flowrt_sim import CLASSES
from training.model import ConvBlock, TrafficDetector

FIRST_LAYER = "stem.0.0"


def detector_of(model: Path) -> TrafficDetector:
    """The detector of an IR that `training.export` wrote, ready for inference. Raises ValueError for any other model."""
    nodes = {node.get_friendly_name(): node for node in openvino.Core().read_model(model).get_ops()}
    detector = TrafficDetector(len(CLASSES))
    layers = {name: layer for name, layer in detector.named_modules() if isinstance(layer, nn.Conv2d)}
    try:
        for name, layer in layers.items():
            stem = f"__module.detector.{name}/aten::_convolution"
            weight, bias = (_constant(nodes[f"{stem}/{what}"]) for what in ("Convolution", "Add"))
            _fill(detector, name, layer, weight * (255 if name == FIRST_LAYER else 1), bias.reshape(-1))
    except (KeyError, RuntimeError) as error:
        raise ValueError(f"{model}: no FP16 model of this network: {error}") from None
    return detector.eval()


@torch.no_grad()
def _fill(detector: TrafficDetector, name: str, layer: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
    layer.weight.copy_(weight)
    if layer.bias is not None:
        layer.bias.copy_(bias)
        return
    block = detector.get_submodule(name.rpartition(".")[0])
    assert isinstance(block, ConvBlock)  # a convolution without a bias stands in one
    normalisation = block[1]
    assert isinstance(normalisation, nn.BatchNorm2d)  # so ConvBlock is built
    assert normalisation.running_var is not None  # it tracks statistics by default
    normalisation.running_var.fill_(1 - normalisation.eps)
    normalisation.bias.copy_(bias)


def _constant(operation: Any) -> Tensor:
    """The second operand of a convolution or an addition."""
    node = operation.input_value(1).get_node()
    while node.get_type_name() == "Convert":
        node = node.input_value(0).get_node()
    if node.get_type_name() != "Constant":
        raise KeyError(f"{node.get_friendly_name()} is no constant")
    return torch.from_numpy(node.get_data().astype(np.float32))
