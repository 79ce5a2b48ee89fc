"""filter: pass on what an expression is true for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import numpy as np

from flowrt import CheckView, Context, Diagnostic, M, Tracks, Transform, setting
from flowrt_nodes._lib.expression import Expression, diagnostics
from flowrt_nodes._lib.objects import SAMPLE, ObjectVariables
from flowrt_nodes._lib.payload import plain

MESSAGE = {"message": {"type": "", "time": "", "time_s": 0.0, "camera_id": ""}}


class Filter(Transform):
    """Pass on the messages, or the tracked objects, for which a CEL expression is true.

    An expression over `message` (its fields: `message.severity == "high"`; a record's are below `message.data`) decides on whole
    messages. One over `track`, `zone`, `zones` or `dwell_s` decides on each object of Tracks, which go on with the objects that
    passed; other messages have no objects and are passed on whole. A message that lacks a field which the expression reads does
    not pass.
    Comprehensions (`message.data.items.exists(i, i.id == 3)`) may not stand within each other; docs/security.md has the bounds.
    """

    when: Annotated[
        str, setting("CEL: true for what passes.", min_length=1, examples=['message.severity in ["high", "critical"]'])
    ]

    lazy: ClassVar[frozenset[str]] = frozenset({"cel"})
    example: ClassVar[str] = """\
grave: {type: filter, from: red_light, when: 'message.severity in ["high", "critical"] && message.phase == "new"'}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        yield from diagnostics(("when",), self.when, SAMPLE | MESSAGE, open_values=("message",))

    def open(self, context: Context) -> None:
        self._compile()
        self._failed = 0

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._compile()

    def process(self, message: M) -> M | None:
        if isinstance(message, Tracks) and self._by_object:
            passed = self._objects(message)
            return message if passed.all() else message[passed]
        if self._by_object:
            return message
        values: dict[str, Any] = {"message": plain(message), "time": message.time_s, "camera": message.camera_id}
        return message if self._true(values) else None

    def status(self) -> dict[str, Any]:
        return {"lacking_fields": self._failed}

    def _compile(self) -> None:
        self._expression = Expression(self.when)
        self._by_object = bool(self._expression.variables & {"track", "zone", "zones", "dwell_s"})
        self._variables = ObjectVariables([self._expression])

    def _objects(self, tracks: Tracks) -> np.ndarray:
        return np.fromiter((self._true(values) for values in self._variables.of(tracks)), bool, len(tracks))

    def _true(self, values: dict[str, Any]) -> bool:
        try:
            return self._expression.true(values)
        except KeyError:
            self._failed += 1
            return False
