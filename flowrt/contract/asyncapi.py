"""The topics as an AsyncAPI document, for the tools of others (viewers, code generators, brokers)."""

from __future__ import annotations

from typing import Any

import yaml

from flowrt.contract.contract import Contract
from flowrt.contract.spec import TopicSpec

VERSION = "3.1.0"
_HEAD = "# Made by `flowrt contract asyncapi` from schemas/topics; edit those.\n"
_NOT_SCHEMA = frozenset({"$schema", "$id", "$defs", "x-mqtt", "examples"})

Json = dict[str, Any]


def asyncapi(contract: Contract, prefix: str = "smartintersection") -> str:
    """`schemas/asyncapi.yaml`. prefix: what every topic begins with; readers may choose another by the parameter `prefix`."""
    specs = [contract.topics[name] for name in sorted(contract.topics)]
    schemas: Json = {}
    messages = {_key(spec.topic): _message(spec, schemas) for spec in specs}
    document: Json = {
        "asyncapi": VERSION,
        "info": {
            "title": "flowrt",
            "version": "1.0.0",
            "description": "What a smart traffic intersection publishes over MQTT.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "broker": {
                "host": "localhost:1883",
                "protocol": "mqtt",
                "description": "The broker of the flow file's `services`.",
            }
        },
        "channels": {_key(spec.topic): _channel(spec, prefix) for spec in specs},
        "operations": {f"publish_{_key(spec.topic)}": _operation(spec) for spec in specs},
        "components": {"messages": messages, "schemas": dict(sorted(schemas.items()))},
    }
    return _HEAD + yaml.dump(document, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)


class _Plain(yaml.SafeDumper):
    """Writes every value out: anchors would be right, but not every reader of AsyncAPI documents knows them."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _key(topic: str) -> str:
    return topic.replace("/", "_")


def _channel(spec: TopicSpec, prefix: str) -> Json:
    key = _key(spec.topic)
    return {
        "address": f"{{prefix}}/{spec.topic}",
        "title": spec.schema["title"],
        "description": spec.schema["description"],
        "parameters": {"prefix": {"description": "As set in the flow file.", "default": prefix}},
        "messages": {key: {"$ref": f"#/components/messages/{key}"}},
    }


def _operation(spec: TopicSpec) -> Json:
    key = _key(spec.topic)
    binding: Json = {"qos": spec.qos, "retain": spec.retain}
    if spec.expiry_s is not None:
        binding["messageExpiryInterval"] = spec.expiry_s
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{key}"},
        "messages": [{"$ref": f"#/channels/{key}/messages/{key}"}],
        "bindings": {"mqtt": {**binding, "bindingVersion": "0.2.0"}},
    }


def _message(spec: TopicSpec, schemas: Json) -> Json:
    """The message; its schema's definitions are added to `schemas`, which all messages share."""
    key = _key(spec.topic)
    names = {
        name: _shared_name(name, key, definition, schemas) for name, definition in spec.schema.get("$defs", {}).items()
    }
    for name, shared in names.items():
        schemas[shared] = _relinked(spec.schema["$defs"][name], names)
    body = {name: value for name, value in spec.schema.items() if name not in _NOT_SCHEMA}
    return {
        "name": key,
        "title": spec.schema["title"],
        "contentType": "application/json" if "properties" in body else "text/plain",
        "payload": _relinked(body, names),
        "examples": [{"payload": example} for example in spec.schema["examples"]],
    }


def _shared_name(name: str, key: str, definition: Json, schemas: Json) -> str:
    known = schemas.get(name)
    return name if known is None or known == definition else f"{key}_{name}"


def _relinked(value: Any, names: dict[str, str]) -> Any:
    """The schema with its references pointing at the document's components."""
    if isinstance(value, dict):
        if "$ref" in value:
            return {"$ref": f"#/components/schemas/{names[str(value['$ref']).rpartition('/')[2]]}"}
        return {name: _relinked(item, names) for name, item in value.items()}
    if isinstance(value, list):
        return [_relinked(item, names) for item in value]
    return value
