"""Reading `schemas/`: one topic or one measurement per file, with all problems of the files reported at once.

A topic's schema carries `x-mqtt`: topic (below the prefix), qos, retain, expiry_s, priority, message, summary. A measurement's carries
`x-influx`: measurement, message, tags (tag: path), fields (field: {from: path, type}). `message` is the name of a message type;
its subclasses are meant as well. Paths are dotted names of the message's fields (`object.speed_kmh`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from flowrt.contract.line_protocol import FieldType
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.sink import PRIORITIES, Priority

SUFFIX = ".schema.json"


class NotInContract(KeyError):
    """No topic or no measurement speaks of this message type."""

    def __str__(self) -> str:
        return str(self.args[0])


class TopicSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One topic, below the prefix that an sink sets. expiry_s: None where a message keeps for ever.

    message: the name of the message type; empty where no message is sent there (`availability`).
    summary: fields that say in a line what an event was. schema: the payload's JSON Schema; file: where it was read from.
    """

    topic: str
    qos: Literal[0, 1, 2] = 1
    retain: bool = False
    expiry_s: int | None = None
    priority: Priority = "event"
    message: str = ""
    summary: tuple[str, ...] = ()
    schema: dict[str, Any] = {}
    file: str = ""

    @property
    def name(self) -> str:
        """The topic."""
        return self.topic


class FieldSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a field's value comes from: a path, a constant, or the level that a path's number reaches.

    levels: (lower bound, name), ascending: [[0, "low"], [3, "medium"]] makes "medium" of 5.
    """

    type: FieldType
    path: str = msgspec.field(default="", name="from")
    const: int | float | str | bool | None = None
    levels: tuple[tuple[float, str], ...] = ()


class Each(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Besides the message's own point, one for each entry of the mapping at `path`.

    name: the path under which tags find the entry's key; whole: what stands there in the message's own point. An entry that
    is a number is found under the path `value`.
    """

    path: str
    name: str
    whole: str


class MeasurementSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement. time: path of the point's time (UTC seconds).

    distinct: path of an id. The nanoseconds of the point's time are then a place of that id's own, so that two events of one series
    at one instant stay two points, and the same event stays one. number: path of a whole number that differs between events of one
    instant, such as a track's: the place that is tried first.
    bucket: which of the database's two takes it: raw points (`monitoring`, 7 days) or aggregates (`analytics`, 30 days).
    """

    measurement: str
    message: str
    tags: dict[str, str]
    fields: dict[str, FieldSpec]
    time: str = "time_s"
    distinct: str = ""
    number: str = ""
    each: Each | None = None
    bucket: Literal["monitoring", "analytics"] = "monitoring"
    schema: dict[str, Any] = {}
    file: str = ""

    @property
    def name(self) -> str:
        """The measurement."""
        return self.measurement


Spec = TypeVar("Spec", TopicSpec, MeasurementSpec)


def read_folders(folders: Iterable[Path]) -> tuple[dict[str, TopicSpec], dict[str, MeasurementSpec]]:
    """Topics and measurements by name; a later folder's take the place of an earlier's.

    Raises FlowError with everything that is wrong with the files.
    """
    topics: dict[str, TopicSpec] = {}
    measurements: dict[str, MeasurementSpec] = {}
    diagnostics: list[Diagnostic] = []
    for folder in folders:
        seen: dict[tuple[type, str], Path] = {}
        for file in schema_files(folder):
            try:
                spec = _read(file)
            except _BadSchema as bad:
                diagnostics.append(bad.diagnostic(file))
                continue
            if spec is None:
                continue
            twin = seen.setdefault((type(spec), spec.name), file)
            if twin != file:
                diagnostics.append(_BadSchema(f"'{spec.name}' is described by {twin.name} already").diagnostic(file))
            if isinstance(spec, TopicSpec):
                topics[spec.name] = spec
            else:
                measurements[spec.name] = spec
    if diagnostics:
        raise FlowError(diagnostics)
    return topics, measurements


def schema_files(folder: Path) -> Iterator[Path]:
    """The schema files of a folder, sorted; none where there is no such folder."""
    return filter(Path.is_file, sorted(folder.rglob(f"*{SUFFIX}")))


class _BadSchema(Exception):
    def __init__(self, message: str, path: str = "", hint: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message)
        self.path, self.hint, self.line, self.column = path, hint, line, column

    def diagnostic(self, file: Path) -> Diagnostic:
        return Diagnostic(
            file=str(file), line=self.line, column=self.column, path=self.path, message=str(self), hint=self.hint
        )


def _read(file: Path) -> TopicSpec | MeasurementSpec | None:
    """The file's spec; None for schemas that describe neither (the schema of flow files)."""
    try:
        schema = json.loads(file.read_text("utf-8"))
    except json.JSONDecodeError as error:
        raise _BadSchema(f"no JSON: {error.msg}", line=error.lineno, column=error.colno) from error
    except (OSError, UnicodeDecodeError) as error:
        raise _BadSchema(f"can't be read: {error}") from error
    if not isinstance(schema, dict):
        raise _BadSchema("a schema is a JSON object")
    if "x-mqtt" in schema:
        return _convert(schema, "x-mqtt", TopicSpec, file)
    if "x-influx" in schema:
        return _lint(_convert(schema, "x-influx", MeasurementSpec, file))
    return None


def _convert(schema: dict[str, Any], key: str, kind: type[Spec], file: Path) -> Spec:
    given = schema[key]
    if isinstance(given, dict) and "urgency" in given:  # the former name of `priority`
        given = {"priority": given["urgency"]} | {name: value for name, value in given.items() if name != "urgency"}
        given["priority"] = given["priority"] if given["priority"] in PRIORITIES else "critical"
    known = {field.encode_name for field in msgspec.structs.fields(kind)} - {"schema", "file"}
    unknown = sorted(set(given) - known) if isinstance(given, dict) else []
    if unknown:
        raise _BadSchema(f"unknown key {unknown[0]}", key, f"known: {', '.join(sorted(known))}")
    try:
        return msgspec.structs.replace(msgspec.convert(given, kind), schema=schema, file=file.name)
    except msgspec.ValidationError as error:
        raise _BadSchema(str(error), key) from error


def _lint(spec: MeasurementSpec) -> MeasurementSpec:
    both = sorted(set(spec.tags) & set(spec.fields))
    if both:
        raise _BadSchema(
            f"{', '.join(both)} is both a tag and a field", "x-influx", "InfluxDB 3 refuses that: rename one"
        )
    if not spec.fields:
        raise _BadSchema("a point needs at least one field", "x-influx.fields")
    for name, field in spec.fields.items():
        if (field.const is None) == (field.path == ""):
            raise _BadSchema("a field has either `from` or `const`", f"x-influx.fields.{name}")
        if [bound for bound, _ in field.levels] != sorted(bound for bound, _ in field.levels):
            raise _BadSchema("levels must ascend", f"x-influx.fields.{name}.levels")
    described = set(spec.schema.get("properties", {}))
    missing = sorted((set(spec.tags) | set(spec.fields)) - described)
    if missing:
        raise _BadSchema(f"no description of {', '.join(missing)}", "properties", "describe each tag and field there")
    return spec
