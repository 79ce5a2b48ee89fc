"""Validation at run time: payloads held against their topic's schema, all of them, every n-th, or none.

A breach is never sent: the sink counts it and puts the payload with the dead letters.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Literal

import msgspec

from flowrt.contract.spec import TopicSpec

Mode = Literal["all", "sample", "off"]
_TOLD = 10  # breaches reported of one payload; the first says enough


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which a payload breaks its schema. schema_path: file and place in it; path: place in the payload."""

    schema_path: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path or 'payload'}: {self.message} ({self.schema_path})"


class Validator:
    """Checks payloads by topic. `sample` looks at the first of each topic and then at every n-th; usable from any thread."""

    def __init__(self, mode: Mode = "all", every_n: int = 100) -> None:
        self.mode: Mode = mode
        self.every_n = max(every_n, 1)
        self._seen: dict[str, Iterator[int]] = {}
        self._is_valid: dict[str, Callable[[Any], bool]] = {}

    def check(self, spec: TopicSpec, payload: Any) -> list[Breach]:
        """Breaches found, at most ten; empty where the payload keeps to the schema or was not looked at."""
        if self.mode == "off":
            return []
        if self.mode == "sample":
            count = self._seen.setdefault(spec.topic, itertools.count())
            if next(count) % self.every_n:
                return []
        is_valid = self._is_valid.get(spec.topic)
        if is_valid is None:
            is_valid = self._is_valid[spec.topic] = _quick_check(spec.schema)
        return [] if is_valid(payload) else _breaches(spec, payload)


def _quick_check(schema: dict[str, Any]) -> Callable[[Any], bool]:
    """Whether a payload keeps to the schema, in microseconds. Imported when first needed, since not every command needs it."""
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(schema).is_valid


def _breaches(spec: TopicSpec, payload: Any) -> list[Breach]:
    """What is wrong, in the words of jsonschema, which takes a hundred times as long and is imported for the first breach."""
    from jsonschema import Draft202012Validator

    errors = itertools.islice(Draft202012Validator(spec.schema).iter_errors(payload), _TOLD)
    return [
        Breach(
            schema_path=f"{spec.file}#/{'/'.join(map(str, error.absolute_schema_path))}",
            path=".".join(map(str, error.absolute_path)),
            message=_short(error.message),
        )
        for error in errors
    ]


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:120]} … {message[-60:]}"
