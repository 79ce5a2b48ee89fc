"""Recordings: messages of a run in one compact file, without pictures, to be run through rules again.

The file is a row of records: length (u32) and CRC-32 (u32), little endian, then a MessagePack body. The first is the header;
the others are messages in the order in which they travelled, and contexts, which say once what many messages have in common
(node, camera, class names, picture size). Columns are stored as they lie in memory, so that what is read equals what was written.

Invariants
- A recording may be added to later; a file whose end is torn (a crash, a full disk) is read up to the tear, and mended there
  when it is added to.
- A context's number holds until it is given again, as each run that adds to a file does.
"""

from __future__ import annotations

import functools
import struct
import threading
import zlib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, get_args

import msgspec
import numpy as np

from flowrt.catalog import LOCAL
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.message import Array, Column, Message

FORMAT, VERSION = "flowrt recording", 2
_FRAME = struct.Struct("<II")
_LONGEST = 64 << 20
"""A record that claims to be longer is a torn one."""


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording is of. nodes: name to type of the recorded nodes."""

    flow: str
    site: str
    nodes: dict[str, str]
    format: str = FORMAT
    version: int = VERSION


class _Common(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """What many messages of columns have in common: node, type by its port, which columns it has, and the fields that rarely change.

    changing, steady: names of the fields of its messages and of its own; None in recordings of before types got new fields.
    """

    number: int
    node: str
    port: str
    columns: tuple[str, ...]
    fields: tuple[Any, ...]
    changing: tuple[str, ...] | None = None
    steady: tuple[str, ...] | None = None


class _Columns(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """One message of columns; None for a column that is NaN throughout. fields: those that change with each message."""

    common: int
    fields: tuple[Any, ...]
    columns: tuple[bytes | None, ...]


class _Plain(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Any other message, by its port."""

    node: str
    port: str
    fields: dict[str, Any]


class _Cause(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Messages that follow were made of the message with this number, from 1; 0: as the flow ended."""

    number: int


class _Layout(NamedTuple):
    """The fields of a message type that are no columns. changing: numbers, new in each message; steady: the others."""

    changing: tuple[str, ...]
    steady: tuple[str, ...]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Common | _Columns | _Plain | _Cause)


def recorded_types() -> dict[str, type[Message]]:
    """The message types that a recording gives back as they were, by port: flowrt's own, and those of installed packages.

    Those of a `nodes/` folder change with each edit of it. Of two types with one port, flowrt's own has it.
    """
    types: dict[str, type[Message]] = {}
    waiting: list[type[Message]] = [Message]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        if LOCAL in kind.__module__ or kind.replaceable or not (kind.columns or kind.payload_type is None):
            continue
        if kind.__module__.startswith("flowrt.") or kind.port not in types:
            types[kind.port] = kind
    return types


@functools.cache
def _layout(kind: type[Message]) -> _Layout:
    fields = [
        field
        for field in msgspec.structs.fields(kind)
        if field.name not in kind.transient and Array not in (field.type, *get_args(field.type))
    ]
    changing = tuple(field.name for field in fields if field.type in (float, int))
    return _Layout(changing, tuple(field.name for field in fields if field.name not in changing))


class Writer:
    """Adds messages to a recording; safe to call from several threads."""

    def __init__(self, path: Path, header: Header) -> None:
        """Begin a file, or go on with one of the same nodes. Raises FlowError for another file, OSError from the disk."""
        self.messages = 0
        self._types = recorded_types()
        self._lock = threading.Lock()
        self._common: dict[tuple[Any, ...], int] = {}
        self._file: BinaryIO
        if path.exists() and path.stat().st_size:
            recording = Recording(path)
            if (recording.header.flow, recording.header.nodes) != (header.flow, header.nodes):
                what = f"'{recording.header.flow}' ({', '.join(recording.header.nodes)})"
                raise _diagnostic(path, f"this recording is of {what}", "give --out another file, or remove this one")
            end = recording.end()
            self._file = path.open("r+b")
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._file = path.open("wb")
            self._put(header)

    def keeps(self, message: Message) -> bool:
        """Whether a recording gives this message back as it was."""
        return self._types.get(message.port) is type(message)

    def write(self, node: str, message: Message) -> None:
        """Add what a node made."""
        with self._lock:
            if message.columns:
                self._put(self._columns(node, message))
            else:
                fields = {name: getattr(message, name) for name in message.__struct_fields__}
                self._put(_Plain(node, message.port, fields))
            self.messages += 1

    def cause(self, number: int) -> None:
        """What is written from now on was made of the node's message of this number; see `Recording.by_cause`."""
        with self._lock:
            self._put(_Cause(number))

    def close(self) -> None:
        """Bring everything to the disk."""
        with self._lock:
            self._file.close()

    def _columns(self, node: str, message: Message) -> _Columns:
        layout = _layout(type(message))
        names = tuple(column.name for column in message.columns)
        steady = (node, message.port, names, tuple(getattr(message, name) for name in layout.steady))
        number = self._common.get(steady)
        if number is None:
            number = self._common[steady] = len(self._common)
            self._put(_Common(number, *steady, *layout))
        changing = tuple(getattr(message, name) for name in layout.changing)
        columns = tuple(_stored(getattr(message, column.name), column) for column in message.columns)
        return _Columns(number, changing, columns)

    def _put(self, record: msgspec.Struct) -> None:
        body = _encoder.encode(record)
        self._file.write(_FRAME.pack(len(body), zlib.crc32(body)) + body)


class Recording:
    """A recording to be read. `torn` tells, once everything was read, whether its end is damaged."""

    def __init__(self, path: Path) -> None:
        """Raises FlowError where the file is no recording that this version can read."""
        self.path = path
        self.torn = False
        try:
            with path.open("rb") as file:
                body = next(self._bodies(file), None)
        except OSError as error:
            raise _diagnostic(path, f"can't be read: {error.strerror}", "record one with `flowrt record`") from error
        try:
            facts = msgspec.msgpack.decode(body or b"\xc0")
            if not isinstance(facts, dict) or facts.get("format") != FORMAT:
                raise msgspec.ValidationError
            if facts.get("version") != VERSION:
                hint = f"this flowrt reads version {VERSION}; record it again"
                raise _diagnostic(path, f"this recording is of version {facts.get('version')}", hint)
            self.header = msgspec.convert(facts, Header)
        except msgspec.MsgspecError as error:
            raise _diagnostic(path, "this file is no recording", "record one with `flowrt record`") from error

    def __iter__(self) -> Iterator[tuple[str, Message]]:
        """(node, message) in the order in which they travelled."""
        for _, node, message in self._read():
            yield node, message

    def by_cause(self) -> Iterator[tuple[int, list[Message]]]:
        """What one node made: the number of the message that it made it of, and all that it made of it."""
        for cause, group in groupby(self._read(), key=lambda read: read[0]):
            yield cause, [message for _, _, message in group]

    def _read(self) -> Iterator[tuple[int, str, Message]]:
        types = recorded_types()
        common: dict[int, _Common] = {}
        cause = 0
        with self.path.open("rb") as file:
            bodies = self._bodies(file)
            next(bodies, None)
            for body in bodies:
                record = _decoder.decode(body)
                if isinstance(record, _Common):
                    common[record.number] = record
                elif isinstance(record, _Cause):
                    cause = record.number
                elif isinstance(record, _Columns):
                    steady = common[record.common]
                    kind = self._type(steady.port, types)
                    layout = _layout_of(kind, steady)
                    if (len(layout.changing), len(layout.steady)) != (len(record.fields), len(steady.fields)):
                        what = f"its '{steady.port}' messages have other fields than those of this flowrt"
                        raise _diagnostic(self.path, what, "record it again")
                    yield cause, steady.node, _message(kind, layout, steady, record)
                else:
                    yield cause, record.node, msgspec.convert(record.fields, self._type(record.port, types))

    def _type(self, port: str, types: dict[str, type[Message]]) -> type[Message]:
        if port not in types:
            hint = "install the package whose message type it is, and give a flow that uses it"
            raise _diagnostic(self.path, f"the recording holds '{port}' messages, a type that is not known here", hint)
        return types[port]

    def end(self) -> int:
        """Where the last complete record ends, in bytes."""
        with self.path.open("rb") as file:
            end = 0
            for _ in self._bodies(file):
                end = file.tell()
            return end

    def _bodies(self, file: BinaryIO) -> Iterator[bytes]:
        """Every complete record."""
        while head := file.read(_FRAME.size):
            length, check = _FRAME.unpack(head) if len(head) == _FRAME.size else (_LONGEST + 1, 0)
            body = file.read(length) if length <= _LONGEST else b""
            if length > _LONGEST or len(body) < length or zlib.crc32(body) != check:
                self.torn = True
                return
            yield body


def _stored(values: Any, column: Column) -> bytes | None:
    if values is None:
        return None
    array = np.ascontiguousarray(values)
    if array.dtype.kind == "f" and len(array) and np.isnan(array).all():
        return None
    return array.astype(column.dtype, copy=False).tobytes()


def _layout_of(kind: type[Message], common: _Common) -> _Layout:
    """The layout that the messages were written with."""
    if common.changing is None or common.steady is None:
        return _layout(kind)
    return _Layout(common.changing, common.steady)


def _message(kind: type[Message], layout: _Layout, steady: _Common, record: _Columns) -> Message:
    fields: dict[str, Any] = dict(zip(layout.steady, steady.fields, strict=True))
    fields |= zip(layout.changing, record.fields, strict=True)
    given = dict(zip(steady.columns, record.columns, strict=True))
    wide = len(fields[kind.wide_as]) if kind.wide_as else 0
    first = kind.columns[0]  # never NaN throughout: it tells how many rows there are
    count = len(given[first.name] or b"") // (np.dtype(first.dtype).itemsize * max(first.width, 1))
    columns: dict[str, Any] = {}
    for column in kind.columns:
        stored = given.get(column.name)  # a recording of before a column was known has none
        if stored is None and column.optional:
            continue
        each = wide if column.width < 0 else column.width
        shape = (count, each) if column.width else (count,)
        if stored is None:
            columns[column.name] = np.full(shape, np.nan, column.dtype)
        else:
            values = np.frombuffer(stored, column.dtype).reshape(shape)
            columns[column.name] = values.astype(column.wider) if column.wider else values
    known = {name: value for name, value in fields.items() if name in kind.__struct_fields__}
    return kind(**_tuples(known), **columns)


def _tuples(fields: dict[str, Any]) -> dict[str, Any]:
    """MessagePack knows only lists; fields that rarely change are hashable, so their lists were tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}


def _diagnostic(path: Path, message: str, hint: str) -> FlowError:
    return FlowError([Diagnostic(file=str(path), line=0, column=0, path="", message=message, hint=hint)])
