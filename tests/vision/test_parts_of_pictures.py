"""Tiles, a crop, a mask and limits on boxes: on a real clip with a real model, and the merging of tiles box by box."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from harness import context, data_file, feed, opened

from flowrt import Detections, Frame, Image
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.detect import Detect
from flowrt_nodes.detect._decoding.candidates import Candidates
from flowrt_nodes.detect._filters import Filters
from flowrt_nodes.detect._regions import merged, regions_of

VEHICLES = ["car", "truck", "bus"]
FAR_PX = 25


@pytest.fixture(scope="module")
def motorway() -> list[Image]:
    """Five pictures of 1280x720: four lanes, with vehicles far away at the upper border."""
    capture = cv2.VideoCapture(str(data_file("real/motorway.mp4")))
    pictures = [np.asarray(capture.read()[1], np.uint8) for _ in range(261)]
    return pictures[20::60]


def found(pictures: list[Image], folder: Path, **settings: Any) -> list[Detections]:
    node = msgspec.convert(
        {"model": str(data_file("yolox_nano.onnx")), "keep": VEHICLES, "nms": "across", **settings}, Detect
    )
    frames = [Frame(time_s=float(i), camera_id="north", image=image) for i, image in enumerate(pictures)]
    with opened(node, context(folder)):
        return [each for each in feed(node, frames) if isinstance(each, Detections)]


def heights(detections: Detections) -> Any:
    return detections.boxes_px[:, 3] - detections.boxes_px[:, 1]


def test_tiles_find_more_that_is_far_away(motorway: list[Image], tmp_path: Path) -> None:
    whole, tiled = found(motorway, tmp_path), found(motorway, tmp_path, tiles="2x2")
    far = [sum(int((heights(each) < FAR_PX).sum()) for each in seen) for seen in (whole, tiled)]
    assert far[1] >= far[0] + 8  # 1 and 15, looked at: they are vehicles
    for before, after in zip(whole, tiled, strict=True):  # what is near is found as before, once
        for box in before.boxes_px[heights(before) >= 2 * FAR_PX]:
            assert (overlaps(box, after.boxes_px) > 0.6).sum() == 1


def test_a_crop_gives_places_in_the_whole_picture(motorway: list[Image], tmp_path: Path) -> None:
    whole = found(motorway, tmp_path)
    cropped = found(motorway, tmp_path, crop=[400, 0, 1000, 338])
    best = []
    for before, after in zip(whole, cropped, strict=True):
        assert len(after)
        assert after.picture_px == (1280, 720)
        assert (after.boxes_px[:, 0] >= 400).all()
        assert (after.boxes_px[:, 3] <= 338).all()
        x0, _, x1, y1 = before.boxes_px.T
        best += [overlaps(box, after.boxes_px).max() for box in before.boxes_px[(x0 > 420) & (x1 < 980) & (y1 < 320)]]
    assert len(best) >= 10
    assert np.median(best) > 0.6  # the model is coarse: a few of the small ones are other boxes, or none


def test_what_stands_within_the_mask_is_left_out(motorway: list[Image], tmp_path: Path) -> None:
    whole = found(motorway, tmp_path)
    masked = found(motorway, tmp_path, mask=[[[760, 0], [1280, 0], [1280, 720], [760, 720]]])
    middle = [(each.boxes_px[:, 0] + each.boxes_px[:, 2]) / 2 for each in whole]
    assert sum((x >= 760).sum() for x in middle)
    assert [len(each) for each in masked] == [int((x < 760).sum()) for x in middle]


def test_limits_on_boxes(motorway: list[Image], tmp_path: Path) -> None:
    whole = found(motorway, tmp_path)
    for settings, stays in (
        ({"min_px": 40.0}, lambda width, height: np.maximum(width, height) >= 40),
        ({"max_px": 60.0}, lambda width, height: np.maximum(width, height) <= 60),
        ({"aspect": [0.5, 1.2]}, lambda width, height: (width / height >= 0.5) & (width / height <= 1.2)),
    ):
        limited = found(motorway, tmp_path, **settings)
        expected = [stays(each.boxes_px[:, 2] - each.boxes_px[:, 0], heights(each)) for each in whole]
        assert [len(each) for each in limited] == [int(each.sum()) for each in expected]
        assert sum(map(len, limited)) < sum(map(len, whole))


def test_an_edit_is_in_force_with_the_next_picture(motorway: list[Image], tmp_path: Path) -> None:
    node = Detect(model=str(data_file("yolox_nano.onnx")), keep=VEHICLES)
    frame = Frame(time_s=0.0, camera_id="north", image=motorway[3])
    with opened(node, context(tmp_path)):
        before, *_ = feed(node, [frame])
        node.min_px = 1000.0
        node.reconfigured(frozenset({"min_px"}))
        after, *_ = feed(node, [frame])
    assert isinstance(before, Detections)
    assert isinstance(after, Detections)
    assert len(before)
    assert len(after) == 0


def overlaps(box: Any, boxes: Any) -> Any:
    common = np.maximum(np.minimum(box[2:], boxes[:, 2:]) - np.maximum(box[:2], boxes[:, :2]), 0).prod(axis=1)
    sizes = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    return common / (sizes + (box[2:] - box[:2]).prod() - common)


def test_tiles_cover_the_picture_and_overlap() -> None:
    assert regions_of((1280, 720), None, "1x1", 0.2) == []
    left, right = regions_of((1280, 720), None, "2x1", 0.2)
    assert (left.left, left.right, right.left, right.right) == (0, 711, 569, 1280)
    assert (left.cuts, right.cuts) == ((False, False, True, False), (True, False, False, False))
    tiles = regions_of((1280, 720), (100, 200, 1100, 700), "3x2", 0.1)
    assert len(tiles) == 6
    assert (min(tile.left for tile in tiles), max(tile.right for tile in tiles)) == (100, 1100)
    assert (min(tile.top for tile in tiles), max(tile.bottom for tile in tiles)) == (200, 700)
    assert len({tile.size_px for tile in tiles}) <= 2  # rounded
    with pytest.raises(ValueError, match="crop: nothing of it lies within the picture"):
        regions_of((640, 480), (700, 0, 900, 480), "1x1", 0.2)


def candidates(*boxes: tuple[float, float, float, float], score: float = 0.9) -> Candidates:
    n = len(boxes)
    edges = np.array(boxes, np.float32).reshape(n, 4)
    return Candidates(edges, np.full(n, score, np.float32), np.zeros(n, np.int64))


@pytest.mark.parametrize(
    ("in_left", "in_right", "whole"),
    [
        ([(600, 100, 680, 160)], [(601, 100, 681, 160)], [(600, 100, 680, 160)]),  # in both
        ([(650, 100, 711, 160)], [(650, 100, 730, 160)], [(650, 100, 730, 160)]),  # cut in one
        ([(500, 100, 711, 200)], [(569, 102, 800, 201)], [(500, 100, 800, 201)]),  # a bus, wider than what overlaps
        ([(600, 100, 640, 160)], [(655, 100, 690, 160)], [(600, 100, 640, 160), (655, 100, 690, 160)]),  # two cars
        ([(650, 100, 711, 160)], [(569, 300, 640, 360)], [(650, 100, 711, 160), (569, 300, 640, 360)]),  # far apart
    ],
)
def test_what_lies_in_two_tiles_is_one(in_left: list[Any], in_right: list[Any], whole: list[Any]) -> None:
    left, right = regions_of((1280, 720), None, "2x1", 0.2)
    found = merged([(left, candidates(*in_left)), (right, candidates(*in_right, score=0.8))], 0.5, True)
    assert sorted(map(tuple, found.boxes.tolist())) == sorted(whole)


def test_nothing_is_filtered_where_nothing_is_asked_for() -> None:
    assert Filters.of((640, 480), [], 0.0, None, None) is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"crop": [600, 0, 500, 400]}, "600 is not less than 500"),
        ({"aspect": [3, 0.5]}, "3 is not less than 0.5"),
        ({"mask": [[[0, 0], [10, 10]]]}, "2 corners"),
    ],
)
def test_settings_that_can_not_be(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    class View:
        folder = tmp_path
        services: dict[str, Any] = {}  # a stand-in for the loader's view

    node = msgspec.convert({"model": "flowrt-traffic-int8.xml", **settings}, Detect)
    assert said in [diagnostic.message for diagnostic in node.check(View())]  # type: ignore[arg-type]  # it asks for the folder only
