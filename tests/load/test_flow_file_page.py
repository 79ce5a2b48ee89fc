"""The examples of `docs/flow-file.md`: each flow loads, and the check prints what the page shows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import TINY_MODEL

from flowrt import cli
from flowrt.config import load, read
from flowrt.plan import Plan
from flowrt.testing.replay import rehearse, tapped

PAGE = (Path(__file__).parents[2] / "docs" / "flow-file.md").read_text("utf-8")
FLOWS = dict(re.findall(r"```yaml\n# (\S+)\n(.*?)```", PAGE, re.DOTALL))
CONSOLE = re.findall(r"```console\n\$ flowrt check (\S+)\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(autouse=True)
def flows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copyfile(TINY_MODEL, "yolox_nano.onnx")
    Path("clips").mkdir()
    clip = cv2.VideoWriter("clips/north.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (1280, 720))
    for _ in range(5):
        clip.write(np.full((720, 1280, 3), 90, np.uint8))
    clip.release()
    shutil.copyfile("clips/north.mp4", "clips/east.mp4")
    for name, text in FLOWS.items():
        Path(name).write_text(f"# {name}\n{text}", "utf-8")


def test_every_block_was_found() -> None:
    assert len(FLOWS) == PAGE.count("```yaml") == 8
    assert len(CONSOLE) == PAGE.count("```console") == 1


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "wrong.yaml"])
def test_flows_load(name: str) -> None:
    flow, diagnostics = read(name, environment={})
    assert not diagnostics
    assert flow is not None


@pytest.mark.parametrize("name", [name for name in FLOWS if name != "wrong.yaml"])
def test_flows_run(name: str) -> None:
    """Half a second of each, under virtual time; a clip stands in for the address of a camera."""
    overrides = {"north_camera.uri": "clips/north.mp4"} if "north_camera" in FLOWS[name] else {}
    flow = load(name, environment={}, overrides=overrides)
    seen = set()
    for node in flow.nodes:
        if flow.nodes[node].type.role != "sink":
            flow = tapped(flow, [node], lambda each, message: seen.add(each))
    rehearse(flow, start_s=1_777_000_000.0, until_s=1_777_000_000.5 if "camera" in FLOWS[name] else 1_777_000_061.0)
    sources = {each for each, spec in flow.nodes.items() if not spec.edges}
    assert sources <= seen


def test_the_block_is_what_the_page_writes_by_hand() -> None:
    block, by_hand = (load(name, environment={}) for name in ("two-cameras.yaml", "by-hand.yaml"))
    assert Plan.between(block, by_hand).empty
    assert {*block.edges} == {*by_hand.edges}


def test_the_edges_of_all_are_those_in_the_comment() -> None:
    [said] = re.findall(r"from: all}\s+# (.*)", PAGE)
    edges = load("to-the-sinks.yaml", environment={}).nodes["to_broker"].edges
    assert [f"{edge.source}.{edge.port}".rstrip(".") for edge in edges] == said.split(", ")


@pytest.mark.parametrize(("name", "shown"), CONSOLE)
def test_check_prints_what_is_shown(name: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", name]) == 1
    assert capsys.readouterr().out == shown


def test_the_page_names_every_key() -> None:
    from flowrt.services import KINDS
    from flowrt.traffic.scene_section import SceneBlock

    for name in [*SceneBlock.__struct_fields__, *(f for kind in KINDS.values() for f in kind.__struct_fields__)]:
        assert f"`{name}`" in PAGE, name
