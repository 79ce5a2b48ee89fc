"""The schemas themselves: complete, well formed, and without the names that may not change having changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flowrt.contract import Contract, MeasurementSpec
from flowrt.diagnostics import FlowError

CONTRACT = Contract.load()
SPECS = [*CONTRACT.topics.values(), *CONTRACT.measurements.values()]

# What existing subscribers and dashboards rely on: topic, QoS, retained, fields.
TOPICS = [
    ("detection", 1, False, "frame_number objects processing_time_ms"),
    ("violations", 2, False, "violation_type severity location evidence phase"),
    ("performance", 0, False, "fps processing_time_ms cpu_usage gpu_usage memory_usage frames_dropped queue_depths"),
    (
        "traffic/flow",
        1,
        True,
        "lane_id direction vehicle_count average_speed lane_occupancy congestion_level class_counts",
    ),
    ("safety/pedestrian", 2, False, "event_type pedestrian_id risk_level location ttc_s pet_s"),
    ("roi/events", 1, False, "roi_id roi_type event_type object dwell_time"),
    ("cameras/status", 1, True, "status position fps resolution"),
    ("system/health", 1, True, "status active_cameras services uptime_seconds"),
    ("availability", 1, True, ""),
]
MEASUREMENTS = [
    (
        "performance",
        "site camera_id service",
        "fps processing_time_ms gpu_usage cpu_usage memory_usage camera_count active_objects frames_dropped",
    ),
    (
        "detection_events",
        "site camera_id camera_position detection_model",
        "object_count vehicle_count pedestrian_count confidence_avg processing_time",
    ),
    (
        "violation_events",
        "site camera_id roi_id violation_category",
        "violation_type severity_level object_id confidence speed count",
    ),
    (
        "traffic_flow",
        "site camera_position lane_id direction",
        "vehicle_count average_speed lane_occupancy congestion_level",
    ),
    ("roi_events", "site camera_id roi_id roi_type", "event_type dwell_time object_count activity_level"),
    ("system_health", "site host service_name", "cpu_usage memory_usage disk_usage service_status uptime_seconds"),
]
ENUMS = [
    ("violations", "severity", ["low", "medium", "high", "critical"]),
    ("violations", "phase", ["new", "update", "end"]),
    ("traffic/flow", "congestion_level", ["low", "medium", "high"]),
    ("safety/pedestrian", "event_type", ["crosswalk_entry", "unsafe_crossing", "near_miss"]),
    ("cameras/status", "status", ["online", "offline", "error"]),
    ("system/health", "status", ["healthy", "degraded", "critical"]),
    ("availability", "", ["online", "offline"]),
]


@pytest.mark.parametrize(("name", "qos", "retain", "fields"), TOPICS)
def test_topics_keep_their_names(name: str, qos: int, retain: bool, fields: str) -> None:
    spec = CONTRACT.topics[name]
    assert (spec.qos, spec.retain) == (qos, retain)
    if name != "availability":
        assert set(spec.schema["properties"]) >= {"id", "time", "site", "camera_id", *fields.split()}


@pytest.mark.parametrize(("name", "tags", "fields"), MEASUREMENTS)
def test_measurements_keep_their_names(name: str, tags: str, fields: str) -> None:
    spec = CONTRACT.measurements[name]
    assert set(spec.tags) == set(tags.split())  # exactly: a tag can't be added later
    assert set(spec.fields) >= set(fields.split())


@pytest.mark.parametrize(("topic", "field", "values"), ENUMS)
def test_closed_sets_keep_their_words(topic: str, field: str, values: list[str]) -> None:
    schema = CONTRACT.topics[topic].schema
    assert (schema["properties"][field] if field else schema)["enum"] == values


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.file)
def test_schemas_are_sound(spec: Any) -> None:
    Draft202012Validator.check_schema(spec.schema)
    assert spec.schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert spec.schema["title"]
    assert spec.schema["description"]
    assert spec.schema["examples"]
    validator = Draft202012Validator(spec.schema)
    for example in spec.schema["examples"]:
        assert [error.message for error in validator.iter_errors(example)] == []


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.file)
def test_every_field_is_described(spec: Any) -> None:
    objects = [spec.schema, *spec.schema.get("$defs", {}).values()]
    nameless = [
        f"{name}"
        for part in objects
        for name, field in part.get("properties", {}).items()
        if not field.get("description", "").strip()
    ]
    assert nameless == []
    assert all(part.get("additionalProperties") is False for part in objects if "properties" in part)


@pytest.mark.parametrize("spec", CONTRACT.measurements.values(), ids=lambda spec: spec.name)
def test_field_types_agree_with_the_schema(spec: MeasurementSpec) -> None:
    json_type = {"float": "number", "int": "integer", "string": "string", "bool": "boolean"}
    properties = spec.schema["properties"]
    assert set(properties) == {"time", *spec.tags, *spec.fields}
    assert {name: properties[name]["type"] for name in spec.fields} == {
        name: json_type[field.type] for name, field in spec.fields.items()
    }
    assert set(spec.schema["required"]) == {"time", *spec.tags}


def test_ids_are_unique() -> None:
    ids = [spec.schema["$id"] for spec in SPECS]
    assert len(set(ids)) == len(ids)


GOOD = {
    "x-influx": {"measurement": "m", "message": "M", "tags": {"t": "t"}, "fields": {"f": {"from": "f", "type": "int"}}},
    "properties": {"t": {}, "f": {}},
}


def bad(block: str, **change: Any) -> dict[str, Any]:
    base = GOOD if block == "x-influx" else {"x-mqtt": {"topic": "t"}}
    return {**base, block: {**base[block], **change}}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "no JSON"),
        (b"\xff\xfe", "can't be read"),
        ([], "a schema is a JSON object"),
        (bad("x-mqtt", topik="x"), "unknown key topik"),
        (bad("x-mqtt", qos=3), "Invalid enum value 3"),
        (bad("x-mqtt", priority="soon"), "Invalid enum value 'soon'"),
        ({"x-mqtt": {}}, "missing required field `topic`"),
        ({"x-mqtt": "t"}, "Expected `object`, got `str`"),
        (bad("x-influx", tags={"f": "f"}), "f is both a tag and a field"),
        (bad("x-influx", fields={}), "at least one field"),
        (bad("x-influx", fields={"f": {"type": "int"}}), "either `from` or `const`"),
        (bad("x-influx", fields={"f": {"type": "int", "from": "f", "const": 1}}), "either `from` or `const`"),
        (bad("x-influx", fields={"f": {"type": "number", "from": "f"}}), "Invalid enum value 'number'"),
        (bad("x-influx", fields={"g": {"type": "int", "from": "f"}}), "no description of g"),
        (
            bad("x-influx", fields={"f": {"type": "string", "from": "f", "levels": [[3, "b"], [0, "a"]]}}),
            "levels must ascend",
        ),
    ],
)
def test_bad_schemas_are_named(tmp_path: Path, content: Any, expected: str) -> None:
    file = tmp_path / "bad.schema.json"
    file.write_bytes(
        content
        if isinstance(content, bytes)
        else (content if isinstance(content, str) else json.dumps(content)).encode()
    )
    with pytest.raises(FlowError) as caught:
        Contract.load(extra=[tmp_path])
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.file == str(file)
    assert expected in diagnostic.message


def test_all_bad_schemas_are_named_at_once(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / f"{name}.schema.json").write_text(json.dumps(GOOD))
    (tmp_path / "d.schema.json").write_text("{\n  ,")
    with pytest.raises(FlowError) as caught:
        Contract.load(extra=[tmp_path])
    assert [Path(diagnostic.file).name[0] for diagnostic in caught.value.diagnostics] == ["b", "c", "d"]
    assert "a.schema.json already" in caught.value.diagnostics[0].message
    assert (caught.value.diagnostics[2].line, caught.value.diagnostics[2].column) == (2, 3)
