"""Line protocol as the InfluxDB doubles read it: one line to a point, with the errors of InfluxDB 2."""

from __future__ import annotations

import re

import msgspec

_LINE = re.compile(r'(?P<key>(?:\\.|[^ \\])+) (?P<fields>(?:"(?:\\.|[^"\\])*"|\\.|[^" \\])+)(?: (?P<time>-?\d+))?')
_FIELD = re.compile(r'((?:\\.|[^=,\\])+)=("(?:\\.|[^"\\])*"|[^,"]+)(?:,|$)')
_NUMBER = re.compile(r"-?\d+(\.\d*)?([eE][+-]?\d+)?")
_INTEGER_MOST = 2**63 - 1
TIME_MOST_NS = 2**63 - 2

Value = float | int | bool | str


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One point. time: in the precision of the write, None where the line has none."""

    measurement: str
    tags: tuple[tuple[str, str], ...]
    fields: dict[str, Value]
    time: int | None


class Unreadable(ValueError):
    """A line that is not line protocol; the message is InfluxDB 2's."""


def parse(line: str) -> Point:
    """Read one line. Raises Unreadable."""
    found = _LINE.fullmatch(line)
    if not found:
        raise Unreadable("invalid field format")
    measurement, *pairs = re.split(r"(?<!\\),", found["key"])
    fields: dict[str, Value] = {}
    at = 0
    while at < len(found["fields"]):
        field = _FIELD.match(found["fields"], at)
        if not field:
            raise Unreadable("invalid field format")
        fields[field[1]] = _value(field[2])
        at = field.end()
    tags = tuple(sorted((name, value) for name, _, value in (pair.partition("=") for pair in pairs)))
    return Point(measurement=measurement, tags=tags, fields=fields, time=int(found["time"]) if found["time"] else None)


def _value(text: str) -> Value:
    if text.startswith('"'):
        return re.sub(r'\\(["\\])', r"\1", text[1:-1])
    if text in ("t", "T", "true", "True", "TRUE", "f", "F", "false", "False", "FALSE"):
        return text[0] in "tT"
    if text.endswith("i") and _NUMBER.fullmatch(text[:-1]):
        number = int(text[:-1])
        if abs(number) > _INTEGER_MOST:
            reason = f'strconv.ParseInt: parsing "{text[:-1]}": value out of range'
            raise Unreadable(f"unable to parse integer {text[:-1]}: {reason}")
        return number
    if not _NUMBER.fullmatch(text):
        raise Unreadable("invalid number")
    return float(text)


def kind(value: Value) -> str:
    """The field type as both servers call it."""
    return {bool: "boolean", int: "integer", float: "float", str: "string"}[type(value)]
