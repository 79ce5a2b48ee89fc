"""A real road full of motorcycles, 64 s at 6 pictures a second: each rider with its machine is one road user.

Counted by eye, on pictures every third of a second around the stop line, each two-wheeler followed over it. During the 42 s of red eight
ride over it on the right of the waiting cars and two on their left; two more cross it in the last moment of red, at 42.4 s, and are
left out. Nobody walks on the road. In those 64 s no two road users come near a collision.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from harness import PROJECT, data_file

CLIP = "signal-two-wheelers"
OVER_THE_LINE_AT_RED = 10
GREEN_FROM_S = 42.5


@pytest.fixture(scope="module", params=["yolox_nano.onnx", "models/yolo11n_y.xml"])
def model(request: pytest.FixtureRequest) -> str:
    """Two detectors: the test data's own, and one as an exporter writes it."""
    return str(request.param)


@pytest.fixture(scope="module")
def events(model: str, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What the flow drawn for the clip reports, run as a user runs it, without its video."""
    folder = tmp_path_factory.mktemp(CLIP)
    text = data_file(f"real/flows/{CLIP}.yaml").read_text()
    text = text.replace(f"../{CLIP}.mp4", str(data_file(f"real/{CLIP}.mp4")))
    text = text.replace("../../yolox_nano.onnx", str(data_file(model)))
    lines = [line for line in text.splitlines() if not line.startswith(("  video:", "  trackfile:"))]
    flow = folder / "flow.yaml"
    flow.write_text("\n".join(lines))
    command = [str(Path(sys.executable).with_name("flowrt")), "run", str(flow), "--plain", "--http", "off"]
    environment = {**os.environ, "FLOWRT_DATA": str(folder)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder / "events.ndjson").read_text().splitlines()]


def begun(events: list[dict[str, Any]], violation: str) -> list[dict[str, Any]]:
    return [event for event in events if event.get("violation_type") == violation and event["phase"] == "new"]


def second(event: dict[str, Any]) -> float:
    """When it was reported, in seconds of the clip."""
    return (datetime.fromisoformat(event["time"]) - datetime.fromisoformat("2026-05-04T12:30:00Z")).total_seconds()


def test_most_riders_over_the_line_at_red_are_reported_and_nobody_else(events: list[dict[str, Any]]) -> None:
    found = begun(events, "red_light")
    assert OVER_THE_LINE_AT_RED * 0.7 <= len(found) <= OVER_THE_LINE_AT_RED
    assert len({event["object"]["track_id"] for event in found}) == len(found)
    assert {event["object"]["label"] for event in found} <= {"motorcycle", "bicycle"}
    assert max(map(second, found)) < GREEN_FROM_S


def test_riders_are_not_on_foot(model: str, events: list[dict[str, Any]]) -> None:
    """One is: it passes a pedestrian at the kerb and goes on with that one's track. The second detector finds small, far riders without
    their machines."""
    assert len(begun(events, "jaywalking")) <= (1 if model == "yolox_nano.onnx" else 3)


def test_no_rider_nearly_collides_with_its_own_machine(events: list[dict[str, Any]]) -> None:
    assert begun(events, "near_miss") == []


def test_the_approach_counts_its_cars_and_its_riders_once(events: list[dict[str, Any]]) -> None:
    [counted] = [event for event in events if event.get("lane_id") == "approach"]
    assert counted["class_counts"]["car"] == 4
    riders = counted["vehicle_count"] - 4
    assert riders == sum(counted["class_counts"].get(name, 0) for name in ("motorcycle", "bicycle"))
    assert riders >= OVER_THE_LINE_AT_RED
