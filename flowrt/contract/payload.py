"""Payloads: what goes out on a topic, made from a message.

Invariants
- The message's fields are the payload's fields; `id`, `time`, `site` and `camera_id` stand before them, `time_s` is left out.
- What is not known is not there: None, empty strings and non-finite numbers are left out of structs.
- The same message gives the same payload, id included, so that a repeated delivery is harmless.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import msgspec

from flowrt.message import Event, Message, Record

_NOT_SENT = frozenset({"time_s", "id", "camera_id"})  # part of the envelope, or implied by it
_AS_THEY_ARE = frozenset({str, bool, int, type(None)})


def time_us(time_s: float) -> int:
    """Microseconds since the epoch."""
    return round(time_s * 1e6)


def rfc3339(microseconds: int) -> str:
    """UTC, with microseconds and Z: 2026-05-04T10:00:00.250000Z."""
    second, rest = divmod(microseconds, 1_000_000)
    return f"{_second(second)}.{rest:06d}Z"


@functools.lru_cache(maxsize=64)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def message_id(message: Message, site: str) -> str:
    """An event's own id; for others one made of what tells them apart and the time, which a second run does not repeat."""
    if isinstance(message, Event):
        return message.id
    identity = (str(getattr(message, name, "")) for name in message.identity)
    parts = (message.camera_id or site, message.port, *identity, str(time_us(message.time_s)))
    return "-".join(part for part in parts if part)


def payload_of(message: Message, site: str) -> dict[str, Any]:
    """The payload, ready for JSON. Raises TypeError where a field holds something JSON has no form for."""
    payload: dict[str, Any] = {
        "id": message_id(message, site),
        "time": rfc3339(time_us(message.time_s)),
        "site": site,
    }
    if message.camera_id:
        payload["camera_id"] = message.camera_id
    if message.payload_type is not None:
        payload |= message.payload_fields()
    elif isinstance(message, Record):
        payload |= _plain(message.data)
    else:
        payload |= _fields(message, _names_of(message.__class__, _NOT_SENT))
    return payload


@functools.cache
def _names_of(kind: type[msgspec.Struct], without: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """Under which names a struct's fields are sent, in their order; empty for those that are not."""
    fields = zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True)
    return tuple("" if name in without else sent_as for name, sent_as in fields)


def _fields(struct: msgspec.Struct, names: tuple[str, ...]) -> dict[str, Any]:
    """What is known of a struct. Plain values are recognised by their class, since this runs for every message."""
    known: dict[str, Any] = {}
    for name, value in zip(names, msgspec.structs.astuple(struct), strict=True):
        if not name:
            continue
        kind = value.__class__
        if kind is str:
            if value:
                known[name] = value
        elif kind is float:
            if isfinite(value):
                known[name] = value
        elif kind is int or kind is bool:
            known[name] = value
        elif value is not None and (plain := _plain(value)) is not None and plain != "":
            known[name] = plain
    return known


def _plain(value: Any) -> Any:
    """Structs, numpy values and sequences as JSON knows them; None for a number that is not finite."""
    if value.__class__ in _AS_THEY_ARE:
        return value
    if isinstance(value, float):
        return float(value) if isfinite(value) else None  # float(): also for numpy's own subclass
    if isinstance(value, msgspec.Struct):
        return _fields(value, _names_of(value.__class__))
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [item if item.__class__ is float and isfinite(item) else _plain(item) for item in value]
    if hasattr(value, "tolist"):  # numpy's scalars and arrays, without its import
        return _plain(value.tolist())
    if isinstance(value, (str, int)):
        return value  # a subclass, such as an enumeration's member
    if isinstance(value, (set, frozenset)):
        return sorted(_plain(item) for item in value)
    raise TypeError(f"a payload can't hold a {type(value).__name__}: {value!r}")
