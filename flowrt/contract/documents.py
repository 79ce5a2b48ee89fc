"""Documents made from the contract: the pages of topics and measurements, in Markdown. Tests keep the committed ones fresh."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from flowrt.contract.contract import Contract
from flowrt.contract.spec import FieldSpec, MeasurementSpec, TopicSpec

Schema = dict[str, Any]

_TOPICS_HEAD = """# Topics

<!-- Made by `flowrt contract docs` from schemas/topics; edit those. -->

What flowrt publishes over MQTT. Every topic stands below the prefix that the broker's `prefix` setting gives (`smartintersection`
unless set; `smartintersection/{site}` where one broker serves several intersections). Payloads are JSON in UTF-8. A field that is
not known is left out, never null or empty. [contract.md](contract.md) says what holds for all of them.
"""

_MEASUREMENTS_HEAD = """# Measurements

<!-- Made by `flowrt contract docs` from schemas/measurements; edit those. -->

What flowrt writes to InfluxDB. Every point carries every tag of its measurement; a tag that is not known is `none`. A field that is not
known is left out. The time of a point is the event's own, in nanoseconds, so that a repeated write changes nothing.
[contract.md](contract.md) says what holds for all of them.
"""


def topics_page(contract: Contract) -> str:
    """`docs/topics.md`."""
    specs = [contract.topics[name] for name in sorted(contract.topics)]
    lines = [
        _TOPICS_HEAD,
        *_table(("topic", "what", "QoS", "retained", "expires", "class"), map(_topic_row, specs)),
        "",
    ]
    for spec in specs:
        lines += _topic_section(spec)
    return "\n".join(lines).rstrip() + "\n"


def measurements_page(contract: Contract) -> str:
    """`docs/measurements.md`."""
    specs = [contract.measurements[name] for name in sorted(contract.measurements)]
    rows = (
        (f"[`{s.name}`](#{s.name})", s.schema["title"], _codes(s.tags), f"`{s.message}`", f"traffic_{s.bucket}")
        for s in specs
    )
    lines = [_MEASUREMENTS_HEAD, *_table(("measurement", "what", "tags", "from message", "bucket"), rows), ""]
    for spec in specs:
        lines += _measurement_section(spec)
    return "\n".join(lines).rstrip() + "\n"


def _topic_row(spec: TopicSpec) -> tuple[str, ...]:
    anchor = spec.topic.replace("/", "")
    expires = "never" if spec.expiry_s is None else _duration(spec.expiry_s)
    what = spec.schema["title"]
    return f"[`{spec.topic}`](#{anchor})", what, str(spec.qos), "yes" if spec.retain else "no", expires, spec.priority


def _topic_section(spec: TopicSpec) -> Iterator[str]:
    schema = spec.schema
    yield f"## {spec.topic}\n\n{schema['title']}. {schema['description']}\n"
    if spec.message:
        yield f"Made from the message `{spec.message}`.\n"
    if "properties" in schema:
        yield from _fields(schema)
        for name, definition in schema.get("$defs", {}).items():
            yield f"**{name}**\n"
            yield from _fields(definition)
    yield from _examples(schema["examples"])


def _fields(schema: Schema) -> list[str]:
    required = set(schema.get("required", ()))
    rows = (
        (f"`{name}`", _type(field), "always" if name in required else "", field.get("description", ""))
        for name, field in schema["properties"].items()
    )
    return [*_table(("field", "type", "there", "meaning"), rows), ""]


def _measurement_section(spec: MeasurementSpec) -> Iterator[str]:
    properties = spec.schema["properties"]
    yield f"## {spec.name}\n\n{spec.schema['title']}. {spec.schema['description']}\n"
    if spec.distinct:
        yield f"Points that would be one (same tags, same time) differ below the millisecond, by `{spec.distinct}`.\n"
    tags = ((f"`{name}`", "tag", f"`{path}`", properties[name]["description"]) for name, path in spec.tags.items())
    fields = (
        (f"`{name}`", f"{field.type} field", _source(field), properties[name]["description"])
        for name, field in spec.fields.items()
    )
    yield from [*_table(("name", "is", "from", "meaning"), [*tags, *fields]), ""]
    yield from _examples(spec.schema["examples"])


def _source(field: FieldSpec) -> str:
    return f"`{field.path}`" if field.path else f"always {json.dumps(field.const)}"


def _examples(examples: list[Any]) -> Iterator[str]:
    for example in examples:
        body = example if isinstance(example, str) else json.dumps(example, indent=2, ensure_ascii=False)
        yield f"```{'text' if isinstance(example, str) else 'json'}\n{body}\n```\n"


def _type(schema: Schema) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "enum" in schema:
        return " / ".join(map(str, schema["enum"]))
    if schema["type"] == "array":
        return f"list of {_type(schema['items'])}{_limits(schema, 'Items')}"
    if schema["type"] == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"object of {_type(schema['additionalProperties'])}"
    return f"{schema['type']}{_limits(schema, 'imum')}"


def _limits(schema: Schema, ending: str) -> str:
    low, high = schema.get(f"min{ending}"), schema.get(f"max{ending}")
    if low is None and high is None:
        return ""
    if low == high:
        return f", {low} of them"
    return f", at least {low}" if high is None else f", {low} to {high}"


def _duration(seconds: int) -> str:
    for size, unit in ((86400, "day"), (3600, "hour"), (60, "minute")):
        if seconds % size == 0:
            count = seconds // size
            return f"{count} {unit}{'s' if count > 1 else ''}"
    return f"{seconds} s"


def _codes(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, ("---",) * len(head), *(tuple(cell.replace("|", "\\|") for cell in row) for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]
