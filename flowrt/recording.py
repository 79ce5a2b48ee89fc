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

import struct
import threading
import zlib
from collections.abc import Iterator
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import numpy as np

from flowrt import messages
from flowrt.messages import Detections, Frame, Message, Objects, Tracks
from flowrt.problem import FlowError, Problem

FORMAT, VERSION = "flowrt recording", 1
_FRAME = struct.Struct("<II")
_LONGEST = 64 << 20
"""A record that claims to be longer is a torn one."""

_COLUMNS: tuple[tuple[str, str, int], ...] = (
    ("boxes_px", "<f4", 4), ("confidence", "<f4", 0), ("class_id", "<u2", 0), ("track_id", "<u4", 0), ("age_s", "<f4", 0),
    ("velocity_px_s", "<f4", 2), ("ground_m", "<f4", 2), ("velocity_m_s", "<f4", 2), ("speed_kmh", "<f4", 0),
    ("speed_sigma_kmh", "<f4", 0), ("heading_deg", "<f4", 0), ("in_zone", "|b1", -1), ("zone_since_s", "<f8", -1),
    ("footprints_px", "<f4", 6), ("length_m", "<f4", 0), ("length_sigma_m", "<f4", 0),
)  # fmt: skip
"""Name, type in the file, and width of each column: 0 for one number a row, -1 for one a zone. Recordings of before the last ones
were known end without them."""
_WIDER = {"class_id": np.int64, "track_id": np.int64}
_DETECTED = tuple(column for column in _COLUMNS if column[0] in Detections.__struct_fields__)
_OPTIONAL = "footprints_px"  # None in the file is None


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What a recording is of. nodes: name to type of the recorded nodes; picture_px: size of each scene's pictures."""

    flow: str
    site: str
    nodes: dict[str, str]
    picture_px: dict[str, tuple[int, int]] = {}
    format: str = FORMAT
    version: int = VERSION


class _Common(msgspec.Struct, frozen=True, array_like=True, tag=0):
    """What the objects of many pictures have in common."""

    number: int
    node: str
    tracks: bool
    camera_id: str
    labels: tuple[str, ...]
    picture_px: tuple[int, int]
    model: str
    zones: tuple[str, ...]


class _Picture(msgspec.Struct, frozen=True, array_like=True, tag=1):
    """The objects of one picture; None for a column that is NaN throughout."""

    common: int
    time_s: float
    frame_number: int
    processing_time_ms: float
    columns: tuple[bytes | None, ...]


class _Other(msgspec.Struct, frozen=True, array_like=True, tag=2):
    """Any other message, by its port."""

    node: str
    port: str
    fields: dict[str, Any]


class _Cause(msgspec.Struct, frozen=True, array_like=True, tag=3):
    """Messages that follow were made of the message with this number, from 1; 0: as the flow ended."""

    number: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Common | _Picture | _Other | _Cause)
_KINDS = {
    kind.port: kind
    for kind in vars(messages).values()
    if isinstance(kind, type) and issubclass(kind, Message) and not issubclass(kind, Objects | Frame)
}


def readable(message: Message) -> bool:
    """Whether a recording gives this message back as it was; of a type that is not flowrt's own it does not."""
    return type(message) in (Tracks, Detections) or _KINDS.get(message.port) is type(message)


class Writer:
    """Adds messages to a recording; safe to call from several threads."""

    def __init__(self, path: Path, header: Header) -> None:
        """Begin a file, or go on with one of the same nodes. Raises FlowError for another file, OSError from the disk."""
        self.messages = 0
        self._lock = threading.Lock()
        self._common: dict[tuple[Any, ...], int] = {}
        self._file: BinaryIO
        if path.exists() and path.stat().st_size:
            recording = Recording(path)
            if (recording.header.flow, recording.header.nodes) != (header.flow, header.nodes):
                what = f"'{recording.header.flow}' ({', '.join(recording.header.nodes)})"
                raise _problem(path, f"this recording is of {what}", "give --out another file, or remove this one")
            end = recording.end()
            self._file = path.open("r+b")
            self._file.truncate(end)
            self._file.seek(end)
        else:
            self._file = path.open("wb")
            self._put(header)

    def write(self, node: str, message: Message) -> None:
        """Add what a node made."""
        with self._lock:
            if isinstance(message, Objects):
                self._put(self._picture(node, message))
            else:
                fields = {name: getattr(message, name) for name in message.__struct_fields__}
                self._put(_Other(node, message.port, fields))
            self.messages += 1

    def cause(self, number: int) -> None:
        """What is written from now on was made of the node's message of this number; see `Recording.by_cause`."""
        with self._lock:
            self._put(_Cause(number))

    def close(self) -> None:
        """Bring everything to the disk."""
        with self._lock:
            self._file.close()

    def _picture(self, node: str, seen: Objects) -> _Picture:
        tracks = isinstance(seen, Tracks)
        zones: tuple[str, ...] = getattr(seen, "zones", ())
        facts = (node, tracks, seen.camera_id, seen.labels, seen.picture_px, getattr(seen, "model", ""), zones)
        number = self._common.get(facts)
        if number is None:
            number = self._common[facts] = len(self._common)
            self._put(_Common(number, *facts))
        names = _COLUMNS if tracks else _DETECTED
        columns = tuple(_stored(getattr(seen, name), kind) for name, kind, _ in names)
        return _Picture(number, seen.time_s, seen.frame_number, seen.processing_time_ms, columns)

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
            raise _problem(path, f"can't be read: {error.strerror}", "record one with `flowrt record`") from error
        try:
            facts = msgspec.msgpack.decode(body or b"\xc0")
            if not isinstance(facts, dict) or facts.get("format") != FORMAT:
                raise msgspec.ValidationError
            if facts.get("version") != VERSION:
                hint = f"this flowrt reads version {VERSION}; record it again"
                raise _problem(path, f"this recording is of version {facts.get('version')}", hint)
            self.header = msgspec.convert(facts, Header)
        except msgspec.MsgspecError as error:
            raise _problem(path, "this file is no recording", "record one with `flowrt record`") from error

    def __iter__(self) -> Iterator[tuple[str, Message]]:
        """(node, message) in the order in which they travelled."""
        for _, node, message in self._read():
            yield node, message

    def by_cause(self) -> Iterator[tuple[int, list[Message]]]:
        """What one node made: the number of the message that it made it of, and all that it made of it."""
        for cause, group in groupby(self._read(), key=lambda read: read[0]):
            yield cause, [message for _, _, message in group]

    def _read(self) -> Iterator[tuple[int, str, Message]]:
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
                elif isinstance(record, _Picture):
                    facts = common[record.common]
                    yield cause, facts.node, _objects(facts, record)
                elif kind := _KINDS.get(record.port):
                    yield cause, record.node, msgspec.convert(record.fields, kind)

    def end(self) -> int:
        """Where the last whole record ends, in bytes."""
        with self.path.open("rb") as file:
            end = 0
            for _ in self._bodies(file):
                end = file.tell()
            return end

    def _bodies(self, file: BinaryIO) -> Iterator[bytes]:
        """Every whole record."""
        while head := file.read(_FRAME.size):
            length, check = _FRAME.unpack(head) if len(head) == _FRAME.size else (_LONGEST + 1, 0)
            body = file.read(length) if length <= _LONGEST else b""
            if length > _LONGEST or len(body) < length or zlib.crc32(body) != check:
                self.torn = True
                return
            yield body


def _stored(column: Any, kind: str) -> bytes | None:
    if column is None:
        return None
    array = np.ascontiguousarray(column)
    if array.dtype.kind == "f" and len(array) and np.isnan(array).all():
        return None
    return array.astype(kind, copy=False).tobytes()


def _objects(common: _Common, record: _Picture) -> Objects:
    count = len(record.columns[0] or b"") // 16
    columns: dict[str, Any] = {}
    for (name, kind, width), stored in zip_longest(_COLUMNS if common.tracks else _DETECTED, record.columns):
        if stored is None and name == _OPTIONAL:
            continue
        each = len(common.zones) if width < 0 else width
        shape = (count, each) if width else (count,)
        if stored is None:
            columns[name] = np.full(shape, np.nan, kind)
        else:
            column = np.frombuffer(stored, kind).reshape(shape)
            columns[name] = column.astype(_WIDER[name]) if name in _WIDER else column
    shared: dict[str, Any] = {
        "time_s": record.time_s, "camera_id": common.camera_id, "labels": common.labels, "picture_px": common.picture_px,
        "frame_number": record.frame_number, "processing_time_ms": record.processing_time_ms, "model": common.model,
    }  # fmt: skip
    if common.tracks:
        return Tracks(**shared, **columns, zones=common.zones)
    return Detections(**shared, **columns)


def _problem(path: Path, message: str, hint: str) -> FlowError:
    return FlowError([Problem(file=str(path), line=0, column=0, path="", message=message, hint=hint)])
