"""What counts as found, missed and false: by rule, actor, time and camera."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flowrt import LaneInterval, Location, RoadUser, Violation
from flowrt_scoring.matching import Judged, judge, reported
from flowrt_scoring.measures import Counts
from flowrt_scoring.reference import Reference, Witness
from flowrt_sim.referee.definitions import Violation as Truth
from flowrt_sim.street.route import route
from flowrt_sim.uri import SimOptions
from tests.sim.worlds import entered

LEGS = {"cam_n": "north", "cam_e": "east"}
TRUTH = Truth("speeding", 5, "car", "north", "in_1", 50.0, 48.0, 50.0, (0.0, 20.0), (0.0, 18.0), 70.0)


def run(*truths: Truth) -> Reference:
    """A minute and a half in which car 5 stands at (0, 20), car 6 at (3.5, 20), and truck 7, 10 m long, at (-3.5, 20)."""
    reference = Reference(SimOptions(duration_s=90.0), violations=list(truths))
    shapes = {5: (0.0, 4.4), 6: (3.5, 4.4), 7: (-3.5, 10.0)}
    actors = [
        SimpleNamespace(number=n, x=x, y=20.0, speed=15.0, shape=SimpleNamespace(length_m=length))
        for n, (x, length) in shapes.items()
    ]
    for _ in range(90 * 20):
        reference.record(cast(Any, SimpleNamespace(road_users=actors)))
    return reference


def report(
    time_s: float = 50.0, x_m: float = 0.3, camera: str = "cam_n", rule: str = "speeding", key: str = "a"
) -> Violation:
    box = (1.0, 2.0, 3.0, 4.0)
    return Violation(
        time_s=time_s, camera_id=camera, id=key, violation_type=rule, severity="high", phase="new", started_s=time_s,
        location=Location(x_px=1, y_px=2, x_m=x_m, y_m=20.5), evidence={},
        object=RoadUser(track_id=1, label="car", confidence=1.0, box_px=box),
    )  # fmt: skip


def numbers(truths: list[Truth], reports: list[Violation], rule: str = "speeding") -> tuple[int, int, int]:
    judged = Judged()
    judge(run(*truths), reported(reports, LEGS), rule, frozenset(LEGS.values()), judged)
    return len(judged.hits), len(judged.misses), len(judged.false_alarms)


@pytest.mark.parametrize("time_s", [46.6, 49.0, 51.4])
def test_the_same_actor_within_a_second_and_a_half_is_a_hit(time_s: float) -> None:
    assert numbers([TRUTH], [report(time_s)]) == (1, 0, 0)


@pytest.mark.parametrize("time_s", [46.4, 51.6])
def test_too_early_or_too_late_is_a_miss_and_a_false_alarm(time_s: float) -> None:
    assert numbers([TRUTH], [report(time_s)]) == (0, 1, 1)


def test_somebody_else_is_a_miss_and_a_false_alarm() -> None:
    assert numbers([TRUTH], [report(x_m=3.4)]) == (0, 1, 1)


def test_another_rule_finds_nothing() -> None:
    assert numbers([TRUTH], [report(rule="wrong_way")]) == (0, 1, 0)


def test_a_long_vehicle_may_be_placed_less_exactly() -> None:
    truck = replace(TRUTH, actor=7)
    assert numbers([truck], [report(x_m=-6.5)]) == (1, 0, 0)


def test_reported_twice_is_once_too_often() -> None:
    assert numbers([TRUTH], [report(), report(key="b")]) == (1, 0, 1)


def test_updates_are_the_same_report() -> None:
    assert numbers([TRUTH], [report(), report(51.0), report(60.0)]) == (1, 0, 0)


def test_what_another_camera_should_report_is_no_false_alarm() -> None:
    assert numbers([TRUTH], [report(), report(camera="cam_e", key="b")]) == (1, 0, 0)
    assert numbers([TRUTH], [report(camera="cam_e")]) == (0, 1, 0)


def test_a_leg_without_a_camera_is_not_judged() -> None:
    assert numbers([replace(TRUTH, leg="west")], []) == (0, 0, 0)


def test_the_edges_of_a_run_are_not_judged() -> None:
    early = replace(TRUTH, time_s=3.0, start_s=2.0, end_s=3.0)
    assert numbers([early], []) == (0, 0, 0)
    assert numbers([early], [report(3.0)]) == (0, 0, 0)
    assert numbers([], [report(88.0)]) == (0, 0, 0)


def test_a_turn_that_began_before_the_run_is_not_judged() -> None:
    turn = replace(TRUTH, rule="illegal_turn", time_s=9.0, start_s=-4.0, end_s=9.0)
    assert numbers([turn], [], "illegal_turn") == (0, 0, 0)
    assert numbers([replace(turn, start_s=0.5)], [], "illegal_turn") == (0, 1, 0)
    assert numbers([replace(turn, rule="speeding")], []) == (0, 1, 0)


def test_near_misses_may_be_told_of_either_of_the_two() -> None:
    judged = Judged()
    pair = replace(TRUTH, rule="near_miss", other=6)
    judge(run(pair), reported([report(x_m=3.4, rule="near_miss")], LEGS), "near_miss", frozenset({"north"}), judged)
    assert (len(judged.hits), len(judged.misses)) == (1, 0)


def test_counts_are_held_against_lanes_and_turns() -> None:
    reference = run()
    reference.lanes = Counter({("north", "in_1"): 50})
    reference.movements = Counter({("north", "in_1", "south"): 40, ("north", "in_1", "east"): 10})
    counts = Counts()
    interval = LaneInterval(
        time_s=60.0, camera_id="cam_n", id="1", lane_id="in_1", direction="", interval_s=60, vehicle_count=49,
        average_speed=None, lane_occupancy=0.1, congestion_level="low", flow_veh_h=1, turning_movements={
            "through": 30, "in_1-exit_south": 10, "left": 8,
        },
    )  # fmt: skip
    counts.add(reference, [interval], LEGS)
    assert counts.error == pytest.approx(2 / 50)


def test_a_movement_is_true_when_a_vehicle_has_crossed_both_lines() -> None:
    """Who is between the lines when the run ends has been in a lane, and has not turned yet."""
    witness = Witness(SimOptions(scenario="calm", start=0.0, duration_s=90.0))
    world = witness.simulation.world
    car = entered(world, "car", route(world.layout, "north", 2, "right"))
    world.vehicles = [car]
    seen = []
    for s in (
        car.route.stop_s - 0.1,
        car.route.stop_s + 0.1,
        car.route.exit_s + 5.4,
        car.route.exit_s + 5.6,
        car.route.exit_s + 9,
    ):
        car.s = s
        car.place()
        witness.watch(world)
        seen.append((dict(witness.reference.lanes), dict(witness.reference.movements)))
    lane, movement = {("north", "in_2"): 1}, {("north", "in_2", "west"): 1}
    assert seen == [({}, {}), (lane, {}), (lane, {}), (lane, movement), (lane, movement)]
