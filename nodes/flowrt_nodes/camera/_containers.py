"""Whether a video file was cut in the middle, from the bytes of its container.

The number of pictures that a container declares is a guess, so that fewer pictures alone are no sign of damage. What says for sure that
something is missing is an element that is longer than the rest of the file.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO, NamedTuple

MP4_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp"})
MATROSKA = b"\x1aE\xdf\xa3"
MATROSKA_SEGMENT, MATROSKA_CLUSTER = 0x18538067, 0x1F43B675
TS_SYNC, TS_PACKETS = 0x47, {188: 0, 192: 4}
"""Lengths of the packets of a transport stream, and at which of their bytes the sync byte is (in M2TS a time stamp comes first)."""
FLV_HEAD, FLV_TAG_HEAD, FLV_TAG_END = 9, 11, 4


def is_cut_off(path: Path) -> bool:
    """Whether a container says at its beginning that it is longer than the file is."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(12)
        if head[:4] == b"RIFF":
            declared = int.from_bytes(head[4:8], "little")
            return declared != 0xFFFFFFFF and declared + 8 > size
        if head[:4] == MATROSKA:
            segment = _segment(file)
            return segment is not None and segment.end is not None and segment.end > size
        return head[4:8] in MP4_BOXES and _ends_beyond_mp4(file, size)


def ends_amid_something(path: Path) -> bool:
    """Whether a container without a length of its own (FLV, MPEG-TS, Matroska as it is streamed) ends within one of its elements."""
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(3 * max(TS_PACKETS))
        if head[:3] == b"FLV":
            return _ends_amid_flv(file, size)
        if head[:4] == MATROSKA:
            segment = _segment(file)
            return segment is not None and segment.end is None and _ends_amid_matroska(file, segment.begin, size)
        for length, sync in TS_PACKETS.items():
            if len(head) > sync + 2 * length and all(head[sync + n * length] == TS_SYNC for n in range(3)):
                return size % length != 0
    return False


def _ends_beyond_mp4(file: BinaryIO, size: int) -> bool:
    """ISO 14496-12, 4.2: boxes one behind the other, each with its length; 0 is to the end of the file, 1 a length of 64 bits."""
    place = 0
    while place + 8 <= size:
        file.seek(place)
        head = file.read(16)
        length = int.from_bytes(head[:4], "big")
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length == 0:
            return False
        if length < 8:
            return True  # no box begins here: its content was overwritten
        place += length
    return place > size


def _ends_amid_flv(file: BinaryIO, size: int) -> bool:
    """Adobe Flash Video File Format 10.1, annex E: a header, then tags, each with its length in front, and its whole length behind."""
    place = FLV_HEAD + FLV_TAG_END
    while place < size:
        file.seek(place)
        head = file.read(FLV_TAG_HEAD)
        place += FLV_TAG_HEAD + int.from_bytes(head[1:4], "big") + FLV_TAG_END
    return place > size


class _Element(NamedTuple):
    """An element of Matroska (RFC 8794): an id and a length. end: None where the length is not known."""

    id: int
    begin: int
    end: int | None


def _element(file: BinaryIO, place: int) -> _Element | None:
    """The element whose head is at a place; None where there is none, or not all of its head."""
    file.seek(place)
    head = file.read(12)
    if not head or not head[0]:
        return None
    id_bytes = 9 - head[0].bit_length()
    if len(head) <= id_bytes or not head[id_bytes]:
        return None
    bytes_of_length = 9 - head[id_bytes].bit_length()
    if len(head) < id_bytes + bytes_of_length:
        return None
    unknown = (1 << 7 * bytes_of_length) - 1
    value = int.from_bytes(head[id_bytes : id_bytes + bytes_of_length], "big") & unknown
    begin = place + id_bytes + bytes_of_length
    return _Element(int.from_bytes(head[:id_bytes], "big"), begin, None if value == unknown else begin + value)


def _segment(file: BinaryIO) -> _Element | None:
    """The segment, which is behind the header."""
    place: int | None = 0
    for _ in range(8):
        element = _element(file, place) if place is not None else None
        if element is None or element.id == MATROSKA_SEGMENT:
            return element
        place = element.end
    return None


def _ends_amid_matroska(file: BinaryIO, place: int, size: int) -> bool:
    """From the beginning of a segment whose length is not known: its elements, and those of clusters of unknown length."""
    while place < size:
        element = _element(file, place)
        if element is None:
            return True  # half of a head
        if element.end is None and element.id not in (MATROSKA_CLUSTER, MATROSKA_SEGMENT):
            return False  # what may have no length is not known here
        place = element.begin if element.end is None else element.end
    return place > size
