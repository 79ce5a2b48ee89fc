"""Points: what a measurement keeps of a message, and the line that is written for it.

Invariants
- Every tag of a measurement is on every point, with `none` where it is not known: InfluxDB 3 fixes a table's tags with its first write.
- A field has one type for ever; what is not known is left out. A point without any field is not written.
- A point's time is the event's own, never that of its writing: the same message gives the same point.
"""

from __future__ import annotations

import math
import zlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from flowrt.contract.payload import detection_facts, time_us
from flowrt.contract.spec import FieldSpec, MeasurementSpec
from flowrt.line_protocol import LineEncoder
from flowrt.messages import Message, Objects

UNKNOWN_TAG = "none"
_SPREAD_US = 1000  # events of one series at one instant are spread over this long

Read = Callable[[Mapping[str, Any]], Any]
Row = tuple[tuple[str, ...], tuple[Any, ...], int]


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One point. time_us: microseconds since the epoch."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Any]
    time_us: int


class PointMaker:
    """Makes the points of one measurement from facts (field name to value) about a message."""

    def __init__(self, spec: MeasurementSpec) -> None:
        self.spec = spec
        self._encoder = LineEncoder(spec.measurement, list(spec.tags), {n: f.type for n, f in spec.fields.items()})
        self._tags = tuple(_reader(spec.tags[name]) for name in self._encoder.tags)
        self._fields = tuple(_value_reader(spec.fields[name]) for name in self._encoder.fields)
        self._time = _reader(spec.time)
        self._distinct = _reader(spec.distinct) if spec.distinct else None
        self._entries = _reader(spec.each.path) if spec.each else None

    def points(self, facts: Mapping[str, Any]) -> Iterator[Point]:
        """The points, for readers; `lines` is the quick way."""
        for tags, values, at in self._rows(facts):
            named = zip(self._encoder.fields, values, strict=True)
            fields = {name: value for name, value in named if value is not None}
            if fields:
                tagged = dict(zip(self._encoder.tags, tags, strict=True))
                yield Point(measurement=self.spec.measurement, tags=tagged, fields=fields, time_us=at)

    def lines(self, facts: Mapping[str, Any]) -> Iterator[bytes]:
        """The points as line protocol with times in microseconds, without line ends."""
        for row in self._rows(facts):
            line = self._encoder.line(*row)
            if line:
                yield line

    def _rows(self, facts: Mapping[str, Any]) -> Iterator[Row]:
        each = self.spec.each
        if each is None or self._entries is None:
            yield self._row(facts, facts)
            return
        yield self._row({**facts, each.name: each.whole}, facts)
        for name, entry in (self._entries(facts) or {}).items():
            own = _facts_of_entry(entry)
            yield self._row({**facts, each.name: name}, own, facts)

    def _row(self, tagged: Mapping[str, Any], facts: Mapping[str, Any], timed: Mapping[str, Any] | None = None) -> Row:
        timed = facts if timed is None else timed
        tags = tuple(_tag(read(tagged)) for read in self._tags)
        at = time_us(self._time(timed))
        if self._distinct is not None:
            # A checksum, since Python's hash() differs from run to run.
            at = at - at % _SPREAD_US + zlib.crc32(str(self._distinct(timed)).encode()) % _SPREAD_US
        return tags, tuple(read(facts) for read in self._fields), at


def facts_of(message: Message, site: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What the paths of `x-influx` are read from: the message's fields, the site, and whatever else is known of it."""
    if isinstance(message, Objects):
        facts = detection_facts(message)
        facts["time_s"], facts["camera_id"] = message.time_s, message.camera_id
        facts["camera_position"] = message.camera_position
    else:
        facts = {name: getattr(message, name) for name in message.__struct_fields__}
    facts["site"] = site
    facts.update(extra)
    return facts


def _facts_of_entry(entry: Any) -> Mapping[str, Any]:
    if isinstance(entry, msgspec.Struct):
        return msgspec.structs.asdict(entry)
    return entry if isinstance(entry, Mapping) else {"value": entry}


def _tag(value: Any) -> str:
    return UNKNOWN_TAG if value is None or value == "" else str(value)


def _reader(path: str) -> Read:
    """Follows a dotted path through structs and mappings; None where it ends."""
    first, *rest = path.split(".")

    def read(facts: Mapping[str, Any]) -> Any:
        value = facts.get(first)
        for name in rest:
            value = value.get(name) if isinstance(value, Mapping) else getattr(value, name, None)
        return value

    return read


def _value_reader(field: FieldSpec) -> Read:
    if field.const is not None:
        constant = _CONVERT[field.type](field.const)
        return lambda facts: constant
    read, convert = _reader(field.path), _CONVERT[field.type]
    bounds = [bound for bound, _ in field.levels]

    def value(facts: Mapping[str, Any]) -> Any:
        found = read(facts)
        if found is None or found == "":
            return None
        if bounds:
            reached = bisect_right(bounds, found)
            return field.levels[reached - 1][1] if reached else None
        return convert(found)

    return value


def _finite(value: Any) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


_CONVERT: dict[str, Callable[[Any], Any]] = {"float": _finite, "int": int, "string": str, "bool": bool}
