"""A track's first pictures count: what a road user does before the tracker tells of it, and before its speed is known."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from harness import context, opened
from traffic.street import START_S, Actor, along, begun, judge, lights, play, street, with_speeds

from flowrt import Detections, Tracks, ZoneEvent
from flowrt_nodes.roi import Roi
from flowrt_nodes.track import Track
from flowrt_nodes.traffic_flow import TrafficFlow
from flowrt_nodes.violation.red_light import RedLight

RED = "stop-and-remain"


def tracked(pictures: Iterable[Tracks], folder: Path) -> list[Tracks]:
    """The same boxes through a tracker, as a detector would give them."""
    with opened(Track(), context(folder)) as node:
        return [
            node.process(
                Detections(
                    time_s=each.time_s,
                    camera_id=each.camera_id,
                    boxes_px=each.boxes_px,
                    confidence=each.confidence,
                    class_id=each.class_id,
                    labels=each.labels,
                    picture_px=each.picture_px,
                    frame_number=each.frame_number,
                )
            )
            for each in pictures
        ]


def passing(label: str, kmh: float, from_m: float, *, till_m: float = -16.0, begin_s: float = 2.0) -> Actor:
    """Down the inbound lane, first seen so many metres before the stop line."""
    length_s = (from_m - till_m) / (kmh / 3.6)
    way = along((begin_s, -1.75, from_m), (begin_s + length_s, -1.75, till_m))
    return Actor(7, label, way, begin_s=begin_s, end_s=begin_s + length_s)


@pytest.mark.parametrize("later_s", [0.0, 0.04, 0.08, 0.12])
@pytest.mark.parametrize("kmh", [15.0, 30.0, 45.0, 60.0])
def test_a_motorcycle_that_enters_7_m_before_the_line_is_found_at_6_pictures_a_second(
    kmh: float, later_s: float, tmp_path: Path
) -> None:
    """`later_s`: how long after the last picture it enters; at 60 km/h a picture shows it every 2.8 m."""
    machine = passing("motorcycle", kmh, 7.0, begin_s=2.0 + later_s)
    pictures = tracked(play([machine], 10, fps=6), tmp_path)
    said = judge(RedLight(scene="north", signal="s"), tmp_path, pictures, lights((0, RED)))
    assert [track for track, _ in begun(said)] == [1]


def test_one_that_was_first_seen_past_the_line_is_not(tmp_path: Path) -> None:
    pictures = tracked(play([passing("motorcycle", 30.0, -0.5)], 10, fps=6), tmp_path)
    assert begun(judge(RedLight(scene="north", signal="s"), tmp_path, pictures, lights((0, RED)))) == []


@pytest.mark.parametrize("fps", [5.0, 10.0, 30.0])
@pytest.mark.parametrize(("from_m", "crossed"), [(2.5, 1), (-3.0, 0)])
def test_a_line_crossed_before_the_track_was_confirmed_counts_in_events_and_in_totals(
    fps: float, from_m: float, crossed: int, tmp_path: Path
) -> None:
    pictures = with_speeds(tracked(play([passing("car", 40.0, from_m)], 6, fps=fps), tmp_path), tmp_path)
    where = context(tmp_path, scene=street())
    with opened(Roi(scene="north", keep="all"), where) as roi:
        events = [event for each in pictures for event in roi.process(each) if isinstance(event, ZoneEvent)]
    crossings = [event for event in events if (event.event_type, event.roi_id) == ("crossing", "stop_line")]
    with opened(TrafficFlow(scene="north", lanes=["lane_in"], interval_s=3600), where) as flow:
        counted = [*(each for tracks in pictures for each in flow.process(tracks)), *flow.finish()]
    assert [interval.vehicle_count for interval in counted] == [crossed]
    assert len(crossings) == crossed
    if crossed:
        assert crossings[0].time_s - START_S == pytest.approx(2.0 + from_m / (40 / 3.6), abs=0.25)


@pytest.mark.parametrize("fps", [4.0, 6.0, 10.0, 30.0])
def test_a_track_is_told_of_and_has_a_speed_after_as_many_seconds_at_any_rate(fps: float, tmp_path: Path) -> None:
    pictures = with_speeds(tracked(play([passing("car", 30.0, 40.0)], 6, fps=fps), tmp_path), tmp_path)
    ages = [float(tracks.age_s[0]) for tracks in pictures if len(tracks)]
    with_speed = [float(tracks.age_s[0]) for tracks in pictures if len(tracks) and tracks.speed_kmh[0] > 0]
    assert ages[0] == pytest.approx(0.3, abs=0.01 + 1 / fps)
    assert with_speed[0] == pytest.approx(0.6, abs=0.01 + 2 / fps)
