"""Counts, speeds, occupancy, queues and turning movements."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from harness import context, opened
from traffic.street import START_S, Actor, along, pixels, play, street, tracks_of

from flowrt import LaneInterval, Line, Scene, Tracks
from flowrt_nodes.speed import Speed
from flowrt_nodes.traffic_flow import TrafficFlow
from flowrt_nodes.traffic_flow._lane_interval import movement_of


def with_exit() -> Scene:
    """The street with an exit line across the opposite lane, at y = 30, for vehicles that turn back."""
    scene = street()
    (ax, ay), (bx, by) = pixels([(0, 30), (3.5, 30)])
    lines = {**scene.lines, "out": Line(name="out", kind="exit", points=((ax, ay), (bx, by)), approach="north")}
    entry = msgspec.structs.replace(lines["stop_line"], approach="north")
    return msgspec.structs.replace(scene, lines={**lines, "stop_line": entry})


def flow(folder: Path, pictures: list[Tracks], *, scene: Scene | None = None, **given: object) -> list[LaneInterval]:
    node = TrafficFlow(scene="north", **given)  # type: ignore[arg-type]
    scene = scene or street()
    with (
        opened(node, context(folder, scene=scene)),
        opened(Speed(scene="north"), context(folder, scene=scene)) as speed,
    ):
        said = [interval for tracks in pictures for interval in node.process(speed.process(tracks))]
        return said + list(node.finish())


def platoon(count: int, label: str = "car", kmh: float = 36.0, every_s: float = 3.0, first: int = 1) -> list[Actor]:
    """Vehicles down the inbound lane, one after the other."""
    ms, length = kmh / 3.6, 75.0
    return [
        Actor(
            first + i,
            label,
            along((i * every_s, -1.75, 55), (i * every_s + length / ms, -1.75, 55 - length)),
            begin_s=i * every_s,
            end_s=i * every_s + 65 / ms,
        )
        for i in range(count)
    ]


def test_counts_by_class_and_lane(tmp_path: Path) -> None:
    actors = [*platoon(5), *platoon(2, "truck", every_s=9, first=20)]
    oncoming = Actor(40, "bus", along((0, 1.75, -5), (8, 1.75, 60)))
    pedestrian = Actor(41, "pedestrian", along((0, -1.75, 10), (20, -1.75, -6)))
    said = flow(tmp_path, list(play([*actors, oncoming, pedestrian], 30)), interval_s=3600)
    by_lane = {interval.lane_id: interval for interval in said}
    assert by_lane["lane_in"].class_counts == {"car": 5, "truck": 2}
    assert by_lane["lane_in"].vehicle_count == 7
    assert by_lane["lane_out"].class_counts == {"bus": 1}


def test_speeds_headway_flow_and_density(tmp_path: Path) -> None:
    said = flow(tmp_path, list(play(platoon(6), 30, noise_px=0.3)), interval_s=3600)
    lane = next(interval for interval in said if interval.lane_id == "lane_in")
    assert lane.speed_n == 6
    assert lane.average_speed == pytest.approx(36, abs=1.5)
    assert lane.speed_p85_kmh == pytest.approx(36, abs=2.5)
    assert lane.headway_s == pytest.approx(3.0, abs=0.15)
    assert lane.flow_veh_h == pytest.approx(6 * 3600 / lane.interval_s)
    assert lane.density_veh_km == pytest.approx(lane.flow_veh_h / 36, rel=0.06)
    assert lane.interval_s == pytest.approx(30, abs=0.2)  # a part of an hour, and it says so


def test_intervals_follow_capture_time_and_end_without_traffic(tmp_path: Path) -> None:
    said = flow(tmp_path, list(play(platoon(3), 65)), interval_s=20, lanes=["lane_in"])
    ends = [interval.time_s for interval in said]
    assert [end % 20 for end in ends[:-1]] == [0, 0, 0]
    assert [interval.interval_s for interval in said][1:3] == [20, 20]
    assert sum(interval.vehicle_count for interval in said) == 3
    assert said[-1].vehicle_count == 0
    assert len({interval.id for interval in said}) == len(said)


def test_a_pause_of_the_camera_is_no_empty_road(tmp_path: Path) -> None:
    early = list(play(platoon(1), 9))
    late = [msgspec.structs.replace(t, time_s=t.time_s + 300) for t in play([], 2)]
    said = flow(tmp_path, [*early, *late], interval_s=20, lanes=["lane_in"])
    assert len(said) <= 3  # 300 s of silence are 15 intervals that are not reported


def test_occupancy_is_a_share_of_time(tmp_path: Path) -> None:
    waits = Actor(1, "car", along((0, -1.75, 30), (4, -1.75, 1.5), (24, -1.75, 1.5), (28, -1.75, -12)), heading_deg=-90)
    said = flow(tmp_path, list(play([waits], 40)), interval_s=3600, lanes=["lane_in"])
    assert said[0].lane_occupancy == pytest.approx(20 / 40, abs=0.06)
    assert said[0].congestion_level in ("medium", "high")
    assert flow(tmp_path, list(play([], 40)), interval_s=3600, lanes=["lane_in"])[0].lane_occupancy == 0


def test_queue_in_vehicles_and_metres(tmp_path: Path) -> None:
    queue = [
        Actor(
            i + 1, "car", along((0, -1.75, 40 + 8 * i), (6, -1.75, 3 + 7 * i), (20, -1.75, 3 + 7 * i)), heading_deg=-90
        )
        for i in range(4)
    ]
    far = Actor(9, "car", along((0, -1.75, 56), (20, -1.75, 56)), heading_deg=-90)  # stands alone, far behind
    said = flow(tmp_path, list(play([*queue, far], 20)), interval_s=3600, lanes=["lane_in"])
    assert said[0].queue_vehicles == 4
    assert said[0].queue_m == pytest.approx(3 + 21 + 2.2, abs=1.0)
    moving = flow(tmp_path, list(play(platoon(4), 20)), interval_s=3600, lanes=["lane_in"])
    assert moving[0].queue_vehicles == 0


def test_turning_movements(tmp_path: Path) -> None:
    """Over the stop line, round, and back over the exit line."""
    turns = along((0, -1.75, 30), (3, -1.75, -3), (4, -0.5, -6), (5, 1.5, -5), (9, 1.75, 40))
    straight = along((0, -1.75, 45), (6, -1.75, -12))
    said = flow(
        tmp_path,
        list(play([Actor(1, "car", turns), Actor(2, "car", straight)], 10)),
        scene=with_exit(),
        interval_s=3600,
    )
    lane = next(interval for interval in said if interval.lane_id == "lane_in")
    assert lane.turning_movements == {"u_turn": 1}
    assert lane.vehicle_count == 2


def test_a_vehicle_that_enters_a_lane_over_the_line_at_its_beginning_is_counted(tmp_path: Path) -> None:
    """As on the way out of the intersection: the line is crossed while the vehicle is in no lane yet."""
    scene = street()
    (ax, ay), (bx, by) = pixels([(0, -0.4), (3.5, -0.4)])
    lines = {**scene.lines, "exit_north": Line(name="exit_north", kind="exit", points=((ax, ay), (bx, by)))}
    leaving = [Actor(1 + i, "car", along((3.0 * i, 1.75, -8), (3.0 * i + 6, 1.75, 52))) for i in range(3)]
    backing = Actor(9, "car", along((12, 1.75, 20), (18, 1.75, -8)))
    said = flow(
        tmp_path,
        list(play([*leaving, backing], 20)),
        scene=msgspec.structs.replace(scene, lines=lines),
        interval_s=3600,
    )
    counted = {interval.lane_id: interval.vehicle_count for interval in said}
    assert counted == {"lane_in": 0, "lane_out": 3}


def test_turns_are_named_as_drivers_name_them() -> None:
    assert [movement_of("north", end) for end in ("south", "east", "west", "north")] == [
        "through", "left", "right", "u_turn",
    ]  # fmt: skip
    assert [movement_of("west", end) for end in ("east", "north", "south")] == ["through", "left", "right"]
    assert movement_of("northeast", "southeast") == "left"
    assert movement_of("in_1", "exit_east") == "in_1-exit_east", "without the approaches it is unknown"


def test_a_lane_without_a_line_counts_vehicles_that_settle(tmp_path: Path) -> None:
    scene = msgspec.structs.replace(street(), lines={})
    actors = [*platoon(3), Actor(30, "car", along((0, -6, 20), (2, 8, 20)))]  # the last one only crosses the lane
    said = flow(tmp_path, list(play(actors, 20)), scene=scene, interval_s=3600, lanes=["lane_in"], settle_s=1.0)
    assert said[0].vehicle_count == 3


def test_a_vehicle_that_waits_on_the_line_counts_once(tmp_path: Path) -> None:
    waits = Actor(
        1, "car", along((0, -1.75, 30), (4, -1.75, 0.05), (20, -1.75, -0.05), (24, -1.75, -12)), heading_deg=-90
    )
    said = flow(tmp_path, list(play([waits], 25, noise_px=1.5)), interval_s=3600, lanes=["lane_in"])
    assert said[0].vehicle_count == 1


def test_counts_survive_a_successor(tmp_path: Path) -> None:
    pictures = list(play(platoon(4), 25))
    first, second = TrafficFlow(scene="north", interval_s=3600), TrafficFlow(scene="north", interval_s=3600)
    with opened(first, context(tmp_path, scene=street())):
        for tracks in pictures[:110]:
            first.process(tracks)
        state = first.export_state()
    with opened(second, context(tmp_path, scene=street())):
        second.import_state(state)
        for tracks in pictures[110:]:
            second.process(tracks)
        said = list(second.finish())
    assert next(i for i in said if i.lane_id == "lane_in").vehicle_count == 4


def test_memory_is_bounded(tmp_path: Path) -> None:
    node = TrafficFlow(scene="north", interval_s=60)
    with opened(node, context(tmp_path, scene=street())):
        for i in range(2000):
            node.process(tracks_of(START_S + i * 2.0, [i + 1], ["car"], [[600, 300, 660, 340]]))
        assert node._table is not None
        assert len(node._table) < 20
