"""`flowrt new NAME --template KIND`: every kind of place passes the check and runs, simulated and with a camera of one's own."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from harness import data_file

from flowrt.cli import main
from flowrt.commands.new._flow import templates
from flowrt.config import load, read
from flowrt.testing.replay import rehearse
from flowrt.traffic import Tracks

KINDS = ("four-leg", "t-junction", "crosswalk", "motorway", "counting")
START_S = 1_777_000_000.0


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_these_are_the_kinds() -> None:
    assert set(templates()) == {*KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_simulated_place_passes_and_runs(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "here", "--template", kind]) == 0
    assert "wrote here.yaml, here.scene.yaml" in capsys.readouterr().out
    flow, diagnostics = read("here.yaml")
    assert [str(each) for each in diagnostics] == []
    assert flow is not None
    assert (flow.name, flow.site) == ("here", "here")
    arrived = rehearse(flow, start_s=START_S, until_s=START_S + 0.25)
    assert {sink for sink, _ in arrived} == {"to_broker", "to_history"}
    assert {message.camera_id for _, message in arrived if isinstance(message, Tracks)} == {*flow.sections["scene"]}


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_with_a_camera_of_its_own_passes_and_runs(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    clip, model = str(data_file("real/crossing.mp4")), str(data_file("yolox_nano.onnx"))
    assert main(["new", "here", "--template", kind, "--camera", clip, "--model", model]) == 0
    assert "here.north.jpg" in capsys.readouterr().out
    assert cv2.imread("here.north.jpg").shape == (352, 640, 3)
    flow, diagnostics = read("here.yaml")
    assert [str(each) for each in diagnostics] == []
    assert flow is not None
    assert flow.sections["scene"]["north"].picture_px == (640, 352)
    arrived = rehearse(flow, start_s=START_S, until_s=START_S + 0.25)
    assert any(isinstance(message, Tracks) for _, message in arrived)


def test_every_part_of_a_scene_has_its_comment() -> None:
    main(["new", "here", "--template", "four-leg"])
    lines = Path("here.scene.yaml").read_text().splitlines()
    for number, line in enumerate(lines):
        if line.startswith(("      stop_line:", "      crosswalk:", "      in_1:")):
            assert lines[number - 1].strip().startswith("# ")


def test_the_nodes_that_wait_for_metres_run_once_the_scene_has_them() -> None:
    """What the comments of a real camera's flow say to do is done, and it passes."""
    clip, model = str(data_file("real/crossing.mp4")), str(data_file("yolox_nano.onnx"))
    main(["new", "here", "--template", "four-leg", "--camera", clip, "--model", model])
    flow, scene = Path("here.yaml"), Path("here.scene.yaml")
    text = flow.read_text().replace("type: roi, from: tracks", "type: roi, from: speeds")
    for name in ("speeds", "speeding", "on_crosswalk", "on_amber", "yielding", "near_misses"):
        assert f"      # {name}:" in text
        text = text.replace(f"      # {name}:", f"      {name}:")
    flow.write_text(text)
    measured = "    homography:\n      image_px: [[240, 110], [330, 110], [420, 310], [90, 310]]\n      ground_m: [[-3, 40], [3, 40], [5, 6], [-5, 6]]\n"
    scene.write_text(scene.read_text().replace("    picture_px:", measured + "    picture_px:"))
    loaded, diagnostics = read("here.yaml")
    assert [str(each) for each in diagnostics if each.severity == "error"] == []
    assert loaded is not None
    assert "north_near_misses" in loaded.nodes


def test_a_password_is_not_written_down(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowrt.commands.new._flow.PICTURE_S", 0.2)
    model = str(data_file("yolox_nano.onnx"))
    address = "rtsp://viewer:s3cretword@127.0.0.1:9/1"
    assert main(["new", "here", "--template", "counting", "--camera", address, "--model", model]) == 0
    said = "".join(capsys.readouterr())
    assert "s3cretword" not in said + Path("here.yaml").read_text() + Path("here.scene.yaml").read_text()
    assert "export NORTH_CAMERA=" in said
    assert "what is drawn is laid out for 1280x720 pixels" in said
    assert load("here.yaml", environment={"NORTH_CAMERA": address}).nodes["north"].settings.uri == address  # type: ignore[attr-defined]  # a camera's


def test_a_clip_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    model = str(data_file("yolox_nano.onnx"))
    assert main(["new", "here", "--template", "counting", "--camera", "away.mp4", "--model", model]) == 0
    assert "no picture of away.mp4: there is no file or folder 'away.mp4';" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--template", "four-legs"], 2, "did you mean 'four-leg'?"),
        (
            ["--template", "motorway", "--camera", "a.mp4", "--camera", "b.mp4"],
            2,
            "motorway has 1 approach, and 2 cameras are given",
        ),
        (["--camera", "a.mp4"], 2, "--camera and --model go with --template"),
        (["--template", "motorway", "--model", "a.onnx"], 2, "--model is for real cameras"),
    ],
)
def test_mistakes(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["new", "here", *words]) == code
    assert said in capsys.readouterr().err
    assert not Path("here.yaml").exists()


def test_nothing_is_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    Path("here.north.jpg").write_bytes(b"mine")
    clip = str(data_file("real/crossing.mp4"))
    assert main(["new", "here", "--template", "counting", "--camera", clip]) == 3
    assert "here.north.jpg is there already" in capsys.readouterr().err
    assert Path("here.north.jpg").read_bytes() == b"mine"
    assert not Path("here.yaml").exists()
