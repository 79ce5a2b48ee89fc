"""What a command does not need it does not import: the modules that are there after it, by name, in a process of its own."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from harness import TINY_MODEL

SHIPPED = Path(__file__).parents[2] / "flows" / "intersection.yaml"
PLAIN = """\
flow: plain
nodes:
  clock: {type: timer, every_s: 1}
  out: {type: file_out, from: clock, path: ticks.jsonl}
"""
HEAVY = {
    "amqtt", "cel", "cv2", "influxdb_client", "jsonschema", "jsonschema_rs", "urllib3", "networkx", "openvino", "paho", "prometheus_client", "psutil",
    "rich", "importlib.metadata", "lap", "starlette", "uvicorn", "watchdog", "flowrt.runtime", "flowrt_sim.camera.view", "flowrt_sim.traffic.world",
}  # fmt: skip
SCRIPT = """\
import contextlib, io, json, sys
{what}
print(json.dumps(sorted(sys.modules)))
"""


def modules_after(what: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(what=what)], capture_output=True, text=True, timeout=60, check=True
    )
    return set(json.loads(done.stdout))


def after_check(flow: Path) -> set[str]:
    return modules_after(
        "from flowrt.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        f"    code = main(['check', {str(flow)!r}])\n"
        "assert code == 0"
    )


def test_a_plain_flow_is_checked_without_heavy_modules(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text(PLAIN)
    loaded = after_check(flow)
    assert "flowrt_nodes.timer" in loaded
    assert not loaded & {*HEAVY, "numpy"}


def test_the_shipped_flow_is_checked_without_opening_anything() -> None:
    loaded = after_check(SHIPPED)
    assert {"flowrt_nodes.detect", "flowrt_nodes.mqtt.mqtt_out", "flowrt.contract"} <= loaded
    assert not loaded & HEAVY


def test_a_model_is_read_for_the_first_check_alone(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    shutil.copyfile(TINY_MODEL, tmp_path / "m.onnx")
    flow.write_text(
        "flow: a\nnodes:\n  north: {type: camera, uri: 'sim://four-way?camera=north'}\n"
        "  objects: {type: detect, from: north, model: m.onnx, min_confidence: {car: 0.4}}\n  print: {type: debug, from: objects}\n"
    )
    assert "openvino" in after_check(flow)
    assert not after_check(flow) & HEAVY


@pytest.mark.parametrize("what", ["import flowrt", "import flowrt.cli"])
def test_the_package_itself_is_light(what: str) -> None:
    assert not modules_after(what) & {*HEAVY, "numpy", "yaml"}


def test_a_run_without_pictures_needs_no_vision(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text(PLAIN)
    loaded = modules_after(
        "import os\n"
        f"os.environ['FLOWRT_DATA'] = {str(tmp_path)!r}\n"
        "from flowrt.cli import main\n"
        "with contextlib.redirect_stderr(io.StringIO()):\n"
        f"    code = main(['run', {str(flow)!r}, '--duration', '0.1', '--http', 'off', '--watch', 'off'])\n"
        "assert code == 0"
    )
    assert "flowrt.runtime" in loaded
    assert not loaded & (HEAVY - {"flowrt.runtime", "psutil", "watchdog"})
