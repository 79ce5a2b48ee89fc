"""The machine's clock is set back or forward, by a minute or an hour: everything goes on in the new time, and nothing is lost."""

from __future__ import annotations

import threading
from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest
from harness import context, feed, opened
from nodes.test_aggregate import lane, violation
from traffic.street import LABELS, START_S, Actor, along, lights, play, street, with_speeds

from flowrt import Detections, SignalState, Tick, Tracks, VehicleCount, ViolationCount, ZoneEvent
from flowrt.contract import Contract
from flowrt.traffic.rules.signals import SignalTimeline
from flowrt_nodes.aggregate import Aggregates
from flowrt_nodes.rate_limit import RateLimit
from flowrt_nodes.roi import Roi
from flowrt_nodes.signal.fixed import FixedSignal
from flowrt_nodes.timer import Timer
from flowrt_nodes.track import Track
from flowrt_nodes.traffic_flow import TrafficFlow
from flowrt_nodes.violation.stopped import Stopped

SET_S = 65.0
"""When the clock is set, in the script's seconds."""
BY_S = pytest.mark.parametrize("by_s", [-3600.0, -60.0, 60.0, 3600.0])


def platoon(count: int) -> list[Actor]:
    """A car over the stop line each 3 s: 5.5 s after the beginning, 8.5 s, …"""
    return [
        Actor(i + 1, "car", along((i * 3, -1.75, 55), (i * 3 + 7.5, -1.75, -20)), begin_s=i * 3, end_s=i * 3 + 6.5)
        for i in range(count)
    ]


def with_clock_set(pictures: list[Tracks], by_s: float) -> list[Tracks]:
    """From SET_S on the times are others, and so are the tracks: the tracker ends them where time goes back, and after a gap."""
    return [
        each
        if each.time_s < START_S + SET_S
        else msgspec.structs.replace(each, time_s=each.time_s + by_s, track_id=each.track_id + 1000)
        for each in pictures
    ]


def test_the_tracker_ends_every_track_where_time_goes_back(tmp_path: Path) -> None:
    def picture(time_s: float) -> Detections:
        return Detections(
            time_s=time_s,
            camera_id="north",
            boxes_px=np.array([[100, 100, 200, 160]], np.float32),
            confidence=np.ones(1, np.float32),
            class_id=np.zeros(1, np.int64),
            labels=LABELS,
            picture_px=(1280, 720),
        )

    for by_s in (-3600.0, -60.0, 60.0, 3600.0):
        times = [START_S + i * 0.1 + (by_s if i >= 10 else 0.0) for i in range(20)]
        with opened(Track(), context(tmp_path)) as node:
            made = [each for each in feed(node, map(picture, times)) if isinstance(each, Tracks)]
        ids = [set(each.track_id.tolist()) for each in made]
        assert len(ids[9]) == len(ids[19]) == 1
        assert ids[9] != ids[19]


@BY_S
def test_lanes_are_counted_on_in_the_new_time(by_s: float, tmp_path: Path) -> None:
    pictures = with_clock_set(list(play(platoon(40), 130)), by_s)
    node = TrafficFlow(scene="north", interval_s=20, lanes=["lane_in"])
    with opened(node, context(tmp_path, scene=street())):
        said = [interval for each in with_speeds(pictures, tmp_path) for interval in node.process(each)]
        said += list(node.finish())
    crossed = [5.5 + 3 * i for i in range(40)]
    in_time = [START_S + t + (by_s if t > SET_S else 0.0) for t in crossed]
    assert sum(interval.vehicle_count for interval in said) == len(crossed)
    for interval in said:  # what was counted lies within the interval, by the clock of its time
        end_s = round(interval.time_s, 1)
        within = sum(end_s - interval.interval_s <= time_s < end_s for time_s in in_time)
        assert interval.vehicle_count <= within
        assert 0 < interval.interval_s <= 20
    series = [(interval.time_s, interval.lane_id) for interval in said]
    assert len(set(series)) == len(series), "no point overwrites another"
    assert len({interval.id for interval in said}) == len(said)
    assert [interval.headway_s for interval in said if (interval.headway_s or 0.0) < 0] == []


def test_an_interval_that_comes_again_is_a_point_of_its_own(tmp_path: Path) -> None:
    pictures = with_clock_set(list(play(platoon(60), 190)), -60.0)
    node = TrafficFlow(scene="north", interval_s=20, lanes=["lane_in"])
    with opened(node, context(tmp_path, scene=street())):
        said = [interval for each in with_speeds(pictures, tmp_path) for interval in node.process(each)]
        said += list(node.finish())
    ends = [round(interval.time_s - START_S, 4) for interval in said]
    assert ends == [20.0, 40.0, 60.0, 64.9, 20.001, 40.001, 60.001, 80.001, 100.0, 120.0, 130.0]


@BY_S
def test_totals_hold_what_was_counted_in_their_time(by_s: float, tmp_path: Path) -> None:
    """Lanes per minute, and violations, for three hours; the clock is set in the middle of a window."""
    begin_s = START_S // 3600 * 3600
    set_at = 5400 + 150  # within the 19th window of five minutes
    minutes = [60.0 * i for i in range(1, 181)]
    told = [lane(begin_s + t + (by_s if t > set_at else 0.0), 1 + i % 3, 40.0) for i, t in enumerate(minutes)]
    messages = [
        msgspec.structs.replace(each, id=f"lane-{i}") for i, each in enumerate(told)
    ]  # as traffic_flow tells them apart
    offences = [violation(begin_s + t - 30 + (by_s if t > set_at else 0.0)) for t in minutes]
    totals: dict[float, VehicleCount] = {}
    hours: dict[float, ViolationCount] = {}
    with opened(Aggregates(), context(tmp_path, contract=Contract.load())) as node:
        sent = [made for pair in zip(messages, offences, strict=True) for each in pair for made in node.process(each)]
        for made in [*sent, *node.finish()]:
            if isinstance(made, VehicleCount):
                totals[made.time_s] = made  # as the database keeps them: a later point of the same time overwrites
            elif isinstance(made, ViolationCount):
                hours[made.time_s] = made
    assert sum(total.vehicle_count for total in totals.values()) == sum(each.vehicle_count for each in messages)
    assert sum(total.count for total in hours.values()) == len(offences)
    for begin, total in totals.items():
        window_s = begin // 300 * 300
        within = sum(each.vehicle_count for each in messages if window_s < each.time_s <= window_s + 300)
        assert total.vehicle_count == within


@BY_S
def test_zones_are_left_and_entered_anew(by_s: float, tmp_path: Path) -> None:
    waits = Actor(1, "car", along((0, -1.75, 20), (200, -1.75, 20)), heading_deg=-90)
    with opened(Roi(scene="north", zones=["lane_in"], lines=[]), context(tmp_path, scene=street())) as node:
        made = list(feed(node, with_clock_set(list(play([waits], 75)), by_s)))
        events = [event for event in made if isinstance(event, ZoneEvent)]
    assert [(event.event_type, event.object.track_id) for event in events] == [
        ("entry", 1),
        ("exit", 1),
        ("entry", 1001),
    ]
    assert events[1].dwell_time == pytest.approx(SET_S, abs=0.5)
    assert events[2].time_s == pytest.approx(START_S + SET_S + by_s, abs=0.5)


@BY_S
def test_violations_end_and_begin_anew(by_s: float, tmp_path: Path) -> None:
    waits = Actor(1, "car", along((0, -1.75, 20), (200, -1.75, 20)), heading_deg=-90)
    rule = Stopped(scene="north", zones=["lane_in"], hold_s=10)
    pictures = with_clock_set(list(play([waits], 95)), by_s)
    with opened(rule, context(tmp_path, scene=street())):
        said = [event for each in with_speeds(pictures, tmp_path) for event in rule.process(each)]
    phases = [(event.phase, event.object.track_id) for event in said if event.phase != "update"]
    assert phases == [("new", 1), ("end", 1), ("new", 1001)]
    ended = next(event for event in said if event.phase == "end")
    assert ended.ended_s == pytest.approx(START_S + SET_S, abs=0.5)


def test_phases_are_known_again_with_the_first_report() -> None:
    timeline = SignalTimeline()
    for report in lights((0, "stop-and-remain"), until_s=60):
        timeline.report(report)
    now_s = START_S - 3600
    timeline.report(SignalState(time_s=now_s, states={"cars": "stop-and-remain"}))
    phase = timeline.at("cars", now_s + 0.5, 2.0)
    assert phase is not None
    assert phase.state == "stop-and-remain"


def test_a_rate_limit_lets_through_again(tmp_path: Path) -> None:
    with opened(RateLimit(most=1, per_s=10.0), context(tmp_path)) as node:
        times = [START_S, START_S - 3600, START_S - 3590, START_S - 3589]
        passed = [node.process(Tick(time_s=time_s, count=0)) is not None for time_s in times]
    assert passed == [True, False, True, False]


class SettableClock:
    """A clock that stands still but for what a wait takes, and can be set."""

    virtual = False

    def __init__(self, now_s: float, set_after_s: float, by_s: float) -> None:
        self._now_s, self._left_s, self._by_s = now_s, set_after_s, by_s

    def now_s(self) -> float:
        return self._now_s

    def sleep(self, seconds: float, stopping: threading.Event) -> bool:
        self._now_s += seconds
        self._left_s -= seconds
        if self._left_s <= 0 and self._by_s:
            self._now_s, self._by_s = self._now_s + self._by_s, 0.0
        return not stopping.is_set()


@BY_S
@pytest.mark.parametrize("kind", ["timer", "signal"])
def test_what_comes_at_intervals_comes_on(kind: str, by_s: float, tmp_path: Path) -> None:
    clock = SettableClock(START_S, 30.0, by_s)
    if kind == "timer":
        source: Timer | FixedSignal = Timer(every_s=10.0)
    else:
        source = msgspec.convert({"every_s": 10.0, "plan": [{"duration_s": 30, "green": ["a"]}]}, FixedSignal)
    with opened(source, context(tmp_path, clock=clock)):
        times = [message.time_s for _, message in zip(range(9), source.produce(), strict=False)]
    waits = [round(b - a - (by_s if abs(b - a) > 30 else 0.0), 3) for a, b in pairwise(times)]
    assert max(waits) <= 20.0
    assert times[-1] == pytest.approx(START_S + by_s + 80, abs=30)
