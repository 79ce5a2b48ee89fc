"""Which model a node wants, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from flowrt_nodes.detect._model.metadata import Colours, Decoder, Resize


class ModelError(ValueError):
    """A model or device that can't be used; the text is one line for people."""


class Wanted(NamedTuple):
    """What makes two nodes share a compiled model. stamp: size and time of its files, so that a new file is a new model."""

    path: Path
    stamp: tuple[tuple[int, int], ...]
    device: str
    hint: str
    decoder: Decoder | None
    resize: Resize | None
    colours: Colours | None
    mean: tuple[float, ...] | None
    scale: tuple[float, ...] | None
    labels: tuple[str, ...]
    resize_in: Literal["auto", "opencv", "model"]
    input_px: tuple[int, int] | None
