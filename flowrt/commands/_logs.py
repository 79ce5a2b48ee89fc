"""Log lines: for people, or one JSON object a line. Secrets are masked in both."""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from typing import Any

from flowrt.addresses import without_passwords
from flowrt.secrets import Secrets


class Mask(logging.Filter):
    """Masks secrets in what is about to be written."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self._text(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = self._text("".join(traceback.format_exception(*record.exc_info)).rstrip())
        return True

    def _text(self, text: str) -> str:
        return without_passwords(self._secrets.text(text))


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


def set_up(form: str, level: int, secrets: Secrets, handler: logging.Handler | None = None) -> logging.Handler:
    """Send flowrt's log to stderr (or to `handler`) in the given form. Returns the handler."""
    handler = handler or logging.StreamHandler(sys.stderr)
    if not isinstance(handler, logging.StreamHandler) or isinstance(handler, logging.FileHandler):
        pass  # a view formats by itself
    else:
        handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(Mask(secrets))
    root = logging.getLogger("flowrt")
    root.handlers = [handler]
    root.propagate = False
    root.setLevel(level)
    return handler
