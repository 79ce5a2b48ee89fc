"""Totals are cut by event time, late events correct them, and two runs within one window add up."""

from __future__ import annotations

from pathlib import Path

from harness import context, opened
from msgspec import structs

from flowrt import (
    Aggregate,
    FpsMinute,
    LaneInterval,
    Location,
    Performance,
    RoadUser,
    VehicleCount,
    Violation,
    ViolationCount,
)
from flowrt.contract import Contract
from flowrt_nodes.aggregate import Aggregates

HOUR = 1_700_000_000.0 // 3600 * 3600


def fps(time_s: float, value: float, camera: str = "north", dropped: int = 0) -> Performance:
    return Performance(
        time_s=time_s,
        camera_id=camera,
        fps=value,
        processing_time_ms=5.0,
        cpu_usage=10.0,
        memory_usage=100.0,
        frames_dropped=dropped,
    )


def lane(time_s: float, vehicles: int, speed: float | None) -> LaneInterval:
    return LaneInterval(
        id=f"lane-{time_s}",
        time_s=time_s,
        camera_id="north",
        lane_id="n_in_1",
        direction="inbound",
        interval_s=60.0,
        vehicle_count=vehicles,
        average_speed=speed,
        lane_occupancy=0.1,
        congestion_level="low",
        flow_veh_h=60.0 * vehicles,
    )


def violation(started_s: float, phase: str = "new") -> Violation:
    where = Location(x_px=1.0, y_px=2.0)
    user = RoadUser(track_id=1, label="car", confidence=0.9, box_px=(0.0, 0.0, 2.0, 2.0))
    return Violation(
        id=f"v-{started_s}",
        time_s=started_s + 1.0,
        camera_id="north",
        violation_type="red_light",
        severity="critical",
        phase=phase,
        location=where,
        object=user,
        evidence={},
        started_s=started_s,
    )


def run(
    folder: Path, messages: list[Performance | LaneInterval | Violation]
) -> tuple[list[Aggregate], list[Aggregate]]:
    """What the node sent on its way, and what it still owed."""
    with opened(Aggregates(), context(folder)) as node:
        sent = [aggregate for message in messages for aggregate in node.process(message)]
        return sent, list(node.finish())


def test_a_minute_of_frame_rates_is_their_mean(tmp_path: Path) -> None:
    reports = [
        fps(HOUR - 1.0, 1.0),
        *(fps(HOUR + 5 * i, 10.0 + i, dropped=2) for i in range(12)),
        fps(HOUR + 60.0, 3.0),
    ]
    sent, owed = run(tmp_path, reports)
    minute = sent[-1]
    assert isinstance(minute, FpsMinute)
    assert (minute.time_s, minute.fps, minute.n, minute.frames_dropped) == (HOUR, 15.5, 12, 24)
    assert [aggregate.time_s for aggregate in owed] == [HOUR + 60.0]


def test_the_runtimes_own_report_is_not_counted_as_a_camera(tmp_path: Path) -> None:
    assert run(tmp_path, [fps(HOUR, 10.0, camera="")]) == ([], [])


def test_five_minutes_of_vehicles_weight_speed_by_vehicles(tmp_path: Path) -> None:
    intervals = [
        lane(HOUR, 9, 90.0),
        *(lane(HOUR + 60.0 * i, i, 10.0 * i) for i in (1, 2, 3)),
        lane(HOUR + 300.0, 4, None),
    ]
    sent, owed = run(tmp_path, intervals)
    assert isinstance(sent[0], VehicleCount)
    assert sent[0].vehicle_count == 9, "an interval that ends on the hour belongs to the window before"
    (window,) = owed
    assert isinstance(window, VehicleCount)
    assert (window.time_s, window.vehicle_count) == (HOUR, 10)
    assert window.average_speed == round((10 * 1 + 20 * 2 + 30 * 3) / 6, 2)


def test_a_violation_counts_once_in_the_hour_it_began(tmp_path: Path) -> None:
    events = [
        violation(HOUR - 5.0),
        violation(HOUR + 1.0),
        violation(HOUR + 1.0, "update"),
        violation(HOUR + 1.0, "end"),
    ]
    _, (hour,) = run(tmp_path, events)
    assert isinstance(hour, ViolationCount)
    assert (hour.time_s, hour.count, hour.violation_type, hour.severity) == (HOUR, 1, "red_light", "critical")


def test_a_late_event_corrects_the_hour_before(tmp_path: Path) -> None:
    sent, _ = run(
        tmp_path, [violation(HOUR - 9000.0), violation(HOUR - 10.0), violation(HOUR + 2.0), violation(HOUR - 5.0)]
    )
    corrected = sent[-1]
    assert isinstance(corrected, ViolationCount)
    assert (corrected.time_s, corrected.count) == (HOUR - 3600.0, 2), "the same point again, with the right total"


def test_two_runs_within_one_window_make_two_points_that_add_up(tmp_path: Path) -> None:
    _, (first,) = run(tmp_path, [violation(HOUR + 10.0), violation(HOUR + 20.0)])
    _, (second,) = run(tmp_path, [violation(HOUR + 900.0)])
    assert isinstance(first, ViolationCount)
    assert isinstance(second, ViolationCount)
    assert first.time_s != second.time_s, "one point would overwrite the other"
    assert first.count + second.count == 3


def test_memory_goes_over_to_a_successor(tmp_path: Path) -> None:
    with opened(Aggregates(), context(tmp_path)) as old:
        list(old.process(violation(HOUR + 10.0)))
        state = old.export_state()
    with opened(Aggregates(), context(tmp_path)) as new:
        new.import_state(state)
        list(new.process(violation(HOUR + 20.0)))
        (hour,) = new.finish()
    assert isinstance(hour, ViolationCount)
    assert hour.count == 2


def test_lanes_of_one_name_at_two_cameras_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """InfluxDB keeps one point of a series and a time, so what tells them apart must be among the tags."""
    contract = Contract.load()
    north, east = (
        structs.replace(lane(HOUR + 60.0, 3, 40.0), camera_id=leg, camera_position=leg) for leg in ("north", "east")
    )
    with opened(Aggregates(), context(tmp_path)) as node:
        totals = [*node.process(north), *node.process(east), *node.finish()]
    assert len(totals) == 2
    for messages in ((north, east), totals):
        lines = [line for message in messages for line in contract.lines(message, "main-and-5th")]
        series = [line.partition(b" ")[0] for line in lines]
        assert len(set(series)) == len(series)


def test_windows_outlive_a_kill_and_count_nothing_twice(tmp_path: Path) -> None:
    """The process is killed after the second interval; that one is told again by the next one's `traffic_flow`."""
    where = context(tmp_path)
    with opened(Aggregates(), where) as killed:
        assert [*killed.process(lane(HOUR + 60, 5, 40.0)), *killed.process(lane(HOUR + 120, 7, 40.0))] == []
    with opened(Aggregates(), where) as goes_on:
        assert [*goes_on.process(lane(HOUR + 120, 7, 40.0)), *goes_on.process(lane(HOUR + 180, 1, 40.0))] == []
        [total] = goes_on.finish()
    assert isinstance(total, VehicleCount)
    assert (total.time_s, total.vehicle_count) == (HOUR + 60 - 0.5, 13)
    with opened(Aggregates(), where) as another:
        assert list(another.finish()) == []
