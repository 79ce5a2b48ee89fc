"""Validation at run time: payloads held against their topic's schema, all of them, every n-th, or none.

A breach is never sent: the sink counts it and puts the payload with the dead letters.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from flowrt.contract.spec import TopicSpec

if TYPE_CHECKING:
    from jsonschema.protocols import Validator as SchemaValidator

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
        self._compiled: dict[str, SchemaValidator] = {}

    def check(self, spec: TopicSpec, payload: Any) -> list[Breach]:
        """Breaches found, at most ten; empty where the payload keeps to the schema or was not looked at."""
        if self.mode == "off":
            return []
        if self.mode == "sample":
            count = self._seen.setdefault(spec.topic, itertools.count())
            if next(count) % self.every_n:
                return []
        validator = self._compiled.get(spec.topic)
        if validator is None:
            validator = self._compiled[spec.topic] = compiled(spec.schema)
        errors = itertools.islice(validator.iter_errors(payload), _TOLD)
        return [
            Breach(
                schema_path=f"{spec.file}#/{'/'.join(map(str, error.absolute_schema_path))}",
                path=".".join(map(str, error.absolute_path)),
                message=_short(error.message),
            )
            for error in errors
        ]


def compiled(schema: dict[str, Any]) -> SchemaValidator:
    """A validator for a schema; jsonschema is imported when the first is made, since not every command needs it."""
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema)


def _short(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:120]} … {message[-60:]}"
