"""A camera that was moved, covered, put out of focus, or froze, and a picture that was cut: told within a minute, and never without cause."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from harness import context, data_file, feed, opened
from traffic.street import Actor, along, judge, play, with_speeds
from traffic.street import street as scene

from flowrt import CameraStatus, Detections, Frame, Image, SignalState, Tracks
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera import Camera
from flowrt_nodes.camera._view.watch import CHECK_S, Finding, ViewWatch
from flowrt_nodes.health_probe._runtime_readings import Readings, camera_reasons
from flowrt_nodes.track import Track
from flowrt_nodes.traffic_flow import TrafficFlow
from flowrt_nodes.violation.stopped import Stopped
from flowrt_sim.source import open_camera
from flowrt_sim.uri import parse

PICTURES, MOVED_AT = 20, 6
EDGE_PX = 20
WEATHERS = pytest.mark.parametrize("weather", ["day", "night", "rain"])


@cache
def street(weather: str) -> list[Image]:
    """Pictures of the simulated intersection with its traffic, one for each check."""
    camera = open_camera(parse(f"sim://four-way?seed=11&fps=1&weather={weather}&jpeg=80"), None)
    return [camera.frame(number * round(CHECK_S)).image.copy() for number in range(PICTURES)]


def seen(image: Image, dx: int = 0, dy: int = 0, turned_deg: float = 0.0) -> Image:
    """What a camera sees that was shifted or turned so far: a part of a larger picture."""
    height, width = image.shape[:2]
    if turned_deg:
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), turned_deg, 1.0)
        image = np.asarray(cv2.warpAffine(image, turn, (width, height)), np.uint8)
    part = image[EDGE_PX + dy : height - EDGE_PX + dy, EDGE_PX + dx : width - EDGE_PX + dx]
    return np.ascontiguousarray(part)


def watched(
    images: list[Image], change: Callable[[Image], Image] = lambda image: image, **given: bool
) -> tuple[ViewWatch, list[tuple[float, Finding]]]:
    """A watch that saw the pictures, changed from MOVED_AT on; what it told, with seconds since the change."""
    watch, told = ViewWatch(live=given.get("live", False)), []
    for number, image in enumerate(images):
        since_s = (number - MOVED_AT) * CHECK_S
        if watch.observe(change(image) if number >= MOVED_AT else seen(image), 1000.0 + number * CHECK_S):
            told.append((since_s, watch.finding))
    return watch, told


@WEATHERS
@pytest.mark.parametrize(
    ("moved", "shift_px"),
    [
        ({"dx": 2}, 2.0),
        ({"dx": 5}, 5.0),
        ({"dx": -6, "dy": 8}, 10.0),
        ({"turned_deg": 1.0}, 10.0),
    ],
    ids=["2 px", "5 px", "10 px", "1 degree"],
)
def test_a_camera_that_was_moved_is_told(weather: str, moved: dict[str, int], shift_px: float) -> None:
    watch, told = watched(street(weather), lambda image: seen(image, **moved))
    assert watch.finding.shift_px == pytest.approx(shift_px, abs=1.3)
    if shift_px < 3.0:  # lines are drawn no better than that
        assert (watch.finding.state, watch.fault) == ("ok", "")
        return
    after_s, finding = told[-1]
    assert finding.state == watch.fault == "moved"
    assert "shifted" in finding.text
    assert 0 < after_s < 30
    assert watch.cuts == 0


@WEATHERS
def test_no_alarm_where_nothing_happens(weather: str) -> None:
    watch, told = watched(street(weather), seen)
    assert [finding.state for _, finding in told] == ["ok"]
    assert watch.finding.shift_px is not None
    assert watch.finding.shift_px < 1.0


@WEATHERS
@pytest.mark.parametrize(
    ("state", "change"),
    [
        ("blurred", lambda image: cv2.GaussianBlur(seen(image), (0, 0), 4.0)),
        ("blind", lambda image: np.zeros_like(seen(image))),
        ("blind", lambda image: (seen(image) * 0.02 + 120).astype(np.uint8)),
    ],
    ids=["out of focus", "dark", "covered"],
)
def test_a_camera_that_sees_badly_is_told(weather: str, state: str, change: Callable[[Image], Image]) -> None:
    watch, told = watched(street(weather), change)
    after_s, finding = told[-1]
    assert finding.state == state
    assert 0 < after_s < 30
    assert watch.fault == ("" if state == "blurred" else state)


def test_a_frozen_picture_is_told_of_live_cameras_only() -> None:
    still = seen(street("day")[MOVED_AT])
    watch, told = watched(street("day"), lambda image: still, live=True)
    after_s, finding = told[-1]
    assert finding.state == watch.fault == "frozen"
    assert after_s < 30
    assert watched(street("day"), lambda image: still)[0].finding.state == "ok"


def test_another_view_is_told_in_its_first_picture_and_the_first_one_known_again() -> None:
    capture = cv2.VideoCapture(str(data_file("parking-lot-cars.mp4")))
    elsewhere = np.asarray(cv2.resize(capture.read()[1], (1240, 680)), np.uint8)
    day = street("day")
    watch = ViewWatch(live=False)
    states = []
    for number, image in enumerate([*day[:6], *[None] * 6, *day[6:]]):
        watch.observe(elsewhere if image is None else seen(image), 1000.0 + number * CHECK_S)
        states.append(watch.finding.state)
    assert states[5] == "ok"
    assert set(states[6:12]) == {"other"}
    assert watch.cuts == 2
    assert states[-1] == "ok"


def test_a_still_is_what_the_view_is_compared_with(tmp_path: Path) -> None:
    """The camera was moved while flowrt did not run; by night the still of the day is no cause for alarm."""
    still = seen(street("day")[0])
    for weather, dx, state in (("day", 0, "ok"), ("night", 0, "ok"), ("day", 8, "moved")):
        watch = ViewWatch(live=False, still=still)
        for number, image in enumerate(street(weather)):
            watch.observe(seen(image, dx), 1000.0 + number * CHECK_S)
        assert watch.finding.state == state, weather


def test_the_camera_node_tells_status_and_frames(virtual, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(street("day")):
        cv2.imwrite(str(folder / f"{number:03}.png"), seen(image, 7 if number >= MOVED_AT else 0))
    with opened(Camera(uri=str(folder), fps=1 / CHECK_S, status_s=1000), virtual) as camera:
        made = list(camera.produce())
        facts = camera.status()
    status = [each for each in made if isinstance(each, CameraStatus)]
    assert [each.view for each in status] == ["", "ok", "moved", "moved"]  # at first, learned, moved, ended
    assert status[2].status == "online"
    assert status[2].detail.startswith("the picture has shifted by")
    faults = [frame.view_fault for frame in made if isinstance(frame, Frame)]
    assert faults[MOVED_AT] == ""
    assert faults[-1] == "moved"
    now = Readings.of(
        {"nodes": {"north": {"type": "camera", "in": 20, "status": {**facts, "status": "online"}}}}, 1000.0
    )
    assert camera_reasons(now, None, 0.0)[1] == [f"north: {facts['view_detail']}"]


def test_a_view_that_is_learned_anew_with_its_scene(virtual, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, image in enumerate(street("day")):
        cv2.imwrite(str(folder / f"{number:03}.png"), seen(image, 7 if number >= MOVED_AT else 0))
    with opened(Camera(uri=str(folder), fps=1 / CHECK_S, status_s=1000), virtual) as camera:
        states = []
        for message in camera.produce():
            if isinstance(message, Frame):
                states.append(camera.status()["view"])
                if message.number == 14:
                    assert states[-1] == "moved"
                    camera.reconfigured(frozenset({"scene"}))
    assert states[-1] == "ok"


def test_the_night_clip_is_cut_once_and_the_day_after_it_is_another_view() -> None:
    capture = cv2.VideoCapture(str(data_file("real/signal-night.mp4")))
    fps, watch, number = capture.get(cv2.CAP_PROP_FPS), ViewWatch(live=False), 0
    cut_at, states = [], []
    while (read := capture.read())[0]:
        cuts = watch.cuts
        watch.observe(np.asarray(read[1], np.uint8), 1000.0 + number / fps)
        if watch.cuts > cuts:
            cut_at.append(number)
        states.append(watch.finding.state)
        number += 1
    (at,) = cut_at
    assert 365 <= at <= 365 + fps * 0.1  # the first picture of the day is number 365
    assert states[at - 1] == "ok"
    assert set(states[at:]) == {"other"}


def test_tracks_end_at_a_cut(tmp_path: Path) -> None:
    def picture(number: int, cuts: int) -> Detections:
        return Detections(
            time_s=1000.0 + number / 10,
            camera_id="north",
            boxes_px=np.array([[100, 100, 200, 160]], np.float32),
            confidence=np.ones(1, np.float32),
            class_id=np.zeros(1, np.int64),
            labels=("car",),
            picture_px=(1280, 720),
            view_cuts=cuts,
        )

    with opened(Track(), context(tmp_path)) as node:
        made = feed(node, [picture(number, number // 10) for number in range(20)])
        ids = [each.track_id.tolist() for each in made if isinstance(each, Tracks)]
    assert ids[9] == [1]
    assert ids[19] == [2]


def test_rules_are_silent_while_the_view_is_another(tmp_path: Path) -> None:
    waits = Actor(1, "car", along((0, -1.75, 20), (200, -1.75, 20)), heading_deg=-90)
    pictures = list(play([waits], 60))
    rule = {"scene": "north", "zones": ["lane_in"], "hold_s": 10.0}
    said = judge(Stopped(**rule), tmp_path, pictures)  # type: ignore[arg-type]  # settings by name
    assert [event.phase for event in said if event.phase != "update"] == ["new", "end"]
    moved = [each.replace(view_fault="moved") for each in pictures]
    assert judge(Stopped(**rule), tmp_path, moved) == []  # type: ignore[arg-type]  # the same
    later = [*pictures[:200], *moved[200:]]
    said = judge(Stopped(**rule), tmp_path, later)  # type: ignore[arg-type]  # the same
    assert [event.phase for event in said if event.phase != "update"] == ["new", "end"]
    assert said[-1].ended_s == pytest.approx(pictures[199].time_s)


def test_lanes_count_nothing_while_the_view_is_another(tmp_path: Path) -> None:
    cars = [
        Actor(i + 1, "car", along((i * 3, -1.75, 55), (i * 3 + 7.5, -1.75, -20)), i * 3, i * 3 + 6.5) for i in range(10)
    ]
    pictures = [
        each.replace(view_fault="moved") if number >= 180 else each for number, each in enumerate(play(cars, 36))
    ]
    node = TrafficFlow(scene="north", interval_s=3600, lanes=["lane_in"])
    with opened(node, context(tmp_path, scene=scene())):
        said = [interval for each in with_speeds(pictures, tmp_path) for interval in node.process(each)]
        said += list(node.finish())
    assert [interval.vehicle_count for interval in said] == [5]  # after 5.5 s, 8.5 s, … 17.5 s
    assert said[0].observed_share == pytest.approx(0.5, abs=0.01)


def test_lamps_are_not_read_where_they_are_not(tmp_path: Path) -> None:
    from flowrt import Lamp, Scene
    from flowrt_nodes.signal.lamp import LampSignal

    picture = np.zeros((100, 100, 3), np.uint8)
    cv2.circle(picture, (50, 20), 6, (0, 0, 255), cv2.FILLED)
    lamp = Lamp(signal="cars", red=(50.0, 20.0, 5.0), green=(50.0, 60.0, 5.0))
    scene = Scene(name="north", picture_px=(100, 100), lamps={"cars": lamp})
    with opened(LampSignal(scene="north"), context(tmp_path, scene=scene)) as node:
        states = []
        for number in range(60):
            fault = "moved" if number >= 20 else ""
            frame = Frame(time_s=1000.0 + number / 10, camera_id="north", image=picture, view_fault=fault)
            states += [each.states["cars"] for each in feed(node, [frame]) if isinstance(each, SignalState)]
    assert "stop-and-remain" in states
    assert states[-1] == "unavailable"
