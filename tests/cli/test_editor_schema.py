"""The JSON Schema of flow files: fresh, valid, agreeing with the loader, and right in a real language server."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from flowrt.catalog import Catalog
from flowrt.config.editor_schema import editor_schema
from flowrt.config.report import plain
from flowrt.config.values import unit_of
from flowrt.config.yaml import parse
from tests.cli.lsp import LanguageServer, server_script

ROOT = Path(__file__).parents[2]
COMMITTED = ROOT / "schemas" / "flow.schema.json"
HEAD = f"# yaml-language-server: $schema={COMMITTED.as_uri()}\n"
GOOD = """\
flow: main-and-5th
scene:
  north:
    picture_px: [1280, 720]
    stop_line: {line: [[420, 430], [880, 425]], signal: phase_2}
    lanes:
      n_in_1: {zone: [[430, 420], [640, 420], [560, 700], [260, 700]], heading: [0, 1], limit_kmh: 50}
    crosswalk: {zone: [[380, 440], [930, 436], [960, 480], [350, 486]]}
services:
  mqtt: {url: "${env:MQTT_URL}", password: "${file:password}"}
nodes:
  cam: {type: camera, uri: "rtsp://camera.example/1", fps: "${env:FPS:-15}"}
  objects: {type: detect, from: cam, model: a.onnx, keep: [car, bus]}
  tracks: {type: track, from: objects, renamed_from: trakcs}
  zones: {type: roi, from: [tracks], zones: [n_in_1, crosswalk]}
  print: {type: debug, from: [zones.zone_events, cam]}
"""

REPEATED = """\
flow: main-and-5th
site: main-and-5th
x-often: &often {per_s: 5}
nodes:
  signals: {type: signal.sim, uri: "sim://four-way"}
  approach:
    for_each: {camera: {north: {at: a.mp4}, east: {at: b.mp4}}}
    nodes:
      ${camera}: {type: camera, uri: "${camera.at}", position: "${camera}"}
      objects: {type: detect, from: "${camera}", model: a.onnx}
      tracks: {type: track, from: objects, renamed_from: "${camera}_trakcs"}
      red_light: {type: violation.red_light, from: tracks}
  print: {type: debug, from: [tracks, all, {types: violations}], <<: *often}
  count: {type: aggregate, from: {types: [violations]}}
"""


def content(text: str) -> object:
    """What YAML 1.2 makes of a text, as the loader and the language server read it."""
    root = parse(text, "f", [])
    assert root is not None
    return plain(root)


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    return editor_schema(Catalog())


@pytest.fixture(scope="module")
def server() -> Iterator[LanguageServer]:
    if not shutil.which("node") or not server_script().is_file():
        reason = f"no yaml-language-server at {server_script()}: run `npm install` in tests/nodejs"
        if os.environ.get("CI") or os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with LanguageServer() as running:
        yield running


def test_the_committed_schema_is_fresh(schema: dict[str, Any]) -> None:
    committed = json.loads(COMMITTED.read_text("utf-8"))
    assert committed == schema, "run `flowrt schema -o schemas/flow.schema.json`"


def test_it_is_a_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_setting_is_described(schema: dict[str, Any]) -> None:
    for name, node in schema["$defs"].items():
        for setting, said in node.get("properties", {}).items():
            if name.startswith("node."):
                assert said.get("description"), f"{name}.{setting} has no description"
                if unit_of(setting):
                    assert f"In {unit_of(setting)}." in said["description"]


def test_good_flows_are_good_for_both(schema: dict[str, Any]) -> None:
    validator = jsonschema.Draft202012Validator(schema)
    assert not list(validator.iter_errors(content(GOOD)))
    assert not list(validator.iter_errors(content(REPEATED)))
    paths = [path for path in (ROOT / "flows").glob("*.yaml") if not path.name.endswith(".test.yaml")]
    for path in [*paths, *(ROOT / "tests" / "real").glob("*.yaml")]:
        found = [
            f"{path.name}: {list(error.path)}: {error.message}"
            for error in validator.iter_errors(content(path.read_text("utf-8")))
        ]
        assert not found


@pytest.mark.parametrize(
    "case",
    ["unknown-setting", "missing-setting", "out-of-range", "wrong-word", "quoted-number", "list-wanted", "source-with-from",
     "unknown-type", "from-missing", "from-empty", "bad-node-names", "unknown-top-key", "scene-unknown-key",
     "polygon-of-two-points", "zone-kind", "service-settings", "restart-settings", "no-nodes", "no-flow-name"],
)  # fmt: skip
def test_what_a_schema_can_see_it_sees(schema: dict[str, Any], case: str) -> None:
    text = (ROOT / "tests" / "cases" / f"invalid-{case}.yaml").read_text("utf-8")
    assert list(jsonschema.Draft202012Validator(schema).iter_errors(content(text)))


def test_units() -> None:
    assert [unit_of(name) for name in ("limit_kmh", "grace_s", "age_ms", "width_px", "length_m", "keep")] == [
        "km/h", "seconds", "milliseconds", "pixels", "metres", "",
    ]  # fmt: skip


def test_the_server_finds_nothing_in_a_good_flow(server: LanguageServer) -> None:
    assert server.open("file:///good.yaml", HEAD + GOOD) == []
    assert server.open("file:///repeated.yaml", HEAD + REPEATED) == []


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("{type: track, from: objects,", "{type: track, form: objects,", "tracks"),
        ("{camera: {north: {at: a.mp4}, east: {at: b.mp4}}}", "[north]", "for_each"),
        ("for_each: {camera: {north: {at: a.mp4}, east: {at: b.mp4}}}", "for_each: {camera: [North]}", "for_each"),
        ("{types: [violations]}", "{typs: [violations]}", "from"),
    ],
)
def test_a_repeated_block_is_looked_at_too(schema: dict[str, Any], old: str, new: str, where: str) -> None:
    assert old in REPEATED
    found = [*jsonschema.Draft202012Validator(schema).iter_errors(content(REPEATED.replace(old, new)))]
    places = [str(each) for error in found for each in error.absolute_path]
    assert where in places or any(where in str(error.context) for error in found)


def test_the_server_completes_within_a_repeated_block(server: LanguageServer) -> None:
    uri = "file:///typing-block.yaml"
    head = HEAD + "flow: a\nnodes:\n  each:\n    for_each: {camera: [north]}\n    nodes:\n      cam:\n"
    server.open(uri, head + "        type: camera\n        uri: a.mp4\n        \n")
    settings = server.completion(uri, 9, 8)
    assert {"fps", "pace", "loop", "restart"} <= set(settings)
    assert "model" not in settings


@pytest.mark.parametrize(
    ("name", "old", "new", "place", "said"),
    [
        ("type", "type: camera", "type: camrea", (12, 14), '"camera"'),
        ("setting", "keep: [car, bus]", "kep: [car, bus]", (13, 52), "Property kep is not allowed"),
        ("value", 'fps: "${env:FPS:-15}"', "fps: fast", (12, 59), "Incorrect type"),
    ],
)
def test_the_server_marks_what_is_wrong(
    server: LanguageServer, name: str, old: str, new: str, place: tuple[int, int], said: str
) -> None:
    assert old in GOOD
    found = server.open(f"file:///bad-{name}.yaml", HEAD + GOOD.replace(old, new))
    assert found
    for each in found:
        start = each["range"]["start"]
        assert (start["line"], start["character"]) == place
    assert said in "".join(each["message"] for each in found)


def test_the_server_completes_types_settings_and_values(server: LanguageServer) -> None:
    uri = "file:///typing.yaml"
    server.open(uri, HEAD + "flow: a\nnodes:\n  cam:\n    type: \n")
    types = server.completion(uri, 4, 10)
    assert {"camera", "detect", "track", "mqtt_out", "violation.red_light"} <= set(types)
    uri = "file:///typing-setting.yaml"
    server.open(uri, HEAD + "flow: a\nnodes:\n  cam:\n    type: camera\n    uri: a.mp4\n    \n")
    settings = server.completion(uri, 6, 4)
    assert {"fps", "pace", "loop", "restart"} <= set(settings)
    assert not {"model", "zones", "from"} & set(settings)
    uri = "file:///typing-value.yaml"
    server.open(uri, HEAD + "flow: a\nnodes:\n  cam:\n    type: camera\n    uri: a.mp4\n    pace: \n")
    assert set(server.completion(uri, 6, 10)) == {"realtime", "asap"}


def test_the_server_explains(server: LanguageServer) -> None:
    uri = "file:///hover.yaml"
    server.open(uri, HEAD + "flow: a\nnodes:\n  cam:\n    type: camera\n    uri: a.mp4\n    stall_s: 3\n")
    assert "In seconds" in server.hover(uri, 6, 6)
