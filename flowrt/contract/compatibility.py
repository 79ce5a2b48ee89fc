"""Schema compatibility, checked at load: every payload that a message type can have is allowed by its schema.

The JSON Schema that msgspec derives from the message type is turned into that of its payload, and that has to lie within the
topic's: each property known there, each required one always there, types, closed sets and bounds no wider. The check
trusts the declared types (mypy holds the code to them); what they can't express is left to validation at run time.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import msgspec

from flowrt.contract.spec import FieldSpec, MeasurementSpec, TopicSpec
from flowrt.message import Event, Message

Schema = dict[str, Any]

# Made by the contract itself for every message; camera_id is left out where no camera is involved.
_ENVELOPE: Schema = {
    "id": {"type": "string"},
    "time": {"type": "string"},
    "site": {"type": "string"},
    "camera_id": {"type": "string"},
}
_BOUNDS = (("minimum", max), ("exclusiveMinimum", max), ("maximum", min), ("exclusiveMaximum", min))
_NUMBER_FOR = {"float": {"number", "integer"}, "int": {"integer"}, "string": {"string"}, "bool": {"boolean"}}


class CantDerive(Exception):
    """The payload of a message type can't be described: a field holds something JSON has no form for."""


def topic_incompatibilities(message: type[Message], spec: TopicSpec) -> list[str]:
    """Why payloads of this type might break the topic's schema; empty where they can't."""
    try:
        payload = payload_schema(message)
    except CantDerive as error:
        return [str(error)]
    return list(_outside(payload, spec.schema, spec.schema, ""))


def measurement_incompatibilities(message: type[Message], spec: MeasurementSpec) -> list[str]:
    """Which tags and fields of the measurement can't be filled from this type; empty where all can."""
    try:
        payload = payload_schema(message)
    except CantDerive as error:
        return [str(error)]
    known = {**payload["properties"], "time_s": {"type": "number"}}
    known |= {name: {"type": "string"} for name in message.text_facts}
    of_entries: Schema = {}
    if spec.each is not None:
        known[spec.each.name] = {"type": "string"}
        entry = (_follow(known, spec.each.path) or {}).get("additionalProperties")
        if isinstance(entry, dict):
            of_entries = entry.get("properties") or {"value": entry}
    return list(_unfilled(spec, known, of_entries))


def _unfilled(spec: MeasurementSpec, known: Schema, of_entries: Schema) -> Iterator[str]:
    times = {"time": spec.time, "distinct": spec.distinct, "number": spec.number}
    for name, path in {**times, **spec.tags}.items():
        if not path and name in times:
            continue
        found = _follow(known, path)
        if found is None:
            yield f"{name}: the message has no '{path}'"
        elif name in spec.tags and not _types(found) <= {"string", "integer"}:
            yield f"{name}: a tag is a word, '{path}' is {_type_names(found)}"
    for name, field in spec.fields.items():
        if not field.path:
            continue
        sources = [found for properties in (known, of_entries) if (found := _follow(properties, field.path))]
        if not sources:
            yield f"{name}: the message has no '{field.path}'"
        for found in sources:
            if not _types(found) <= _wanted(field):
                yield f"{name}: a field of type {field.type} can't take '{field.path}', which is {_type_names(found)}"


def _wanted(field: FieldSpec) -> set[str]:
    return {"number", "integer"} if field.levels else _NUMBER_FOR[field.type]


def _follow(properties: Schema, path: str) -> Schema | None:
    first, _, rest = path.partition(".")
    found = properties.get(first)
    if found is None or not rest:
        return found
    if found.get("type") == "object" and not found.get("properties") and "additionalProperties" not in found:
        return {"description": "anything"}  # a free-form object: what is in it shows only at run time
    return _follow(found.get("properties", {}), rest)


@functools.lru_cache(maxsize=200)  # a topic and several measurements ask for the same
def payload_schema(message: type[Message]) -> Schema:
    """JSON Schema of the payload of a message type, without references; not to be changed. Raises CantDerive."""
    kind: type[msgspec.Struct] = message.payload_type or message
    try:
        derived = msgspec.json.schema(kind)
    except TypeError as error:
        reason = str(error).splitlines()[0]
        raise CantDerive(
            f"{message.__name__} has no payload: {reason}. A topic carries only what JSON knows"
        ) from error
    body = _sent(derived, derived["$defs"])
    properties = {name: schema for name, schema in body["properties"].items() if name != "time_s"}
    filled = message.filled if issubclass(message, Event) else ()
    required = [name for name in (*body["required"], *filled) if name != "time_s"]
    return {
        "type": "object",
        "properties": _ENVELOPE | properties | {"camera_id": _ENVELOPE["camera_id"]},
        "required": ["id", "time", "site", *required],
    }


def _sent(schema: Schema, defs: Schema) -> Schema:
    """What is sent of a value that msgspec describes: references resolved, None and empty strings left out of structs."""
    if "$ref" in schema:
        return _sent(defs[schema["$ref"].rpartition("/")[2]], defs)
    if "anyOf" in schema:
        kinds = [_sent(kind, defs) for kind in schema["anyOf"] if kind.get("type") != "null"]
        return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
    out = {key: value for key, value in schema.items() if key not in ("title", "description", "default", "examples")}
    if "" in out.get("enum", ()):
        out["enum"] = [value for value in out["enum"] if value != ""]
    if "enum" in out and "type" not in out and all(isinstance(value, str) for value in out["enum"]):
        out["type"] = "string"
    for key in ("items", "additionalProperties"):
        if isinstance(out.get(key), dict):
            out[key] = _sent(out[key], defs)
    if "prefixItems" in out:
        out["prefixItems"] = [_sent(item, defs) for item in out["prefixItems"]]
    if "properties" in out:
        fields = out["properties"]
        out["properties"] = {name: _sent(field, defs) for name, field in fields.items()}
        out["required"] = [name for name, field in fields.items() if not _may_be_left_out(field)]
    return out


def _may_be_left_out(field: Schema) -> bool:
    may_be_none = any(kind.get("type") == "null" for kind in field.get("anyOf", ()))
    return may_be_none or field.get("default", 0) == ""


def _outside(inner: Schema, outer: Schema | bool, root: Schema, path: str) -> Iterator[str]:
    """Where `inner` allows what `outer` forbids. Both are JSON Schemas; `outer` may refer to `root`'s $defs."""
    where = path or "payload"
    if outer is True or outer == {}:
        return
    if outer is False:
        yield f"{where}: the schema allows nothing here"
        return
    if "$ref" in outer:
        outer = {**resolve(outer["$ref"], root), **{key: value for key, value in outer.items() if key != "$ref"}}
    if "anyOf" in inner:
        for kind in inner["anyOf"]:
            yield from _outside(kind, outer, root, path)
        return
    choices = outer.get("anyOf") or outer.get("oneOf")
    if choices and all(any(True for _ in _outside(inner, choice, root, path)) for choice in choices):
        yield f"{where}: {_type_names(inner)} fits none of the schema's alternatives"
    yield from _outside_values(inner, outer, where)
    if inner.get("type") == "object":
        yield from _outside_object(inner, outer, root, path)
    if inner.get("type") == "array":
        yield from _outside_array(inner, outer, root, path)


def _outside_values(inner: Schema, outer: Schema, where: str) -> Iterator[str]:
    allowed = _types({"type": outer.get("type", [])})
    if allowed and not _types(inner) <= allowed | ({"integer"} if "number" in allowed else set()):
        yield f"{where}: the schema wants {' or '.join(sorted(allowed))}, the message has {_type_names(inner)}"
        return
    closed = outer.get("enum", [outer["const"]] if "const" in outer else None)
    if closed is not None:
        values = inner.get("enum")
        if values is None:
            yield f"{where}: the schema allows only {_listed(closed)}, the message any {_type_names(inner)}"
        elif set(values) - set(closed):
            yield f"{where}: the schema does not allow {_listed(sorted(set(values) - set(closed)))}"
    for bound, stricter in _BOUNDS:
        if bound in outer:
            given = inner.get(bound)
            if given is None or stricter(given, outer[bound]) != given:
                yield f"{where}: the schema wants {bound} {outer[bound]}, the message has {given if given is not None else 'none'}"
    for key in ("pattern", "minLength"):
        if key in outer and inner.get(key) != outer[key] and where not in _ENVELOPE:
            yield f"{where}: the schema wants {key} {outer[key]}, which the message does not promise"


def _outside_object(inner: Schema, outer: Schema, root: Schema, path: str) -> Iterator[str]:
    properties, has = outer.get("properties", {}), inner.get("properties", {})
    others: Schema | bool = outer.get("additionalProperties", True)
    for name in outer.get("required", ()):
        if name not in inner.get("required", ()) and (path or name not in _ENVELOPE):
            yield f"{_join(path, name)}: the schema requires it, the message may come without"
    for name, schema in has.items():
        if name in properties:
            yield from _outside(schema, properties[name], root, _join(path, name))
        elif others is False:
            yield f"{_join(path, name)}: the schema knows no such field"
        else:
            yield from _outside(schema, others, root, _join(path, name))
    values = inner.get("additionalProperties")
    if isinstance(values, dict):
        yield from _outside(values, others, root, _join(path, "*"))


def _outside_array(inner: Schema, outer: Schema, root: Schema, path: str) -> Iterator[str]:
    for bound, stricter in (("minItems", max), ("maxItems", min)):
        if bound in outer and (bound not in inner or stricter(inner[bound], outer[bound]) != inner[bound]):
            yield f"{path}: the schema wants {bound} {outer[bound]}, the message has {inner.get(bound, 'none')}"
    wanted = outer.get("items", True)
    for item in (*inner.get("prefixItems", ()), *([inner["items"]] if isinstance(inner.get("items"), dict) else ())):
        yield from _outside(item, wanted, root, f"{path}[]")


def resolve(reference: str, root: Schema) -> Schema:
    """The part of a schema that a `$ref` within it names."""
    found: Any = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found  # type: ignore[no-any-return]


def _types(schema: Schema) -> set[str]:
    if "anyOf" in schema:
        return set().union(*(_types(kind) for kind in schema["anyOf"]))
    kinds = schema.get("type", [])
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _type_names(schema: Schema) -> str:
    return " or ".join(sorted(_types(schema))) or "anything"


def _listed(values: list[Any]) -> str:
    return ", ".join(map(str, values))


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
