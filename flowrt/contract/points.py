"""Points: what a measurement keeps of a message, and the line that is written for it.

Invariants
- Every tag of a measurement is on every point, with `none` where it is not known: InfluxDB 3 fixes a table's tags with its first write.
- A field has one type for ever; what is not known is left out. A point without any field is not written.
- A point's time is the event's own, never that of its writing: the same message gives the same point.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from math import isfinite
from operator import attrgetter
from typing import Any

import msgspec

from flowrt.contract.line_protocol import LineEncoder
from flowrt.contract.payload import time_us
from flowrt.contract.places import Places
from flowrt.contract.spec import FieldSpec, MeasurementSpec
from flowrt.message import Message

UNKNOWN_TAG = "none"

Read = Callable[[Mapping[str, Any]], Any]
Row = tuple[tuple[str, ...], list[Any], int]
Kind = tuple[type, Callable[[Any], Any]]
"""Of a field: the class that needs no conversion; the conversion, whose None leaves the field out."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One point. time_ns: nanoseconds since the epoch."""

    measurement: str
    tags: dict[str, str]
    fields: dict[str, Any]
    time_ns: int


class PointMaker:
    """Makes the points of one measurement from facts (field name to value) about a message."""

    def __init__(self, spec: MeasurementSpec) -> None:
        self.spec = spec
        self._encoder = LineEncoder(spec.measurement, list(spec.tags), {n: f.type for n, f in spec.fields.items()})
        self._tags = tuple(_reader(spec.tags[name]) for name in self._encoder.tags)
        self._site_tags = tuple(i for i, name in enumerate(self._encoder.tags) if spec.tags[name] == "site")
        fields = [spec.fields[name] for name in self._encoder.fields]
        self._reads = tuple(_reader_of(field) for field in fields)
        self._kinds = tuple(_kind(field) for field in fields)
        self._time = _reader(spec.time)
        self._distinct = _reader(spec.distinct) if spec.distinct else None
        self._number = _reader(spec.number or spec.time)
        self._places = Places()
        self._entries = _reader(spec.each.path) if spec.each else None
        self._takes: dict[type[Message], Callable[[Message], tuple[Any, ...]] | None] = {}

    def points(self, facts: Mapping[str, Any]) -> Iterator[Point]:
        """The points, for readers; `lines` is the quick way."""
        for tags, values, at in self._rows(facts):
            named = zip(self._encoder.fields, values, strict=True)
            fields = {name: value for name, value in named if value is not None and _is_finite(value)}
            if fields:
                tagged = dict(zip(self._encoder.tags, tags, strict=True))
                yield Point(measurement=self.spec.measurement, tags=tagged, fields=fields, time_ns=at)

    def lines(self, facts: Mapping[str, Any]) -> Iterator[bytes]:
        """The points as line protocol with times in nanoseconds, without line ends."""
        for row in self._rows(facts):
            line = self._encoder.line(*row)
            if line:
                yield line

    def line_of(self, message: Message, site: str) -> bytes | None:
        """The one line of a message, the same as `lines` gives, without a dict of facts in between.

        Empty where no field has a value; None where only `lines` can do it.
        """
        kind = message.__class__
        if kind not in self._takes:
            self._takes[kind] = self._take_of(kind)
        take = self._takes[kind]
        if take is None:
            return None
        try:
            time_s, id, number, *row = take(message)
        except AttributeError:  # a path that leads through a mapping, or through what this message lacks
            return None
        tags = [value if value.__class__ is str and value else _tag(value) for value in row[: len(self._tags)]]
        for i in self._site_tags:
            tags[i] = _tag(site)
        series = tuple(tags)
        return self._encoder.line(series, self._converted(row[len(tags) :]), self._time_ns(series, time_s, id, number))

    def _take_of(self, kind: type[Message]) -> Callable[[Message], tuple[Any, ...]] | None:
        """Reads time, id, number, tags and fields at once, with the time for what is not the message's; None if it can't."""
        spec, time = self.spec, self.spec.time
        tags = [spec.tags[name] for name in self._encoder.tags]
        for i in self._site_tags:
            tags[i] = time
        fields = [
            time if spec.fields[name].const is not None else spec.fields[name].path for name in self._encoder.fields
        ]
        paths = [time, spec.distinct or time, spec.number or time, *tags, *fields]
        known = {path.partition(".")[0] for path in paths} <= set(kind.__struct_fields__) - {"site"}
        clear = not any(
            hasattr(dict, part) for path in paths for part in path.split(".")[1:]
        )  # a key that is a method's name
        return attrgetter(*paths) if known and clear and spec.each is None and kind.payload_type is None else None

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
        id = self._distinct(timed) if self._distinct is not None else None
        series = tuple([_tag(read(tagged)) for read in self._tags])
        values = self._converted([read(facts) for read in self._reads])
        return series, values, self._time_ns(series, self._time(timed), id, self._number(timed))

    def _time_ns(self, series: tuple[str, ...], time_s: float, id: Any, number: Any) -> int:
        """A point's time. id, number: what tells it apart from others of that time, where the measurement asks for it."""
        at_ns = time_us(time_s) * 1000
        if self._distinct is None:
            return at_ns
        return self._places.time_ns(series, at_ns, str(id), number if self.spec.number else None)

    def _converted(self, values: list[Any]) -> list[Any]:
        """Field values of the types that the measurement has."""
        return [
            value if value.__class__ is ready or value is None else convert(value)
            for value, (ready, convert) in zip(values, self._kinds, strict=True)
        ]


def facts_of(message: Message, site: str, extra: Mapping[str, Any]) -> dict[str, Any]:
    """What the paths of `x-influx` are read from: the message's fields, the site, and whatever else is known of it."""
    facts = msgspec.structs.asdict(message) if message.payload_type is None else message.facts()
    facts["site"] = site
    facts.update(extra)
    return facts


def _facts_of_entry(entry: Any) -> Mapping[str, Any]:
    if isinstance(entry, msgspec.Struct):
        return msgspec.structs.asdict(entry)
    return entry if isinstance(entry, Mapping) else {"value": entry}


def _tag(value: Any) -> str:
    if value.__class__ is str and value:
        return value
    return UNKNOWN_TAG if value is None or value == "" else str(value)


def _reader(path: str) -> Read:
    """Follows a dotted path through structs and mappings; None where it ends."""
    first, *rest = path.split(".")
    if not rest:
        return lambda facts: facts.get(first)

    def read(facts: Mapping[str, Any]) -> Any:
        value = facts.get(first)
        for name in rest:
            if isinstance(value, msgspec.Struct) or not isinstance(value, Mapping):  # the first asks much less
                value = getattr(value, name, None)
            else:
                value = value.get(name)
        return value

    return read


def _reader_of(field: FieldSpec) -> Read:
    return _reader(field.path) if field.const is None else lambda facts: field.const


def _kind(field: FieldSpec) -> Kind:
    convert = _CONVERT[field.type]
    if field.const is not None:
        constant = convert(field.const)
        return _Never, lambda value: constant
    if field.levels:
        bounds, names = [bound for bound, _ in field.levels], [None, *(name for _, name in field.levels)]
        return _Never, lambda value: names[bisect_right(bounds, value)] if value != "" else None
    ready = {"float": float, "int": int, "bool": bool}.get(field.type, _Never)  # a text may be empty, which is none
    return ready, lambda value: convert(value) if value != "" else None


class _Never:
    """A class that no value has."""


def _is_finite(value: Any) -> bool:
    return value.__class__ is not float or isfinite(value)


_CONVERT: dict[str, Callable[[Any], Any]] = {"float": float, "int": int, "string": str, "bool": bool}
