"""A picture under way in the model, whole or in regions, and what was found in all of them."""

from __future__ import annotations

import time
from typing import NamedTuple

import numpy as np

from flowrt import Floats, Image
from flowrt_nodes.detect._decoding.candidates import Candidates, suppress
from flowrt_nodes.detect._letterbox import Letterbox
from flowrt_nodes.detect._openvino import Request, SharedModel
from flowrt_nodes.detect._regions import Region, merged


class Part(NamedTuple):
    """What the model sees at once; `region` is None for the whole picture."""

    region: Region | None
    letterbox: Letterbox


class Limits(NamedTuple):
    """What counts as found. least: (C,), the least score of each class; floor: the smallest of them."""

    least: Floats
    floor: float
    iou: float
    across_classes: bool


class Found(NamedTuple):
    """Objects in pixels of the picture, the longest inference, and what decoding took."""

    objects: Candidates
    inference_ms: float
    decoding_ms: float


def parts_of(picture_px: tuple[int, int], regions: list[Region], model: SharedModel) -> list[Part]:
    """regions: of pictures of that size; none for the whole."""
    sizes = [region.size_px for region in regions] or [picture_px]
    boxes = [Letterbox.of(size, model.input_px, model.preparation) for size in sizes]
    places: list[Region | None] = [*regions] or [None]
    return [Part(region, letterbox) for region, letterbox in zip(places, boxes, strict=True)]


def start(image: Image, parts: list[Part], model: SharedModel) -> list[Request]:
    """Begin with each part."""
    requests = []
    for region, letterbox in parts:
        request = model.take(letterbox)
        seen = image if region is None else image[region.top : region.bottom, region.left : region.right]
        request.start(seen, letterbox)
        requests.append(request)
    return requests


def collect(requests: list[Request], parts: list[Part], model: SharedModel, limits: Limits) -> Found:
    """Wait for all parts."""
    inference_ms = decoding_ms = 0.0
    found = []
    try:
        for request, part in zip(requests, parts, strict=True):
            outputs = request.outputs()
            began_s = time.perf_counter()
            found.append(_in_picture(_stays(model.found(outputs, limits.floor), limits), part))
            decoding_ms += (time.perf_counter() - began_s) * 1e3
            inference_ms = max(inference_ms, request.latency_ms)
    finally:
        for request in requests:
            request.pool.give_back(request)
    if len(parts) == 1:
        return Found(found[0], inference_ms, decoding_ms)
    began_s = time.perf_counter()
    tiles = [(part.region, each) for part, each in zip(parts, found, strict=True) if part.region is not None]
    together = merged(tiles, limits.iou, limits.across_classes)
    return Found(together, inference_ms, decoding_ms + (time.perf_counter() - began_s) * 1e3)


def _stays(found: Candidates, limits: Limits) -> Candidates:
    found = found.take((found.score >= limits.least.take(found.class_id)).nonzero()[0])
    return found.take(suppress(found, limits.iou, limits.across_classes))


def _in_picture(found: Candidates, part: Part) -> Candidates:
    """From pixels of the input to those of the picture."""
    region, letterbox = part
    boxes = letterbox.to_picture(found.boxes)
    footprints = None if found.footprints is None else letterbox.footprints_to_picture(found.footprints)
    if region is not None:
        boxes += np.array([region.left, region.top] * 2, np.float32)
        if footprints is not None:
            footprints[:, :2] += np.array([region.left, region.top], np.float32)
    return found._replace(boxes=boxes, footprints=footprints)
