"""A scene fits pictures of its own proportions, in any size, and no others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import context, opened
from traffic.street import START_S, tracks_of

from flowrt import Homography, Line, Scene, Zone
from flowrt.traffic.scene import WrongShape
from flowrt_nodes.roi import Roi

SCENE = Scene(
    name="main",
    picture_px=(1280, 640),
    zones={"lane": Zone(name="lane", kind="lane", points=((100, 100), (200, 100), (200, 300), (100, 300)))},
    lines={"stop": Line(name="stop", points=((100, 100), (200, 100)))},
    homography=Homography(
        image_px=((100, 100), (200, 100), (260, 300), (40, 300)), ground_m=((0, 30), (7, 30), (7, 5), (0, 5))
    ),
)


@pytest.mark.parametrize("size", [(1280, 640), (640, 320), (1920, 960), (640, 328), (640, 313)])
def test_a_picture_of_the_same_proportions_scales_the_scene(size: tuple[int, int]) -> None:
    scaled = SCENE.scaled(size)
    factor = np.array(size) / SCENE.picture_px
    assert scaled.picture_px == size
    assert np.array(scaled.zones["lane"].points) == pytest.approx(np.array(SCENE.zones["lane"].points) * factor)
    assert scaled.to_ground is not None
    there = scaled.to_ground @ (*(np.array((150, 200)) * factor), 1.0)
    here = SCENE.to_ground @ (150, 200, 1.0)  # type: ignore[operator]  # the scene has a homography
    assert there[:2] / there[2] == pytest.approx(here[:2] / here[2])


@pytest.mark.parametrize("size", [(640, 480), (1280, 720), (640, 1280), (640, 330), (640, 310)])
def test_a_picture_of_other_proportions_is_refused_by_name(size: tuple[int, int]) -> None:
    with pytest.raises(WrongShape) as refused:
        SCENE.scaled(size, "north")
    said = str(refused.value)
    assert all(word in said for word in ("'north'", "'main'", f"{size[0]} x {size[1]}", "1280 x 640"))


def test_a_node_says_so_at_the_first_picture(tmp_path: Path) -> None:
    first = tracks_of(START_S, [1], ["car"], [[100, 100, 200, 200]], camera_id="north")  # of 1280 x 720
    with opened(Roi(scene="main"), context(tmp_path, scene=SCENE)) as node, pytest.raises(WrongShape, match="'north'"):
        list(node.process(first))
