"""A rider and its two-wheeler are one track: scripted boxes, as detectors give them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from harness import opened

from flowrt import Detections, Tracks
from flowrt.testing.recording import Header, Recording, Writer
from flowrt_nodes.track import Track

LABELS = ("car", "motorcycle", "person")
CAR, MACHINE, PERSON = range(3)
Seen = tuple[int, list[float]]


def picture(time_s: float, objects: list[Seen], confidence: float = 0.7) -> Detections:
    n = len(objects)
    return Detections(
        time_s=time_s,
        camera_id="north",
        boxes_px=np.array([box for _, box in objects], np.float32).reshape(-1, 4),
        confidence=np.full(n, confidence, np.float32),
        class_id=np.array([kind for kind, _ in objects], np.int64),
        labels=LABELS,
        picture_px=(1280, 720),
    )


def machine(x: float, y: float = 400.0) -> Seen:
    """44 px high, seen from behind. x, y: where its wheels are; a metre is 40 px here."""
    return MACHINE, [x - 15, y - 44, x + 15, y]


def rider(x: float, y: float = 400.0) -> Seen:
    """Seated: the head 60 px above the ground, the feet 10 px."""
    return PERSON, [x - 13, y - 60, x + 13, y - 10]


def walker(x: float, y: float = 400.0) -> Seen:
    return PERSON, [x - 11, y - 68, x + 11, y]


def both(x: float, y: float = 400.0) -> list[Seen]:
    return [machine(x, y), rider(x, y)]


def tracked(virtual, pictures: list[list[Seen]], step_s: float = 1 / 6) -> list[Tracks]:
    with opened(Track(), virtual) as node:
        return [node.process(picture(i * step_s, objects)) for i, objects in enumerate(pictures)]


def ids(made: list[Tracks]) -> set[int]:
    return {number for each in made for number in each.track_id.tolist()}


def test_a_rider_and_its_machine_are_one_track_around_both(virtual):
    made = tracked(virtual, [both(300 + 20 * i) for i in range(12)])
    assert ids(made) == {1}
    assert made[-1].label == ["motorcycle"]
    assert made[-1].rider is not None
    assert made[-1].rider.tolist() == [True]
    assert made[-1].boxes_px[0].tolist() == [505, 340, 535, 400]


def test_three_on_one_machine_are_one_road_user(virtual):
    def family(x: float) -> list[Seen]:
        return [*both(x), (PERSON, [x - 9, 345, x + 14, 388]), (PERSON, [x - 12, 335, x + 9, 386])]

    made = tracked(virtual, [family(300 + 20 * i) for i in range(8)])
    assert ids(made) == {1}
    assert made[-1].label == ["motorcycle"]


@pytest.mark.parametrize("only", [machine, rider])
def test_where_only_one_of_the_two_is_found_the_track_remembers_the_other(virtual, only):
    pictures = [both(300 + 20 * i) for i in range(8)] + [[only(300 + 20 * i)] for i in range(8, 20)]
    made = tracked(virtual, pictures)
    assert ids(made) == {1}
    assert made[-1].label == ["motorcycle"]
    assert made[-1].boxes_px[0].tolist() == pytest.approx([665, 340, 695, 400], abs=2)


def test_a_rider_that_is_first_found_as_a_person_becomes_the_rider_of_its_machine(virtual):
    pictures = [[rider(300 + 10 * i)] for i in range(6)] + [both(300 + 10 * i) for i in range(6, 10)]
    made = tracked(virtual, pictures)
    assert ids(made) == {1}
    assert made[-1].label == ["motorcycle"]


def test_boxes_around_both_of_either_class_by_turns_are_one_track_of_the_machine(virtual):
    """As `nms: across` leaves them: of two boxes around both, now the person's, now the machine's."""

    def whole(kind: int, x: float) -> list[Seen]:
        return [(kind, [x - 15, 340, x + 15, 400])]

    made = tracked(
        virtual,
        [both(300 + 20 * i) for i in range(4)]
        + [whole(PERSON if i % 3 else MACHINE, 300 + 20 * i) for i in range(4, 24)],
    )
    assert ids(made) == {1}
    assert {tuple(each.label) for each in made[4:]} == {("motorcycle",)}


def test_a_pedestrian_that_passes_a_parked_machine_stays_on_foot(virtual):
    made = tracked(virtual, [[machine(400), walker(300 + 9 * i)] for i in range(24)])
    assert ids(made) == {1, 2}
    last = made[-1]
    assert sorted(last.label) == ["motorcycle", "person"]
    assert last.rider is None or not last.rider.any()
    on_foot = {
        number
        for each in made
        for number, name in zip(each.track_id.tolist(), each.label, strict=True)
        if name == "person"
    }
    assert len(on_foot) == 1


def test_a_pedestrian_beside_a_machine_is_no_rider(virtual):
    made = tracked(virtual, [[machine(300 + 4 * i), walker(322 + 4 * i)] for i in range(12)])
    assert sorted(made[-1].label) == ["motorcycle", "person"]
    assert made[-1].rider is None


def test_a_person_that_stands_behind_a_machine_seen_from_its_side_is_no_rider(virtual):
    made = tracked(virtual, [[(MACHINE, [260, 356, 340, 400]), walker(305)]] * 12)
    assert sorted(made[-1].label) == ["motorcycle", "person"]


def test_a_rider_seen_from_its_side_is_one(virtual):
    made = tracked(virtual, [[(MACHINE, [260, 356, 340, 400]), rider(295)]] * 12)
    assert made[-1].label == ["motorcycle"]


def test_a_rider_that_gets_off_and_pushes_is_on_foot_again(virtual):
    rides = [both(300 + 20 * i) for i in range(10)]
    pushes = [[machine(500 + 5 * i), walker(522 + 5 * i)] for i in range(30)]
    last = tracked(virtual, rides + pushes)[-1]
    assert sorted(last.label) == ["motorcycle", "person"]
    assert last.rider is None


def test_a_machine_that_was_left_alone_is_parked(virtual):
    made = tracked(virtual, [both(300)] * 10 + [[machine(300)]] * 30)
    assert ids(made) == {1}
    assert made[-1].label == ["motorcycle"]
    assert made[-1].rider is None


def test_a_walk_away_from_a_machine_out_of_sight_is_on_foot(virtual):
    made = tracked(virtual, [both(300)] * 10 + [[walker(300 + 5 * i)] for i in range(40)])
    assert made[-1].label == ["person"]


def test_a_rider_whose_machine_is_too_far_away_to_be_found_rides_on(virtual):
    made = tracked(virtual, [both(300 + 12 * i) for i in range(10)] + [[rider(420 + 12 * i)] for i in range(60)])
    assert ids(made) == {1}
    assert made[-1].label == ["motorcycle"]


def test_recordings_keep_riders_and_those_without_read_as_before(virtual, tmp_path: Path):
    made = [*tracked(virtual, [both(300 + 20 * i) for i in range(8)]), *tracked(virtual, [[walker(300)]] * 4)]
    header = Header(flow="f", site="s", nodes={"tracks": "track"})
    writer = Writer(tmp_path / "some.rec", header)
    for each in made:
        writer.write("tracks", each)
    writer.close()
    read = [message for _, message in Recording(tmp_path / "some.rec")]
    for one, other in zip(made, read, strict=True):
        assert isinstance(other, Tracks)
        assert (one.rider is None) == (other.rider is None)
        if one.rider is not None and other.rider is not None:
            assert one.rider.tolist() == other.rider.tolist()
            assert other[np.array([0])].rider is not None
