"""The compatibility check at load: sound (what it lets pass keeps to the schema), and its refusals name the cause."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import inspect
from numpy.typing import NDArray

from flowrt.contract import Contract
from flowrt.message import Fault, Message, Record
from flowrt.traffic import (
    CameraStatus,
    Detections,
    Health,
    LaneInterval,
    PedestrianEvent,
    Performance,
    Tracks,
    Violation,
    ZoneEvent,
)
from tests.contract.messages import SITE

CONTRACT = Contract.load()
TYPES: list[type[Message]] = [
    Violation,
    PedestrianEvent,
    ZoneEvent,
    LaneInterval,
    CameraStatus,
    Health,
    Performance,
    Fault,
]


@pytest.mark.parametrize("kind", [*TYPES, Detections, Tracks, Record], ids=lambda kind: kind.__name__)
def test_every_message_of_a_topic_is_compatible(kind: type[Message]) -> None:
    assert CONTRACT.incompatibilities(kind, "topics") == []


@pytest.mark.parametrize("spec", CONTRACT.measurements.values(), ids=lambda spec: spec.name)
def test_every_measurement_is_compatible(spec: Any) -> None:
    import flowrt.traffic

    assert CONTRACT.incompatibilities(getattr(flowrt.traffic, spec.message), "measurements") == []


# --- sound: whatever the declared types allow, the schema allows -----------------------------------------------------

TEXT = st.text(max_size=6)


def values(kind: inspect.Type) -> st.SearchStrategy[Any]:
    """Any value that a declared type and its bounds allow."""
    if isinstance(kind, inspect.FloatType):
        low, high = kind.ge, kind.le
        return st.floats(low, high, allow_nan=False, allow_infinity=False)
    if isinstance(kind, inspect.IntType):
        return st.integers(-(2**53) if kind.ge is None else kind.ge, 2**53)
    if isinstance(kind, inspect.StrType):
        return TEXT
    if isinstance(kind, inspect.NoneType):
        return st.none()
    if isinstance(kind, inspect.LiteralType):
        return st.sampled_from(kind.values)
    if isinstance(kind, inspect.UnionType):
        return st.one_of([values(choice) for choice in kind.types])
    if isinstance(kind, inspect.ListType):
        return st.lists(values(kind.item_type), max_size=3)
    if isinstance(kind, inspect.TupleType):
        return st.tuples(*(values(item) for item in kind.item_types))
    if isinstance(kind, inspect.DictType):
        return st.dictionaries(TEXT, values(kind.value_type), max_size=3)
    if isinstance(kind, inspect.AnyType):
        return st.one_of(st.none(), TEXT, st.booleans(), st.floats(), st.lists(st.integers(0, 9), max_size=2))
    if isinstance(kind, inspect.StructType):
        return st.builds(kind.cls, **{field.name: values(field.type) for field in kind.fields})
    raise AssertionError(kind)


def messages(kind: type[Message]) -> st.SearchStrategy[Message]:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    fields = {field.name: values(field.type) for field in info.fields}
    fields |= {name: st.floats(0, 4e9) for name in ("time_s", "started_s") if name in fields}
    fields["camera_id"] = TEXT.filter(bool)
    if "id" in fields:
        fields["id"] = TEXT.filter(bool)
    required_words = {field.name for field in info.fields if field.required and isinstance(field.type, inspect.StrType)}
    for name in required_words - {"id"}:
        fields[name] = TEXT.filter(bool)  # a required word that is empty would be left out, and refused at run time
    return st.builds(kind, **fields)


@pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_compatible_holds_at_run_time(kind: type[Message], data: st.DataObject) -> None:
    message = data.draw(messages(kind).filter(_words_are_there))
    payload = json.loads(CONTRACT.encode_payload(message, SITE))
    assert [str(breach) for breach in CONTRACT.validate_payload(message, payload)] == []
    assert all(
        math.isfinite(value) for point in _points(message) for value in point.values() if isinstance(value, float)
    )


def _words_are_there(message: Message) -> bool:
    """Words within structs that are always there (labels) are not empty."""
    user = getattr(message, "object", None)
    return user is None or user.label != ""


def _points(message: Message) -> list[dict[str, Any]]:
    if CONTRACT.incompatibilities(type(message), "measurements"):
        return []
    return [point.fields for point in CONTRACT.points(message, SITE)]


# --- telling: what is refused, and why -------------------------------------------------------------------------------


class Plain(Message, frozen=True, kw_only=True, eq=False):
    """What the schema below was made for."""

    port: ClassVar[str] = "plain"

    count: Annotated[int, msgspec.Meta(ge=0)]
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    level: Literal["low", "high"]
    box: tuple[float, float]
    words: dict[str, str] = {}
    note: str = ""


PROPERTIES: dict[str, Any] = {
    "id": {"type": "string", "minLength": 1},
    "time": {"type": "string", "pattern": "Z$"},
    "site": {"type": "string"},
    "camera_id": {"type": "string"},
    "count": {"type": "integer", "minimum": 0},
    "share": {"type": "number", "minimum": 0, "maximum": 1},
    "level": {"enum": ["low", "high"]},
    "box": {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    "words": {"type": "object", "additionalProperties": {"type": "string"}},
    "note": {"$ref": "#/$defs/Note"},
}


def contract(
    folder: Path, change: dict[str, Any], required: Sequence[str] = (), influx: dict[str, Any] | None = None
) -> Contract:
    properties = {name: schema for name, schema in (PROPERTIES | change).items() if schema is not None}
    topic = {
        "x-mqtt": {"topic": "plain", "message": "Plain"},
        "type": "object",
        "additionalProperties": False,
        "required": ["id", "time", "site", "camera_id", "count", *required],
        "properties": properties,
        "$defs": {"Note": {"type": "string"}},
    }
    (folder / "plain.schema.json").write_text(json.dumps(topic))
    if influx:
        block = {"measurement": "plain", "message": "Plain", **influx}
        names = [*block["tags"], *block["fields"]]
        (folder / "points.schema.json").write_text(
            json.dumps({"x-influx": block, "properties": {name: {} for name in names}})
        )
    return Contract.load(extra=[folder])


@pytest.mark.parametrize(
    ("change", "required", "reason"),
    [
        ({}, [], None),
        ({"count": {"type": "number"}}, [], None),
        ({"count": True}, [], None),
        ({"count": {}}, [], None),
        ({"share": {"type": ["number", "null"], "minimum": -1, "maximum": 2}}, [], None),
        ({"level": {"type": "string"}}, [], None),
        ({"level": {"enum": ["low", "mid", "high"]}}, [], None),
        ({"level": {"anyOf": [{"type": "integer"}, {"enum": ["low", "high"]}]}}, [], None),
        ({}, ["share", "level", "box", "words"], None),
        ({"count": {"type": "string"}}, [], "count: the schema wants string, the message has integer"),
        ({"share": {"type": "integer"}}, [], "share: the schema wants integer, the message has number"),
        ({"count": {"type": "integer", "minimum": 1}}, [], "count: the schema wants minimum 1, the message has 0"),
        ({"count": {"type": "integer", "maximum": 9}}, [], "count: the schema wants maximum 9, the message has none"),
        ({"share": {"type": "number", "exclusiveMinimum": 0}}, [], "share: the schema wants exclusiveMinimum 0"),
        ({"level": {"enum": ["low"]}}, [], "level: the schema does not allow high"),
        ({"level": {"const": "low"}}, [], "level: the schema does not allow high"),
        ({"note": {"enum": ["a", "b"]}}, [], "note: the schema allows only a, b, the message any string"),
        ({"note": {"type": "string", "pattern": "^a"}}, [], "note: the schema wants pattern ^a"),
        ({"note": {"type": "string", "minLength": 2}}, [], "note: the schema wants minLength 2"),
        ({"note": None}, [], "note: the schema knows no such field"),
        ({"note": False}, [], "note: the schema allows nothing here"),
        ({"box": {"type": "array", "items": {"type": "integer"}}}, [], "box[]: the schema wants integer"),
        ({"box": {"type": "array", "minItems": 3}}, [], "box: the schema wants minItems 3, the message has 2"),
        ({"box": {"type": "array", "maxItems": 1}}, [], "box: the schema wants maxItems 1, the message has 2"),
        ({"words": {"type": "object", "additionalProperties": {"type": "integer"}}}, [], "words.*: the schema wants integer"),
        ({"words": {"type": "object", "additionalProperties": False}}, [], "words.*: the schema allows nothing here"),
        ({"level": {"anyOf": [{"type": "integer"}, {"enum": ["low"]}]}}, [], "level: string fits none"),
        ({}, ["note"], "note: the schema requires it, the message may come without"),
        ({}, ["speed"], "speed: the schema requires it, the message may come without"),
    ],
)  # fmt: skip
def test_topics_are_checked_field_by_field(
    tmp_path: Path, change: dict[str, Any], required: list[str], reason: str | None
) -> None:
    reasons = contract(tmp_path, change, required).incompatibilities(Plain, "topics")
    if reason is None:
        assert reasons == []
    else:
        assert any(said.startswith(reason) for said in reasons), reasons


@pytest.mark.parametrize(
    ("tags", "fields", "more", "reason"),
    [
        ({"level": "level"}, {"n": {"from": "count", "type": "int"}}, {}, None),
        ({"n": "count"}, {"x": {"from": "count", "type": "float"}}, {}, None),
        ({}, {"x": {"const": 1, "type": "int"}}, {}, None),
        ({"t": "lvl"}, {"x": {"const": 1, "type": "int"}}, {}, "plain.t: the message has no 'lvl'"),
        ({"t": "share"}, {"x": {"const": 1, "type": "int"}}, {}, "plain.t: a tag is a word, 'share' is number"),
        ({}, {"x": {"from": "share", "type": "int"}}, {}, "plain.x: a field of type int can't take 'share'"),
        ({}, {"x": {"from": "level.word", "type": "string"}}, {}, "plain.x: the message has no 'level.word'"),
        ({}, {"x": {"from": "count", "type": "string"}}, {}, "plain.x: a field of type string can't take 'count'"),
        ({}, {"x": {"from": "level", "type": "string", "levels": [[0, "a"]]}}, {}, "plain.x: a field of type string"),
        ({}, {"x": {"const": 1, "type": "int"}}, {"time": "began_s"}, "plain.time: the message has no 'began_s'"),
        ({}, {"x": {"const": 1, "type": "int"}}, {"distinct": "key"}, "plain.distinct: the message has no 'key'"),
    ],
)  # fmt: skip
def test_measurements_are_checked_path_by_path(
    tmp_path: Path, tags: dict[str, str], fields: dict[str, Any], more: dict[str, Any], reason: str | None
) -> None:
    reasons = contract(tmp_path, {}, influx={"tags": tags, "fields": fields, **more}).incompatibilities(
        Plain, "measurements"
    )
    if reason is None:
        assert reasons == []
    else:
        assert any(said.startswith(reason) for said in reasons), reasons


class WithArray(Violation, frozen=True, kw_only=True, eq=False):
    """A violation with something in it that JSON has no form for."""

    port: ClassVar[str] = "with_array"

    picture: NDArray[np.uint8]


class WithMore(Violation, frozen=True, kw_only=True, eq=False):
    """A violation with a field that the schema does not know."""

    port: ClassVar[str] = "with_more"

    plate: str


def test_a_field_that_json_can_not_hold_is_refused() -> None:
    (reason,) = CONTRACT.incompatibilities(WithArray, "topics")
    assert reason.startswith("WithArray has no payload")


def test_a_field_that_the_schema_does_not_know_is_refused() -> None:
    assert CONTRACT.incompatibilities(WithMore, "topics") == ["plate: the schema knows no such field"]


@pytest.mark.parametrize("kind", ["topics", "measurements"])
def test_what_is_not_in_the_contract_is_refused(kind: Literal["topics", "measurements"]) -> None:
    (reason,) = CONTRACT.incompatibilities(Plain, kind)
    assert "Plain" in reason
