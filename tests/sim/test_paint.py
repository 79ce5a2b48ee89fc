"""Boxes are those of the pixels drawn; what hides what is counted as it is drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from flowrt_sim import CLASSES
from flowrt_sim.bodies.shapes import VARIANTS, body
from flowrt_sim.camera.scene import pole_camera
from flowrt_sim.dataset import sample
from flowrt_sim.render.light import make_light
from flowrt_sim.render.paint import Figure, paint_figures

PLAIN = replace(make_light("day"), shadow=0.0, haze_m=1e9)


@pytest.mark.parametrize("kind", CLASSES)
def test_the_box_is_the_extent_of_the_pixels_drawn(kind: str) -> None:
    camera = pole_camera("north")
    for variant in range(VARIANTS[kind]):
        for x, y, heading in ((-2.0, 8.0, -1.6), (3.0, 20.0, 0.4), (-5.0, 34.0, 1.5)):
            picture = np.full((720, 1280, 3), 255, np.uint8)
            picture[..., 1] = 0
            figure = Figure(body(kind, variant), x, y, heading, (40, 60, 90), (60, 80, 40), actor=5, stride=0.9)
            seen = paint_figures(picture, camera, [figure], PLAIN)
            changed = np.abs(picture.astype(int) - (255, 0, 255)).sum(axis=2)
            rows, columns = np.nonzero(changed > 150)
            drawn = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
            assert len(seen) == 1
            assert seen[0].visible == pytest.approx(1.0)
            assert np.allclose(seen[0].box_px, drawn, atol=1.5), (kind, variant, seen[0].box_px, drawn)


def test_a_truck_hides_the_car_behind_it() -> None:
    camera = pole_camera("north")
    picture = np.zeros((720, 1280, 3), np.uint8)
    car = Figure(body("car", 0), -5.2, 32.0, -1.57, actor=1)
    truck = Figure(body("truck", 0), -5.2, 22.5, -1.57, actor=2)
    seen = {s.actor: s for s in paint_figures(picture, camera, [car, truck], PLAIN)}
    assert seen[2].visible == pytest.approx(1.0)
    assert seen[1].visible < 0.5
    alone = paint_figures(picture, camera, [car], PLAIN)
    assert alone[0].visible == pytest.approx(1.0)


def test_what_is_outside_or_behind_is_not_seen() -> None:
    camera = pole_camera("north")
    picture = np.zeros((720, 1280, 3), np.uint8)
    figures = [Figure(body("car", 0), -9.0, -40.0, 0.0, actor=1), Figure(body("car", 0), 200.0, 20.0, 0.0, actor=2)]
    assert paint_figures(picture, camera, figures, PLAIN) == []


@pytest.mark.parametrize(("light", "weather"), [("day", "clear"), ("night", "rain"), ("dusk", "overcast")])
def test_samples_are_repeatable_and_well_formed(light: str, weather: str) -> None:
    a, b = (sample(41, size=(640, 360), light=light, weather=weather) for _ in range(2))
    assert np.array_equal(a.image_bgr, b.image_bgr)
    assert np.array_equal(a.boxes_xyxy_px, b.boxes_xyxy_px)
    assert a.image_bgr.shape == (360, 640, 3)
    assert a.image_bgr.dtype == np.uint8
    boxes = a.boxes_xyxy_px
    assert boxes.shape == (len(a.class_ids), 4) == (len(a.occlusion), 4)
    assert ((boxes[:, 2:] > boxes[:, :2]) & (boxes[:, 2:] <= (640, 360)) & (boxes[:, :2] >= 0)).all()
    assert not np.array_equal(a.image_bgr, sample(42, size=(640, 360), light=light, weather=weather).image_bgr)


def test_samples_cover_all_classes() -> None:
    found = np.concatenate([sample(seed, size=(640, 360)).class_ids for seed in range(0, 64, 4)])
    assert set(found.tolist()) == set(range(len(CLASSES)))


@pytest.mark.parametrize(("name", "value"), [("light", "noon"), ("weather", "snow")])
def test_unknown_light_or_weather_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=f"{name}: expected one of .*'{value}'"):
        sample(1, **{name: value})
