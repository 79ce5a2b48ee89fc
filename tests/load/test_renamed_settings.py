"""A setting that was renamed still works under its former name, with a warning."""

from __future__ import annotations

from pathlib import Path

import pytest

from flowrt.catalog import Catalog
from flowrt.config import load, read
from flowrt.config.editor_schema import editor_schema
from flowrt.diagnostics import FlowError

FLOW = """\
flow: x
nodes:
  north: {{type: camera, uri: clip.avi}}
  objects: {{type: track, from: found}}
  found: {{type: detect, from: north, model: m.onnx}}
  speeds: {{type: speed, from: objects, {settings}}}
  print: {{type: debug, from: speeds}}
"""
NODE = '''
from typing import Annotated
from flowrt import Tick, Transform, setting


class Gate(Transform):
    """Passes on."""

    limit: Annotated[int, setting("A limit.", ge=1, renamed_from="bound")]

    def process(self, tick: Tick) -> Tick:
        return tick
'''


def gate(folder: Path, settings: str) -> Path:
    (folder / "nodes").mkdir()
    (folder / "nodes" / "gate.py").write_text(NODE)
    flow = folder / "flow.yaml"
    flow.write_text(
        "flow: x\nnodes:\n  tick: {type: timer, every_s: 1}\n"
        f"  gate: {{type: gate, from: tick, {settings}}}\n  print: {{type: debug, from: gate}}\n"
    )
    return flow


def test_a_setting_under_its_former_name_is_taken_with_a_warning(tmp_path):
    path = gate(tmp_path, "bound: 3")
    flow, diagnostics = read(path)
    [warning] = diagnostics
    assert (warning.severity, warning.line, warning.path) == ("warning", 4, "nodes.gate.bound")
    assert "`bound` is now called `limit`" in warning.message
    assert warning.hint == "write `limit: …`"
    assert load(path).nodes["gate"].settings.limit == 3
    assert flow is not None


def test_both_names_are_an_error_and_a_wrong_value_stands_at_its_place(tmp_path):
    with pytest.raises(FlowError, match="`bound` is the former name of `limit`, and both are given"):
        load(gate(tmp_path, "bound: 3, limit: 4"))
    (tmp_path / "other").mkdir()
    with pytest.raises(FlowError, match=r"nodes\.gate\.bound"):
        load(gate(tmp_path / "other", "bound: 0"))


@pytest.mark.parametrize("settings", ["agility: 2.0, pedestrian_agility: 0.4"])
def test_the_former_names_of_speed_are_known(tmp_path, settings):
    (tmp_path / "flow.yaml").write_text(FLOW.format(settings=settings))
    _, diagnostics = read(tmp_path / "flow.yaml")
    about = [each for each in diagnostics if each.path.startswith("nodes.speeds.") and "agility" in each.path]
    assert [(each.severity, each.hint) for each in about] == [
        ("warning", "write `process_noise: …`"),
        ("warning", "write `pedestrian_process_noise: …`"),
    ]


def test_editors_mark_a_former_name_as_deprecated(tmp_path):
    properties = editor_schema(Catalog())["$defs"]["node.speed"]["properties"]
    assert properties["agility"]["deprecated"] is True
    assert "deprecated" not in properties["process_noise"]
