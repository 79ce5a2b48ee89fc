"""The examples of the pages about scenes and rules are flows that load."""

from __future__ import annotations

import importlib
import json
import pkgutil
import re
from pathlib import Path

import pytest
import yaml
from harness import TINY_MODEL

import flowrt.traffic.rules
import flowrt_nodes.violation
from flowrt.config import read
from flowrt.contract import Contract
from flowrt_nodes.signal._spat import parse

DOCS = Path(__file__).resolve().parents[2] / "docs"


def blocks(page: str, mark: str) -> list[str]:
    """The code blocks of a page that begin with ```mark."""
    return re.findall(rf"^```{mark}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)


def diagnostics(file: Path) -> list[str]:
    """What is wrong with a flow, apart from a model that this folder lacks."""
    return [str(p) for p in read(file)[1] if p.severity == "error" and "flowrt-traffic" not in p.message]


@pytest.mark.parametrize("text", blocks("scene.md", "yaml scene"))
def test_the_scene_page(text: str, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(text)
    (tmp_path / "yolox_nano.onnx").write_bytes(TINY_MODEL.read_bytes())
    assert diagnostics(tmp_path / "flow.yaml") == []


def test_the_rules_page(tmp_path: Path) -> None:
    scene, *_ = blocks("scene.md", "yaml scene")
    (tmp_path / "scene.yaml").write_text(yaml.safe_dump({"scene": yaml.safe_load(scene)["scene"]}))
    [text] = blocks("rules.md", "yaml flow")
    (tmp_path / "flow.yaml").write_text(text)
    assert diagnostics(tmp_path / "flow.yaml") == []


@pytest.mark.parametrize("payload", blocks("rules.md", "json"))
def test_the_payloads_on_the_rules_page(payload: str) -> None:
    found = parse(json.loads(payload), 1_777_888_800.0)
    assert set(found.states.values()) == {"stop-and-remain"}


def test_the_rules_page_names_every_rule() -> None:
    from flowrt.catalog import Catalog

    page = (DOCS / "rules.md").read_text()
    for name in Catalog().names():
        if name.startswith(("violation", "signal.")):
            assert f"`{name}`" in page


def test_the_topic_of_violations_names_every_rule_as_it_names_itself() -> None:
    from flowrt.catalog import Catalog

    types = [Catalog().get(name).cls for name in Catalog().names() if name.startswith("violation.")]
    said = Contract.load().topics["violations"].schema["properties"]["violation_type"]["description"]
    assert set(re.findall(r"\w+_\w+|speeding|stopped|jaywalking", said)) == {kind.violation_type for kind in types}


def test_the_table_of_margins_is_that_of_the_code() -> None:
    table = re.findall(r"`([a-z_]+\.[A-Z][A-Z_0-9]+)` (-?[\d.]+)", (DOCS / "rules.md").read_text())
    margins = {}
    rules = (flowrt_nodes.violation, flowrt.traffic.rules)
    for found in (each for rule in rules for each in pkgutil.walk_packages(rule.__path__, f"{rule.__name__}.")):
        for name, value in vars(importlib.import_module(found.name)).items():
            if name.isupper() and not name.startswith("_") and isinstance(value, int | float):
                margins[f"{found.name.rpartition('.')[2]}.{name}"] = value
    assert {name: float(value) for name, value in table} == margins
    assert len(table) == len(margins), "each stands there once"
