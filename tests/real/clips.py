"""The public clips of roads, run through the flows that were drawn for them, as a user runs them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import PROJECT, data_file

MODELS = ["yolox_nano.onnx", "models/yolo11n_y.xml"]
"""Two detectors: the test data's own, and one as an exporter writes it."""
Events = list[dict[str, Any]]


def run_clip(clip: str, model: str, folder: Path) -> Events:
    """What the flow drawn for the clip reports, without its video."""
    text = data_file(f"real/flows/{clip}.yaml").read_text()
    text = re.sub(r"uri: \.\./([\w.-]+)", lambda found: f"uri: {data_file('real/' + found[1])}", text)
    text = text.replace("../../yolox_nano.onnx", str(data_file(model)))
    lines = [line for line in text.splitlines() if not line.startswith(("  video:", "  trackfile:"))]
    flow = folder / "flow.yaml"
    flow.write_text("\n".join(lines))
    command = [str(Path(sys.executable).with_name("flowrt")), "run", str(flow), "--plain", "--http", "off"]
    environment = {**os.environ, "FLOWRT_DATA": str(folder)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in (folder / "events.ndjson").read_text().splitlines()]


def begun(events: Events, violation: str) -> Events:
    return [event for event in events if event.get("violation_type") == violation and event["phase"] == "new"]


def second(event: dict[str, Any]) -> float:
    """When it was reported, in seconds of the clip."""
    return (datetime.fromisoformat(event["time"]) - datetime.fromisoformat("2026-05-04T12:30:00Z")).total_seconds()


def counts(events: Events) -> dict[str, int]:
    """Vehicles by lane."""
    return {event["lane_id"]: event["vehicle_count"] for event in events if "vehicle_count" in event}
