"""Rules about vehicles that need no signal: the violation is found, its innocent look-alikes are not."""

from __future__ import annotations

from pathlib import Path

import pytest
from traffic.street import Actor, Way, along, begun, judge, play, street

from flowrt_nodes.violation.illegal_turn import Ban, IllegalTurn
from flowrt_nodes.violation.speeding import Speeding
from flowrt_nodes.violation.stopped import Stopped
from flowrt_nodes.violation.wrong_way import WrongWay


def test_a_box_that_jumps_over_the_exit_turned_nowhere(tmp_path: Path) -> None:
    """Stands past the stop line; its box is elsewhere for two seconds, past the exit."""

    def way(t: float) -> tuple[float, float]:
        x, y = along((0, -1.75, 30), (4, -1.75, -3))(t)
        return x, y - (8.0 if 6 <= t < 8 else 0.0)

    rule = IllegalTurn(scene="north", banned=[Ban(entry="stop_line", exit="into_box")])
    assert begun(judge(rule, tmp_path, play([Actor(7, "car", way)], 10, noise_px=0.3))) == []


@pytest.mark.parametrize(("hidden_s", "turned"), [(1.2, False), (0.0, True)])
def test_no_vehicle_turns_back_unseen(hidden_s: float, turned: bool, tmp_path: Path) -> None:
    """Hidden for a moment, the track goes on with a vehicle that comes the other way; a turn in sight is one."""
    goes = along((0, -1.75, 30), (4, -1.75, -2), (5.5, -1.75, -5))
    comes = along((5.5 + hidden_s, 1.75, -6), (10, 1.75, 25))
    turns = along(
        (0, -1.75, 30), (4, -1.75, -2), (5.5, -1.75, -5), (6, -1.2, -6), (6.5, 0, -6.6), (7, 1.2, -6), (12, 1.75, 25)
    )
    seen = (
        [Actor(7, "car", turns)]
        if turned
        else [Actor(7, "car", goes, end_s=5.5), Actor(7, "car", comes, begin_s=5.5 + hidden_s)]
    )
    rule = IllegalTurn(scene="north", banned=[Ban(entry="stop_line", exit="lane_out")])
    assert bool(begun(judge(rule, tmp_path, play(seen, 11, noise_px=0.3)))) == turned


WRONG_WAY_CASES = [
    pytest.param(along((0, -1.75, 5), (4, -1.75, 45)), "car", True, id="against the lane"),
    pytest.param(along((0, -1.75, 45), (4, -1.75, 5)), "car", False, id="with the lane"),
    pytest.param(along((0, 1.75, 5), (4, 1.75, 45)), "car", False, id="in the other lane"),
    pytest.param(along((0, -1.75, 20), (2, -1.75, 24), (9, -1.75, 24)), "car", False, id="reverses a short way"),
    pytest.param(along((0, -1.75, 22), (3.2, -1.75, 38), (9, -1.75, 38)), "car", False,
                 id="a track that climbs a queue, from car to car"),
    pytest.param(along((0, -1.75, 20), (9, -1.75, 20)), "car", False, id="stands"),
    pytest.param(along((0, -1.75, 5), (20, -1.75, 30)), "pedestrian", False, id="on foot"),
    pytest.param(along((0, -6, 20), (3, 6, 20)), "car", False, id="crosses the lane"),
]  # fmt: skip


@pytest.mark.parametrize(("way", "label", "found"), WRONG_WAY_CASES)
def test_wrong_way(way: Way, label: str, found: bool, tmp_path: Path) -> None:
    said = judge(WrongWay(scene="north"), tmp_path, play([Actor(7, label, way)], 9, noise_px=0.5))
    assert bool(begun(said)) == found
    if found:
        assert said[0].roi_id == "lane_in"
        assert said[0].evidence["angle_deg"] > 150


@pytest.mark.parametrize(("kmh", "found"), [(40, False), (53, False), (54.0, False), (58, True), (90, True)])
def test_speeding(kmh: float, found: bool, tmp_path: Path) -> None:
    """50 are allowed, 5 tolerated."""
    way = along((0, -1.75, 55), (55 / (kmh / 3.6), -1.75, 0))
    said = judge(Speeding(scene="north"), tmp_path, play([Actor(7, "car", way)], 55 / (kmh / 3.6), noise_px=0.3))
    assert bool(begun(said)) == found
    if found:
        assert said[0].evidence["median_kmh"] == pytest.approx(kmh, abs=3)
        assert said[0].severity == ("high" if kmh >= 70 else "low")
        assert len(begun(said)) == 1


@pytest.mark.parametrize(("from_kmh", "found"), [(59, False), (60, False), (64, True)])
def test_a_braking_vehicle_has_driven_the_section_too_fast(from_kmh: float, found: bool, tmp_path: Path) -> None:
    """Braking with 2.5 m/s² in view: half of the 20 m are driven faster than 55 km/h from 64, a quarter from 59."""
    begin_m_s = from_kmh / 3.6
    brakes = lambda t: (-1.75, 45 - begin_m_s * t + 2.5 * t * t / 2)  # noqa: E731
    said = judge(Speeding(scene="north"), tmp_path, play([Actor(7, "car", brakes)], 2.4, fps=5))
    assert bool(begun(said)) == found


def test_a_vehicle_coming_out_from_behind_another_was_not_that_fast(tmp_path: Path) -> None:
    """At 46 km/h away from the camera, hidden for 1.2 s; the first box after it is that of the rear half, a few metres nearer."""
    drives = lambda t: (1.75, 4.0 + 12.8 * t)  # noqa: E731
    half = lambda t: (1.75, drives(t)[1] - (3.0 if t < 2.25 else 0.0))  # noqa: E731
    for way, first_s in ((drives, 1.0), (half, 2.15)):
        seen = [Actor(7, "car", drives, end_s=1.0), Actor(7, "car", way, begin_s=first_s)]
        assert begun(judge(Speeding(scene="north"), tmp_path, play(seen, 3.8, fps=5))) == []


def test_speeding_leaves_no_doubt_with_more_sigmas(tmp_path: Path) -> None:
    way = along((0, -1.75, 55), (55 / (57 / 3.6), -1.75, 0))
    tracks = list(play([Actor(7, "car", way)], 55 / (57 / 3.6)))
    assert begun(judge(Speeding(scene="north"), tmp_path, tracks))
    assert not begun(judge(Speeding(scene="north", sigmas=5), tmp_path, tracks))


def test_speeding_needs_a_section_that_was_seen(tmp_path: Path) -> None:
    """Seen once, and again 1.4 s later, somewhere else: whether that is the same car is unknown."""
    once = Actor(7, "car", along((1.6, -1.75, 40), (2, -1.75, 34)), begin_s=1.5, end_s=1.7)
    again = Actor(7, "car", along((3, -1.75, 16), (4, -1.75, 0)), begin_s=2.9, end_s=3.9)
    assert begun(judge(Speeding(scene="north"), tmp_path, play([once, again], 4, fps=5))) == []


def test_speeding_ignores_a_jumping_box(tmp_path: Path) -> None:
    steady = along((0, -1.75, 45), (4, -1.75, 5))
    jumps = lambda t: (steady(t)[0], steady(t)[1] - (1.5 if 2.0 <= t < 2.25 else 0.0))  # noqa: E731
    assert begun(judge(Speeding(scene="north"), tmp_path, play([Actor(7, "car", jumps)], 4))) == []


BAY = along((0, -4.7, 40), (4, -4.7, 20), (30, -4.7, 20))
STOPPED_CASES = [
    pytest.param([Actor(7, "car", BAY)], True, id="stands in the bay"),
    pytest.param(
        [Actor(7, "car", along((0, -4.7, 40), (4, -4.7, 20), (9, -4.7, 20), (13, -4.7, 0)))], False, id="short stop"
    ),
    pytest.param(
        [Actor(7, "car", along((0, -1.75, 40), (4, -1.75, 20), (30, -1.75, 20)))], False, id="stands in the lane"
    ),
    pytest.param([Actor(7, "car", along((0, -4.7, 40), (40, -4.7, 5)))], False, id="drives slowly"),
    pytest.param([Actor(7, "pedestrian", BAY)], False, id="on foot"),
]


@pytest.mark.parametrize(("actors", "found"), STOPPED_CASES)
def test_stopped(actors: list[Actor], found: bool, tmp_path: Path) -> None:
    said = judge(Stopped(scene="north", hold_s=8.0), tmp_path, play(actors, 25, noise_px=0.7))
    assert bool(begun(said)) == found
    if found:
        assert begun(said)[0][1] == pytest.approx(4.0, abs=1.5)


@pytest.mark.parametrize(
    ("hidden_s", "metric", "start"),
    [(2.5, True, 4), (2.5, False, 4), (12.0, True, 4), (12.0, False, 4), (18.0, True, 26)],
)
def test_a_vehicle_hidden_while_it_stood_has_stood_all_the_time(
    hidden_s: float, metric: bool, start: float, tmp_path: Path
) -> None:
    """A truck passes in front, and the tracker finds the car again under another number. After 18 s it may be another car."""
    car = [Actor(7, "car", BAY, end_s=8.0), Actor(8, "car", BAY, begin_s=8.0 + hidden_s)]
    rule = Stopped(scene="north", hold_s=7.0)
    said = judge(rule, tmp_path, play(car, 40, noise_px=0.7), scene=street(metric), speed=metric)
    assert [track for track, _ in begun(said)] == [8]
    assert begun(said)[0][1] == pytest.approx(start, abs=1.5)


@pytest.mark.parametrize("metric", [True, False])
def test_a_vehicle_lost_while_it_rolled_out_has_stood_since(metric: bool, tmp_path: Path) -> None:
    """After a crash: the detector loses the car just before it stands, and finds it again ten seconds later. One that was lost
    faster, or further away, may be another one."""

    def found(lost_m_s: float, from_m: float) -> list[tuple[int, float]]:
        rolls = along((0, -4.7, 20 + from_m + 4 * lost_m_s), (4, -4.7, 20 + from_m), (5, -4.7, 20 + from_m - lost_m_s))
        stands = along((0, -4.7, 20), (60, -4.7, 20))
        car = [Actor(7, "car", rolls, end_s=4.0), Actor(8, "car", stands, begin_s=14.0, heading_deg=-90)]
        rule = Stopped(scene="north", hold_s=7.0)
        said = judge(rule, tmp_path, play(car, 18, noise_px=0.5), scene=street(metric), speed=metric)
        return begun(said)

    [(track, start_s)] = found(2.5, 1.5)
    assert track == 8
    assert start_s == pytest.approx(5.0, abs=1.5)
    assert found(2.5, 9.0) == []
    if metric:  # else what drives towards the camera looks slower than it is
        assert found(9.0, 1.5) == []


def test_a_vehicle_that_left_is_not_the_one_that_stands_there_next(tmp_path: Path) -> None:
    leaves = along((0, -4.7, 40), (4, -4.7, 20), (14, -4.7, 20), (19, -4.7, 0), (20, -4.7, -8))
    comes = along((20, -4.7, 45), (25, -4.7, 20), (50, -4.7, 20))
    cars = [Actor(7, "car", leaves, end_s=20), Actor(8, "car", comes, begin_s=20.5)]
    said = judge(Stopped(scene="north", hold_s=7.0), tmp_path, play(cars, 40, fps=5, noise_px=0.7))
    assert [track for track, _ in begun(said)] == [7, 8]


def test_stopped_in_a_queue_is_innocent(tmp_path: Path) -> None:
    """Two stand in the forbidden zone behind one that stands before it."""
    queue = [
        Actor(i, "car", along((0, -4.7, 60), (5, -4.7, y), (40, -4.7, y)), heading_deg=-90)
        for i, y in ((1, 8), (2, 14), (3, 20))
    ]
    assert begun(judge(Stopped(scene="north", hold_s=8.0), tmp_path, play(queue, 25))) == []
    alone = judge(Stopped(scene="north", hold_s=8.0), tmp_path, play(queue[1:], 25))
    assert {track for track, _ in begun(alone)} == {2, 3}
