"""`flowrt scene`: figures, and a sheet whose labels hide nothing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import data_file

from flowrt import cli
from flowrt.message import Image
from flowrt.system.resources import share
from flowrt_ops.scene_sheet.canvas import Canvas
from flowrt_ops.scene_sheet.still import median

FLOW = """\
flow: road
scene:
  main:
    picture_px: [640, 480]
    lanes:
      kerb: {zone: [[85, 60], [152, 60], [120, 440], [0, 440], [0, 180]], heading: [-0.15, 1], limit_kmh: 70}
    lines:
      c_kerb: {line: [[2, 250], [136, 250]], kind: count}
    homography:
      image_px: [[148, 122], [146, 146], [144, 174], [141, 212], [136, 266], [128, 344], [240, 122], [356, 344]]
      ground_m: [[0, 50], [0, 40], [0, 30], [0, THERE], [0, 10], [0, 0], [3.5, 50], [3.5, 0]]
nodes:
  north: {type: camera, uri: pictures, fps: 10}
  objects: {type: detect, from: north, model: model.onnx}
  tracks: {type: track, from: objects}
  zones: {type: roi, from: tracks, scene: main}
  show: {type: debug, from: zones}
"""


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A road of grey pictures, on which a white square moves."""
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for i in range(12):
        picture = np.full((480, 640, 3), 120, np.uint8)
        picture[200:240, 40 * i : 40 * i + 40] = 255
        cv2.imwrite(str(pictures / f"{i:02}.png"), picture)
    return write(tmp_path, 20)


def write(folder: Path, there: float) -> Path:
    (folder / "road.yaml").write_text(FLOW.replace("THERE", str(there)))
    return folder / "road.yaml"


def told(path: Path, capsys: pytest.CaptureFixture[str], code: int, *words: str) -> list[dict]:
    assert cli.main(["scene", str(path), "--json", *words]) == code
    return json.loads(capsys.readouterr().out)


def test_the_figures(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [main] = told(flow, capsys, 0)  # the model is missing, but no scene is at fault
    assert (main["scene"], main["camera"]) == ("main", "north")
    assert len(main["calibration"]["points"]) == 8
    assert main["calibration"]["outliers"] == []
    assert main["calibration"]["max_px"] < 3
    assert main["lanes"][0]["lane"] == "kerb"
    assert 3 < main["lanes"][0]["width_m"] < 5


def test_an_outlier_is_in_table_and_json(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(flow.parent, 45)
    [main] = told(path, capsys, 1)
    assert main["calibration"]["outliers"] == [3]
    assert "point 4 " in main["problems"][0]["message"]
    assert cli.main(["scene", str(path)]) == 1
    table = capsys.readouterr().out
    assert "outlier, not in the fit" in table
    assert "implied camera" in table


def test_the_sheet_is_drawn_over_the_median(flow: Path) -> None:
    assert cli.main(["scene", str(flow), "-o", "sheet.png"]) == 0
    drawn = cv2.imread("sheet.png")
    assert drawn is not None
    assert drawn.shape[0] > 900
    assert drawn.shape[1] > 1200 + 200, "the view from above is beside it"
    road = drawn[380:440, 700:1150]  # where the square passed, away from what is drawn
    assert np.percentile(road, 90) < 150, "the square is not in the still"
    assert np.median(road) == pytest.approx(120 * 0.75, abs=3)


def test_a_picture_of_other_proportions_is_not_drawn_over(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow.write_text(flow.read_text().replace("picture_px: [640, 480]", "picture_px: [640, 640]"))
    assert cli.main(["scene", str(flow), "-o", "sheet.png"]) == 1
    assert "camera 'north' gives pictures of 640 x 480" in capsys.readouterr().err


def test_several_cameras_get_a_picture_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("flowrt_ops.scene_sheet.still.BUDGET_S", 1.0)
    path = share("flows") / "four-cameras.yaml"
    assert cli.main(["scene", str(path), "-o", "a.png"]) == 0
    assert sorted(each.name for each in tmp_path.glob("*.png")) == [
        f"a-{name}.png" for name in ("east", "north", "south", "west")
    ]


def test_a_lane_beyond_the_horizon_is_shown_too(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = Path(__file__).parents[1] / "cases" / "valid-scene-warnings.yaml"
    [warned] = told(case, capsys, 0, "-o", "warned.png")
    sky = warned["lanes"][2]
    assert (sky["lane"], sky["length_m"], sky["width_m"]) == ("sky", None, None)
    assert Path("warned.png").exists()


def test_usage(flow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["scene", str(flow), "--camera", "south"]) == 2
    assert "have one: north" in capsys.readouterr().err
    assert cli.main(["scene", str(flow), "-o", "sheet.jpg"]) == 2


def test_a_real_clip_without_its_traffic(tmp_path: Path) -> None:
    clip = data_file("real/road-four-lanes.mp4")
    source = clip.parent / "flows" / "road-four-lanes-8-points.yaml"
    text = source.read_text().replace("../road-four-lanes.mp4", str(clip))
    (tmp_path / "flow.yaml").write_text(text)
    output = tmp_path / "sheet.png"
    cli.main(["scene", str(tmp_path / "flow.yaml"), "-o", str(output)])
    drawn = cv2.imread(str(output))
    assert drawn is not None
    assert drawn.std() > 20


def test_labels_hide_nothing_that_they_name() -> None:
    rng = np.random.default_rng(4)
    places = rng.uniform(40, 460, (24, 2))
    canvas = Canvas(np.full((500, 500, 3), 90, np.uint8))
    for place in places:
        canvas.arrow(place, place + np.array([18, 9]), (0, 0, 255))
        canvas.cross(place, (66, 228, 240))
    before = canvas.picture.copy()
    for i, place in enumerate(places):
        canvas.label(place, f"point {i + 1}", (66, 228, 240))
    canvas.place_labels()
    for x, y in places.round().astype(int):
        arms = np.s_[y - 6 : y + 7, x - 6 : x + 7]
        changed = (canvas.picture[arms] != before[arms]).any(axis=-1)
        assert changed[6].sum() + changed[:, 6].sum() == 0, f"the cross at {x}, {y} is covered"


def test_the_median_is_what_does_not_move() -> None:
    pictures: list[Image] = []
    for i in range(9):
        picture = np.full((100, 90, 3), 50, np.uint8)
        picture[:, 10 * i : 10 * i + 10] = 200
        pictures.append(picture)
    assert (median(pictures) == 50).all()
