"""Each vehicle counts once at a line, in events as in totals, whatever its boxes and tracks do there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from harness import context, opened
from traffic.street import PICTURE_PX, START_S, tracks_of

from flowrt import Line, Scene, Tracks, Zone, ZoneEvent
from flowrt_nodes.roi import Roi
from flowrt_nodes.traffic_flow import TrafficFlow

Box = list[float]
Seen = tuple[int, Box]
"""track, box"""
SCENE = Scene(
    name="north",
    picture_px=PICTURE_PX,
    zones={
        "lane": Zone(name="lane", kind="lane", points=((0, 200), (1280, 200), (1280, 600), (0, 600)), heading=(1, 0))
    },
    lines={"count": Line(name="count", kind="count", points=((640, 600), (640, 200)))},
)


def car(x: float, y: float = 400.0) -> Box:
    """From the side, 3 m long for each metre that it is high; x is its middle, at 40 px a metre."""
    return [x - 90, y - 60, x + 90, y]


def counted(folder: Path, seen: Callable[[float], list[Seen]], until_s: float = 10.0, fps: float = 10.0) -> int:
    """How often something crossed, as both nodes say; they must agree. seen: what each second of the script shows."""
    pictures = []
    born: dict[int, tuple[float, Box]] = {}
    for number in range(int(until_s * fps)):
        t = number / fps
        now, before = seen(t), dict(seen(t - 0.1))
        for track, box in now:
            born.setdefault(track, (t, box))
        speeds = [
            [(box[0] - before[track][0]) * 10, (box[3] - before[track][3]) * 10] if track in before else [100.0, 0.0]
            for track, box in now
        ]
        tracks = tracks_of(
            START_S + t,
            [track for track, _ in now],
            ["car"] * len(now),
            [box for _, box in now] or np.zeros((0, 4)),
            ages=[t - born[track][0] for track, _ in now],
            velocities=speeds,
            number=number,
        )
        first = np.array([born[track][1] for track, _ in now], np.float32).reshape(-1, 4)
        pictures.append(tracks.replace(first_boxes_px=first))
    return _agreed(folder, pictures)


def _agreed(folder: Path, pictures: list[Tracks]) -> int:
    where = context(folder, scene=SCENE)
    with opened(Roi(scene="north", keep="all"), where) as roi:
        events = [each for tracks in pictures for each in roi.process(tracks) if isinstance(each, ZoneEvent)]
    with opened(TrafficFlow(scene="north", interval_s=3600.0), where) as flow:
        intervals = [*(each for tracks in pictures for each in flow.process(tracks)), *flow.finish()]
    [interval] = intervals
    crossings = sum(event.event_type == "crossing" and event.direction == "forward" for event in events)
    assert interval.vehicle_count == crossings
    return crossings


def x_at(t: float, m_s: float = 5.0) -> float:
    """Over the line at second 4."""
    return 640 + 40 * m_s * (t - 4)


@pytest.mark.parametrize(("lost_s", "found_s"), [(3.5, 4.5), (3.0, 4.9), (4.3, 4.6), (2.0, 3.5)])
def test_a_vehicle_whose_track_breaks_at_the_line_counts_once(lost_s: float, found_s: float, tmp_path: Path) -> None:
    def seen(t: float) -> list[Seen]:
        return [(1, car(x_at(t)))] if t < lost_s else [(2, car(x_at(t)))] if t >= found_s else []

    assert counted(tmp_path, seen) == 1


def test_one_that_is_found_again_a_little_before_the_line_counts_once(tmp_path: Path) -> None:
    """It crossed, its track was lost, and the new one's first box is half a metre back."""

    def seen(t: float) -> list[Seen]:
        return [(1, car(x_at(t, 1.0)))] if t < 4.5 else [(2, car(x_at(t, 1.0) - 40))] if t >= 4.8 else []

    assert counted(tmp_path, seen) == 1


@pytest.mark.parametrize("behind_s", [1.0, 1.5, 2.5])
def test_the_vehicle_behind_a_lost_one_counts_too(behind_s: float, tmp_path: Path) -> None:
    def seen(t: float) -> list[Seen]:
        first = [(1, car(x_at(t, 10.0)))] if t < 4.3 else []
        return first + ([(2, car(x_at(t - behind_s, 10.0)))] if t >= 4.4 else [])

    assert counted(tmp_path, seen) == 2


def test_a_vehicle_that_a_mast_cuts_in_two_counts_once(tmp_path: Path) -> None:
    """At the line; the two parts have tracks of their own for a while."""

    def seen(t: float) -> list[Seen]:
        x0, _, x1, _ = car(x_at(t))
        mast = 660.0
        if not x0 < mast - 20 < mast + 20 < x1:
            return [(1 if x1 < mast + 21 else 2, car(x_at(t)))]
        return [(1, [x0, 340, mast - 4, 400]), (2, [mast + 4, 342, x1, 400])]

    assert counted(tmp_path, seen) == 1


@pytest.mark.parametrize(
    "second",
    [
        pytest.param(lambda t: car(x_at(t), 470.0), id="beside it"),
        pytest.param(lambda t: car(x_at(t) - 184), id="close behind it"),
        pytest.param(lambda t: car(x_at(t) - 60, 340.0), id="half hidden behind it"),
    ],
)
def test_two_vehicles_near_each_other_count_twice(second: Callable[[float], Box], tmp_path: Path) -> None:
    assert counted(tmp_path, lambda t: [(1, car(x_at(t))), (2, second(t))]) == 2


def test_two_that_face_the_camera_side_by_side_count_twice(tmp_path: Path) -> None:
    """Their boxes touch; the line lies across the picture."""
    line = Line(name="count", kind="count", points=((0, 400), (1280, 400)))
    scene = {"lines": {"count": line}, "zones": {"lane": SCENE.zones["lane"].__class__(
        name="lane", kind="lane", points=((0, 200), (1280, 200), (1280, 600), (0, 600)), heading=(0, 1))}}  # fmt: skip
    pictures = []
    for number in range(60):
        y = 300 + 4.0 * number
        boxes = [[500, y - 60, 572, y], [574, y - 62, 646, y - 1]]
        pictures.append(
            tracks_of(START_S + number / 10, [1, 2], ["car", "car"], boxes, velocities=[[0, 40]] * 2, number=number)
        )
    where = context(tmp_path, scene=Scene(name="north", picture_px=PICTURE_PX, **scene))  # type: ignore[arg-type]  # a literal
    with opened(TrafficFlow(scene="north", interval_s=3600.0), where) as flow:
        [interval] = [*(each for tracks in pictures for each in flow.process(tracks)), *flow.finish()]
    assert interval.vehicle_count == 2


@pytest.mark.parametrize("tremble_px", [1.0, 3.0])
def test_a_vehicle_that_stands_at_the_line_and_trembles_crosses_nothing(tremble_px: float, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)

    def seen(t: float) -> list[Seen]:
        if t < 3:
            return [(1, car(x_at(t, 5.0) + 195))]
        return [(1, [edge + tremble_px * rng.standard_normal() for edge in car(637.0)])]

    assert counted(tmp_path, seen, until_s=40.0) == 0


def test_one_that_stops_on_the_line_rolls_back_and_drives_on_counts_once(tmp_path: Path) -> None:
    t, x = [0, 4, 8, 9, 12, 13, 16, 19], [400, 642, 642, 630, 630, 650, 650, 1000]
    assert counted(tmp_path, lambda now: [(1, car(float(np.interp(now, t, x))))], until_s=20.0) == 1
