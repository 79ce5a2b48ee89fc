"""The kit's traffic: tracks from numbers and ways, scenes from four points, and that built-in nodes agree with them."""

from __future__ import annotations

import numpy as np
import pytest

from flowrt import Tracks
from flowrt.testing import START_S, drive, line, run, scene, signal, tracks, traffic, zone
from flowrt.traffic.geometry.camera_view import CameraView
from flowrt_nodes.roi import Roi
from flowrt_nodes.speed import Speed
from flowrt_nodes.violation.speeding import Speeding

ROAD = scene(zones={"in": zone((3.5, 0), (7, 60), kind="lane", heading=(0, -1), limit_kmh=50)})


def test_tracks_from_a_few_numbers() -> None:
    three = tracks(speed_kmh=[30, 51, 90])
    assert three.label == ["car"] * 3
    assert three.track_id.tolist() == [1, 2, 3]
    assert np.isnan(three.ground_m).all()
    assert len(tracks()) == 1
    both = tracks(label=["bus", "tram"], ground_m=[[1, 2], [3, 4]], zones={"stop": [True, False]}, age_s=2)
    assert (both.label, both.age_s.tolist(), both.zone_mask("stop").tolist()) == (
        ["bus", "tram"],
        [2, 2],
        [True, False],
    )
    one_place = tracks(track_id=[5, 6], velocity_m_s=[3.0, 4.0])
    assert one_place.velocity_m_s.tolist() == [[3, 4], [3, 4]]


def test_numbers_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"no column speed; they have .*speed_kmh"):
        tracks(speed=[1])
    with pytest.raises(ValueError, match="2, 3 entries"):
        tracks(speed_kmh=[1, 2], age_s=[1, 2, 3])


def test_a_scene_from_four_points() -> None:
    north = scene(
        [(500, 100), (700, 100), (1100, 700), (100, 700)], width_m=7, length_m=40, lines={"stop": line((0, 5), (7, 5))}
    )
    view = CameraView.of(north, north.picture_px)
    assert view.metres([(500, 100), (1100, 700)]) == pytest.approx(np.array([[0, 40], [7, 0]]), abs=1e-6)
    assert view.metres(north.lines["stop"].points) == pytest.approx(np.array([[0, 5], [7, 5]]), abs=1e-6)
    assert ROAD.zones["in"].limit_kmh == 50
    assert CameraView.of(ROAD, ROAD.picture_px).heading_m(ROAD.zones["in"]) == pytest.approx([0, -1], abs=1e-3)


def test_ways_are_what_the_nodes_would_measure() -> None:
    """`speed` and `roi` behind the bare boxes find the speeds, places and zones that `traffic` fills in."""
    way = drive((5.25, 55), (5.25, 5), speed_kmh=54, track_id=9)
    bare = traffic(way, scene=ROAD, measured=False)
    measured = traffic(way, scene=ROAD)
    assert np.isnan(bare[5].speed_kmh).all()
    found = run(Roi(scene="north", keep="all"), run(Speed(scene="north"), bare, scene=ROAD), scene=ROAD)
    behind = {each.time_s: each for each in found if isinstance(each, Tracks)}
    for told in measured[10:30]:
        seen = behind[told.time_s]
        assert told.speed_kmh == pytest.approx(54, abs=0.01)
        assert seen.speed_kmh == pytest.approx(told.speed_kmh, abs=3)
        assert seen.ground_m == pytest.approx(told.ground_m, abs=0.5)
        assert seen.zone_mask("in").tolist() == told.zone_mask("in").tolist() == [True]
        assert told.heading_deg == pytest.approx(-90)
    assert [len(each) for each in measured][-20:] == [0] * 20, "two seconds more, for what ends late"


def test_a_vehicle_that_waits() -> None:
    way = drive((5, 50, 0), (5, 20, 4), (5, 20, 10), (5, 5, 12), label="truck")
    pictures = traffic(way, scene=ROAD)
    standing = pictures[70]
    assert standing.speed_kmh.tolist() == [0.0]
    assert standing.heading_deg == pytest.approx(-90), "as it came"
    assert standing.time_s == START_S + 7.0


def test_ways_in_pixels_without_a_scene() -> None:
    pictures = traffic(drive((100, 400), (600, 400), over_s=5), until_s=5)
    assert len(pictures) == 51
    assert pictures[20].ground_px.tolist() == [[300, 400]]
    assert pictures[20].velocity_px_s == pytest.approx(np.array([[100, 0]]), abs=0.1)


@pytest.mark.parametrize(
    ("points", "given", "why"),
    [
        ([(0, 0)], {"over_s": 1}, "at least two points"),
        ([(0, 0), (1, 1, 2)], {}, "all of them x, y or all of them"),
        ([(0, 0), (1, 1)], {}, "how fast"),
        ([(0, 0), (1, 1)], {"over_s": 1, "speed_kmh": 1}, "how fast"),
        ([(0, 0, 2), (1, 1, 1)], {}, "must increase"),
        ([(0, 0, 0), (1, 1, 1)], {"over_s": 1}, "leave out"),
    ],
)
def test_a_way_that_makes_no_sense(points: list[tuple[float, ...]], given: dict[str, float], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        drive(*points, **given)


def test_reports_of_a_signal() -> None:
    reports = signal("cars", (0, "green"), (2.5, "red"), until_s=5)
    assert [(each.time_s - START_S, each.states["cars"]) for each in reports][2:4] == [
        (2.0, "permissive-movement-allowed"),
        (2.5, "stop-and-remain"),
    ]
    assert reports[-1].since_s == {"cars": START_S + 2.5}


def test_a_built_in_rule_judges_them() -> None:
    fast = traffic(drive((5.25, 55), (5.25, 5), speed_kmh=72), scene=ROAD)
    slow = traffic(drive((5.25, 55), (5.25, 5), speed_kmh=48), scene=ROAD)
    assert run(Speeding(scene="north"), fast, scene=ROAD)
    assert run(Speeding(scene="north"), slow, scene=ROAD) == []
