"""debug: write messages to the log."""

from __future__ import annotations

import json
import logging
from typing import Annotated, Any, ClassVar, Literal

from flowrt import Context, Message, Transform, setting
from flowrt_nodes._lib.payload import plain

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}


class Debug(Transform):
    """Write what arrives to the log, as JSON: at most `per_s` lines a second, each at most `longest` characters.

    Messages beyond that are counted, and the count is shown with the next line. It passes nothing on; `tap` looks at an edge
    without a node.
    """

    level: Annotated[Literal["debug", "info", "warning"], setting("Log level.")] = "info"
    per_s: Annotated[float, setting("Lines in a second of capture time.", gt=0, le=1000)] = 5.0
    longest: Annotated[int, setting("Characters of a line.", ge=80, le=100_000)] = 1000

    example: ClassVar[str] = """\
show: {type: debug, from: red_light}
"""

    def open(self, context: Context) -> None:
        self._next_s = float("-inf")
        self._skipped = 0
        self._shown = 0

    def process(self, message: Message) -> None:
        if message.time_s < self._next_s - 1e-9 and message.time_s > self._next_s - 60.0:
            self._skipped += 1
            return
        self._next_s = message.time_s + 1.0 / self.per_s
        text = json.dumps(plain(message), ensure_ascii=False, default=str)
        if len(text) > self.longest:
            text = text[: self.longest] + "…"
        before = f" ({self._skipped} more before)" if self._skipped else ""
        self._skipped = 0
        self._shown += 1
        self.context.log.log(LEVELS[self.level], "%s%s", text, before)

    def status(self) -> dict[str, Any]:
        return {"shown": self._shown}
