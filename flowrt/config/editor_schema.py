"""The JSON Schema of flow files, for editors: completion, descriptions and red lines while typing.

It is made from the node catalogue and holds what a schema can express: `oneOf` over the node types, distinguished by `type`, each
setting with its description, unit, bounds and default. What concerns the file as a whole (names, wiring, geometry) is
checked by the loader. A string with `${…}` is allowed wherever a value is, since it is replaced before the types are looked at.
"""

from __future__ import annotations

import inspect
from typing import Any

import msgspec

from flowrt.catalog import Catalog, NodeType, NodeTypeError, setting_extras
from flowrt.config.nodes import FORMERLY
from flowrt.config.sections import sections
from flowrt.config.values import unit_of
from flowrt.flow import Restart
from flowrt.node import Source
from flowrt.services import KINDS

Schema = dict[str, Any]

_FILLED: Schema = {
    "type": "string",
    "pattern": r"\$\{",
    "description": "filled from outside: ${env:NAME}; in a block with `for_each`: ${camera}",
}
_NAMES = {
    "service": "An entry of `services`.",
    "file": "A file, relative to the flow file.",
    "node": "The name of a node.",
    "side_input": "The node whose messages arrive here as a second input.",
}
"""Descriptions of settings that have no text of their own."""
_NODE_NAME = "^[a-z][a-z0-9_]*$"
_SOURCE_NAME = r"^([a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?|.*\$\{.*)$"
_BLOCK_NAME = r"^([a-z][a-z0-9_]*|[a-z0-9_]*\$\{[a-z][a-z0-9_]*\}[a-z0-9_]*)$"


def _names() -> dict[str, str]:
    """Kind of name to its description."""
    names = dict(_NAMES)
    for key, section in sections().items():
        names[key] = f"The {key} of the camera; may be left out where nodes upstream name it, or the flow has only one."
        names |= section.parts
        names |= {kind: f"A {about}." for kind, (_, about) in section.published.items()}
    return names


def editor_schema(catalog: Catalog) -> Schema:
    """The schema of flow files with the types of a catalogue. Types that can't be imported are left out."""
    definitions: dict[str, Schema] = {}
    nodes = []
    names = []  # listed beside the branches as well, so that an editor offers all of them
    for name in catalog.names():
        try:
            kind = catalog.get(name)
        except NodeTypeError:
            continue
        definitions[f"node.{name}"] = _node(kind, definitions)
        names.append(name)
        nodes.append({"$ref": f"#/$defs/node.{name}"})
    blocks = {
        key: {
            "type": "object",
            "description": section.description,
            "additionalProperties": _struct(section.struct, key, definitions),
        }
        for key, section in sections().items()
    }
    definitions |= {
        "node": {
            "type": "object",
            "properties": {"type": {"enum": names, "description": "What the node does."}},
            "required": ["type"],
            "oneOf": nodes,
        },
        "for_each": _block(),
        "sources": _sources(),
    }
    services = {name: _struct(block, f"service.{name}", definitions) for name, block in KINDS.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "flowrt flow",
        "description": "A flow of an intersection: cameras, detection, tracking, rules, and where the results go.",
        "type": "object",
        "required": ["flow", "nodes"],
        "properties": {
            "flow": {
                "type": "string",
                "description": "The name of the flow; its journal and topics are named after it.",
            },
            "site": {"type": "string", "description": "Which intersection it is; by default the name of the flow."},
            "include": {
                "description": f"Files with {', '.join(sections())} and services, relative to this one.",
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
            },
            **blocks,
            "services": {
                "type": "object",
                "description": "Where the broker, the database and the dashboards are.",
                "properties": services,
                "additionalProperties": {"type": "object", "required": ["kind"]},
            },
            "nodes": {
                "type": "object",
                "description": "The nodes by name: small letters, digits and _.",
                "minProperties": 1,
                "propertyNames": {"pattern": _NODE_NAME},
                "additionalProperties": {
                    "if": {"required": ["for_each"]},
                    "then": {"$ref": "#/$defs/for_each"},
                    "else": {"$ref": "#/$defs/node"},
                },
            },
        },
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "$defs": definitions,
    }


def _node(kind: NodeType, definitions: dict[str, Schema]) -> Schema:
    """One branch of the `oneOf`: the common keys, and the type's own settings."""
    own = _struct(kind.cls, f"node.{kind.name}", definitions)
    for name, extra in setting_extras(kind.cls).items():
        if extra.get("kind") and "description" not in own["properties"].get(name, {}):
            own["properties"][name]["description"] = _names()[extra["kind"]]
    for name, extra in setting_extras(kind.cls).items():
        if old := extra.get("renamed_from"):
            own["properties"][old] = own["properties"][name] | {"deprecated": True}
    # what is inherited, and the only entry of a section, need not be named
    inherited = {name for name, extra in setting_extras(kind.cls).items() if extra.get("inherited")}
    required = [name for name in own.get("required", []) if name not in sections() and name not in inherited]
    source = issubclass(kind.cls, Source)
    common: Schema = {"type": {"const": kind.name, "description": kind.summary}}
    if not source:
        common["from"] = {
            "description": f"Where its messages come from: it accepts {_port_names(kind.ports.inputs)}.",
            "anyOf": [
                {"$ref": "#/$defs/sources"},
                {"type": "array", "items": {"$ref": "#/$defs/sources"}, "minItems": 1},
            ],
        }
    common["renamed_from"] = {
        "type": "string",
        "pattern": _BLOCK_NAME,
        "description": "Its former name, so that its state is kept.",
    }
    common |= {old: common[key] | {"deprecated": True} for old, key in FORMERLY.items()}
    if source:
        common["restart"] = _struct(Restart, "restart", definitions)
    return {
        "type": "object",
        "description": inspect.getdoc(kind.cls) or "",
        "properties": common | own["properties"],
        "required": ["type", *([] if source else ["from"]), *required],
        "additionalProperties": False,
    }


def _sources() -> Schema:
    """One item of `from`."""
    types: Schema = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    return {
        "anyOf": [
            {"type": "string", "pattern": _SOURCE_NAME},
            {"const": "all", "description": "Every node that makes something that this one takes."},
            {
                "type": "object",
                "description": "Every node that makes messages of these types, by the names of their ports.",
                "properties": {"types": types},
                "required": ["types"],
                "additionalProperties": False,
            },
        ]
    }


def _block() -> Schema:
    """A block of nodes that is written once for several things."""
    name: Schema = {"type": "string", "pattern": _NODE_NAME}
    return {
        "type": "object",
        "description": "Nodes that are there once for each entry of a list; `objects` becomes north_objects, east_objects, …",
        "properties": {
            "for_each": {
                "type": "object",
                "description": "A name and its entries: {camera: [north, east]}, or with parameters {camera: {north: {limit: 50}}}.",
                "minProperties": 1,
                "maxProperties": 1,
                "propertyNames": {"pattern": _NODE_NAME},
                "additionalProperties": {
                    "anyOf": [
                        {"type": "array", "items": name, "minItems": 1},
                        {
                            "type": "object",
                            "propertyNames": {"pattern": _NODE_NAME},
                            "minProperties": 1,
                            "additionalProperties": {"type": ["object", "null"]},
                        },
                    ]
                },
            },
            "nodes": {
                "type": "object",
                "description": "The nodes; ${camera} in a key or value is the entry, ${camera.limit} a parameter of it.",
                "minProperties": 1,
                "propertyNames": {"pattern": _BLOCK_NAME},
                "additionalProperties": {"$ref": "#/$defs/node"},
            },
        },
        "required": ["for_each", "nodes"],
        "additionalProperties": False,
    }


def _port_names(types: tuple[type, ...]) -> str:
    return " or ".join(dict.fromkeys(getattr(each, "port", each.__name__) for each in types)) or "nothing"


def _struct(cls: type, prefix: str, definitions: dict[str, Schema]) -> Schema:
    """A struct's schema; structs inside it go to `definitions` under names that begin with `prefix`."""
    schema = msgspec.json.schema(cls)
    inner = schema.pop("$defs", {})
    top = schema["$ref"].rpartition("/")[2] if "$ref" in schema else ""
    body = inner.pop(top) if top else schema
    for name, each in inner.items():
        definitions[f"{prefix}.{name}"] = _tidy(each, prefix)
    tidied = _tidy(body, prefix)
    tidied.pop("title", None)
    return tidied


def _tidy(schema: Schema, prefix: str) -> Schema:
    """References renamed, units added to descriptions, and `${…}` allowed for every property."""
    result: Schema = {}
    for key, value in schema.items():
        if key == "$ref":
            result[key] = f"#/$defs/{prefix}.{value.rpartition('/')[2]}"
        elif key == "properties":
            result[key] = {name: _property(name, _tidy(each, prefix)) for name, each in value.items()}
        elif key in ("items", "additionalProperties", "propertyNames") and isinstance(value, dict):
            result[key] = _tidy(value, prefix)
        elif key in ("anyOf", "oneOf", "prefixItems"):
            result[key] = [_tidy(each, prefix) for each in value]
        elif key == "title" and "properties" in schema:
            continue
        else:
            result[key] = value
    return result


def _property(name: str, schema: Schema) -> Schema:
    about = {key: schema.pop(key) for key in ("description", "default", "examples") if key in schema}
    kinds = schema.get("anyOf", [schema])
    for kind in kinds:  # `Annotated[float, setting(…)] | None`: the description is the union's
        description = kind.pop("description", "")
        about.setdefault("description", description)
    if not about["description"]:
        del about["description"]
    unit = unit_of(name)
    if unit:
        about["description"] = f"{about.get('description', '')} In {unit}.".strip()
    if any(kind.get("type") == "string" and len(kind) == 1 for kind in kinds):
        return about | schema
    return about | {"anyOf": [*kinds, _FILLED]}
