"""The world is deterministic, drives without crashes, and the truth measures what happened."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import pytest

from flowrt_sim.referee.conflicts import Conflict, Conflicts
from flowrt_sim.referee.definitions import RULES, Definitions
from flowrt_sim.referee.referee import Referee
from flowrt_sim.scenarios import SCENARIOS
from flowrt_sim.street.layout import LEGS, Layout
from flowrt_sim.street.route import route
from flowrt_sim.street.signals import CROSSWALK_GROUPS, RED, VEHICLE_GROUPS
from flowrt_sim.traffic.pedestrians import spawn_pedestrian, step_pedestrians
from flowrt_sim.traffic.road_users import Vehicle
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.traffic.world import STEP_S, World, look_up
from tests.sim.worlds import Run, entered, footprint, run

SEED = 5
SELDOM = ("jaywalking", "near_miss", "near_miss_turning")
"""Incidents that seldom end in a violation: they are watched for longer."""


@cache
def of(scenario: str, seconds: float = 200.0) -> Run:
    """One run per scenario, shared by the tests."""
    return run(scenario, SEED, seconds)


def positions(world: World) -> list[tuple[int, float, float, float]]:
    return [(a.number, a.x, a.y, a.heading) for a in world.road_users]


def test_same_seed_same_world_and_other_seed_another() -> None:
    simulations = [Simulation(seed, "mixed") for seed in (3, 3, 4)]
    for simulation in simulations:
        simulation.run_until(60.0)
    worlds = [simulation.world for simulation in simulations]
    assert len(worlds[0].vehicles) > 10
    assert positions(worlds[0]) == positions(worlds[1])
    assert positions(worlds[0]) != positions(worlds[2])


def test_time_advances_by_exact_steps() -> None:
    simulation = Simulation(1)
    simulation.run_until(10.0)
    assert simulation.world.steps == 200
    assert simulation.world.time_s == pytest.approx(200 * STEP_S)


@pytest.mark.parametrize("seed", [1, 2])
def test_vehicles_and_pedestrians_never_touch(seed: int) -> None:
    simulation = Simulation(seed, "mixed")
    world = simulation.world
    while world.time_s < 240:
        simulation.step()
        if world.steps % 8:
            continue
        for i, a in enumerate(world.vehicles):
            for b in world.vehicles[:i]:
                if (a.x - b.x) ** 2 + (a.y - b.y) ** 2 < ((a.length + b.length) / 2) ** 2:
                    area, _ = cv2.intersectConvexConvex(footprint(a), footprint(b))
                    assert area < 0.05, (world.time_s, a.number, b.number)
            for p in world.pedestrians:
                if abs(a.x - p.x) < 7 and abs(a.y - p.y) < 7:
                    inside = cv2.pointPolygonTest(footprint(a, -0.05), (p.x, p.y), False)
                    assert inside <= 0, (world.time_s, a.number, p.number)


def test_traffic_flows_and_follows_the_limits_of_physics() -> None:
    found = of("calm", 240.0)
    crossed = sum(found.referee.counts.values())
    assert crossed > 60
    assert {turn for _, _, turn, _ in found.referee.counts} >= {"left", "through", "right"}
    assert all(abs(v.acceleration) < 9 and 0 <= v.speed < 14.5 for v in found.world.vehicles)


@pytest.mark.parametrize(
    ("scenario", "rule", "least"),
    [
        ("red_light", "red_light", 3),
        ("red_light_creep", "red_light", 3),
        ("wrong_way", "wrong_way", 2),
        ("speeding", "speeding", 4),
        ("illegal_turn", "illegal_turn", 4),
        ("stopped", "stopped", 3),
        ("stopped_on_crosswalk", "stopped_on_crosswalk", 2),
        ("amber_acceleration", "amber_acceleration", 2),
        ("jaywalking", "jaywalking", 2),
        ("jaywalking_midblock", "jaywalking", 3),
        ("failure_to_yield", "failure_to_yield", 1),
        ("near_miss", "near_miss", 2),
        ("near_miss_turning", "near_miss", 4),
    ],
)
def test_a_scenario_commits_its_violation(scenario: str, rule: str, least: int) -> None:
    found = of(scenario, 400.0 if scenario in SELDOM else 200.0)
    assert len(found.of(rule)) >= least
    for v in found.referee.violations:
        assert v.rule in RULES
        assert v.start_s <= v.time_s <= v.end_s or v.rule == "near_miss"


@pytest.mark.parametrize(
    ("scenario", "incident", "rules"),
    [
        ("right_on_red", "right_on_red", ("red_light", "failure_to_yield", "stopped_on_crosswalk")),
        ("past_line_at_red", "past_line_at_red", ("red_light", "amber_acceleration", "speeding")),
        ("spill_back", "spill_back", ("stopped", "stopped_on_crosswalk", "red_light")),
        ("waiting_pedestrian", "waiting_pedestrian", ("jaywalking", "failure_to_yield", "near_miss")),
        ("hard_stop", "hard_stop", ("red_light", "stopped_on_crosswalk", "near_miss")),
        # A vehicle that pulls out of the bay may come near to another in the lane: a near miss of two vehicles.
        ("short_stop", "short_stop", ("wrong_way", "red_light", "speeding")),
    ],
)
def test_an_innocent_look_alike_is_no_violation(scenario: str, incident: str, rules: tuple[str, ...]) -> None:
    found = of(scenario)
    assert found.incidents[incident] >= 2
    assert not [v for v in found.referee.violations if v.rule in rules]


def test_calm_traffic_violates_nothing() -> None:
    assert not of("calm", 240.0).referee.violations


def test_red_light_truth_names_fast_and_creeping() -> None:
    fast, slow = of("red_light").of("red_light"), of("red_light_creep").of("red_light")
    assert {v.detail for v in fast} == {"fast"}
    assert {v.detail for v in slow} == {"creeping"}
    for v in fast + slow:
        world = of("red_light").world
        state, since = world.plan.state(VEHICLE_GROUPS[v.leg], v.time_s)
        assert state == RED
        assert v.time_s - since > 0.3


def test_right_turns_on_red_really_happen() -> None:
    found = of("right_on_red")
    turned = [v for v in found.world.vehicles if v.red_turn]
    assert turned or found.referee.counts.total() > 0
    assert sum(n for (_, _, turn, _), n in found.referee.counts.items() if turn == "right") >= 5


def test_truth_does_not_depend_on_intentions() -> None:
    """A vehicle without an intention that crosses at red has run the red light."""
    simulation = Simulation(SEED, "calm")
    world = simulation.world
    referee = Referee(world)
    red = next(leg for leg in VEHICLE_GROUPS if world.plan.state(VEHICLE_GROUPS[leg], 0.1)[0] == RED)
    vehicle = entered(world, "car", route(world.layout, red, 1, "through"))
    vehicle.s, vehicle.speed = vehicle.route.stop_s - 0.3, 10.0
    referee.watch()
    for _ in range(4):
        simulation.step()
        referee.watch()
    assert [v.rule for v in referee.violations] == ["red_light"]
    assert referee.violations[0].leg == red
    assert referee.counts[red, "in_1", "through", "car"] == 1


def encroachments(steps: int, *driving: tuple[Vehicle, float]) -> list[float]:
    """The post-encroachment times of vehicles that go on along their routes at these speeds."""
    conflicts, found = Conflicts(Definitions(pet_s=5.0)), []
    for step in range(steps):
        for vehicle, speed in driving:
            vehicle.speed = speed
            vehicle.s += speed * 0.05
            vehicle.place()
        found += conflicts.watch(step * 0.05, [vehicle for vehicle, _ in driving], [])
    return [c.pet_s for c in found if np.isfinite(c.pet_s)]


def test_post_encroachment_time_is_the_gap_between_leaving_and_entering() -> None:
    world = Simulation(1, "calm").world
    first = entered(world, "motorcycle", route(Layout(), "north", 1, "through"))
    second = entered(world, "motorcycle", route(Layout(), "west", 1, "through"))
    speed = 10.0
    first.s, second.s = first.route.stop_s, second.route.stop_s - 22.0
    pets = encroachments(100, (first, speed), (second, speed))
    x_first = 17.75 + first.width / 2 + first.length  # way of the first until it has left the second's strip
    x_second = 22.0 + 14.25 - second.width / 2
    assert pets
    assert pets[0] == pytest.approx((x_second - x_first) / speed, abs=0.01)


@pytest.mark.parametrize(("speed", "counts"), [(2.8, False), (3.2, True)])
def test_a_vehicle_at_walking_pace_has_no_post_encroachment_time(speed: float, counts: bool) -> None:
    world = Simulation(1, "calm").world
    car = entered(world, "car", route(Layout(), "north", 1, "through"))
    rider = entered(world, "bicycle", route(Layout(), "west", 1, "through"))
    car.s, rider.s = car.route.stop_s, rider.route.stop_s - 3.0
    assert bool(encroachments(260, (car, speed), (rider, 4.0))) == counts


def test_a_pair_has_the_shortest_of_its_encroachments_whatever_the_limit() -> None:
    """A turning car first reaches ground that a pedestrian left over a second ago, and soon ground that it has just left."""
    world, layout = Simulation(1, "calm").world, Layout()
    car = entered(world, "car", route(layout, "north", 2, "right"))
    pedestrian = spawn_pedestrian(world, "west", "step_out", inbound=False)
    pedestrian.crossing, pedestrian.speed, pedestrian.heading = True, 1.9, -np.pi / 2
    reported: dict[float, list[Conflict]] = {1.0: [], 5.0: []}
    for limit_s, found in reported.items():
        conflicts, car.speed = Conflicts(Definitions(pet_s=limit_s)), 3.9
        for step in range(90):
            car.s = car.route.exit_s - 10.0 + car.speed * STEP_S * step
            car.place()
            pedestrian.x, pedestrian.y = layout.world("west", [(12.0, -8.3 + pedestrian.speed * STEP_S * step)])[0]
            found += [c for c in conflicts.watch(step * STEP_S, [car], [pedestrian]) if np.isfinite(c.pet_s)]
    assert [c.pet_s for c in reported[5.0]] == [c.pet_s for c in reported[1.0]]
    assert [c.pet_s <= 1.0 for c in reported[1.0]] == [True]
    assert (reported[1.0][0].actor, reported[1.0][0].other) == (car.number, pedestrian.number)


def test_a_near_miss_is_reported_once_whatever_shows_it() -> None:
    found = of("near_miss_turning", 400.0).of("near_miss")
    assert {v.detail for v in found} == {"pet", "ttc"}
    assert len({frozenset((v.actor, v.other)) for v in found}) == len(found)


def test_a_pedestrian_that_let_a_vehicle_pass_walks_on_a_moment_after_it() -> None:
    world = Simulation(1, "calm").world
    pedestrian = spawn_pedestrian(world, "west", "step_out", inbound=False)
    pedestrian.mode, pedestrian.crossing, pedestrian.next = "", True, pedestrian.gate + 1
    pedestrian.x, pedestrian.y = pedestrian.points[pedestrian.gate]
    world.pedestrians = [pedestrian]
    car = entered(world, "car", route(world.layout, "north", 2, "right"))
    car.s, car.speed = car.route.exit_s - 4.0, 3.5
    world.vehicles = [car]
    waited_s = []
    while car.in_exit - car.length < 8.0:
        car.s += car.speed * STEP_S
        car.place()
        world.time_s += STEP_S
        step_pedestrians(world, STEP_S)
        if pedestrian.speed == 0.0:
            waited_s.append(world.time_s)
    gone_s = (pedestrian.out - world.layout.crosswalk_m[0] + car.length + 4.0) / car.speed
    assert pedestrian.speed > 1.0
    assert waited_s[-1] == pytest.approx(gone_s + 1.2, abs=0.5)


@pytest.mark.parametrize("gap_m", [0.2, 0.4])
def test_a_driver_and_a_pedestrian_that_wait_for_each_other_both_get_on(gap_m: float) -> None:
    """A pedestrian has come within a step, `gap_m`, of the front of a turning car that stands on the exit crosswalk."""
    simulation = Simulation(1, "calm")
    world = simulation.world
    pedestrian = spawn_pedestrian(world, "west", inbound=False)
    pedestrian.crossing, pedestrian.next = True, pedestrian.gate + 1
    car = entered(world, "car", route(world.layout, "north", 2, "right"))
    car.s, car.speed = car.route.exit_s + 1.5, 0.0
    car.place()
    front_x, front_y = car.front()
    goal = pedestrian.points[pedestrian.next]
    pedestrian.x, pedestrian.y = front_x - gap_m, front_y + (1.3 if goal[1] < front_y else -1.3)
    pedestrian.points[pedestrian.next] = (pedestrian.x, goal[1])
    world.pedestrians, world.vehicles = [pedestrian], [car]
    while pedestrian.crossing and world.time_s < 40.0:
        simulation.step()
        if pedestrian.held_s > 0:
            assert cv2.pointPolygonTest(footprint(car, -0.1), (pedestrian.x, pedestrian.y), False) < 0
    assert not pedestrian.crossing
    simulation.run_until(world.time_s + 20.0)
    assert car.in_exit > 20.0


def test_a_vehicle_beyond_the_line_lets_the_box_clear_at_green() -> None:
    simulation = Simulation(1, "calm")
    world = simulation.world
    while world.plan.state(VEHICLE_GROUPS["west"], world.time_s)[0] != RED:
        simulation.step()
    world.vehicles.clear()
    over, turner = (
        entered(world, "van", route(world.layout, *way)) for way in (("west", 1, "through"), ("south", 1, "left"))
    )
    over.mode, over.s, over.speed = "overshoot", over.route.stop_s + 3.7, 0.0
    over.stop_at_s = over.s
    turner.s, turner.speed = turner.route.wait_s, 0.0
    world.vehicles = [over, turner]
    for vehicle in world.vehicles:
        vehicle.place()
    world.steps = round(world.plan.next_change_s(VEHICLE_GROUPS["west"], world.time_s) / STEP_S) + 30
    simulation.director.due_s.clear()  # nothing else is to happen
    for _ in range(32):  # the turner is slow to start
        simulation.step()
        turner.s, turner.speed = turner.route.wait_s, 0.0
        turner.place()
    simulation.run_until(world.time_s + 30.0)
    for vehicle in (over, turner):
        assert vehicle not in world.vehicles or vehicle.in_exit > 5.0, (vehicle.kind, vehicle.x, vehicle.y)


@pytest.mark.parametrize(("waits_m", "late"), [(0.2, True), (0.6, False)])
def test_a_pedestrian_that_waits_at_the_kerb_through_walk_enters_when_it_goes_on(waits_m: float, late: bool) -> None:
    world = Simulation(1, "calm").world
    pedestrian = spawn_pedestrian(world, "west", inbound=True)
    world.pedestrians = [pedestrian]
    referee, layout = Referee(world), world.layout
    pedestrian.out = sum(layout.crosswalk_m) / 2
    group = CROSSWALK_GROUPS["west"]
    while world.plan.state(group, world.time_s)[0] == RED:
        world.time_s += STEP_S
    pedestrian.side = layout.in_edge_m - waits_m
    while world.plan.state(group, world.time_s)[0] != RED:
        referee.watch()
        world.time_s += STEP_S
    while pedestrian.side > layout.out_edge_m:
        pedestrian.side -= 1.3 * STEP_S
        referee.watch()
        world.time_s += STEP_S
    assert [v.detail for v in referee.violations] == (["against don't walk"] if late else [])


def test_wrong_way_drivers_need_room_behind_the_queue() -> None:
    for queued, begins in ((1, True), (2, False)):
        simulation = Simulation(1, "calm")
        world = simulation.world
        world.vehicles.clear()
        for leg in LEGS:
            for place in range(queued):
                waiting = entered(world, "car", route(world.layout, leg, 1, "through"))
                waiting.s, waiting.speed = waiting.route.stop_s - 1.0 - 7.0 * place, 0.0
        world.lookups = look_up(world)
        assert simulation.director._wrong_way() == begins


def test_definitions_change_the_verdict() -> None:
    simulation = Simulation(SEED, "red_light")
    strict = simulation.world
    lenient = Referee(strict, Definitions(red_grace_s=5.0), near_misses=False)
    while strict.time_s < 120:
        simulation.step()
        lenient.watch()
    assert not [v for v in lenient.violations if v.rule == "red_light"]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_scenario_can_be_started(name: str) -> None:
    simulation = Simulation(2, name)
    world = simulation.world
    simulation.run_until(2.0)
    assert world.time_s == pytest.approx(2.0)
