"""A real camera is not judged by the simulation's signals, scene or detector; whatever says that it is simulated is."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import TINY_MODEL

from flowrt.config import read
from flowrt.diagnostics import Diagnostic
from flowrt.system.resources import share

FLOW = """\
flow: crossing
include: scene.yaml
scene:
  own:
    picture_px: [1280, 720]
    stop_line: {{line: [[420, 430], [880, 425]], signal: phase_2}}
    lanes:
      in: {{zone: [[430, 420], [640, 420], [560, 700], [260, 700]], heading: [-0.3, 1]}}
nodes:
  north: {{type: camera, uri: {uri}{simulated}}}
  signals: {signals}
  objects: {{type: detect, from: north, model: {model}}}
  tracks: {{type: track, from: objects}}
  zones: {{type: roi, from: tracks, scene: {scene}}}
  red_light: {{type: violation.red_light, from: zones, scene: {scene}, signal: signals}}
  show: {{type: debug, from: [red_light, zones.zone_events]}}
"""
SIMULATED = {"uri": '"sim://four-way?camera=north"', "signals": "{type: signal.sim}", "model": "flowrt-traffic-int8.xml", "scene": "north"}  # fmt: skip
REAL = {
    "uri": "rtsp://camera.example/1",
    "signals": "{type: signal.mqtt, topic: spat/crossing}",
    "model": "model.onnx",
    "scene": "own",
}


def problems(folder: Path, simulated: str = "", **parts: str) -> list[Diagnostic]:
    (folder / "flow.yaml").write_text(FLOW.format(**parts, simulated=simulated))
    (folder / "scene.yaml").write_text((share("flows") / "scenes" / "four-way.yaml").read_text())
    (folder / "model.onnx").write_bytes(TINY_MODEL.read_bytes())
    return [each for each in read(folder / "flow.yaml", environment={})[1] if each.severity == "error"]


def test_a_simulation_is_a_simulation(tmp_path: Path) -> None:
    assert problems(tmp_path, **SIMULATED) == []


def test_a_real_camera_with_real_parts(tmp_path: Path) -> None:
    assert problems(tmp_path, **REAL) == []


@pytest.mark.parametrize("uri", ["rtsp://camera.example/1", "0", "clip.mp4"])
@pytest.mark.parametrize(
    ("part", "path", "message", "hint"),
    [
        ("signals", "nodes.signals", "signals are the simulation's, but 'north' is a real camera", "signal.mqtt"),
        ("model", "nodes.objects.model", "trained on rendered pictures only, but 'north' is a real", "yolox-nano"),
        ("scene", "nodes.north.uri", "the scene 'north' is the simulator's", "draw a scene"),
    ],
)
def test_each_part_of_the_simulation_is_refused(
    tmp_path: Path, uri: str, part: str, path: str, message: str, hint: str
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a clip that nobody opens")
    [found] = problems(tmp_path, **{**REAL, "uri": uri, part: SIMULATED[part]})
    assert found.path == path
    assert message in found.message
    assert hint in found.hint
    assert "`simulated: true`" in found.hint
    assert found.line > 0


def test_all_three_are_told_at_once(tmp_path: Path) -> None:
    found = problems(tmp_path, **{**SIMULATED, "uri": REAL["uri"]})
    assert [each.path for each in found] == ["nodes.north.uri", "nodes.signals", "nodes.objects.model"]


def test_a_clip_of_the_simulator_says_so(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"a clip that nobody opens")
    assert problems(tmp_path, ", simulated: true", **{**SIMULATED, "uri": "clip.mp4"}) == []


def test_the_shipped_flows_are_simulations_only() -> None:
    for name in ("intersection", "four-cameras"):
        flow, _ = read(share("flows") / f"{name}.yaml", environment={})
        assert flow is not None
        _, found = read(
            share("flows") / f"{name}.yaml", environment={}, overrides={"north.uri": "rtsp://camera.example/1"}
        )
        assert sum("is a real camera" in each.message for each in found if each.severity == "error") == 3


def test_another_camera_in_the_flow_keeps_its_simulation(tmp_path: Path) -> None:
    """Detector and scene are asked about the camera whose pictures they get, not about every camera of the flow."""
    problems(tmp_path, **SIMULATED)
    more = (
        "  real: {type: camera, uri: 'rtsp://camera.example/1'}\n"
        "  seen: {type: detect, from: real, model: model.onnx}\n"
        "  followed: {type: track, from: seen}\n"
        "  counted: {type: roi, from: followed, scene: own}\n"
        "  told: {type: debug, from: counted.zone_events}\n"
    )
    path = tmp_path / "flow.yaml"
    path.write_text(path.read_text() + more)
    assert [str(each) for each in read(path, environment={})[1] if each.severity == "error"] == []
