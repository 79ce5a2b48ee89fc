"""Projection, homography and scenes are exact."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowrt_sim import CAMERAS
from flowrt_sim.camera.scene import pole_camera, scene
from flowrt_sim.render.pinhole import Camera
from flowrt_sim.street.layout import Layout


@pytest.mark.parametrize("name", CAMERAS)
def test_ground_to_picture_and_back_is_exact(name: str) -> None:
    camera = pole_camera(name)
    ground = Layout().world(name, np.random.default_rng(1).uniform((-5, -9), (90, 9), (200, 2)))
    assert np.allclose(camera.ground_of(camera.ground_px(ground)), ground, atol=1e-8)


def test_projection_is_the_pinhole_formula() -> None:
    camera = Camera((0.0, 0.0, 10.0), np.pi / 2, 0.0, np.radians(90), (1000, 500))
    pixels, depth = camera.project([(0.0, 20.0, 10.0), (4.0, 20.0, 10.0), (0.0, 20.0, 0.0)])
    assert np.allclose(depth, 20.0)
    assert np.allclose(pixels, [(500, 250), (500 + 500 * 4 / 20, 250), (500, 250 + 500 * 10 / 20)])


def test_roll_turns_the_picture_about_its_middle() -> None:
    straight = Camera((0, 0, 8.0), 0.3, -0.2, 1.0)
    rolled = Camera((0, 0, 8.0), 0.3, -0.2, 1.0, roll_rad=0.1)
    middle = np.array([640.0, 360.0])
    a = straight.ground_px([(30.0, 5.0), (25.0, 12.0)]) - middle
    b = rolled.ground_px([(30.0, 5.0), (25.0, 12.0)]) - middle
    assert np.allclose(np.hypot(*a.T), np.hypot(*b.T))
    assert not np.allclose(a, b, atol=5)


@pytest.mark.parametrize("name", CAMERAS)
@pytest.mark.parametrize("size", [(1280, 720), (640, 360)])
def test_scene_homography_is_that_of_the_camera(name: str, size: tuple[int, int]) -> None:
    camera, found = pole_camera(name, size_px=size), scene(Layout(), name, size)["homography"]
    image, ground = np.array(found["image_px"]), np.array(found["ground_m"])
    assert len(image) >= 4
    matrix, _ = cv2.findHomography(image, ground)
    probe = camera.ground_px(Layout().world(name, [(20.0, 3.0), (50.0, -3.0), (5.0, 1.0)]))
    mapped = np.column_stack([probe, np.ones(3)]) @ np.asarray(matrix).T
    assert np.allclose(mapped[:, :2] / mapped[:, 2:], camera.ground_of(probe), atol=0.02)


@pytest.mark.parametrize("name", CAMERAS)
def test_everything_a_rule_needs_lies_in_the_picture(name: str) -> None:
    found = scene(Layout(), name)
    width, height = found["picture_px"]
    assert {"in_1", "in_2", "out_1", "out_2", "crosswalk", "conflict_in", "conflict_out", "no_stopping", "box"} <= set(
        found["zones"]
    )
    shapes = [z["zone"] for z in found["zones"].values()] + [x["line"] for x in found["lines"].values()]
    for points in shapes:
        assert (np.array(points) >= -0.01).all()
        assert (np.array(points) <= (width + 0.01, height + 0.01)).all()
    for zone in found["zones"].values():
        assert cv2.contourArea(np.array(zone["zone"], np.float32)) > 100
    lanes = [z for z in found["zones"].values() if z["kind"] == "lane"]
    assert all(np.hypot(*z["heading"]) == pytest.approx(1, abs=1e-3) and z["limit_kmh"] == 50 for z in lanes)
    assert found["zones"]["in_1"]["heading"][1] > 0 > found["zones"]["out_1"]["heading"][1]
    stop = np.array(found["lines"]["stop_line"]["line"])
    middle = [np.mean(found["zones"][lane]["zone"], axis=0) for lane in ("in_1", "in_2")]
    assert all(m[1] < stop[:, 1].min() + 5 for m in middle)
    assert found["lines"]["stop_line"]["signal"] in found["lamps"]


def test_unknown_camera_is_refused() -> None:
    with pytest.raises(KeyError):
        pole_camera("up")
