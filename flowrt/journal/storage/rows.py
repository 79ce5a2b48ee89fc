"""What lies in a journal: limits, what can be written at all, and how a record becomes a row and back.

Every row of `records` and `dead_letters` carries a CRC-32 over what is delivered, since SQLite does not notice a flipped
byte inside a text or a blob.
"""

from __future__ import annotations

import os
import re
import sqlite3
import zlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, Final

import msgspec

from flowrt.sink import LARGEST_BODY_BYTES, PRIORITIES, OutboxRecord, Priority

RANK: Final[Mapping[str, int]] = {name: i for i, name in enumerate(PRIORITIES)}
"""A priority is stored as its index; the lowest goes first when the journal is full."""

DAY_S: Final = 86_400.0
ROW_OVERHEAD_BYTES: Final = 96
"""Id, times and index entries of one row, roughly; counted so that many small records reach the size limit too."""

RECORD_COLUMNS: Final = "number, outbox, priority, queued_s, time_s, id, address, headers, body, crc"

READ_COLUMNS: Final = RECORD_COLUMNS.replace(" id, address", " CAST(id AS BLOB), CAST(address AS BLOB)")
"""For reading records: bytes are checked by CRC before they are taken for text."""

_AT_ONCE: Final = (64, 8, 1)
"""Rows of one statement: few sizes, so that statements stay prepared; no more than 999 values, which old versions of SQLite take."""

_LONGEST_ID = 1000
_LONGEST_ADDRESS_BYTES = 65_535
"""What an MQTT topic may have."""
_LONGEST_HEADERS_BYTES = 65_536
STAND_IN_BYTES: Final = 10_000
STAND_IN_HEADERS: Final = b'{"stand_in":true}'
"""Of a dead letter that is only what can be shown of a message: it is nothing to send again."""
LAST_TIME_S: Final = 253_402_300_800.0
"""The end of the year 9999, behind which a time can't be written as a date."""

RecordRow = tuple[int, int, int, float, float, str, str, bytes, bytes, int]
ReadRow = tuple[int, int, int, float, float, bytes, bytes, bytes, bytes, int]


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """One event for `flowrt events`. A later row with the same id replaces the payload (phases of one event).

    time_s: capture time; the earliest is kept. payload: JSON.
    """

    id: str
    time_s: float
    type: str
    node: str
    payload: bytes


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds of a journal. Records beyond a bound are dropped, the lowest priority and then the oldest first, and counted.

    size_mb: all records that wait. *_age_s: how long a record of that priority may wait.
    buffer_records, buffer_mb: what may wait in memory for its commit; beyond that, `append` blocks.
    """

    size_mb: float = 1024.0
    telemetry_age_s: float = 1 * DAY_S
    state_age_s: float = 7 * DAY_S
    event_age_s: float = 30 * DAY_S
    critical_age_s: float = 365 * DAY_S
    dead_letters_mb: float = 64.0
    events_mb: float = 256.0
    events_age_s: float = 365 * DAY_S
    buffer_records: int = 20_000
    buffer_mb: float = 64.0

    def age_s(self, priority: Priority) -> float:
        """The longest wait of a record of that priority."""
        return float(getattr(self, f"{priority}_age_s"))


def size_of(record: OutboxRecord) -> int:
    """Bytes that a record counts for against the limits, without its headers."""
    return len(record.body) + len(record.address) + ROW_OVERHEAD_BYTES


def defect_of(record: object) -> str:
    """Why a record can't be written, whatever a node made of it; empty where it can."""
    if not isinstance(record, OutboxRecord):
        return f"it is no outbox record, but {_shown(record)}"
    for name, text in (("id", record.id), ("address", record.address)):
        if type(text) is not str:
            return f"its {name} is {_shown(text)}, and not text"
        if not text.isascii() and not _is_unicode(text):
            return f"its {name} has characters that are none: {_shown(text)}"
    if len(record.id) > _LONGEST_ID:
        return f"its id has {len(record.id)} characters, more than {_LONGEST_ID}"
    if len(record.address) > _LONGEST_ADDRESS_BYTES // 4 and len(record.address.encode()) > _LONGEST_ADDRESS_BYTES:
        return f"its address has {len(record.address)} characters: more than {_LONGEST_ADDRESS_BYTES} bytes"
    if defect := _defect_of_time(record.time_s):
        return defect
    if type(record.body) is not bytes:
        return f"its body is {_shown(record.body)}, and not bytes"
    if len(record.body) > LARGEST_BODY_BYTES:
        return f"its body has {len(record.body)} bytes, more than {LARGEST_BODY_BYTES}"
    if type(record.priority) is not str or record.priority not in RANK:
        return f"its priority is {_shown(record.priority)}, and none of {', '.join(PRIORITIES)}"
    if record.headers:
        try:
            if (size := len(_encode(record.headers))) > _LONGEST_HEADERS_BYTES:
                return f"its headers have {size} bytes, more than {_LONGEST_HEADERS_BYTES}"
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            return f"its headers can't be written: {error}"
    return "" if type(record.headers) is dict else f"its headers are {_shown(record.headers)}, and not a dict"


def defect_of_event(event: object) -> str:
    """Why an event can't be written; empty where it can."""
    if not isinstance(event, EventRow):
        return f"it is no event, but {_shown(event)}"
    for name, text in (("id", event.id), ("type", event.type), ("node", event.node)):
        if type(text) is not str or not _is_unicode(text):
            return f"its {name} is {_shown(text)}, and not text"
    if type(event.payload) is not bytes:
        return f"its payload is {_shown(event.payload)}, and not bytes"
    if len(event.payload) > LARGEST_BODY_BYTES or len(event.id) > _LONGEST_ID:
        return f"its payload has {len(event.payload)} bytes and its id {len(event.id)}, more than {LARGEST_BODY_BYTES} and {_LONGEST_ID}"
    return _defect_of_time(event.time_s)


def _defect_of_time(time_s: object) -> str:
    if type(time_s) not in (float, int) or not -LAST_TIME_S < time_s < LAST_TIME_S:  # type: ignore[operator]  # a number by then
        return f"its time_s is {_shown(time_s)}, and not seconds since the epoch"
    return ""


def stand_in(record: object) -> OutboxRecord:
    """What is written of a record that can't be: enough to see in the dead letters what it was."""
    if not isinstance(record, OutboxRecord):
        return OutboxRecord(id="", time_s=0.0, address="", body=_shown(record).encode(), headers={"stand_in": True})
    return OutboxRecord(
        id=record.id
        if type(record.id) is str and _is_unicode(record.id) and len(record.id) <= _LONGEST_ID
        else _shown(record.id),
        time_s=0.0 if _defect_of_time(record.time_s) else record.time_s,
        address=record.address
        if type(record.address) is str and _is_unicode(record.address) and len(record.address) <= _LONGEST_ID
        else _shown(record.address),
        body=record.body[:STAND_IN_BYTES] if type(record.body) is bytes else _shown(record.body).encode(),
        priority=record.priority if record.priority in PRIORITIES else "event",
        headers={"stand_in": True},
    )


def clean_text(text: object, most: int = 2000) -> str:
    """A text of any origin, as the file takes it: cut, and without what is no character."""
    return str(text)[:most].encode("utf-8", "replace").decode()


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except Exception as error:  # a value of anyone's making; an integer of too many digits
        text = f"({type(error).__name__} when shown)"
    return clean_text(f"{text[:200]} ({type(value).__name__})")


SIZE_SQL: Final = f"length(body) + length(address) + {ROW_OVERHEAD_BYTES}"

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def row_of(record: OutboxRecord, outbox: int, queued_s: float) -> RecordRow:
    """The row of a record that has its number."""
    headers = _encode(record.headers) if record.headers else b"{}"
    crc = _crc(record.id.encode(), record.address.encode(), headers, record.body)
    rank = RANK[record.priority]
    return (record.number, outbox, rank, queued_s, record.time_s, record.id, record.address, headers, record.body, crc)


def record_of(row: ReadRow, attempts: int) -> OutboxRecord | None:
    """The record of a row; None where the row's content is damaged."""
    number, _, rank, _, time_s, name, address, headers, body, crc = row
    try:
        if _crc(name, address, headers, body) != crc:
            return None
        return OutboxRecord(
            id=name.decode(),
            time_s=time_s,
            address=address.decode(),
            body=body,
            priority=PRIORITIES[rank],
            headers=_decode(headers) if headers != b"{}" else {},
            number=number,
            attempts=attempts,
        )
    except (TypeError, ValueError, IndexError, AttributeError):
        return None  # a column holds something of another type: damaged all the same


def _crc(name: bytes, address: bytes, headers: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(b"\0".join((name, address, headers))))


def runs_of(numbers: Iterable[int]) -> list[tuple[int, int]]:
    """Numbers as (first, last) of each run without gaps, ascending."""
    ordered = sorted(numbers)
    if ordered and ordered[-1] - ordered[0] < len(ordered) == len(set(ordered)):
        return [(ordered[0], ordered[-1])]
    runs: list[tuple[int, int]] = []
    first = last = None
    for number in ordered:
        if first is None or last is None:
            first = last = number
        elif number <= last + 1:
            last = number
        else:
            runs.append((first, last))
            first = last = number
    if first is not None and last is not None:
        runs.append((first, last))
    return runs


def insert_rows(link: sqlite3.Connection, into: str, rows: Sequence[tuple[Any, ...]], then: str = "") -> None:
    """Insert rows, as many as possible with one statement. into: table and columns. then: what follows the values.

    Around each statement sqlite3 lets go of the interpreter, which a thread that computes gives back only at the end of its turn.
    Row by row, a busy flow's journal would spend more time waiting for turns than writing.
    """
    row = f"({','.join('?' * (into.count(',') + 1))})"
    begin = 0
    for size in _AT_ONCE:
        end = begin + (len(rows) - begin) // size * size
        if end > begin:
            sql = f"INSERT INTO {into} VALUES {','.join([row] * size)} {then}"
            link.executemany(sql, (list(chain.from_iterable(rows[i : i + size])) for i in range(begin, end, size)))
        begin = end


def data_folder() -> Path:
    """Where journals, snapshots and the model cache live: `$FLOWRT_DATA`, or `.flowrt/` below the current folder."""
    return Path(os.environ.get("FLOWRT_DATA") or ".flowrt").absolute()


def journal_path(flow: str, data: Path | None = None) -> Path:
    """The journal of the flow of that name, in `data` or `data_folder()`."""
    plain = re.sub(r"[^\w.-]", "_", flow).lstrip(".") or "flow"
    return (data or data_folder()) / f"{plain}.journal"


def connect(path: Path | None, *, read_only: bool = False) -> sqlite3.Connection:
    """A connection in autocommit mode; text that is no UTF-8 comes out marked instead of raising."""
    if path is None:
        link = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    else:
        mode = "?mode=ro" if read_only else ""
        uri = f"{path.absolute().as_uri()}{mode}"
        link = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=5.0)
    link.text_factory = lambda raw: raw.decode("utf-8", "replace")
    return link
