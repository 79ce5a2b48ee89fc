"""InfluxDB line protocol, written for measurements whose tags and fields are known beforehand.

The output is byte for byte what the client's `Point` writes for the same values; tests hold it against that.

What makes it quick: the head (measurement and tags) of a series is built once and kept, and all numbers of a line are written by
one call of msgspec's JSON encoder. Both write the shortest decimal that reads back as the same number, and they agree on its form
from 1e-4 up to 1e16. Numbers outside (exponents, NaN) are written one field at a time, which is slower.

Source of the syntax: InfluxDB's line protocol reference.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, Literal

import msgspec

FieldType = Literal["float", "int", "string", "bool"]

_IN_MEASUREMENT = str.maketrans({",": r"\,", " ": r"\ ", "\n": r"\n", "\t": r"\t", "\r": r"\r"})
_IN_KEY = _IN_MEASUREMENT | str.maketrans({"=": r"\="})
_IN_STRING = str.maketrans({'"': r"\"", "\\": r"\\"})
_REMEMBERED = 10_000  # series heads and string values kept per measurement; more than that is a bug of the tags' choice
_REMEMBERED_PARTS = 64  # sets of fields without a value, likewise
_encode_numbers = msgspec.json.Encoder().encode


class LineEncoder:
    """Writes the lines of one measurement.

    `tags` and `fields` are the names in the order in which `line` wants their values (sorted, as servers like them).
    """

    def __init__(self, measurement: str, tags: Sequence[str], fields: Mapping[str, FieldType]) -> None:
        """fields: name to type. Raises ValueError where a tag and a field share a name."""
        both = set(tags) & set(fields)
        if both:
            raise ValueError(f"{measurement}: {', '.join(sorted(both))} can't be both a tag and a field")
        self.tags = tuple(sorted(tags))
        self.fields = tuple(sorted(fields))
        self._kinds = tuple(fields[name] for name in self.fields)
        self._measurement = measurement.translate(_IN_MEASUREMENT)
        self._tag_keys = tuple(name.translate(_IN_KEY) for name in self.tags)
        self._field_keys = tuple(name.translate(_IN_KEY) for name in self.fields)
        self._numeric = tuple(i for i, kind in enumerate(self._kinds) if kind in ("float", "int"))
        self._others = tuple(i for i, kind in enumerate(self._kinds) if kind not in ("float", "int"))
        self._template = self._make_template([True] * len(self.fields))
        self._heads: dict[tuple[str | None, ...], bytes] = {}
        self._texts: dict[str, bytes] = {}
        self._partial: dict[tuple[bool, ...], bytes] = {}  # templates, by which of the fields have a value

    def line(self, tags: tuple[str | None, ...], values: Sequence[Any], time_ns: int) -> bytes:
        """One line without its line end; empty where no field has a value.

        tags, values: in the order of `self.tags` and `self.fields`; None is left out, so are empty tags and non-finite numbers.
        float fields want float, int fields int, string fields str, bool fields bool. time_ns: nanoseconds since the epoch.
        """
        head = self._heads.get(tags)
        if head is None:
            head = self._remember_head(tags)
        numeric = [values[i] for i in self._numeric] if self._others else values
        numbers = _encode_numbers([*numeric, time_ns])
        if b"e" in numbers or b"0.0000" in numbers:  # an exponent, or nearly one
            return self._slow_line(head, values, time_ns)
        pieces = numbers[1:-1].replace(b".0,", b",").split(b",")
        nothing = numbers.count(b"null")  # None, or not finite
        for i in self._others:
            value = values[i]
            nothing += value is None
            pieces.insert(i, self._text(value) if value.__class__ is str else b"true" if value else b"false")
        if not nothing:
            return head + self._template % tuple(pieces)
        there = tuple([value is not None for value in values])
        if there.count(False) != nothing:
            return self._slow_line(head, values, time_ns)
        template = self._partial.get(there)
        if template is None:
            template = self._remember_template(there)
        return head + template % tuple(compress(pieces, (*there, True))) if template else b""

    def _remember_template(self, there: tuple[bool, ...]) -> bytes:
        if len(self._partial) >= _REMEMBERED_PARTS:
            self._partial.clear()
        self._partial[there] = template = self._make_template(there)
        return template

    def _make_template(self, there: Sequence[bool]) -> bytes:
        """What stands behind the head where these of the fields have a value; empty where none has."""
        form = {"float": b"%b", "int": b"%bi", "string": b'"%b"', "bool": b"%b"}
        keys = [key.encode().replace(b"%", b"%%") + b"=" for key in self._field_keys]
        fields = [key + form[kind] for key, kind in zip(keys, self._kinds, strict=True)]
        return b",".join(compress(fields, there)) + b" %b" if any(there) else b""

    def _remember_head(self, tags: tuple[str | None, ...]) -> bytes:
        pairs = [self._measurement]
        for key, value in zip(self._tag_keys, tags, strict=True):
            if value is not None and value != "":
                escaped = value.translate(_IN_KEY)
                # A backslash at the end would escape the separator behind it.
                pairs.append(f"{key}={escaped} " if escaped.endswith("\\") else f"{key}={escaped}")
        head = (",".join(pairs) + " ").encode()
        if len(self._heads) >= _REMEMBERED:
            self._heads.clear()
        self._heads[tags] = head
        return head

    def _text(self, value: str) -> bytes:
        text = self._texts.get(value)
        if text is None:
            text = value.translate(_IN_STRING).encode()
            if len(self._texts) >= _REMEMBERED:
                self._texts.clear()
            self._texts[value] = text
        return text

    def _slow_line(self, head: bytes, values: Sequence[Any], time_ns: int) -> bytes:
        parts = []
        for key, kind, value in zip(self._field_keys, self._kinds, values, strict=True):
            if value is None or (kind == "float" and not math.isfinite(value)):
                continue
            if kind == "float":
                parts.append(f"{key}={repr(value).removesuffix('.0')}")
            elif kind == "int":
                parts.append(f"{key}={value}i")
            elif kind == "bool":
                parts.append(f"{key}={'true' if value else 'false'}")
            else:
                parts.append(f'{key}="{value.translate(_IN_STRING)}"')
        return head + ",".join(parts).encode() + f" {time_ns}".encode() if parts else b""
