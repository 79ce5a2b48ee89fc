"""A still of a camera without its traffic: the median of pictures that lie apart in time."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from flowrt.clock import SystemClock, VirtualClock
from flowrt.contract import Contract
from flowrt.message import Image, Message
from flowrt.node import Context, Shared, Source, close_node, open_node
from flowrt.traffic.objects import Frame

PICTURES = 30
BUDGET_S = 12.0
"""Pictures are collected for so long at most; a live camera needs about that for the traffic to move on."""
_BAND, _KEPT_BYTES = 64, 250e6
"""Rows of which the median is taken at once, and how much all pictures may hold: those of a 4K camera are fewer."""


class NoStill(Exception):
    """The camera gave no picture; the text says why."""


class _NoRuntime:
    """What a node asks of the runtime, which there is none of."""

    def status(self, recent_s: float | None = None) -> dict[str, Any]:
        return {}


def still_of(camera: Source, name: str, folder: Path, pictures: int = PICTURES) -> Image:
    """The median picture (H, W, 3) of a camera, spread over the clip, or over some seconds of a stream.

    camera: its settings, unopened. Raises NoStill.
    """
    kept: list[Image] = []
    every, since = 1, 0
    try:
        for frame in _frames(camera, name, folder):
            if kept and frame.image.shape != kept[0].shape:
                break  # another clip of the folder
            since += 1
            if since < every:
                continue
            since = 0
            kept.append(frame.image)
            if len(kept) >= max(min(2 * pictures, _KEPT_BYTES // frame.image.nbytes), 6):
                kept, every = kept[::2], every * 2
    except Exception as error:  # whatever a source raises; the sheet is drawn without a picture
        if not kept:
            raise NoStill(f"{name} gave no picture: {error}") from error
    if not kept:
        raise NoStill(f"{name} gave no picture within {BUDGET_S:g} s")
    return median(kept)


def median(pictures: list[Image]) -> Image:
    """The median of each pixel and channel."""
    middle, bands = len(pictures) // 2, []
    for top in range(0, len(pictures[0]), _BAND):
        rows = np.stack([picture[top : top + _BAND] for picture in pictures])
        bands.append(np.partition(rows, middle, axis=0)[middle])
    return np.concatenate(bands)


def _frames(camera: Source, name: str, folder: Path) -> Iterator[Frame]:
    """The camera's frames as fast as they come, until the budget is used up. A recorded clip runs on virtual time."""
    node = msgspec.structs.replace(camera)
    stopping = threading.Event()
    timer = threading.Timer(BUDGET_S, stopping.set)
    with tempfile.TemporaryDirectory(prefix="flowrt-still-") as data:
        open_node(node, _context(node, name, folder, Path(data), stopping))
        timer.start()
        end = time.monotonic() + BUDGET_S
        try:
            for made in node.produce():
                for message in (made,) if isinstance(made, Message) else made:
                    if isinstance(message, Frame):
                        yield message
                if time.monotonic() > end:
                    return
        finally:
            timer.cancel()
            stopping.set()
            close_node(node)


def _context(node: Source, name: str, folder: Path, data: Path, stopping: threading.Event) -> Context:
    return Context(
        node=name,
        flow="still",
        site="",
        folder=folder,
        data=data,
        clock=SystemClock() if node.live else VirtualClock(),
        log=logging.getLogger("flowrt.still"),
        shared=Shared(),
        runtime=_NoRuntime(),
        contract=Contract.load(),
        stopping=stopping,
    )
