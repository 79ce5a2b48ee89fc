"""Log lines: for people, or one JSON object a line. Secrets are masked in both."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections.abc import Iterable
from typing import Any


class Mask(logging.Filter):
    """Replaces every known secret in what is about to be written."""

    def __init__(self) -> None:
        super().__init__()
        self.secrets: tuple[str, ...] = ()

    def learn(self, secrets: Iterable[str]) -> None:
        """Add secrets; the longest is masked first, so that no part of one is left standing."""
        self.secrets = tuple(sorted({*self.secrets, *(s for s in secrets if s)}, key=len, reverse=True))

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        if self.secrets:
            record.msg, record.args = self.text(record.getMessage()), ()
            if record.exc_info:
                record.exc_text = self.text("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, node where known, message."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        node = getattr(record, "node", None)
        if node:
            entry["node"] = node
        if record.exc_info:
            entry["traceback"] = record.exc_text or self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """time, level, node, message."""

    def format(self, record: logging.LogRecord) -> str:
        node = getattr(record, "node", "")
        where = f"{node}: " if node and not record.getMessage().startswith(f"{node}") else ""
        stamp = time.strftime("%H:%M:%S", time.localtime(record.created)) + f".{int(record.msecs):03d}"
        line = f"{stamp} {record.levelname.lower():7} {where}{record.getMessage()}"
        if record.exc_info:
            line += "\n" + (record.exc_text or self.formatException(record.exc_info))
        return line


def set_up(form: str, level: int, mask: Mask, handler: logging.Handler | None = None) -> logging.Handler:
    """Send flowrt's log to stderr (or to `handler`) in the given form. Returns the handler."""
    handler = handler or logging.StreamHandler(sys.stderr)
    if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
        pass  # a view formats by itself
    else:
        handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(mask)
    root = logging.getLogger("flowrt")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level)
    return handler
