"""Rules about vehicles that need a signal: the violation is found, its innocent look-alikes are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from traffic.street import START_S, Actor, Way, along, begun, judge, lights, play, street, with_speeds

from flowrt.traffic.geometry.footprint import SIZES_M
from flowrt_nodes.violation.amber_acceleration import AmberAcceleration
from flowrt_nodes.violation.red_light import RedLight
from flowrt_nodes.violation.stopped_on_crosswalk import StoppedOnCrosswalk

RED, AMBER, GREEN = "stop-and-remain", "permissive-clearance", "permissive-movement-allowed"


def front(*stops: tuple[float, float]) -> Way:
    """A car's way down the inbound lane, given as (time_s, y of its front)."""
    return along(*((t, -1.75, y + 2.225) for t, y in stops))


FAST = front((0, 40), (3, 0), (5, -26))
"""Crosses the line at second 3 at 48 km/h."""
CREEP = front((0, 20), (3, 0.4), (6, 0.4), (9, -1.8), (20, -1.8))
"""Stops before the line, and creeps over it around second 6.5."""
STOPS = front((0, 40), (3, 5), (4.5, 0.4), (20, 0.4))

RED_LIGHT_CASES = [
    pytest.param(FAST, [(0, GREEN), (1, RED)], {}, 3.0, id="fast"),
    pytest.param(CREEP, [(0, RED)], {}, 6.55, id="creeping"),
    pytest.param(FAST, [(0, GREEN)], {}, None, id="green"),
    pytest.param(FAST, [(0, AMBER)], {}, None, id="amber"),
    pytest.param(FAST, [(0, AMBER), (2.8, RED)], {}, None, id="within the grace time"),
    pytest.param(FAST, [(0, AMBER), (3.1, RED)], {}, None, id="past the line at red onset"),
    pytest.param(STOPS, [(0, RED)], {}, None, id="stops just before the line"),
    pytest.param(
        front((0, 30), (3, 3), (5, -0.2), (20, -0.2)), [(0, RED)], {}, None, id="stops with its nose on the line"
    ),
    pytest.param(
        front((0, 4), (3, -1.7), (6, -1.7), (7, 1), (7.6, 1), (8, -2.5), (20, -2.5)),
        [(0, GREEN), (4, RED)],
        {},
        None,
        id="stands past the line, and its box goes back and forth",
    ),
    pytest.param(FAST, [(0, "unavailable")], {}, None, id="phase unavailable"),
    pytest.param(FAST, [(0, "dark")], {}, None, id="signal dark"),
    pytest.param(FAST, [], {}, None, id="no reports"),
    pytest.param(front((0, -3), (5, -20)), [(0, RED)], {}, None, id="first seen past the line"),
    pytest.param(
        front((0, 3), (5, 0.4), (10, 0.4), (13, -20)), [(0, RED), (9.9, GREEN)], {}, None, id="starts at green"
    ),
    pytest.param(FAST, [(0, RED)], {"grace_s": 5.0}, None, id="grace as set"),
]


@pytest.mark.parametrize(("back_s", "found"), [(4.9, False), (9.0, True)])
def test_a_truck_that_brakes_hard_before_the_line_seems_over_it_for_a_moment(
    back_s: float, found: bool, tmp_path: Path
) -> None:
    """Its place swings 1.7 m further than it comes, and back: a filter's speed lags behind braking."""
    stops = (0, -1.75, 33.9), (2, -1.75, 12), (3, -1.75, 5.5), (4, -1.75, 2.6), (back_s, -1.75, 2.6)
    way = along(*stops, (back_s + 0.6, -1.75, 4.3), (20, -1.75, 4.3))
    truck = play([Actor(7, "truck", way, heading_deg=-90)], 15, fps=5, noise_px=0.3)
    said = judge(RedLight(scene="north", signal="s"), tmp_path, truck, lights((0, RED)))
    assert bool(begun(said)) == found


@pytest.mark.parametrize(("rests_m", "found"), [(0.4, False), (3.3, True)])
def test_a_truck_that_brakes_hard_is_judged_when_it_stands(rests_m: float, found: bool, tmp_path: Path) -> None:
    """A short one seems to come 3.7 m over the line, and is where it rests only two seconds later."""
    swings = (0, 40), (3.5, 5.5), (3.9, 2.1), (4.3, -0.9), (4.7, -2.5), (5.1, -3.4), (5.5, -3.6), (5.9, -3.3)
    slides = (
        (6.3, -min(2.0, rests_m)),
        (6.7, -min(1.7, rests_m)),
        (7.3, -min(1.0, rests_m)),
        (8, -rests_m),
        (20, -rests_m),
    )
    truck = along(*((t, -1.75, y + SIZES_M["truck"][0] / 2) for t, y in (*swings, *slides)))
    seen = play([Actor(7, "truck", truck, heading_deg=-90)], 14, fps=5)
    said = judge(RedLight(scene="north", signal="s"), tmp_path, seen, lights((0, RED)))
    assert bool(begun(said)) == found


def test_a_bus_whose_speed_trembles_does_not_brake_when_it_drives_through(tmp_path: Path) -> None:
    """From picture to picture its pace falls and rises by a tenth, as of one whose boxes jump in the rain."""
    seen = with_speeds(play([Actor(7, "bus", front((0, 40), (6, -20)))], 6, fps=5), tmp_path)
    seen = [
        tracks.replace(velocity_m_s=np.asarray(tracks.velocity_m_s * (0.9 if number % 2 else 1.0), np.float32))
        for number, tracks in enumerate(seen)
    ]
    said = judge(RedLight(scene="north", signal="s"), tmp_path, seen, lights((0, RED)), speed=False)
    assert begun(said) == [(7, pytest.approx(3.65, abs=0.3))]


@pytest.mark.parametrize(("way", "changes", "settings", "expected"), RED_LIGHT_CASES)
def test_red_light(way: Way, changes: list, settings: dict, expected: float | None, tmp_path: Path) -> None:
    rule = RedLight(scene="north", signal="signals", **settings)
    said = judge(rule, tmp_path, play([Actor(7, "car", way)], 20), lights(*changes) if changes else [])
    if expected is None:
        assert begun(said) == []
        return
    [(track, start)] = begun(said)
    assert track == 7
    assert start == pytest.approx(expected, abs=0.35)
    assert said[0].phase == "new"
    assert said[-1].phase == "end"
    assert len({event.id for event in said}) == 1


def test_red_light_evidence_names_the_signal_and_the_way(tmp_path: Path) -> None:
    rule = RedLight(scene="north", signal="signals")
    new = judge(rule, tmp_path, play([Actor(7, "car", FAST)], 6), lights((0, GREEN), (1, RED)))[0]
    assert new.evidence["signal"] == "cars"
    assert new.evidence["state"] == RED
    assert new.evidence["red_for_s"] == pytest.approx(2.0, abs=0.3)
    assert new.evidence["state_age_s"] <= 1.0
    assert new.evidence["speed_at_line_kmh"] == pytest.approx(48, abs=3)
    ys = [sample["y_m"] for sample in new.evidence["samples"]]
    assert len(ys) >= 10
    assert ys == sorted(ys, reverse=True)
    assert new.roi_id == "stop_line"
    assert new.severity == "high"


def test_creeping_is_less_grave(tmp_path: Path) -> None:
    said = judge(RedLight(scene="north", signal="s"), tmp_path, play([Actor(7, "car", CREEP)], 12), lights((0, RED)))
    assert said[0].severity == "medium"


@pytest.mark.parametrize(
    ("label", "past_m", "found"),
    [("car", 0.65, True), ("car", 0.3, False), ("truck", 0.5, False), ("truck", 1.3, True)],
)
def test_how_far_past_the_line_a_front_must_be_and_that_of_a_truck_is_known_less_well(
    label: str, past_m: float, found: bool, tmp_path: Path
) -> None:
    half_m = SIZES_M[label][0] / 2
    way = along(*((t, -1.75, y + half_m) for t, y in ((0, 20), (3, 0.4), (6, 0.4), (9, -past_m), (20, -past_m))))
    tracks = play([Actor(7, label, way)], 14)
    assert bool(begun(judge(RedLight(scene="north", signal="s"), tmp_path, tracks, lights((0, RED))))) == found


def test_an_offender_taken_over_by_the_track_behind_is_no_second_one(tmp_path: Path) -> None:
    """It stands past the line for a while; then it is lost, and the box of the next in the queue moves up to where it stood."""
    behind = front((0, 26), (3, 6), (12, 6), (12.6, 3.2), (13.2, -1.0), (14, -1.8), (20, -1.8))
    cars = [Actor(7, "car", CREEP, end_s=12.0), Actor(8, "car", behind)]
    said = judge(RedLight(scene="north", signal="s"), tmp_path, play(cars, 18, fps=5), lights((0, RED)))
    assert [track for track, _ in begun(said)] == [7]


def test_riders_that_run_one_red_light_behind_each_other_are_each_reported(tmp_path: Path) -> None:
    """They stop past the line at the same place, one after the other, and the first is lost there: hidden by the second."""
    first = along((0, -1.0, 20), (4, -1.0, -1.2), (20, -1.0, -1.2))
    second = along((0, -1.0, 30), (6, -1.0, 4), (8.5, -1.0, -1.2), (20, -1.0, -1.2))
    riders = [Actor(7, "motorcycle", first, end_s=7.5), Actor(8, "motorcycle", second)]
    said = judge(RedLight(scene="north", signal="s"), tmp_path, play(riders, 14, fps=6), lights((0, RED)))
    assert [track for track, _ in begun(said)] == [7, 8]


@pytest.mark.parametrize(("enters_m", "found"), [(7.0, True), (4.0, True), (0.5, False)])
def test_a_rider_that_enters_shortly_before_the_line_is_reported(enters_m: float, found: bool, tmp_path: Path) -> None:
    """At 30 km/h and 6 pictures a second its speed is known only past the line; where it was first seen, it was before it."""
    way = along((0, -1.0, enters_m + 1.0), (6, -1.0, enters_m - 49.0))
    rider = play([Actor(7, "motorcycle", way, begin_s=0.33)], 4, fps=6, noise_px=1.0)
    said = judge(RedLight(scene="north", signal="s"), tmp_path, rider, lights((0, RED)))
    assert bool(begun(said)) == found


def test_a_creeping_rider_that_is_soon_lost_behind_the_line_is_reported(tmp_path: Path) -> None:
    """Its front is 1.9 m past the line when it is seen last, 0.8 s after it was on it."""
    way = along((0, -1.0, 8), (6, -1.0, -6.4))
    rider = play([Actor(7, "motorcycle", way, end_s=3.7)], 8, fps=6)
    said = judge(RedLight(scene="north", signal="s"), tmp_path, rider, lights((0, RED)))
    assert begun(said) == [(7, pytest.approx(2.9, abs=0.3))]


@pytest.mark.parametrize("known", [True, False])
def test_a_creeping_truck_whose_length_is_known_need_not_be_further_over(known: bool, tmp_path: Path) -> None:
    """It is 0.85 m past the line."""
    half_m = SIZES_M["truck"][0] / 2
    way = along(*((t, -1.75, y + half_m) for t, y in ((0, 20), (3, 0.4), (6, 0.4), (9, -0.85), (20, -0.85))))
    seen = with_speeds(play([Actor(7, "truck", way)], 14, tells_px=0.3), tmp_path)
    if not known:
        seen = [tracks.replace(length_sigma_m=np.full(len(tracks), np.nan, np.float32)) for tracks in seen]
    said = judge(RedLight(scene="north", signal="s"), tmp_path, seen, lights((0, RED)), speed=False)
    assert bool(begun(said)) == known


def test_red_light_stale_signal(tmp_path: Path) -> None:
    reports = [report for report in lights((0, RED)) if report.time_s < START_S + 0.5]  # the controller falls silent
    assert begun(judge(RedLight(scene="north", signal="s"), tmp_path, play([Actor(7, "car", FAST)], 6), reports)) == []


def test_red_light_once_per_cycle(tmp_path: Path) -> None:
    way = front((0, 10), (2, -2), (4, 3), (9, 3), (11, -4))  # over, back, and over
    rule = RedLight(scene="north", signal="s")
    assert len(begun(judge(rule, tmp_path, play([Actor(7, "car", way)], 13), lights((0, RED))))) == 1
    rule = RedLight(scene="north", signal="s")
    cycles = lights((0, RED), (3, GREEN), (4.5, RED))
    assert len(begun(judge(rule, tmp_path, play([Actor(7, "car", way)], 13), cycles))) == 2


@pytest.mark.parametrize("until_s", [10.6, 12.0, 30.0])
@pytest.mark.parametrize("fps", [5.0, 10.0])
def test_a_box_that_jumps_over_the_line_is_no_red_light(until_s: float, fps: float, tmp_path: Path) -> None:
    """A car that waits at the line gets a box around it and the one in front, for a moment or for good."""

    def way(t: float) -> tuple[float, float]:
        x, y = STOPS(t)
        return x, y - (6.0 if 10 <= t < until_s else 0.0)

    tracks = play([Actor(7, "car", way)], 20, fps=fps, noise_px=0.5)
    rule = RedLight(scene="north", signal="s", turn_on_red="right")
    assert begun(judge(rule, tmp_path, tracks, lights((0, RED)))) == []


@pytest.mark.parametrize(("back_s", "found"), [(4.0, False), (0.5, True)])
def test_the_box_of_a_vehicle_standing_at_the_line_may_tremble_over_it(
    back_s: float, found: bool, tmp_path: Path
) -> None:
    """It stands with its front on the line; pedestrians walk past, and its box is back, and some time later further on."""
    on_s = 10 + back_s
    stands = [
        (7.5, -0.4),
        (8.5, -0.4),
        (8.7, 0.8),
        (9.8, 0.8),
        (10.0, -0.4),
        (on_s, -0.4),
        (on_s + 0.2, -0.8),
        (20, -0.8),
    ]
    tracks = play([Actor(7, "car", front((0, 20), (3, 0.4), (6, 0.4), *stands))], 18)
    said = begun(judge(RedLight(scene="north", signal="s"), tmp_path, tracks, lights((0, RED))))
    assert [track for track, _ in said] == ([7] if found else [])


@pytest.mark.parametrize(
    ("goes_on", "found"),
    [
        pytest.param([(17, -1.75, -3), (20, -1.75, -25)], True, id="straight on"),
        pytest.param([(16.6, -1.9, -1), (17.5, -3.2, -3.2), (20, -9.5, -4.5)], False, id="to the right"),
        pytest.param([(20, -1.75, 0.425)], True, id="not before the red ends"),
    ],
)
def test_whether_a_creeping_vehicle_turns_on_red_is_known_when_it_goes_on(
    goes_on: list, found: bool, tmp_path: Path
) -> None:
    """It stands past the line for seven seconds: pedestrians walk over the crosswalk. Green comes at second 19."""
    creeps = [(0, 22.225), (3, 2.625), (6, 2.625), (9, 0.425), (16, 0.425)]
    way = along(*((t, -1.75, y) for t, y in creeps), *goes_on)
    rule = RedLight(scene="north", signal="s", turn_on_red="right")
    said = begun(judge(rule, tmp_path, play([Actor(7, "car", way)], 20, noise_px=0.8), lights((0, RED), (19, GREEN))))
    assert said == ([(7, pytest.approx(6.55, abs=0.4))] if found else [])


@pytest.mark.parametrize("seed", range(5))
def test_red_light_with_noise_and_lost_pictures(seed: int, tmp_path: Path) -> None:
    actors = [Actor(1, "car", FAST), Actor(2, "car", lambda t: (STOPS(t)[0] - 0.2, STOPS(t)[1]), begin_s=7)]
    waits = Actor(3, "truck", along((0, -1.75, 44.5), (7, -1.75, 4.4), (20, -1.75, 4.4)), begin_s=8)
    tracks = play([*actors, waits], 20, noise_px=1.5, drops=0.3, jitter_s=0.06, seed=seed)
    [(track, start)] = begun(judge(RedLight(scene="north", signal="s"), tmp_path, tracks, lights((0, RED))))
    assert track == 1
    assert start == pytest.approx(3.0, abs=0.5)


def turning(x_sign: float, straight: bool = False) -> Way:
    """Stops at the line, then turns (or goes on straight)."""

    def way(t: float) -> tuple[float, float]:
        if t < 6:
            return -1.75, float(np.interp(t, [0, 4, 6], [25, 2.7, 2.7]))
        gone = (t - 6) * 4.0
        if straight:
            return -1.75, 2.7 - gone
        if gone < 5:
            return -1.75, 2.7 - gone
        angle = min((gone - 5) / 6.0, np.pi / 2)
        on = max(gone - 5 - 6.0 * np.pi / 2, 0.0)
        return -1.75 + x_sign * (6 * (1 - np.cos(angle)) + on), 2.7 - 5 - 6 * float(np.sin(angle))

    return way


@pytest.mark.parametrize(
    ("way", "allowed", "found"),
    [
        (turning(-1), "right", False),  # southbound drivers have the west, -x, at their right
        (turning(-1), "never", True),
        (turning(+1), "right", True),
        (turning(+1), "left", False),
        (turning(-1, straight=True), "right", True),
        (FAST, "right", True),
    ],
)
def test_turn_on_red(way: Way, allowed: str, found: bool, tmp_path: Path) -> None:
    rule = RedLight(scene="north", signal="s", turn_on_red=allowed)  # type: ignore[arg-type]
    said = judge(rule, tmp_path, play([Actor(7, "car", way)], 12), lights((0, RED)))
    assert bool(begun(said)) == found


@pytest.mark.parametrize(("red_s", "found"), [(2.0, False), (4.0, False), (5.8, True)])
def test_a_full_stop_before_a_turn_on_red_is_made_at_red(red_s: float, found: bool, tmp_path: Path) -> None:
    """It stands from second 4 to 6, and drives off just as amber becomes red, or stood at red as well."""
    stops = play([Actor(7, "car", turning(-1))], 12)
    rule = RedLight(scene="north", signal="s", turn_on_red="right")
    assert bool(begun(judge(rule, tmp_path, stops, lights((0, AMBER), (red_s, RED))))) == found


@pytest.mark.parametrize(("lanes", "found"), [(["lane_in"], False), (["lane_out"], True)])
@pytest.mark.parametrize("back_s", [6.3, 7.0, 7.4])
def test_a_turn_on_red_over_lost_pictures(lanes: list[str], found: bool, back_s: float, tmp_path: Path) -> None:
    """Where the pictures come back the car has left its lane: the lane is the one in which it stopped."""
    rule = RedLight(scene="north", signal="s", turn_on_red="right", turn_lanes=lanes)
    pictures = play([Actor(7, "car", turning(-1))], 12)
    seen = [tracks for tracks in pictures if not 6.0 < tracks.time_s - START_S < back_s]
    assert bool(begun(judge(rule, tmp_path, seen, lights((0, RED))))) == found


def test_red_light_without_homography(tmp_path: Path) -> None:
    scene = street(homography=False)
    rule = RedLight(scene="north", signal="s")
    actors = [Actor(1, "car", FAST), Actor(2, "car", STOPS, begin_s=7)]
    said = judge(rule, tmp_path, play(actors, 20), lights((0, RED)), scene=scene, speed=False)
    [(track, start)] = begun(said)
    assert track == 1
    assert start == pytest.approx(3.0, abs=0.6)


ON_CROSSWALK = front((0, 30), (3, -2.6), (20, -2.6))
CROSSWALK_CASES = [
    pytest.param(ON_CROSSWALK, [(0, AMBER), (4, RED)], 4.0, id="waits on it at red"),
    pytest.param(ON_CROSSWALK, [(0, GREEN)], None, id="stands there at green"),
    pytest.param(ON_CROSSWALK, [], None, id="phase unknown"),
    pytest.param(front((0, 30), (3, -0.5), (20, -0.5)), [(0, RED)], None, id="stands between line and crosswalk"),
    pytest.param(front((0, 30), (8, -30)), [(0, RED)], None, id="rolls over it"),
    pytest.param(
        along((0, 1.75, -12), (3, 1.75, -3), (20, 1.75, -3)), [(0, RED)], None, id="leaving, held up by a queue"
    ),
    pytest.param(front((0, 30), (3, -8.7), (20, -8.7)), [(0, RED)], None, id="only its rear end above it"),
    pytest.param(
        front((0, 30), (3, -8.35), (20, -8.35)), [(0, RED)], None, id="its rear too, if it had the usual length"
    ),
    pytest.param(front((0, 30), (3, -7.8), (20, -7.8)), [(0, RED)], 3.0, id="a good part of its rear on it"),
]


@pytest.mark.parametrize(("way", "changes", "expected"), CROSSWALK_CASES)
def test_stopped_on_crosswalk(way: Way, changes: list, expected: float | None, tmp_path: Path) -> None:
    rule = StoppedOnCrosswalk(scene="north", signal="s")
    said = judge(rule, tmp_path, play([Actor(7, "car", way)], 15, noise_px=0.5), lights(*changes) if changes else [])
    if expected is None:
        assert begun(said) == []
    else:
        [(_, start)] = begun(said)
        assert start == pytest.approx(expected, abs=1.0)
        assert said[-1].phase == "end"


@pytest.mark.parametrize(("length_m", "front_m"), [(4.45, -8.35), (5.1, -8.95)])
@pytest.mark.parametrize("tells_px", [0.3, None])
def test_a_rear_is_on_the_crosswalk_as_far_as_the_length_is_known(
    length_m: float, front_m: float, tells_px: float | None, tmp_path: Path
) -> None:
    """1.1 and 1.15 m of it: enough where a detector has measured how long the car is."""
    way = along(*((t, -1.75, y + length_m / 2) for t, y in ((0, 30), (3, front_m), (20, front_m))))
    car = play([Actor(7, "car", way, length_m=length_m)], 15, tells_px=tells_px)
    said = judge(StoppedOnCrosswalk(scene="north", signal="s"), tmp_path, car, lights((0, RED)))
    assert bool(begun(said)) == (tells_px is not None)


def test_a_vehicle_on_the_crosswalk_is_one_offender_though_pedestrians_cross_in_front(tmp_path: Path) -> None:
    """Pedestrians take the car's box along, so that it seems to roll; then it is hidden, and comes back as another track."""
    stands = front((0, 30), (3, -3), (30, -3))
    pushed = lambda t: (stands(t)[0], stands(t)[1] + (0.0 if t < 7 else 3.0 * (t - 7)))  # noqa: E731
    car = [Actor(7, "car", pushed, end_s=7.8), Actor(8, "car", stands, begin_s=9.5)]
    rule = StoppedOnCrosswalk(scene="north", signal="s")
    said = judge(rule, tmp_path, play(car, 15, noise_px=0.5), lights((0, RED)))
    assert [track for track, _ in begun(said)] == [7]


def at_speed(begin_m: float, m_s: float, gain: float, times_s: list[float], shares: list[float]) -> Way:
    """Down the inbound lane from y = begin_m; of the gain in speed so large a share is there at each time, linear in between."""

    def way(t: float) -> tuple[float, float]:
        speeds = m_s * (1 + (gain - 1) * np.interp(np.arange(0, t + 1e-9, 0.02), times_s, shares))
        return -1.75, begin_m - float(speeds.sum() * 0.02)

    return way


def accelerating(gain: float, at_s: float = 2.0) -> Way:
    """8 m/s from y = 45, growing to gain times that within a second, from `at_s` on."""
    return at_speed(45, 8, gain, [at_s, at_s + 1], [0, 1])


AMBER_CASES = [
    pytest.param(accelerating(1.6), [(0, GREEN), (1.8, AMBER)], True, id="speeds up at amber"),
    pytest.param(accelerating(1.0), [(0, GREEN), (1.8, AMBER)], False, id="goes on as before"),
    pytest.param(accelerating(1.1), [(0, GREEN), (1.8, AMBER)], False, id="a little faster"),
    pytest.param(accelerating(1.6), [(0, GREEN)], False, id="at green"),
    pytest.param(accelerating(1.6, at_s=0.3), [(0, GREEN), (2.5, AMBER)], False, id="before amber"),
    pytest.param(accelerating(1.6), [(0, "unavailable")], False, id="phase unknown"),
]


@pytest.mark.parametrize(("way", "changes", "found"), AMBER_CASES)
def test_amber_acceleration(way: Way, changes: list, found: bool, tmp_path: Path) -> None:
    rule = AmberAcceleration(scene="north", signal="s")
    said = judge(rule, tmp_path, play([Actor(7, "car", way)], 6, noise_px=0.3), lights(*changes))
    assert bool(begun(said)) == found
    if found:
        assert said[0].evidence["gain"] > 0.2


@pytest.mark.parametrize(("gain", "found"), [(1.1, False), (1.2, True)])
@pytest.mark.parametrize("seed", [2, 4, 5])
def test_a_push_that_ends_before_the_line(gain: float, found: bool, seed: int, tmp_path: Path) -> None:
    """The mean around its end lies below its peak."""
    way = at_speed(40, 12, gain, [1.8, 2.8, 3.2, 3.8], [0, 1, 1, 0])
    tracks = play([Actor(7, "car", way)], 5, fps=5, noise_px=0.3, seed=seed)
    rule = AmberAcceleration(scene="north", signal="s")
    assert bool(begun(judge(rule, tmp_path, tracks, lights((0, GREEN), (1.8, AMBER))))) == found


@pytest.mark.parametrize("seed", [8, 10, 11])
def test_amber_acceleration_with_noise_and_lost_pictures(seed: int, tmp_path: Path) -> None:
    """Pictures around amber onset are among those lost: the speed then is taken from further back."""
    tracks = play([Actor(7, "car", accelerating(1.6))], 6, fps=5, noise_px=0.3, drops=0.3, seed=seed)
    rule = AmberAcceleration(scene="north", signal="s")
    assert begun(judge(rule, tmp_path, tracks, lights((0, GREEN), (1.8, AMBER))))


def test_with_too_few_pictures_for_a_slope_the_given_speed_counts(tmp_path: Path) -> None:
    """From amber on there is one picture in 0.8 s."""
    seen = play([Actor(7, "car", accelerating(1.6))], 6, fps=5, noise_px=0.3)
    left = [t for t in seen if t.time_s - START_S < 1.9 or round((t.time_s - START_S) * 5) % 4 == 1]
    rule = AmberAcceleration(scene="north", signal="s")
    assert begun(judge(rule, tmp_path, left, lights((0, GREEN), (1.8, AMBER))))


@pytest.mark.parametrize("seed", [0, 21, 23])
def test_a_far_box_that_trembles_does_not_speed_up_at_amber(seed: int, tmp_path: Path) -> None:
    """At 50 m a pixel is a metre."""
    rider = along((0, -1.75, 58), (8, -1.75, 14))
    tracks = play([Actor(7, "bicycle", rider)], 4, fps=5, noise_px=1.8, seed=seed)
    signals = lights((0, GREEN), (1.6, AMBER))
    assert begun(judge(AmberAcceleration(scene="north", signal="s"), tmp_path, tracks, signals)) == []
