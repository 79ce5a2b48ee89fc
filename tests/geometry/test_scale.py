"""The uncertainty of the scale on its way: from the fit to speeds, and into speeding events."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from harness import context, opened
from traffic.street import Actor, along, judge, pixels, play, street

from flowrt import Homography, Scene, Tracks
from flowrt.traffic.geometry.scale_map import LEAST, ScaleMap
from flowrt_nodes.speed import Speed
from flowrt_nodes.violation.speeding import Speeding

CORNERS = [(-3.5, 20.0), (3.5, 20.0), (3.5, 40.0), (-3.5, 40.0)]


def scene(corners: list[tuple[float, float]] = CORNERS) -> Scene:
    return msgspec.structs.replace(street(), homography=Homography(image_px=pixels(corners), ground_m=tuple(corners)))


def driven(kmh: float, from_m: float = 60.0) -> list[Tracks]:
    end_s = from_m / (kmh / 3.6)
    car = Actor(1, "car", along((0.0, -1.75, from_m), (end_s, -1.75, 0.0)), end_s=end_s)
    return [message for message in play([car], end_s) if isinstance(message, Tracks)]


def speeds(of: Scene, folder: Path, **settings: float) -> list[Tracks]:
    with opened(Speed(scene="north", **settings), context(folder, scene=of)) as node:
        return [node.process(tracks) for tracks in driven(50)]


def test_the_table_is_the_calibration() -> None:
    view = scene()
    assert view.calibration is not None
    table = ScaleMap(view.calibration, view.picture_px)
    places = np.array(pixels([(-1.75, 15.0), (0.0, 30.0), (1.75, 45.0), (2.0, 8.0)]))
    ahead = np.array(pixels([(-1.75, 15.1), (0.0, 30.1), (1.75, 45.1), (2.0, 8.1)]))
    exact = view.calibration.scale_sigma(places, ahead - places)
    assert table.sigma(places, np.tile((0.0, 1.0), (4, 1))) == pytest.approx(np.maximum(exact, LEAST), rel=0.25)


def test_an_unknown_direction_is_the_least_certain_one() -> None:
    view = scene()
    assert view.calibration is not None
    place = pixels([(0.0, 30.0)])
    told = ScaleMap(view.calibration, view.picture_px).sigma(place, [(np.nan, np.nan)])
    assert told == pytest.approx(view.calibration.scale_sigma(place), rel=0.25)


def test_speeds_are_as_uncertain_as_the_fit_says(tmp_path: Path) -> None:
    """The four corners of a small rectangle say little about places beyond it."""
    of = scene()
    assert of.calibration is not None
    told = [each for each in speeds(of, tmp_path) if np.isfinite(each.speed_kmh[0])]
    for tracks in told[2:-2]:
        assert tracks.scale_sigma is not None
        there = of.calibration.scale_sigma(tracks.ground_px, [(0.0, 1.0)])[0]
        assert tracks.scale_sigma[0] == pytest.approx(max(there, LEAST), rel=0.3)
        assert tracks.speed_sigma_kmh[0] >= tracks.scale_sigma[0] * tracks.speed_kmh[0] * 0.99
    assert max(float(each.scale_sigma[0]) for each in told if each.scale_sigma is not None) > 0.04


def test_the_setting_overrides_the_fit(tmp_path: Path) -> None:
    for tracks in speeds(scene(), tmp_path, scale_error=0.07):
        assert tracks.scale_sigma is not None
        assert tracks.scale_sigma == pytest.approx(0.07)


def test_points_all_over_the_road_make_speeds_more_certain(tmp_path: Path) -> None:
    all_over = [(x, y) for y in (2.0, 20.0, 40.0, 58.0) for x in (-7.0, 7.0)]
    few, many = speeds(scene(), tmp_path)[8], speeds(scene(all_over), tmp_path)[8]
    assert few.scale_sigma is not None
    assert many.scale_sigma is not None
    assert many.scale_sigma[0] < 0.5 * few.scale_sigma[0]


@pytest.mark.parametrize(("factor", "told"), [(1.0, 1.0), (1.3, 1.3), (0.7, 0.7)])
def test_cars_tell_a_wrong_scale(tmp_path: Path, factor: float, told: float) -> None:
    """No residual shows it, the size of cars does."""
    wrong = [(x * factor, y * factor) for x, y in CORNERS]
    of = msgspec.structs.replace(scene(), homography=Homography(image_px=pixels(CORNERS), ground_m=tuple(wrong)))
    with opened(Speed(scene="north"), context(tmp_path, scene=of)) as node:
        assert node.status()["car_size"] is None, "no car was seen yet"
        for _ in range(3):
            for tracks in driven(50):
                node.process(tracks)
        assert node.status()["car_size"] == pytest.approx(told, abs=0.08)


def test_a_speeding_event_tells_its_uncertainty(tmp_path: Path) -> None:
    events = judge(Speeding(scene="north"), tmp_path, driven(80), scene=scene())
    facts = events[0].evidence
    assert facts["median_kmh"] == pytest.approx(80, abs=4)
    assert LEAST <= facts["scale_sigma"] < 0.2
    assert facts["median_sigma_kmh"] >= facts["scale_sigma"] * facts["median_kmh"] * 0.95


def test_a_speed_within_the_uncertainty_of_the_scale_is_no_offence(tmp_path: Path) -> None:
    """58 km/h where 50 and 5 of tolerance are allowed: beyond doubt with a good homography, in doubt with a poor one."""
    good = [(x, y) for y in (1.0, 20.0, 40.0, 60.0) for x in (-8.0, 8.0)]
    poor = [(-1.5, 28.0), (1.5, 28.0), (1.5, 34.0), (-1.5, 34.0)]
    rule = Speeding(scene="north", sigmas=2)
    assert judge(rule, tmp_path, driven(59), scene=scene(good))
    assert not judge(Speeding(scene="north", sigmas=2), tmp_path, driven(59), scene=scene(poor))


def test_a_poor_scale_silences_no_gross_offence(tmp_path: Path) -> None:
    poor = [(-1.5, 28.0), (1.5, 28.0), (1.5, 34.0), (-1.5, 34.0)]
    events = judge(Speeding(scene="north"), tmp_path, driven(120), scene=scene(poor))
    assert events
    assert events[0].evidence["median_sigma_kmh"] > 5
