"""Messages that no sink can encode: what is wrong with them and where, and what can be shown of them within bounds."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import Any

import msgspec

from flowrt.contract.payload import payload_of
from flowrt.message import Message
from flowrt.sink import LARGEST_BODY_BYTES
from flowrt.system.threads import from_keyboard, text_of

DEEPEST = 100
"""Values nested deeper than this are not sent."""
SHOWN_BYTES = 4000
_ITEMS = 10_000
"""So many items of one value are looked at; of a longer one the encoder has the last word."""


def defect_of(message: Message) -> str:
    """Why no payload can be made of a message, with the place; empty where one can."""
    try:
        size = len(msgspec.json.encode(payload_of(message, "")))
    except BaseException as error:  # values of anyone's making, which may raise anything where they are looked at
        if from_keyboard(error):
            raise
        found = next(_defects(message, "", (), 0), "")
        return found or f"{type(error).__name__}: {text_of(error, 200)}"
    if size > LARGEST_BODY_BYTES:
        return f"its payload has {size} bytes, more than {LARGEST_BODY_BYTES}"
    return next(_wrong_basics(message), "") or _wrong_type(message)


def _wrong_type(message: Message) -> str:
    """A field that holds another type than its class says, which nothing checks when a node makes a message."""
    try:
        msgspec.json.decode(msgspec.json.encode(message), type=type(message))
    except msgspec.ValidationError as error:
        return "" if "null" in str(error) else _cut(str(error), 200)  # a number that is not finite reads null
    except Exception:  # columns, which JSON does not know
        return ""
    return ""


def is_time(time_s: object) -> bool:
    """Whether this may be a `time_s`."""
    return isinstance(time_s, (int, float)) and not isinstance(time_s, bool) and isfinite(time_s)


def _wrong_basics(message: Message) -> Iterator[str]:
    """Fields that every message, or event, has and that are nothing they may be."""
    time_s: object = message.time_s
    if not is_time(time_s):
        yield f"time_s is {_shown(time_s)}, and no seconds since the epoch"
    for name in ("camera_id", "id"):
        text = getattr(message, name, "")
        if not isinstance(text, str):
            yield f"{name} is {_shown(text)}, and no text"


def _defects(value: Any, place: str, above: tuple[int, ...], depth: int) -> Iterator[str]:
    """What JSON has no form for, the first one first."""
    here = place or "the message"
    if isinstance(value, str):
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            yield f"{here} has half of a character (\\u{ord(value[error.start]):04x}) at {error.start}: {_shown(value)}"
    elif isinstance(value, (bytes, bytearray, memoryview)):
        yield f"{here} is {type(value).__name__}: {_shown(value)}"
    elif isinstance(value, Message) and not place:
        yield from _wrong_basics(value)
        yield from _of_items(msgspec.structs.asdict(value), "", above, depth)
    elif id(value) in above:
        yield f"{here} contains itself"
    elif depth > DEEPEST:
        yield f"{here} is nested more than {DEEPEST} deep"
    elif isinstance(value, msgspec.Struct):
        yield from _of_items(msgspec.structs.asdict(value), place, (*above, id(value)), depth)
    elif isinstance(value, Mapping):
        yield from _of_items(value, place, (*above, id(value)), depth)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(islice(value, _ITEMS)):
            yield from _defects(item, f"{place}[{number}]", (*above, id(value)), depth + 1)
        if isinstance(value, (set, frozenset)):
            yield f"{here} is a set whose values have no order: {_shown(value)}"
    elif not isinstance(value, (int, float, type(None))) and not hasattr(value, "tolist"):
        yield f"{here} is a {type(value).__name__}: {_shown(value)}"


def _of_items(items: Mapping[Any, Any], place: str, above: tuple[int, ...], depth: int) -> Iterator[str]:
    for name, item in islice(items.items(), _ITEMS):
        shown = _cut(name if isinstance(name, str) else _shown(name), 40)
        yield from _defects(name, f"the key {shown!r} of {place or 'the message'}", above, depth + 1)
        yield from _defects(item, f"{place}.{shown}" if place else shown, above, depth + 1)


def shown_message(message: Message) -> bytes:
    """A message as people may read it where it can't be encoded: cut, and printable."""
    fields = ", ".join(f"{name}={_shown(value)}" for name, value in msgspec.structs.asdict(message).items())
    return _cut(f"{type(message).__name__}({fields})", SHOWN_BYTES).encode()


class _Bounded(reprlib.Repr):
    """Short forms of values of anyone's making."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel, self.maxdict, self.maxlist, self.maxtuple, self.maxset = 4, 30, 10, 10, 10
        self.maxstring, self.maxother, self.maxlong = 200, 100, 40

    def repr1(self, x: Any, level: int) -> str:
        if isinstance(x, (bytes, bytearray)):
            return f"{bytes(x[:60])!r} ({len(x)} bytes)" if len(x) > 60 else repr(x)
        if isinstance(x, msgspec.Struct):
            return f"{type(x).__name__}{self.repr1(msgspec.structs.asdict(x), level)}"
        try:
            return super().repr1(x, level)
        except BaseException as error:  # a repr of anyone's making; an integer of too many digits
            if from_keyboard(error):
                raise
            return f"<{type(x).__name__}: {type(error).__name__} when shown>"


def _shown(value: Any) -> str:
    return _cut(_Bounded().repr(value), 300)


def _cut(text: str, most: int) -> str:
    """Without what is no character, and cut."""
    clean = text[: most + 1].encode("utf-8", "backslashreplace").decode()
    return clean if len(text) <= most else f"{clean[: most - 1]}…"
