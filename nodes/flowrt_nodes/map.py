"""map: make a new record out of a message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from flowrt import CheckView, Context, Diagnostic, Message, Record, Transform, setting
from flowrt.services.topics import topic_problem
from flowrt_nodes._lib.expression import Expression, diagnostics
from flowrt_nodes._lib.payload import plain

SAMPLE: dict[str, Any] = {"message": {}, "time": 0.0, "camera": "", "site": ""}


class Map(Transform):
    """Make a record with fields computed by CEL expressions from a message.

    Each field is an expression over `message` (its fields; a record's are below `message.data`), `time` (UTC seconds), `camera`
    and `site`:
    `fields: {kmh: message.object.speed_kmh, fast: message.object.speed_kmh > 80.0}`. A message that lacks what the expressions
    read gives no record; `has(message.x)` says whether a field is there.
    Comprehensions (`message.data.items.exists(i, i.id == 3)`) may not stand within each other; docs/security.md has the bounds.
    """

    fields: Annotated[dict[str, str], setting("Field name to CEL expression.", min_length=1)]
    topic: Annotated[str, setting("Topic of the record; empty for none.")] = ""

    lazy: ClassVar[frozenset[str]] = frozenset({"cel"})
    example: ClassVar[str] = """\
short: {type: map, from: speeding, topic: fines, fields: {track: message.object.track_id, kmh: message.evidence.median_kmh}}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        if self.topic and (problem := topic_problem(self.topic)) is not None:
            yield Diagnostic(("topic",), *problem)
        for name, text in self.fields.items():
            yield from diagnostics(("fields", name), text, SAMPLE, open_values=("message",))

    def open(self, context: Context) -> None:
        self._compile()
        self._failed = 0

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._compile()

    def process(self, message: Message) -> Record | None:
        values = {
            "message": plain(message),
            "time": message.time_s,
            "camera": message.camera_id,
            "site": self.context.site,
        }
        try:
            data = {name: expression(values) for name, expression in self._expressions.items()}
        except KeyError:
            self._failed += 1
            return None
        return Record(time_s=message.time_s, camera_id=message.camera_id, data=data, topic=self.topic)

    def status(self) -> dict[str, Any]:
        return {"lacking_fields": self._failed}

    def _compile(self) -> None:
        self._expressions = {name: Expression(text) for name, text in self.fields.items()}
