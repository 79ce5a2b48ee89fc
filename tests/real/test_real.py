"""The two real videos through whole flows, as a user runs them, held against what a person sees in them.

How the counts were made, by eye: pictures of the clips were laid side by side, those of the bridge with the zones drawn (0, 12, 24,
36, 48, 60, 72, 84, 96, 108, 112, 120, 128, 134, 139 and 143, so that each vehicle can be followed from one to the next), those of
the parking lot every sixteenth, and in steps of one or two where a car comes or goes. A vehicle counts for a zone when its wheels
nearest to the camera, as seen or as plainly hidden behind another, are in it at any time.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from harness import PROJECT, data_file

from flowrt_nodes._lib.cv import cv2

FOLDER = Path(__file__).parent

# Towards the camera: the bus, the light green car hidden behind it, the GMC, the Touareg, the small dark car between the two,
# the dark blue BMW, the red car: 7. Middle lane: black sedan, silver SUV, black SUV: 3. Right lane: the grey SUV that is about
# to leave the zone in the first picture, the jeep, white Nissan, silver BMW, dark BMW, pickup, red car: 7.
ON_THE_BRIDGE = {"towards": 7, "away_1": 3, "away_2": 7}
# Over the counting lines, with the same eyes: GMC and the green car; silver SUV and black SUV; Nissan and both BMWs.
OVER_THE_LINES = {"towards": 2, "away_1": 2, "away_2": 3}

# White hatchback up (pictures 56 to 106), light blue one down (181 to 227), red sedan up (188 to 236), white coupe down (316 to
# 348). The coupe is the fastest: it crosses the picture in 32 pictures, 2.6 s; the others need 46 to 50.
ON_THE_AISLE = {"up": 2, "down": 2}


class Run(NamedTuple):
    """What a run left behind."""

    report: dict[str, Any]
    records: list[dict[str, Any]]
    data: Path

    def events(self, **wanted: str) -> list[dict[str, Any]]:
        return [record for record in self.records if all(record.get(k) == v for k, v in wanted.items())]


def run(flow: Path, data: Path) -> Run:
    folder = data_file("yolox_nano.onnx").parent
    report = data / "report.json"
    command = [
        str(Path(sys.executable).with_name("flowrt")),
        "run",
        str(flow),
        "--plain",
        "--http",
        "off",
        "--report",
        str(report),
    ]
    environment = {**os.environ, "FLOWRT_TEST_DATA": str(folder), "FLOWRT_DATA": str(data)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    records = [json.loads(line) for line in next(data.glob("*.ndjson")).read_text().splitlines()]
    return Run(json.loads(report.read_text()), records, data)


@pytest.fixture(scope="module")
def bridge(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(FOLDER / "bridge.yaml", tmp_path_factory.mktemp("bridge"))


@pytest.fixture(scope="module")
def parking_lot(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(FOLDER / "parking-lot.yaml", tmp_path_factory.mktemp("parking-lot"))


@pytest.mark.parametrize(("name", "frames"), [("bridge", 144), ("parking_lot", 377)])
def test_every_frame_goes_all_the_way(request: pytest.FixtureRequest, name: str, frames: int) -> None:
    result: Run = request.getfixturevalue(name)
    nodes = result.report["nodes"]
    assert result.report["frames"] == frames
    assert {node: numbers["errors"] for node, numbers in nodes.items()} == dict.fromkeys(nodes, 0)
    assert {node: numbers["dropped"] for node, numbers in nodes.items()} == dict.fromkeys(nodes, 0)
    assert nodes["tracks"]["in"] == nodes["video"]["in"] - len(result.events(violation_type="speeding")) == frames
    assert result.report["delivery"]["record"]["delivered"] == len(result.records)


@pytest.mark.parametrize(("name", "frames", "fps"), [("bridge", 144, 30.0), ("parking_lot", 377, 12.5)])
def test_the_video_is_whole(request: pytest.FixtureRequest, name: str, frames: int, fps: float) -> None:
    result: Run = request.getfixturevalue(name)
    (file,) = result.data.glob("*.mp4")
    capture = cv2.VideoCapture(str(file))
    assert (capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)) == (fps, frames)
    count = 0
    while capture.grab():
        count += 1
    assert count == frames


def test_as_many_tracks_on_the_bridge_as_a_person_counts(bridge: Run) -> None:
    tracks = {event["object"]["track_id"] for event in bridge.events(event_type="entry")}
    assert len(tracks) == pytest.approx(sum(ON_THE_BRIDGE.values()), rel=0.25)


def test_each_lane_of_the_bridge_counts_its_own(bridge: Run) -> None:
    counted = {interval["lane_id"]: interval["vehicle_count"] for interval in bridge.records if "lane_id" in interval}
    assert counted.keys() == OVER_THE_LINES.keys()
    for lane, count in OVER_THE_LINES.items():
        assert abs(counted[lane] - count) <= 1
    directions = {event["object"]["track_id"]: event["direction"] for event in bridge.events(event_type="crossing")}
    assert list(directions.values()).count("forward") >= 5


def test_nobody_drives_the_wrong_way_on_the_bridge(bridge: Run) -> None:
    assert bridge.events(violation_type="wrong_way") == []


def test_the_wrong_way_rule_wakes_when_a_lane_is_turned_round(tmp_path: Path) -> None:
    """The same pictures with the right lane declared for the other direction: proof that the rule above was awake."""
    text = (FOLDER / "bridge.yaml").read_text()
    lane = "[945, 700], [714, 700]], heading: [0, -1]"
    assert lane in text
    turned = tmp_path / "bridge.yaml"
    turned.write_text(text.replace(lane, lane.replace("-1", "1")).replace("../../../shared/data", str(tmp_path)))
    result = run(turned, tmp_path)
    offenders = {event["object"]["track_id"] for event in result.events(violation_type="wrong_way")}
    assert {event["roi_id"] for event in result.events(violation_type="wrong_way")} == {"away_2"}
    assert 1 <= len(offenders) <= ON_THE_BRIDGE["away_2"] * 1.25


def test_four_cars_cross_the_parking_lot(parking_lot: Run) -> None:
    crossings = parking_lot.events(event_type="crossing", direction="forward")
    assert len(parking_lot.events(event_type="crossing")) == len(crossings) == sum(ON_THE_AISLE.values())
    for lane, count in ON_THE_AISLE.items():
        assert sum(event["roi_id"] == f"count_{lane}" for event in crossings) == count
    assert len({event["object"]["track_id"] for event in crossings}) == 4
    tracks = {event["object"]["track_id"] for event in parking_lot.events(event_type="entry")}
    assert len(tracks) == 4


def test_the_coupe_is_too_fast_and_nobody_else(parking_lot: Run) -> None:
    """16 km/h, the usual 10 mph of a car park. By hand: the coupe moves 97 px in 0.32 s, at 65 px a metre 17 km/h."""
    begun = parking_lot.events(violation_type="speeding", phase="new")
    assert len(begun) == 1
    assert begun[0]["time"].startswith("2026-05-04T12:30:26")  # picture 325 to 337
    last = parking_lot.events(event_type="crossing", roi_id="count_down")[-1]
    assert begun[0]["object"]["track_id"] == last["object"]["track_id"]
    assert parking_lot.events(violation_type="wrong_way") == []
