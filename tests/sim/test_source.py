"""Cameras and signal feed of one seed show one world; truth and pictures belong together; the command writes it all."""

from __future__ import annotations

import argparse
import itertools
import json
import shlex
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from flowrt_sim import CAMERAS, CLASSES, command
from flowrt_sim.camera.scene import pole_camera
from flowrt_sim.source import SimCamera, open_camera, open_signals, signal_plan
from flowrt_sim.street.signals import GREEN, LAMPS
from flowrt_sim.uri import parse

SMALL = "sim://four-way?seed=7&size=640x360&fps=5&start=40&duration_s=2"


def test_frames_carry_time_number_and_picture() -> None:
    camera = open_camera(SMALL)
    frames = list(camera.frames())
    assert camera.frame_count == len(frames) == 10
    assert [f.number for f in frames] == list(range(10))
    assert [f.time_s for f in frames] == pytest.approx([n / 5 for n in range(10)])
    assert all(f.image.shape == (360, 640, 3) and f.truth.time_s == pytest.approx(f.time_s) for f in frames)
    assert not np.array_equal(frames[0].image, frames[-1].image)


def test_same_address_same_pictures() -> None:
    a, b = (open_camera(SMALL + "&weather=rain&jpeg=80&shake=1").frame(3) for _ in range(2))
    assert np.array_equal(a.image, b.image)


def test_all_cameras_see_the_same_world_at_the_same_time() -> None:
    places: dict[int, tuple[float, float]] = {}
    shared = 0
    for name in CAMERAS:
        truth = open_camera(f"{SMALL}&camera={name}").truth(7)
        for number, ground in zip(truth.ids.tolist(), truth.ground_m.tolist(), strict=True):
            if number in places:
                shared += 1
                assert places[number] == pytest.approx(tuple(ground))
            places[number] = tuple(ground)
    assert shared > 5


def test_truth_without_pictures_is_the_same() -> None:
    drawn = open_camera(SMALL).frame(5).truth
    (_, plain) = next(itertools.islice(open_camera(SMALL).truths(), 5, None))
    assert np.array_equal(drawn.ids, plain.ids)
    assert np.allclose(drawn.boxes_px, plain.boxes_px)
    assert drawn.phases == plain.phases


def test_boxes_stand_on_their_ground_positions() -> None:
    truth, camera = open_camera(SMALL).truth(4), pole_camera("north", size_px=(640, 360))
    feet = camera.ground_px(truth.ground_m)
    assert len(feet) > 3
    for (x, y), (x1, y1, x2, y2) in zip(feet, truth.boxes_px, strict=True):
        if x1 > 0 and x2 < 640 and y2 < 360:
            assert x1 <= x <= x2
            assert y1 <= y <= y2 + 1


def test_who_is_hidden_is_in_the_truth_as_well() -> None:
    camera, lens = open_camera(SMALL), pole_camera("north", size_px=(640, 360))
    truths = [camera.truth(number) for number in range(10)]
    visible = np.concatenate([truth.visible for truth in truths])
    assert visible.min() < 0.1
    assert visible.max() > 0.95
    for truth in truths:
        middle, front = lens.ground_px(truth.ground_m), lens.ground_px(truth.front_m)
        assert np.allclose(truth.footprints_px, np.hstack((middle, front - middle)))


def test_speed_is_the_distance_per_time() -> None:
    camera = open_camera("sim://four-way?seed=7&fps=10&start=40&duration_s=3")
    a, b = camera.truth(10), camera.truth(11)
    checked = 0
    for number in set(a.ids.tolist()) & set(b.ids.tolist()):
        i, j = a.ids.tolist().index(number), b.ids.tolist().index(number)
        if CLASSES[a.class_ids[i]] != "pedestrian":
            moved = float(np.hypot(*(b.front_m[j] - a.front_m[i]))) / 0.1 * 3.6
            assert moved == pytest.approx((a.speed_kmh[i] + b.speed_kmh[j]) / 2, abs=1.0)
            checked += 1
    assert checked > 3


def test_the_signal_feed_tells_every_change_when_it_happens() -> None:
    options = parse("sim://four-way?seed=7&start=10&duration_s=70")
    plan = signal_plan(options)
    feed = list(open_signals(options))
    times = [t for t, _ in feed]
    assert times == sorted(times)
    assert max(b - a for a, b in itertools.pairwise(times)) <= 1.0 + 1e-6
    for change in plan.changes(10.0, 80.0):
        assert min(abs(change - 10.0 - t) for t in times) < 1e-3
    for time_s, groups in feed:
        assert {g: s for g, (s, _) in groups.items()} == {g: s for g, (s, _) in plan.phases(10 + time_s).items()}
        assert all(since <= time_s + 1e-6 for _, since in groups.values())


def test_lamps_shine_where_the_scene_says() -> None:
    camera = open_camera("sim://four-way?seed=7&fps=1&start=30&duration_s=70&blur=0.3")
    spots = camera.scene()["lamps"]["phase_2"]  # type: ignore[index]  # the scene is plain YAML data
    seen = set()
    for number in range(0, 62, 2):
        frame = camera.frame(number)
        bright = {lamp: frame.image[round(y), round(x)].max() for lamp, (x, y, _) in spots.items()}
        lit = LAMPS[frame.truth.phases["phase_2"][0]]
        assert max(bright, key=lambda lamp: bright[lamp]) == lit
        seen.add(lit)
    assert {"red", "green"} <= seen
    assert LAMPS[GREEN] == "green"


def run_command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return command.run(parser.parse_args(words))


def test_the_command_writes_video_truth_and_scene(tmp_path: Path) -> None:
    words = shlex.split("--seed 7 --minutes 0.05 --camera north --size 640x360 --scenario red_light_creep")
    assert run_command(*words, "--out", str(tmp_path)) == 0
    film = cv2.VideoCapture(str(tmp_path / "north.mp4"))
    assert int(film.get(cv2.CAP_PROP_FRAME_COUNT)) == 30
    rows = [json.loads(line) for line in (tmp_path / "north.truth.ndjson").read_text().splitlines()]
    assert [row["frame"] for row in rows] == list(range(30))
    assert all(len(row["ids"]) == len(row["boxes_px"]) == len(row["ground_m"]) == len(row["classes"]) for row in rows)
    truth = [json.loads(line) for line in (tmp_path / "truth.ndjson").read_text().splitlines()]
    assert truth[0]["type"] == "header"
    assert "phases" in {row["type"] for row in truth}
    scene = yaml.safe_load((tmp_path / "scene.yaml").read_text())["scene"]
    assert scene["north"]["picture_px"] == [640, 360]
    assert scene == {"north": SimCamera(parse(SMALL)).scene()}


def test_the_command_tells_violations_by_recording_time(tmp_path: Path) -> None:
    words = shlex.split("--minutes 1.5 --no-video --camera east --size 320x180 --fps 1 --scenario illegal_turn")
    assert run_command(*words, "--out", str(tmp_path)) == 0
    truth = [json.loads(line) for line in (tmp_path / "truth.ndjson").read_text().splitlines()]
    found = [row for row in truth if row["type"] == "violation"]
    assert found
    assert any(row["type"] == "count" for row in truth), "in a minute and a half a vehicle crosses a line"
    assert all(0 <= row["time_s"] <= 90 and row["rule"] == "illegal_turn" and row["camera"] in CAMERAS for row in found)
    assert not (tmp_path / "east.mp4").exists()


@pytest.mark.parametrize(
    ("words", "said"), [(("--size", "x"), "size"), (("--fps", "0"), "fps"), (("--minutes", "0"), "minutes")]
)
def test_bad_options_are_named(
    words: tuple[str, ...], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command("--out", str(tmp_path), *words) == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert run_command("--minutes", "0.01", "--out", str(tmp_path / "file" / "x")) == 1
    assert "can't write" in capsys.readouterr().err
