"""The track node: its promises, and its tracks beside those of the ByteTrack in PyPI's `trackers`."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import cast

import msgspec
import numpy as np
import pytest
from harness import data_file, feed, opened
from track_scenes import SCENES, Picture

from flowrt import CheckView, Detections, Frame, Tracks
from flowrt_nodes.camera import Camera
from flowrt_nodes.detect import Detect
from flowrt_nodes.track import Track

LABELS = ("car", "truck", "person")


def seen(
    time_s: float, boxes: list, confidence: float | list = 0.8, class_id: int | list = 0, camera: str = "north"
) -> Detections:
    n = len(boxes)
    return Detections(
        time_s=time_s,
        camera_id=camera,
        boxes_px=np.array(boxes, np.float32).reshape(-1, 4),
        confidence=np.broadcast_to(np.float32(confidence), n).copy(),
        class_id=np.broadcast_to(np.int64(class_id), n).copy(),
        labels=LABELS,
        picture_px=(1280, 720),
    )


def box(x: float, y: float = 100.0, w: float = 60.0, h: float = 40.0) -> list[float]:
    return [x - w / 2, y - h / 2, x + w / 2, y + h / 2]


def drive(node: Track, times: list[float], x0: float = 100.0, speed: float = 100.0, **more) -> list[Tracks]:
    """One vehicle along a line."""
    return [node.process(seen(t, [box(x0 + speed * t)], **more)) for t in times]


def every(step_s: float, count: int, begin_s: float = 0.0) -> list[float]:
    return [begin_s + step_s * i for i in range(count)]


def test_a_track_leaves_the_node_once_it_is_confirmed(virtual):
    with opened(Track(confirm_frames=3), virtual) as node:
        made = drive(node, every(0.1, 5))
    assert [len(each) for each in made] == [0, 0, 1, 1, 1]
    assert [each.track_id.tolist() for each in made[2:]] == [[1], [1], [1]]
    assert made[4].age_s.tolist() == pytest.approx([0.4])
    assert made[4].velocity_px_s[0].tolist() == pytest.approx([100, 0], abs=8)


def test_a_picture_without_objects_gives_an_empty_message(virtual):
    with opened(Track(), virtual) as node:
        made = node.process(seen(0.0, []))
    assert (len(made), made.track_id.shape, made.in_zone.shape) == (0, (0,), (0, 0))


def test_what_flickers_is_no_track_and_costs_no_number(virtual):
    with opened(Track(confirm_frames=3), virtual) as node:
        for t in every(0.1, 20):
            x = 100 + 300 * (round(t * 10) % 2)  # never twice in a row at the same place
            assert len(node.process(seen(t, [box(x)]))) == 0
        assert drive(node, every(0.1, 5, 3.0))[-1].track_id.tolist() == [1]


@pytest.mark.parametrize("fps", [5, 6, 10, 30])
def test_a_track_is_confirmed_after_as_many_seconds_at_any_rate(virtual, fps: int):
    """And where the detector misses every third picture, from ten pictures a second on."""
    with opened(Track(confirm_s=0.3), virtual) as node:
        made = drive(node, every(1 / fps, fps))
        first = next(each for each in made if len(each))
    assert 0.3 <= float(first.age_s[0]) + 1e-3 < 0.3 + 1 / fps + 1e-3
    assert first.first_boxes_px.tolist() == [pytest.approx(box(100.0), abs=0.1)]
    with opened(Track(confirm_s=0.3), virtual) as node:
        for i, t in enumerate(every(1 / fps, 2 * fps)):
            made = [node.process(seen(t, [box(100 + 100 * t)] if i % 3 else []))]
    assert bool(made[-1].track_id.tolist()) == (fps >= 10)


def test_pictures_to_confirm_a_track_are_a_warning_that_names_the_seconds():
    [found] = Track(confirm_frames=5).check(cast(CheckView, None))
    assert (found.keys, found.severity) == (("confirm_frames",), "warning")
    assert "confirm_s" in found.hint


@pytest.mark.parametrize("steps", [[0.1] * 12, [0.02, 0.2, 0.05, 0.15, 0.1, 0.02, 0.3, 0.04, 0.12, 0.2, 0.03, 0.1]])
def test_time_between_pictures_may_vary(virtual, steps):
    times = np.cumsum(steps).tolist()
    with opened(Track(), virtual) as node:
        made = drive(node, times, speed=200.0)
    assert {n for each in made for n in each.track_id.tolist()} == {1}
    assert made[-1].velocity_px_s[0, 0] == pytest.approx(200, rel=0.03)


def test_a_hidden_vehicle_keeps_its_number(virtual):
    with opened(Track(lost_s=1.5), virtual) as node:
        drive(node, every(0.1, 10))
        for t in every(0.1, 10, 1.0):
            assert len(node.process(seen(t, []))) == 0
        again = drive(node, every(0.1, 3, 2.0))
    assert [each.track_id.tolist() for each in again] == [[1]] * 3


def test_a_vehicle_hidden_for_too_long_is_another_one(virtual):
    with opened(Track(lost_s=0.5), virtual) as node:
        drive(node, every(0.1, 10))
        again = drive(node, every(0.1, 5, 2.0))
    assert again[-1].track_id.tolist() == [2]


def test_unsure_detections_continue_a_track_and_begin_none(virtual):
    with opened(Track(high_confidence=0.5, low_confidence=0.1), virtual) as node:
        drive(node, every(0.1, 5))
        assert drive(node, every(0.1, 5, 0.5), confidence=0.2)[-1].track_id.tolist() == [1]
        assert len(drive(node, every(0.1, 3, 1.0), confidence=0.05)[-1]) == 0
        for t in every(0.1, 10, 5.0):
            assert len(node.process(seen(t, [box(600)], confidence=0.2))) == 0


def test_who_runs_and_looks_like_a_rider_now_and_then_gets_a_number(virtual):
    """A pedestrian runs over a street 30 m away, as a detector saw it."""
    found = [((453, 283), 0.77, 1), ((459, 280), 0.87, 1), ((469, 278), 0.85, 0), ((480, 279), 0.71, 1)]
    with opened(Track(confirm_frames=3, new_confidence=0.5), virtual) as node:
        made = []
        for i, ((left, bottom), confidence, kind) in enumerate(found):
            picture = seen(0.2 * i, [[left, bottom - 28, left + 10, bottom]], confidence, kind)
            made.append(node.process(msgspec.structs.replace(picture, labels=("bicycle", "person"))))
    assert [len(each) for each in made] == [0, 0, 1, 1]
    assert made[-1].labels[made[-1].class_id[0]] == "person"


STANDS = ((420, 296), 0.9)
RUNS = [((451, 299), 0.56), ((462, 296), 0.78), ((472, 295), 0.89), ((481, 295), 0.88)]
"""A pedestrian waits at the kerb and is hidden by a post when it begins to run, as a detector saw it."""


@pytest.mark.parametrize(("hidden", "number"), [(2, 1), (6, 2)])
def test_who_begins_to_run_behind_a_post_keeps_his_number(virtual, hidden: int, number: int):
    """After 1.4 s it might be anybody."""
    pictures = [STANDS] * 6 + [None] * hidden + RUNS
    with opened(Track(), virtual) as node:
        for i, picture in enumerate(pictures):
            boxes = [] if picture is None else [[picture[0][0], picture[0][1] - 31, picture[0][0] + 11, picture[0][1]]]
            made = node.process(seen(0.2 * i, boxes, picture[1] if picture else 0.0, 2))
    assert made.track_id.tolist() == [number]


@pytest.mark.parametrize("apart", [80, 34])
def test_who_shows_up_beside_somebody_who_is_still_there_is_somebody_else(virtual, apart: int):
    stands = [420, 265, 431, 296]
    with opened(Track(), virtual) as node:
        for t in every(0.2, 6):
            node.process(seen(t, [stands], class_id=2))
        for i, t in enumerate(every(0.2, 5, 1.2)):
            comes = [stands[0] + apart + 5 * i, 265, stands[2] + apart + 5 * i, 296]
            made = node.process(seen(t, [stands, comes], class_id=2))
    assert sorted(made.track_id.tolist()) == [1, 2]
    assert made.track_id[made.boxes_px[:, 0].argmin()] == 1


def test_crossing_vehicles_keep_their_numbers(virtual):
    with opened(Track(), virtual) as node:
        for t in every(0.05, 60):
            made = node.process(seen(t, [box(100 + 150 * t, 100 + 60 * t), box(500 - 150 * t, 100 + 60 * t)]))
    right_then_left = made.boxes_px[:, 0] > 300
    assert dict(zip(made.track_id.tolist(), right_then_left.tolist(), strict=True)) == {1: True, 2: False}


def test_a_pedestrian_never_takes_over_a_vehicles_track(virtual):
    with opened(Track(), virtual) as node:
        drive(node, every(0.1, 6), speed=0.0)
        made = [node.process(seen(t, [box(100)], class_id=2)) for t in every(0.1, 6, 0.6)]
    assert made[0].track_id.tolist() == []
    assert made[-1].track_id.tolist() == [2]
    assert made[-1].label == ["person"]


def test_in_a_queue_a_hidden_car_does_not_hand_its_track_to_the_one_behind(virtual):
    """Two cars wait; when the first is not found, the other's box overlaps where it was, too far off to be it."""
    first, behind = box(100, 120), box(88, 104)
    with opened(Track(match_iou=0.2), virtual) as node:
        for t in every(0.2, 10):
            made = node.process(seen(t, [first, behind]))
        assert sorted(made.track_id.tolist()) == [1, 2]
        owner = made.track_id[made.boxes_px[:, 1].argmin()]
        for t in every(0.2, 3, 2.0):
            made = node.process(seen(t, [behind]))
            assert made.track_id.tolist() == [owner]
        made = node.process(seen(2.6, [first, behind]))
    assert made.track_id[made.boxes_px[:, 1].argmin()] == owner


def test_someone_on_foot_who_is_taken_for_a_rider_now_and_then_stays_on_foot(virtual):
    labels = ("car", "bicycle", "person")
    with opened(Track(), virtual) as node:
        for i, t in enumerate(every(0.2, 12)):
            walker = [200 + 3 * i, 100, 212 + 3 * i, 130]
            seen_now = seen(t, [walker], class_id=1 if i in (5, 6, 9) else 2)
            made = node.process(msgspec.structs.replace(seen_now, labels=labels))
    assert made.track_id.tolist() == [1]
    assert made.label == ["person"]


def test_a_rider_who_waits_does_not_become_the_one_who_walks_past(virtual):
    """Somebody walks past in front of a rider; for a moment each box lies where the other is expected."""
    labels = ("car", "motorcycle", "person")

    def look(t: float, rider_x: float, walker_x: float) -> Detections:
        boxes = [[walker_x - 8, 90, walker_x + 8, 130], [rider_x - 8, 90, rider_x + 8, 130]]
        return msgspec.structs.replace(seen(t, boxes, class_id=[2, 1]), labels=labels)

    with opened(Track(), virtual) as node:
        for i, t in enumerate(every(0.2, 11)):
            made = node.process(look(t, 200, 159 + 4 * i))
        walker, rider = made.track_id.tolist()
        made = node.process(look(2.2, 205, 198))
    left = dict(zip(made.track_id.tolist(), made.boxes_px[:, 0].tolist(), strict=True))
    assert left == {walker: 190, rider: 197}


def test_what_the_detector_doubts_on_average_is_no_track(virtual):
    with opened(Track(new_confidence=0.5), virtual) as node:
        for t, sure in zip(every(0.2, 6), (0.51, 0.36, 0.4, 0.38, 0.45, 0.36), strict=True):
            made = node.process(seen(t, [box(100)], confidence=sure))
    assert made.track_id.tolist() == []


def test_a_part_of_a_truck_begins_no_track_and_who_walks_in_front_of_it_does(virtual):
    truck, cab, walker = [100, 100, 220, 200], [105, 110, 120, 150], [150, 160, 162, 204]
    with opened(Track(), virtual) as node:
        for t in every(0.2, 6):
            made = node.process(seen(t, [truck, cab, walker], class_id=[1, 2, 2]))
    assert made.label == ["truck", "person"]
    assert made.boxes_px[1].tolist() == walker


def test_the_front_of_a_truck_is_no_other_truck_and_one_behind_it_is(virtual):
    truck, cab, far = [100, 100, 300, 220], [105, 130, 190, 219], [150, 105, 210, 150]
    with opened(Track(), virtual) as node:
        for t in every(0.2, 6):
            made = node.process(seen(t, [truck, cab, far], class_id=1))
    assert made.boxes_px.tolist() == [truck, far]


def test_a_part_that_was_seen_first_becomes_the_whole_vehicle(virtual):
    """A car behind a mast: first its front alone, then the whole car with its front as a second box."""
    whole, front = [200, 100, 300, 160], [252, 102, 310, 158]
    with opened(Track(), virtual) as node:
        for t in every(0.1, 6):
            node.process(seen(t, [front]))
        made = [node.process(seen(t, [whole, front], [0.7, 0.4])) for t in every(0.1, 20, 0.6)]
    assert max(len(each) for each in made) == 1
    assert made[-1].boxes_px.tolist() == [whole]


def test_a_scooter_and_the_car_that_the_detector_sees_in_it_are_one(virtual):
    scooter, around = [100, 100, 130, 150], [98, 98, 133, 152]
    labels = ("car", "motorcycle", "person")
    with opened(Track(), virtual) as node:
        for t in every(0.2, 6):
            now = seen(t, [scooter, around], confidence=[0.7, 0.5], class_id=[1, 0])
            made = node.process(msgspec.structs.replace(now, labels=labels))
    assert made.label == ["motorcycle"]


def test_the_class_is_what_most_pictures_said(virtual):
    with opened(Track(), virtual) as node:
        for i, t in enumerate(every(0.1, 9)):
            made = node.process(seen(t, [box(100 + 10 * i)], class_id=1 if i in (3, 6) else 0))
    assert made.label == ["car"]


def test_a_lost_track_is_not_taken_up_where_its_vehicle_cannot_be(virtual):
    """A car stands and is lost; 0.4 s later another one passes 2 m further on."""
    with opened(Track(), virtual) as node:
        for t in every(0.1, 20):
            node.process(seen(t, [box(300)]))
        for i, t in enumerate(every(0.1, 5, 2.3)):
            made = node.process(seen(t, [box(360 + 15 * i)]))
    assert made.track_id.tolist() == [2]


def test_a_giant_box_does_not_take_a_track_over(virtual):
    with opened(Track(), virtual) as node:
        drive(node, every(0.1, 6), speed=0.0)
        made = node.process(seen(0.6, [box(160, 100, 200, 90), box(101)], confidence=[0.9, 0.3]))
    assert made.track_id.tolist() == [1]
    assert made.boxes_px[0].tolist() == box(101)


def test_a_turning_car_keeps_its_number_over_lost_pictures(virtual):
    """Its box grows to twice its width and shrinks again, and the pictures in which it does are lost."""
    with opened(Track(), virtual) as node:
        for t in every(0.2, 14):
            if not 1.5 < t < 1.9:
                width = 60 + 60 * np.exp(-(((t - 1.4) / 0.35) ** 2))
                made = node.process(seen(t, [box(300 + 20 * t, w=width)]))
    assert made.track_id.tolist() == [1]


def test_a_rider_who_moves_by_more_than_his_box_a_picture_is_tracked(virtual):
    with opened(Track(), virtual) as node:
        for i, t in enumerate(every(0.2, 6)):
            made = node.process(seen(t, [box(100 + 50 * i, w=30, h=44)]))
    assert made.track_id.tolist() == [1]


def test_a_second_box_around_a_tracked_vehicle_begins_no_track(virtual):
    with opened(Track(), virtual) as node:
        for t in every(0.1, 10):
            made = node.process(seen(t, [box(100), box(102, 101)], class_id=[0, 1]))
    assert made.track_id.tolist() == [1]


def test_cameras_do_not_share_tracks_or_numbers(virtual):
    with opened(Track(), virtual) as node:
        numbers = {"north": set(), "south": set()}
        for t in every(0.1, 6):
            for camera in numbers:
                made = node.process(seen(t, [box(100), box(400)], camera=camera))
                assert made.camera_id == camera
                numbers[camera].update(made.track_id.tolist())
    assert [len(each) for each in numbers.values()] == [2, 2]
    assert not numbers["north"] & numbers["south"]


def test_when_time_goes_back_everybody_is_new(virtual):
    with opened(Track(), virtual) as node:
        assert drive(node, every(0.1, 5))[-1].track_id.tolist() == [1]
        assert drive(node, every(0.1, 5))[-1].track_id.tolist() == [2]


def test_the_same_time_twice_is_no_fault(virtual):
    with opened(Track(), virtual) as node:
        made = drive(node, [0.0, 0.1, 0.1, 0.2, 0.3], speed=50.0)
    assert made[-1].track_id.tolist() == [1]
    assert np.isfinite(made[-1].velocity_px_s).all()


def test_columns_are_those_of_a_tracks_message(virtual):
    frame = Frame(time_s=0.3, camera_id="north", image=np.zeros((720, 1280, 3), np.uint8))
    with opened(Track(confirm_frames=1), virtual) as node:
        arriving = msgspec.structs.replace(
            seen(0.3, [box(100), box(300)]), frame=frame, processing_time_ms=5.0, model="m"
        )
        made = node.process(arriving)
    assert made.frame is frame
    assert (made.processing_time_ms, made.model, made.picture_px, made.labels) == (5.0, "m", (1280, 720), LABELS)
    assert (made.track_id.dtype, made.age_s.dtype, made.velocity_px_s.dtype) == (np.int64, np.float32, np.float32)
    assert np.isnan(made.speed_kmh).all()


def test_settings_change_in_place(virtual):
    with opened(Track(confirm_frames=3), virtual) as node:
        drive(node, every(0.1, 5))
        node.confirm_frames = 1
        node.reconfigured(frozenset({"confirm_frames"}))
        made = node.process(seen(0.5, [box(150), box(700)]))
    assert sorted(made.track_id.tolist()) == [1, 2]


def test_a_successor_goes_on_with_the_same_tracks(virtual):
    with opened(Track(), virtual) as node:
        drive(node, every(0.1, 6))
        state = pickle.loads(pickle.dumps(node.export_state()))
    with opened(Track(), virtual) as successor:
        successor.import_state(state)
        made = successor.process(seen(0.6, [box(160), box(700)]))
        assert made.track_id.tolist() == [1]
        assert made.age_s.tolist() == pytest.approx([0.6])
        for t in every(0.1, 4, 0.7):
            made = successor.process(seen(t, [box(100 + 100 * t), box(700)]))
        assert made.track_id.tolist() == [1, 2]


def test_a_track_that_passed_to_another_vehicle_is_what_that_one_is(virtual):
    """Half a minute a truck, then a car in its place: it is a car within seconds, and a few pictures of doubt change nothing."""
    doubt = {100, 101, 160}
    pictures = [seen(i / 10, [box(100 + i / 2)], class_id=0 if i >= 300 or i in doubt else 1) for i in range(360)]
    with opened(Track(), virtual) as node:
        made = [tracks for tracks in feed(node, pictures) if len(tracks)]
    assert {int(tracks.track_id[0]) for tracks in made} == {1}
    assert all(tracks.label == ["truck"] for tracks in made if tracks.time_s < 30)
    assert all(tracks.label == ["car"] for tracks in made if tracks.time_s > 34)


def test_a_model_with_other_classes_keeps_the_tracks(virtual):
    with opened(Track(), virtual) as node:
        drive(node, every(0.1, 6), class_id=1)
        other = msgspec.structs.replace(seen(0.6, [box(160)]), labels=("bus", "truck"), class_id=np.array([1]))
        made = node.process(other)
    assert (made.track_id.tolist(), made.label) == ([1], ["truck"])


# Beside the oracle


def own_numbers(pictures: list[Picture], where) -> list[list[int]]:
    """Per picture, the track of each detection; -1 for none.

    The scenes reach far beyond any picture; they are moved into one that holds them, where none crosses the border. The oracle tells of a
    track after three pictures.
    """
    result = []
    with opened(Track(confirm_frames=3), where) as node:
        for picture in pictures:
            boxes = np.asarray(picture.boxes, np.float32).reshape(-1, 4) + np.float32(1024)
            detections = seen(picture.time_s, boxes, picture.confidence)
            made = node.process(msgspec.structs.replace(detections, picture_px=(3072, 3072)))
            given = np.full(len(boxes), -1)
            for tracked, number in zip(made.boxes_px, made.track_id, strict=True):
                given[np.flatnonzero((boxes == tracked).all(axis=1))[0]] = number
            result.append(given.tolist())
    return result


class Marks(msgspec.Struct):
    """switches: a vehicle got another number. mixed: numbers that several vehicles had. covered: share of tracked detections."""

    switches: int
    mixed: int
    covered: float


def marks_of(pictures: list[Picture], numbers: list[list[int]]) -> Marks:
    last: dict[int, int] = {}
    owners: dict[int, set[int]] = {}
    switches = total = tracked = 0
    for picture, given in zip(pictures, numbers, strict=True):
        for vehicle, number in zip(picture.vehicle.tolist(), given, strict=True):
            total += 1
            if number >= 0:
                tracked += 1
                switches += last.get(vehicle, number) != number
                last[vehicle] = number
                owners.setdefault(number, set()).add(vehicle)
    return Marks(switches, sum(len(each) > 1 for each in owners.values()), tracked / total)


ORACLE = json.loads(Path(__file__).with_name("oracle_tracks.json").read_text())


@pytest.mark.parametrize("name", sorted(SCENES))
def test_no_worse_than_the_trackers_package(virtual, name):
    """`oracle_tracks.json` was made by `record_oracle.py`; it names the version."""
    assert ORACLE["package"].startswith("trackers 2.")
    pictures = SCENES[name]()
    own = marks_of(pictures, own_numbers(pictures, virtual))
    oracle = marks_of(pictures, ORACLE["scenes"][name])
    assert own.switches <= oracle.switches
    assert own.mixed <= oracle.mixed
    assert own.covered >= oracle.covered - 0.005


def test_the_oracles_record_belongs_to_these_scenes():
    assert sorted(ORACLE["scenes"]) == sorted(SCENES)
    for name, make in SCENES.items():
        assert [len(given) for given in ORACLE["scenes"][name]] == [len(picture.boxes) for picture in make()]


def test_numbers_survive_the_bridges_gantry(virtual):
    """The bus and five cars in front of the camera keep one number each for the whole clip, the bus behind the sign too."""
    with (
        opened(Camera(uri=str(data_file("bridge-traffic.mp4"))), virtual) as camera,
        opened(
            Detect(
                model=str(data_file("yolox_nano.onnx")),
                min_confidence=0.1,
                keep=["car", "bus", "truck", "motorcycle"],
                nms="across",
            ),
            virtual,
        ) as detect,
        opened(Track(high_confidence=0.3), virtual) as node,
    ):
        frames = (message for message in camera.produce() if isinstance(message, Frame))
        made = [node.process(found) for found in feed(detect, frames)]
    pictures_of: dict[int, int] = {}
    for each in made:
        for number in each.track_id.tolist():
            pictures_of[number] = pictures_of.get(number, 0) + 1
    long_lived = [number for number, count in pictures_of.items() if count >= 100]
    assert len(long_lived) >= 6
    bus = [each.track_id[i] for each in made for i, name in enumerate(each.label) if name == "bus"]
    assert len(set(bus)) == 1
    assert len(bus) >= 100
