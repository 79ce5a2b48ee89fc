"""The example of every node type, as `flowrt nodes TYPE` shows it, in a flow that passes the check."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import TINY_MODEL

from flowrt.catalog import Catalog
from flowrt.config import read

ROOT = Path(__file__).parents[2]
BASE = (ROOT / "tests" / "cases" / "valid-design.yaml").read_text("utf-8")


def base() -> dict[str, Any]:
    """A flow without nodes; its scene has the zones and lines that examples name."""
    document: dict[str, Any] = yaml.safe_load(BASE)
    scene = document["scene"]["north"]
    scene["zones"] = {"bay": {"zone": [[0, 0], [100, 0], [100, 100]], "kind": "no_stopping"}}
    names = [f"{way}_{side}" for way in ("entry", "exit") for side in ("north", "east", "south", "west")]
    scene["lines"] = {
        name: {"line": [[0, 10 + i], [90, 10 + i]], "kind": name.partition("_")[0]} for i, name in enumerate(names)
    }
    lenses = {"red": [60, 40, 4], "amber": [60, 52, 4], "green": [60, 64, 4]}
    scene["lamps"] = {"phase_2": lenses, "phase_4": lenses}
    return document


def upstream() -> dict[str, Any]:
    """Nodes that examples name, as they are named throughout the documentation."""
    return {
        "north_camera": {"type": "camera", "uri": "rtsp://camera.example/1"},
        "objects": {"type": "detect", "from": "north_camera", "model": "yolox_nano.onnx"},
        "tracks": {"type": "track", "from": "objects"},
        "speeds": {"type": "speed", "from": "tracks", "scene": "north"},
        "zones": {"type": "roi", "from": "speeds", "scene": "north"},
        "at_stop_line": {"type": "roi", "from": "speeds", "scene": "north"},
        "signals": {"type": "signal.fixed", "plan": [{"duration_s": 30, "green": ["phase_2", "phase_4", "ped_1"]}]},
        "red_light": {"type": "violation.red_light", "from": "zones", "scene": "north", "signal": "signals"},
        "speeding": {"type": "violation.speeding", "from": "zones", "scene": "north"},
        "flow_of_lanes": {"type": "traffic_flow", "from": "zones", "scene": "north"},
        "jaywalking": {"type": "violation.jaywalking", "from": "zones", "scene": "north"},
        "yielding": {"type": "violation.failure_to_yield", "from": "zones", "scene": "north"},
        "near_misses": {"type": "violation.near_miss", "from": "zones", "scene": "north"},
        "violations": {"type": "violation.red_light", "from": "zones", "scene": "north", "signal": "signals"},
        "health": {"type": "health_probe"},
        "every_minute": {"type": "timer", "every_s": 60},
    }


def named(node: Any) -> set[str]:
    """Every name that could be a node's, anywhere in an example."""
    if isinstance(node, dict):
        return {name for item in node.values() for name in named(item)}
    if isinstance(node, list):
        return {name for item in node for name in named(item)}
    return {str(node).partition(".")[0]}


@pytest.mark.parametrize("name", Catalog().names())
def test_example(name: str, tmp_path: Path) -> None:
    kind = Catalog().get(name)
    assert kind.cls.example, f"{name} has no example"
    example = yaml.safe_load(kind.cls.example)
    nodes = {"example": example} if "type" in example else dict(example)
    assert any(node["type"] == name for node in nodes.values())
    wanted = named(nodes)
    while missing := {name for name in wanted if name in upstream() and name not in nodes}:
        nodes |= {each: upstream()[each] for each in sorted(missing)}
        wanted = named(nodes)
    document = base() | {"nodes": nodes}
    path = tmp_path / "example.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
    shutil.copyfile(TINY_MODEL, tmp_path / "yolox_nano.onnx")
    _, diagnostics = read(path, environment={})
    assert not [str(diagnostic) for diagnostic in diagnostics if diagnostic.severity == "error"]
