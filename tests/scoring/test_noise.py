"""Noise profiles: what is measured is what was put in, what is put in is drawn from a seed, and a real clip can be measured."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import PROJECT, data_file

from flowrt import Detections, Message
from flowrt.cli import main
from flowrt.config import load
from flowrt.testing.replay import rehearse, tapped
from flowrt_scoring.noise.disturb import Disturbance
from flowrt_scoring.noise.measure import Clip, measure
from flowrt_scoring.noise.profile import (
    FalseBox,
    FalseBoxes,
    Flips,
    Kind,
    Profile,
    ProfileError,
    SizeClass,
    read_profile,
    write_profile,
)
from flowrt_scoring.noise.reference_tracks import Present, Seen, present
from flowrt_scoring.score import world_of
from flowrt_scoring.simulated import Faults, detecting, on_simulation
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.traffic.simulation import Simulation

PICTURE = (1000, 1000)
SMALL, LARGE = 10.0, 40.0
FLOW = PROJECT / "flows" / "intersection.yaml"


def known() -> Profile:
    small = SizeClass(to_px=25.0, boxes=100, never=0.0, lost=0.3, found=0.2, edges=0.04, confidence=(0.3,) * 5)
    large = SizeClass(to_px=0.0, boxes=100, never=0.0, lost=0.05, found=0.5, edges=0.02, confidence=(0.8,) * 5)
    vehicle = Kind(
        sizes=(small, large),
        edges_hold=0.6,
        confidence_hold=0.5,
        split=0.1,
        split_boxes=((0.0, 0.0, 0.5, 1.0, 0.4),),
        flips={"car": Flips(begin=0.04, stay=0.6, to={"truck": 1.0})},
    )
    places = [(round(0.05 * i, 2), round(0.05 * i + 0.03, 2)) for i in range(20)]
    seen = tuple(FalseBox(label="person", confidence=0.3, box=(a, 0.9, b, 0.99)) for a, b in places)
    false = FalseBoxes(per_s=0.8, stay=0.7, seen=seen)
    return Profile(
        detector="d", model_sha256="", input_px=PICTURE, min_confidence=0.25, rate_hz=5.0, reference="r", clips=(), seconds=0.0,
        boxes=0, kinds={"vehicle": vehicle}, false=false,
    )  # fmt: skip


def there() -> tuple[list[int], list[str], np.ndarray]:
    """Sixteen cars that stand apart, half of them small."""
    sizes = [SMALL, LARGE] * 8
    corners = np.array([[60.0 * i, 50.0 * (i % 4)] for i in range(16)])
    return list(range(16)), ["car"] * 16, np.hstack((corners, corners + np.array(sizes)[:, None]))


def seen_by(profile: Profile, pictures: int, rate_hz: float, seed: int = 1) -> list[Seen]:
    numbers, labels, boxes = there()
    noise = Disturbance(profile, PICTURE, PICTURE, (seed,))
    result = []
    for row in range(pictures):
        noisy = noise.see(row / rate_hz, numbers, labels, boxes)
        result.append(Seen(row / rate_hz, noisy.boxes, tuple(noisy.labels), np.array(noisy.confidence)))
    return result


def measured_again(rate_hz: float) -> Profile:
    seen = seen_by(known(), round(900 * rate_hz / 5), rate_hz)
    numbers, labels, boxes = there()
    truth = Present(np.array(numbers), boxes, tuple(labels))
    nothing = Seen(0.0, np.empty((0, 4)), (), np.empty(0))
    clip = Clip("c", seen, [nothing] * len(seen), [truth] * len(seen), PICTURE, 1.0)
    return measure(
        [clip], detector="d", model_sha256="", input_px=PICTURE, min_confidence=0.25, reference="r"
    )  # fmt: skip


@pytest.mark.parametrize("rate_hz", [5.0, 10.0])
def test_what_is_measured_is_what_was_put_in(rate_hz: float) -> None:
    """Also where the pictures come twice as often as those of the profile."""
    put, found = known(), measured_again(rate_hz)
    kind, [small, large] = found.kinds["vehicle"], found.kinds["vehicle"].sizes
    wanted = put.kinds["vehicle"]
    assert (small.to_px, large.to_px) == (13.0, 50.0)
    for each, of in ((small, wanted.sizes[0]), (large, wanted.sizes[1])):
        assert each.lost == pytest.approx(of.lost, rel=0.15)
        assert each.found == pytest.approx(of.found, rel=0.15)
        assert each.edges == pytest.approx(of.edges, rel=0.15)
        assert each.never == 0
        assert each.confidence == pytest.approx(of.confidence, abs=0.01)
    assert kind.edges_hold == pytest.approx(wanted.edges_hold, abs=0.08)
    assert kind.split == pytest.approx(wanted.split, rel=0.2)
    assert kind.split_boxes[0] == pytest.approx(wanted.split_boxes[0], abs=0.15)
    flips, of_flips = kind.flips["car"], wanted.flips["car"]
    assert flips.begin == pytest.approx(of_flips.begin, rel=0.25)
    assert flips.stay == pytest.approx(of_flips.stay, rel=0.2)
    assert flips.to == {"truck": 1.0}
    assert found.false.stay == pytest.approx(put.false.stay, rel=0.15)
    assert found.false.per_s == pytest.approx(put.false.per_s, rel=0.2)
    assert {each.box[1] for each in found.false.seen} == {0.9}


def test_objects_that_are_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    profile = known()
    kind = profile.kinds["vehicle"]
    blind = SizeClass(to_px=0.0, boxes=100, never=0.5, lost=0.0, found=1.0, edges=0.0, confidence=(0.8,) * 5)
    quiet = Kind(
        sizes=(blind,), edges_hold=0.0, confidence_hold=0.0, split=0.0, split_boxes=(), flips={},
    )  # fmt: skip
    assert kind.of_size(3).to_px == 25.0
    profile = Profile(
        **{**{name: getattr(profile, name) for name in profile.__struct_fields__}, "kinds": {"vehicle": quiet},
           "false": FalseBoxes(per_s=0.0, stay=0.0, seen=())}
    )  # fmt: skip
    shares = [np.mean([len(seen.boxes) for seen in seen_by(profile, 5, 5.0, seed)]) / 16 for seed in range(40)]
    assert np.mean(shares) == pytest.approx(0.5, abs=0.06)
    steady = seen_by(profile, 50, 5.0)
    assert len({len(seen.boxes) for seen in steady}) == 1, "the same ones all the time"


def test_the_same_seed_disturbs_in_the_same_way() -> None:
    def facts(seed: int) -> list[list[list[float]]]:
        return [seen.boxes.tolist() for seen in seen_by(known(), 20, 5.0, seed)]

    assert facts(3) == facts(3)
    assert facts(3) != facts(4)


def test_a_profile_is_written_and_read(tmp_path: Path) -> None:
    write_profile(known(), tmp_path / "p.yaml")
    assert read_profile(str(tmp_path / "p.yaml")) == known()
    (tmp_path / "bad.yaml").write_text("detector: 3\n")
    for name, said in (("bad.yaml", "is no noise profile"), ("gone", "expected a file, or one of yolox-nano")):
        with pytest.raises(ProfileError, match=said):
            read_profile(str(tmp_path / name))


# What was there


def _picture(row: int, *boxes: tuple[float, float, str, float]) -> Seen:
    corners = np.array([[x, y, x + 20, y + 20] for x, y, _, _ in boxes]).reshape(-1, 4)
    return Seen(row / 10, corners, tuple(box[2] for box in boxes), np.array([box[3] for box in boxes]))


def test_what_the_reference_misses_for_a_moment_is_filled_in_and_its_class_is_the_usual_one() -> None:
    pictures = []
    for row in range(30):
        boxes = [] if 10 <= row < 14 else [(100.0 + 4 * row, 50.0, "truck" if row % 5 == 0 else "car", 0.8)]
        if row in (3, 4):
            boxes.append((700.0, 700.0, "car", 0.9))  # too short to be believed
        boxes.append((900.0, 100.0, "car", 0.2))  # never sure
        pictures.append(_picture(row, *boxes))
    rows = present(pictures)
    assert [len(each.numbers) for each in rows] == [1] * 30
    assert {label for each in rows for label in each.labels} == {"car"}
    assert [round(each.boxes[0, 0]) for each in rows[9:15]] == [136, 140, 144, 148, 152, 156]


# The shipped profile, and the command


def test_the_shipped_profile_is_plausible() -> None:
    profile = read_profile("yolox-nano")
    assert profile.detector == "yolox-nano"
    assert profile.boxes > 5000
    assert set(profile.kinds) == {"vehicle", "two_wheeler", "pedestrian"}
    for kind in profile.kinds.values():
        assert kind.sizes[-1].to_px == 0
        smallest, largest = kind.sizes[0], kind.sizes[-1]

        def missed(each: SizeClass) -> float:
            return each.never + (1 - each.never) * each.lost / max(each.lost + each.found, 1e-9)

        assert missed(smallest) > missed(largest)


def test_a_flow_is_scored_on_what_a_detector_would_see(capsys: pytest.CaptureFixture[str]) -> None:
    world = world_of(load(FLOW), seed=7, duration_s=3)

    def given(faults: Faults) -> list[Detections]:
        flow, taken = load(FLOW), []

        def take(_: str, message: Message) -> None:
            if isinstance(message, Detections) and message.camera_id == "north":
                taken.append(message)

        running = on_simulation(flow, world, Motion(Simulation(world.seed)), boxes="truth", faults=faults)
        rehearse(tapped(running, detecting(flow), take), until_s=world.duration_s, kind=())
        return taken

    noise = Faults(noise=read_profile("yolox-nano"))
    clean, noisy, again = given(Faults()), given(noise), given(noise)
    assert [each.boxes_px.tolist() for each in noisy] == [each.boxes_px.tolist() for each in again]
    assert sum(map(len, noisy)) < sum(map(len, clean))
    assert all(each.footprints_px is None for each in noisy)
    assert main(["score", str(FLOW), "--boxes", "truth", "--noise", "yolox-nano", "--minutes", "0.05"]) == 0
    assert "camera minutes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--noise", "yolox-nano"], "say --boxes truth"), (["--boxes", "truth", "--noise", "gone"], "'gone'")],
)
def test_noise_that_makes_no_sense(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["score", str(FLOW), *words]) == 2
    assert said in capsys.readouterr().err


def test_a_real_clip_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Thirty pictures of the bridge, ten a second."""
    reader = cv2.VideoCapture(str(data_file("bridge-traffic.mp4")))
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (1280, 720))
    for row in range(90):
        image = reader.read()[1]
        if row % 3 == 0:
            writer.write(image)
    writer.release()
    models = [str(data_file(name)) for name in ("yolox_nano.onnx", "models/yolo11n_y.xml")]
    words = ["--model", models[0], "--reference", models[1], "-o", str(tmp_path / "p.yaml")]
    assert main(["noise", str(tmp_path / "clip.avi"), *words]) == 0
    profile = read_profile(str(tmp_path / "p.yaml"))
    assert profile.boxes > 100
    assert profile.clips == ("clip.avi",)
    assert 0.005 < profile.kinds["vehicle"].sizes[-1].edges < 0.15
    assert "boxes in 3 s" in capsys.readouterr().out
    assert main(["noise", "gone.mp4", *words]) == 2
