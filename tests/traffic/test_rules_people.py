"""Rules about pedestrians: violations are found, and what only looks like one is not."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from traffic.street import START_S, Actor, Way, along, begun, judge, lights, play, street, with_speeds

from flowrt.traffic.geometry.footprint import SIZES_M
from flowrt_nodes.violation.failure_to_yield import FailureToYield
from flowrt_nodes.violation.jaywalking import Jaywalking
from flowrt_nodes.violation.near_miss import NearMiss

WALK, CLEARANCE, DONT_WALK = "permissive-movement-allowed", "permissive-clearance", "stop-and-remain"

OVER_CROSSWALK = along((0, -6, -3), (3, -4.2, -3), (9, 5, -3))
"""On the crosswalk from about second 3.5 to 8."""
OVER_ROAD = along((0, -6, 20), (3, -4.2, 20), (9, 5, 20))

JAYWALKING_CASES = [
    pytest.param(OVER_ROAD, [(0, WALK)], True, id="over the road"),
    pytest.param(OVER_ROAD, [], True, id="over the road, no signal known"),
    pytest.param(along((0, -6, 20), (2, -4.2, 20), (4.8, 5, 20)), [(0, WALK)], True, id="runs over the road"),
    pytest.param(along((0, -1.75, 40), (8, -1.75, 4)), [(0, WALK)], False, id="a rider that looks like a pedestrian"),
    pytest.param(along((0, -1.75, 20), (4, -1.75, 20), (12, -1.75, 8)), [], False, id="starts to ride along the lane"),
    pytest.param(along((0, -6, 20), (1, -5, 20), (2.5, 5, 20)), [(0, WALK)], False, id="faster than anybody runs"),
    pytest.param(OVER_CROSSWALK, [(0, DONT_WALK)], True, id="over the crosswalk against Don't Walk"),
    pytest.param(OVER_CROSSWALK, [(0, WALK)], False, id="over the crosswalk at Walk"),
    pytest.param(
        OVER_CROSSWALK, [(0, WALK), (6, CLEARANCE), (7, DONT_WALK)], False, id="finishes what was begun at Walk"
    ),
    pytest.param(OVER_CROSSWALK, [], False, id="crosswalk, phase unknown"),
    pytest.param(OVER_CROSSWALK, [(0, "dark")], False, id="crosswalk, signal dark"),
    pytest.param(along((0, -4.0, -3), (20, -4.0, -3)), [(0, DONT_WALK)], False, id="waits at the kerb"),
    pytest.param(along((0, -3.7, 20), (20, -3.7, 22)), [(0, WALK)], False, id="walks along the kerb"),
    pytest.param(
        along((0, -1.75, 14), (20, -1.75, 14)), [], False, id="stands in the lane, as a rider seen from the front"
    ),
    pytest.param(along((0, -6, -5.6), (3, -4.2, -5.6), (9, 5, -5.6)), [(0, WALK)], False, id="beside the crosswalk"),
    pytest.param(
        along((0, 0, -3), (3, 4.5, -3)), [(0, DONT_WALK)], False, id="first seen in the middle of the crosswalk"
    ),
]


@pytest.mark.parametrize(("way", "changes", "found"), JAYWALKING_CASES)
def test_jaywalking(way: Way, changes: list, found: bool, tmp_path: Path) -> None:
    signals = lights(*changes, group="walk") if changes else []
    rule = Jaywalking(scene="north", signal="s", roads=["road"])
    said = judge(rule, tmp_path, play([Actor(5, "pedestrian", way)], 12, noise_px=0.4), signals)
    assert bool(begun(said)) == found
    if found:
        assert len(begun(said)) == 1
        assert 2.0 < begun(said)[0][1] < 5.0


def test_a_pedestrian_hidden_on_the_road_is_still_the_same_offender(tmp_path: Path) -> None:
    """A van passes in front; the tracker finds the pedestrian again under another number."""
    strolls = along((0, -6, 20), (2, -4.2, 20), (13.5, 5, 20))
    pedestrian = [Actor(5, "pedestrian", strolls, end_s=6.6), Actor(6, "pedestrian", strolls, begin_s=7.6)]
    rule = Jaywalking(scene="north", roads=["road"])
    assert len(begun(judge(rule, tmp_path, play(pedestrian, 12)))) == 1
    another = Actor(6, "pedestrian", along((6, 4, 34), (12, -4, 34)), begin_s=6)
    rule = Jaywalking(scene="north", roads=["road"])
    assert len(begun(judge(rule, tmp_path, play([pedestrian[0], another], 12)))) == 2


SLANTS = along((0, -5, 20), (0.8, -4.2, 20), (3.4, -1.6, 20), (4.2, -1.0, 21.4))
SWERVES = along((0, -5, 20), (0.8, -4.2, 20), (3.6, -1.4, 20), (4.2, -1.0, 19.2))


@pytest.mark.parametrize(
    ("way", "again_s", "again"),
    [
        pytest.param(SLANTS, 5.4, along((5.4, 0.6, 20), (8, 3.6, 20)), id="seemed to go along the road"),
        pytest.param(SWERVES, 4.8, along((4.8, 0.6, 21.6), (5.2, 0.6, 20.4), (8, 3.0, 20)), id="is seen metres off"),
    ],
)
def test_a_pedestrian_that_turned_while_hidden_is_still_the_same_offender(
    way: Way, again_s: float, again: Way, tmp_path: Path
) -> None:
    """Far away, with hidden feet: the last boxes, and the first ones of the new track, are metres off."""
    pedestrian = [Actor(5, "pedestrian", way, end_s=4.2), Actor(6, "pedestrian", again, begin_s=again_s)]
    rule = Jaywalking(scene="north", roads=["road"])
    assert len(begun(judge(rule, tmp_path, play(pedestrian, 12)))) == 1
    rule = Jaywalking(scene="north", roads=["road"])
    assert len(begun(judge(rule, tmp_path, play(pedestrian[1:], 12)))) == 1


def test_a_pedestrian_that_seems_beside_the_crosswalk_for_a_while_has_not_left_it(tmp_path: Path) -> None:
    """Held up half a metre within its border, with feet hidden now and then."""
    stands = along((0, -6, -2.1), (3, -4.2, -2.1), (6, -1.5, -2.1), (40, -1.5, -2.1))
    trembles = lambda t: (stands(t)[0], -2.1 + float(np.interp(t, [14, 16, 19, 19.4], [0, 0.7, 0.7, 0])))  # noqa: E731
    rule = Jaywalking(scene="north", signal="s", roads=["road"])
    actors = [Actor(5, "pedestrian", trembles, heading_deg=0)]
    said = judge(rule, tmp_path, play(actors, 24, fps=5), lights((0, WALK), (10, DONT_WALK), group="walk"))
    assert begun(said) == []


def test_a_pedestrian_hidden_on_the_crosswalk_has_not_stepped_onto_it_again(tmp_path: Path) -> None:
    """Held up there by a queue, and hidden for two seconds while Don't Walk is shown."""
    stops = along((0, -6, -3), (3, -4.2, -3), (6, -1.5, -3), (40, -1.5, -3))
    seen = [Actor(5, "pedestrian", stops, end_s=18), Actor(5, "pedestrian", stops, begin_s=20)]
    rule = Jaywalking(scene="north", signal="s", roads=["road"])
    said = judge(rule, tmp_path, play(seen, 30, noise_px=0.3), lights((0, WALK), (10, DONT_WALK), group="walk"))
    assert begun(said) == []


@pytest.mark.parametrize(("goes", "found"), [(False, False), (True, True)])
def test_a_pedestrian_at_the_border_steps_onto_the_crosswalk_when_it_walks(
    goes: bool, found: bool, tmp_path: Path
) -> None:
    """With feet hidden now and then, the pedestrian seems half a metre nearer: inside the crosswalk's border."""
    stands = along((0, -6, -3), (4, -3.2, -3), (18, -3.2, -3), (24, 3.2 if goes else -3.2, -3))
    trembles = lambda t: (stands(t)[0] + float(np.interp(t, [11, 15, 16, 18], [0, 0.45, 0.45, 0])), -3.0)  # noqa: E731
    rule = Jaywalking(scene="north", signal="s")
    actors = [Actor(5, "pedestrian", trembles, heading_deg=0)]
    said = judge(rule, tmp_path, play(actors, 26, fps=5), lights((0, WALK), (10, DONT_WALK), group="walk"))
    assert bool(begun(said)) == found


def test_a_pause_between_pictures_does_not_begin_a_hold_time_anew(tmp_path: Path) -> None:
    """Two of five pictures a second arrive: no picture in between shows the pedestrian off the road."""
    rule = Jaywalking(scene="north", roads=["road"])
    assert len(begun(judge(rule, tmp_path, play([Actor(5, "pedestrian", OVER_ROAD)], 12, fps=2.5)))) == 1


def test_jaywalking_stale_signal(tmp_path: Path) -> None:
    reports = [r for r in lights((0, DONT_WALK), group="walk") if r.time_s < START_S + 1]
    pedestrian = play([Actor(5, "pedestrian", OVER_CROSSWALK)], 12)
    assert begun(judge(Jaywalking(scene="north", signal="s", roads=["road"]), tmp_path, pedestrian, reports)) == []


@pytest.mark.parametrize(("m_s", "found"), [(1.0, True), (1.5, True), (3.5, False), (5.0, False)])
def test_without_metres_a_rider_whose_machine_is_not_seen_is_known_by_its_speed(
    m_s: float, found: bool, tmp_path: Path
) -> None:
    across = along((0, -9, 12), (18 / m_s, 9, 14))
    rule = Jaywalking(scene="north", roads=["road"])
    tracks = play([Actor(5, "pedestrian", across)], 15, noise_px=0.7)
    assert bool(begun(judge(rule, tmp_path, tracks, scene=street(False), speed=False))) == found


@pytest.mark.parametrize(("step_m", "found"), [(1.4, False), (5.0, True)])
def test_a_box_that_ends_two_pixels_higher_far_away_is_nobody_who_walks(
    step_m: float, found: bool, tmp_path: Path
) -> None:
    """A pixel is 0.7 m there."""
    without_lanes = {name: zone for name, zone in street().zones.items() if zone.kind != "lane"}
    scene = msgspec.structs.replace(street(), zones=without_lanes)
    walks = Actor(5, "pedestrian", along((0, -3.0, 52), (5, -3.0, 52), (6 + step_m, -3.0, 52 + step_m)))
    rule = Jaywalking(scene="north", roads=["road"])
    assert bool(begun(judge(rule, tmp_path, play([walks], 20), scene=scene))) == found


def test_jaywalking_ignores_vehicles(tmp_path: Path) -> None:
    car = play([Actor(5, "car", along((0, -1.75, 40), (8, -1.75, 3)))], 8)
    assert begun(judge(Jaywalking(scene="north", roads=["road"]), tmp_path, car)) == []


DRIVES_ON = along((0, -1.75, 42), (4, -1.75, 2), (5.5, -1.75, -13))
"""At 36 km/h; its front reaches the conflict area, at y = -1.5, at second 4.1."""
IN_THE_LANE = along((0, -4.2, -3), (4, -0.9, -3), (6, 1.2, -3))
YIELD_CASES = [
    pytest.param(DRIVES_ON, IN_THE_LANE, [(0, WALK)], True, id="drives on"),
    pytest.param(DRIVES_ON, along((0, -6, -3), (4, -3.8, -3), (6, -2.0, -3)), [(0, WALK)], True, id="about to step on"),
    pytest.param(DRIVES_ON, along((0, -4.0, -3), (9, -4.0, -3)), [(0, WALK)], False, id="stands at the kerb"),
    pytest.param(DRIVES_ON, along((0, -3, -3), (2, 1.5, -3), (6, 6, -3)), [(0, WALK)], False, id="has left the half"),
    pytest.param(DRIVES_ON, IN_THE_LANE, [(0, DONT_WALK)], False, id="walks against Don't Walk"),
    pytest.param(DRIVES_ON, along((0, -6, -3), (5, -6, -3), (8, -3, -3)), [(0, WALK)], False, id="comes later"),
    pytest.param(along((0, -1.75, 40), (4, -1.75, 3), (7, -1.75, 3), (9, -1.75, -8)),
                 along((0, -4.2, -3), (4, -0.9, -3), (6, 1.2, -3), (9, 6, -3)), [(0, WALK)], False, id="waits"),
    pytest.param(along((0, -1.75, -42), (4, -1.75, -8), (5.5, -1.75, 7)), IN_THE_LANE, [(0, WALK)], False,
                 id="comes the other way, as the hidden seem to"),
]  # fmt: skip


@pytest.mark.parametrize(("driving", "walking", "changes", "found"), YIELD_CASES)
def test_failure_to_yield(driving: Way, walking: Way, changes: list, found: bool, tmp_path: Path) -> None:
    actors = [Actor(7, "car", driving), Actor(5, "pedestrian", walking)]
    rule = FailureToYield(scene="north", signal="s")
    said = judge(rule, tmp_path, play(actors, 9, noise_px=0.3), lights(*changes, group="walk"))
    assert [track for track, _ in begun(said)] == ([7] if found else [])
    if found:
        assert begun(said)[0][1] == pytest.approx(4.1, abs=0.4)
        assert said[0].evidence["pedestrian_id"] == 5


@pytest.mark.parametrize(("kmh", "found"), [(6, False), (14, True)])
def test_a_bicycle_at_walking_speed_may_be_a_pedestrian(kmh: float, found: bool, tmp_path: Path) -> None:
    """Two walk along one behind the other, and the second looks like a rider."""
    rides = along((0, -1.75, 5 * kmh / 3.6 - 3), (12, -1.75, -7 * kmh / 3.6 - 3))
    actors = [Actor(7, "bicycle", rides), Actor(5, "pedestrian", along((0, -4.2, -3), (12, 0.2, -3)))]
    said = judge(
        FailureToYield(scene="north", signal="s"), tmp_path, play(actors, 9, fps=5), lights((0, WALK), group="walk")
    )
    assert [track for track, _ in begun(said)] == ([7] if found else [])


@pytest.mark.parametrize("known", [True, False])
def test_a_pedestrian_that_may_be_elsewhere_has_no_right_of_way(known: bool, tmp_path: Path) -> None:
    """A track that looks like a pedestrian on the area has just begun, and `speed` does not know its position yet."""
    rule, walk = FailureToYield(scene="north", signal="s"), lights((0, WALK), group="walk")
    actors = [Actor(7, "car", DRIVES_ON), Actor(5, "pedestrian", IN_THE_LANE)]
    seen = with_speeds(play(actors, 9, fps=5), tmp_path)
    if not known:
        seen = [
            tracks.replace(speed_sigma_kmh=np.where(tracks.track_id == 5, np.nan, tracks.speed_sigma_kmh))
            for tracks in seen
        ]
    said = judge(rule, tmp_path, seen, walk, speed=False)
    assert [track for track, _ in begun(said)] == ([7] if known else [])


def test_entry_is_judged_at_its_moment_between_two_pictures(tmp_path: Path) -> None:
    """The front comes onto it at second 4.1, and is surely on it in the pictures of second 4.2 and 4.4; the pedestrian leaves it at 4.25."""
    leaves = along((0, -5.52, -3), (8, 4.88, -3))
    actors = [Actor(7, "car", DRIVES_ON), Actor(5, "pedestrian", leaves)]
    said = judge(
        FailureToYield(scene="north", signal="s"), tmp_path, play(actors, 9, fps=5), lights((0, WALK), group="walk")
    )
    assert begun(said) == [(7, pytest.approx(4.1, abs=0.06))]


def test_a_pedestrian_that_left_just_before_is_no_reason_to_wait(tmp_path: Path) -> None:
    left = along((0, -5.07, -3), (8, 5.33, -3))  # at second 3.9
    actors = [Actor(7, "car", DRIVES_ON), Actor(5, "pedestrian", left)]
    said = judge(
        FailureToYield(scene="north", signal="s"), tmp_path, play(actors, 9, fps=5), lights((0, WALK), group="walk")
    )
    assert begun(said) == []


@pytest.mark.parametrize("first_seen_s", [3.7, 3.9, 4.0])
def test_a_vehicle_that_was_hidden_has_entered_once_its_speed_is_known(first_seen_s: float, tmp_path: Path) -> None:
    actors = [Actor(7, "car", DRIVES_ON, begin_s=first_seen_s), Actor(5, "pedestrian", IN_THE_LANE)]
    rule = FailureToYield(scene="north", signal="s")
    said = judge(rule, tmp_path, play(actors, 9, fps=5, noise_px=0.3), lights((0, WALK), group="walk"))
    assert [track for track, _ in begun(said)] == [7]
    assert begun(said)[0][1] == pytest.approx(4.1, abs=0.9)


def test_a_vehicle_that_turns_onto_the_area_and_stops_has_entered_it(tmp_path: Path) -> None:
    """A right turn of radius 6 m at 14 km/h, which ends with the front 2.8 m beyond the border."""

    def turns(t: float) -> tuple[float, float]:
        way_m = min(3.9 * t, 30.0)
        angle = min(max(way_m - 20, 0.0) / 6, np.pi / 2)
        straight_m = max(way_m - 20 - 3 * np.pi, 0.0)
        return min(way_m - 27.75, -7.75) + 6 * float(np.sin(angle)), -1.75 + 6 * float(np.cos(angle)) - straight_m

    actors = [Actor(7, "car", turns), Actor(5, "pedestrian", along((0, -5.2, -3), (6, -0.4, -3)))]
    said = judge(
        FailureToYield(scene="north", signal="s"), tmp_path, play(actors, 9, fps=5), lights((0, WALK), group="walk")
    )
    assert [track for track, _ in begun(said)] == [7]


@pytest.mark.parametrize("later_s", [0.0, 0.05, 0.1, 0.15])
def test_how_far_a_vehicle_drove_on_does_not_depend_on_picture_times(later_s: float, tmp_path: Path) -> None:
    """At 14 km/h, 0.8 m from picture to picture, until its front is 2.4 m beyond the border."""
    stops_s, stops_m = 7 + later_s, -1.5 - 2.4 + SIZES_M["car"][0] / 2
    drives = along((0, -1.75, stops_m + 3.9 * stops_s), (stops_s, -1.75, stops_m), (9, -1.75, stops_m))
    actors = [Actor(7, "car", drives), Actor(5, "pedestrian", along((0, -5.2, -4), (6, -0.4, -4)))]
    said = judge(
        FailureToYield(scene="north", signal="s"), tmp_path, play(actors, 9, fps=5), lights((0, WALK), group="walk")
    )
    assert [track for track, _ in begun(said)] == [7]


def test_a_box_that_trembles_at_the_border_has_not_entered_the_area(tmp_path: Path) -> None:
    """A car waits with its front just before the area, and its box swings over it while pedestrians walk past in front."""

    def waits(t: float) -> tuple[float, float]:
        swing = 2.0 * np.sin(2.0 * (t - 4)) if t > 4 else 0.0
        return -1.75, float(np.interp(t, [0, 4], [30, 1.6])) - swing

    walks = along((0, -6, -3), (4, -3.2, -3), (9, -0.4, -3))
    actors = [Actor(7, "car", waits), Actor(5, "pedestrian", walks)]
    said = judge(
        FailureToYield(scene="north", signal="s"),
        tmp_path,
        play(actors, 9, noise_px=0.3),
        lights((0, WALK), group="walk"),
    )
    assert begun(said) == []


NEAR_MISS_CASES = [
    pytest.param(along((0, -1.75, 55), (5, -1.75, 5)), along((0, -5.2, 20), (2.3, -3.2, 20), (3.3, 0.4, 20)), "pedestrian", True,
                 id="runs over just in front"),
    pytest.param(along((0, -1.75, 55), (5, -1.75, 5)), along((0, -6, 20), (5, -4.5, 20)), "pedestrian", False, id="at the kerb"),
    pytest.param(along((0, -1.75, 55), (5, -1.75, 5)), along((0, -3.4, 20), (2, 4, 20), (5, 8, 20)), "pedestrian", False,
                 id="was over long before"),
    pytest.param(along((0, -1.75, 55), (2, -1.75, 38), (4, -1.75, 29), (6, -1.75, 26), (9, -1.75, 26)),
                 along((0, -3, 20), (9, 1.5, 20)), "pedestrian", False, id="the driver brakes in time"),
    pytest.param(along((0, -1.75, 55), (5, -1.75, 5)), along((0, 1.75, 5), (5, 1.75, 55)), "car", False, id="oncoming traffic"),
]  # fmt: skip


@pytest.mark.parametrize(("driving", "other", "label", "found"), NEAR_MISS_CASES)
def test_near_miss(driving: Way, other: Way, label: str, found: bool, tmp_path: Path) -> None:
    actors = [Actor(7, "car", driving), Actor(5, label, other)]
    said = judge(NearMiss(scene="north"), tmp_path, play(actors, 9, noise_px=0.2))
    assert [track for track, _ in begun(said)] == ([7] if found else [])
    if found:
        assert said[0].evidence["other_id"] == 5
        assert {"ttc_s", "pet_s"} <= set(said[0].evidence), (
            "the PET comes first, and gives the TTC that was predicted before"
        )


def test_bodies_that_seem_to_overlap_are_no_near_miss(tmp_path: Path) -> None:
    """A lorry that is half hidden behind others seems metres nearer, and a pedestrian walks on through it."""
    drives, walks = along((0, -1.75, 65), (10, -1.75, -25)), along((0, -8.75, 20), (10, 5.25, 20))
    actors = [Actor(7, "truck", drives), Actor(5, "pedestrian", walks)]
    assert begun(judge(NearMiss(scene="north"), tmp_path, play(actors, 9, fps=5))) == []


@pytest.mark.parametrize("later_s", [0.0, 0.1, 0.2, 0.3])
def test_a_pet_does_not_depend_on_the_frame_rate(later_s: float, tmp_path: Path) -> None:
    drives = along((0, -1.75, 53), (9, -1.75, -19))
    begin_m = -4.2 - 1.4 * later_s
    walks = along((0, begin_m, 20), (9, begin_m + 9 * 1.4, 20))
    actors = [Actor(7, "car", drives), Actor(5, "pedestrian", walks)]
    rule = NearMiss(scene="north", ttc_s=0, pet_s=2.0)
    often, seldom = (judge(rule, tmp_path, play(actors, 9, fps=fps))[0].evidence["pet_s"] for fps in (10, 5))
    leaves_s = (4.2 - 1.75 + SIZES_M["car"][1] / 2 + SIZES_M["pedestrian"][0] / 2) / 1.4 + later_s
    comes_s = (53 - 20 - SIZES_M["car"][0] / 2 - SIZES_M["pedestrian"][1] / 2) / 8
    assert [often, seldom] == pytest.approx([comes_s - leaves_s] * 2, abs=0.04)


@pytest.mark.parametrize("lost_s", [(2.3, 3.1), (3.5, 4.3)])
def test_lost_pictures_do_not_hide_a_pet(lost_s: tuple[float, float], tmp_path: Path) -> None:
    """They would show how the pedestrian leaves the car's way, at second 2.6, or how the car comes, at second 3.8."""
    actors = [
        Actor(7, "car", along((0, -1.75, 53), (9, -1.75, -19))),
        Actor(5, "pedestrian", along((0, -4.2, 20), (9, 8.4, 20))),
    ]
    said = {}
    for name, (begin_s, end_s) in {"all": (0.0, 0.0), "some": lost_s}.items():
        seen = [t for t in play(actors, 9, fps=5) if not begin_s < t.time_s - START_S < end_s]
        said[name] = judge(NearMiss(scene="north", ttc_s=0, pet_s=2.0), tmp_path, seen)[0].evidence["pet_s"]
    assert said["some"] == pytest.approx(said["all"], abs=0.04)


def test_a_pet_counts_for_a_pedestrian_seen_only_just_before(tmp_path: Path) -> None:
    """A runner appears in the lane; when its velocity is known it has left again, half a second before the car comes."""
    runs = along((0, -10.0, 20), (9, 17.0, 20))  # leaves the car's way at second 3.13
    drives = along((0, -1.75, 51), (9, -1.75, -21))  # comes at second 3.56
    actors = [Actor(7, "car", drives), Actor(5, "pedestrian", runs, begin_s=2.75)]
    said = judge(NearMiss(scene="north", ttc_s=0), tmp_path, play(actors, 6, fps=5, noise_px=0.2))
    assert [track for track, _ in begun(said)] == [7]
    assert said[0].evidence["pet_s"] == pytest.approx(0.43, abs=0.15)


def test_a_pet_is_the_shortest_of_the_encounter(tmp_path: Path) -> None:
    """A turning car cuts a pedestrian's path at a slant: what it reaches later was left later."""
    walks = along((0, -5, 20), (9, 7.6, 20))
    slants = along((0, -9.5, 40), (9, 8.5, -14))
    actors = [Actor(7, "car", slants), Actor(5, "pedestrian", walks)]
    first, *_, last = judge(NearMiss(scene="north", ttc_s=0, pet_s=5), tmp_path, play(actors, 9))
    assert first.evidence["pet_s"] == pytest.approx(1.65, abs=0.1)
    assert last.evidence["pet_s"] == pytest.approx(0.59, abs=0.1)
    assert last.description == "nearly hit 5 (PET 0.6 s)"


def test_cameras_have_near_misses_of_their_own(tmp_path: Path) -> None:
    """Track 5 walks before one camera and track 7 drives before another, over the same ground."""
    pedestrian = play([Actor(5, "pedestrian", along((0, -5.9, 20), (9, 11.2, 20)))], 9)
    car = play([Actor(7, "car", along((0, -1.75, 45), (9, -1.75, -27)))], 9)
    elsewhere = [tracks.replace(camera_id="south_camera", time_s=tracks.time_s + 0.01) for tracks in car]
    mixed = sorted([*pedestrian, *elsewhere], key=lambda tracks: tracks.time_s)
    assert begun(judge(NearMiss(scene="north", between="all"), tmp_path, mixed)) == []


STANDS = (-1.75, 23.2)
TAKEN_ALONG = along((0, *STANDS), (4, *STANDS), (4.6, 0.0, 21.45), (4.8, *STANDS), (9, *STANDS))
PUSHED = along(
    (0, -1.75, 23.5), (3, -1.75, 23.5), (3.5, -1.75, 21), (3.7, -1.75, 21), (4.2, -1.75, 23.5), (9, -1.75, 23.5)
)


@pytest.mark.parametrize(
    ("rider", "walks_y", "heading_deg"),
    [
        pytest.param(PUSHED, 19.4, -90, id="pushed towards the pedestrian"),
        pytest.param(TAKEN_ALONG, 21.6, None, id="taken along over the ground that was left"),
    ],
)
def test_a_standing_rider_whose_box_jumps_at_a_pedestrian_is_no_near_miss(
    rider: Way, walks_y: float, heading_deg: float | None, tmp_path: Path
) -> None:
    walks = along((0, -6, walks_y), (6, 0.6, walks_y))
    actors = [Actor(7, "bicycle", rider, heading_deg=heading_deg), Actor(5, "pedestrian", walks)]
    assert begun(judge(NearMiss(scene="north"), tmp_path, play(actors, 9, fps=5, noise_px=0.2))) == []


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("label", "pace_m_s"), [("bicycle", 3.85), ("motorcycle", 3.4)])
def test_a_rider_at_turning_speed_can_nearly_hit_a_pedestrian(
    label: str, pace_m_s: float, seed: int, tmp_path: Path
) -> None:
    begin_m = 20 + 3.1 * pace_m_s
    rides = along((0, -1.75, begin_m), (9, -1.75, begin_m - 9 * pace_m_s))  # over the pedestrian's path at second 3.1
    walks = along((0, -5.9, 20), (9, 11.2, 20))  # leaves the rider's way half a second before
    actors = [Actor(7, label, rides), Actor(5, "pedestrian", walks)]
    said = judge(NearMiss(scene="north"), tmp_path, play(actors, 9, fps=5, noise_px=1.0, seed=seed))
    assert [track for track, _ in begun(said)] == [7]
