"""Log lines: for people, or one JSON object a line. In both, secrets are masked, texts are cut, and what repeats is logged once a minute."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import sys
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from flowrt.addresses import without_passwords
from flowrt.secrets import Secrets
from flowrt.system.threads import one_line

LINE_CHARACTERS = 4_000
TRACEBACK_CHARACTERS = 20_000
REPEAT_S = 60.0
"""A warning or an error is logged once in so long; what happens again meanwhile is counted."""
ALIKE = 10
"""Of messages that differ only in their numbers, so many are logged in `REPEAT_S`."""
KNOWN = 1000


class Mask(logging.Filter):
    """Masks secrets in what is about to be written."""

    def __init__(self, secrets: Secrets) -> None:
        super().__init__()
        self._secrets = secrets

    def filter(self, record: logging.LogRecord) -> bool:
        text = self._secrets.text(record.getMessage())
        record.msg, record.args = _cut(without_passwords(text[: 2 * LINE_CHARACTERS]), len(text)), ()
        if record.exc_info:
            text = self._secrets.text("".join(traceback.format_exception(*record.exc_info)).rstrip())
            record.exc_text = without_passwords(text[-2 * TRACEBACK_CHARACTERS :])[-TRACEBACK_CHARACTERS:]
        return True


class Repeats(logging.Filter):
    """Lets a warning or an error through once a minute, and ten that differ only in numbers; then says how many there were.

    A node that fails at each picture, or a server out of file handles, must not fill the disk.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str, str], tuple[float, int]] = OrderedDict()  # since when, and how often

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        text = record.getMessage()
        key = text[:LINE_CHARACTERS]
        source = f"{record.name} {getattr(record, 'node', '')}"  # nodes of a type share a logger
        with self._lock:
            exact, before = self._count((source, key, ""), 1)
            alike, _ = self._count((source, re.sub(r"\d+", "#", key), "alike"), ALIKE)
        if not (exact and alike):
            return False
        if before:
            record.msg, record.args = f"{text} ({before} more of these in the minute before)", ()
        return True

    def _count(self, key: tuple[str, str, str], most: int) -> tuple[bool, int]:
        """Whether one more of these may be logged, and how many were not since the last time."""
        now = self._clock()
        since, count = self._seen.pop(key, (now, 0))
        held_back = 0
        if now - since >= REPEAT_S:
            since, held_back, count = now, max(count - most, 0), 0
        self._seen[key] = since, count + 1
        if len(self._seen) > KNOWN:
            self._seen.popitem(last=False)
        return count < most, held_back


def _cut(text: str, characters: int) -> str:
    return text if characters <= LINE_CHARACTERS else f"{text[:LINE_CHARACTERS]}… ({characters} characters)"


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
    """Send the log to stderr (or to `handler`, which formats by itself) in the given form. Returns the handler.

    What libraries log from warnings on goes the same way.
    """
    if handler is None:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    handler.addFilter(Repeats())
    handler.addFilter(Mask(secrets))
    own, root = logging.getLogger("flowrt"), logging.getLogger()
    for before in own.handlers:
        root.removeHandler(before)
    own.handlers = [handler]
    own.propagate = False
    own.setLevel(level)
    root.addHandler(handler)
    return handler


@contextlib.contextmanager
def strays_logged() -> Iterator[None]:
    """Send to the log, and so through the mask of secrets, what Python itself would print: what threads of nodes raise that nobody
    supervises, what finalizers raise, and warnings. A log that can't be written is no reason to end.
    """
    log = logging.getLogger("flowrt")

    def of_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_type is not SystemExit:
            _log_stray(log, f"the thread '{args.thread.name if args.thread else '?'}' ended", args.exc_value)

    def of_finalizer(args: sys.UnraisableHookArgs) -> None:
        _log_stray(log, args.err_msg or "a finalizer failed", args.exc_value)

    before = threading.excepthook, sys.unraisablehook, logging.raiseExceptions
    threading.excepthook, sys.unraisablehook = of_thread, of_finalizer
    logging.raiseExceptions = bool(os.environ.get("FLOWRT_DEBUG"))
    logging.captureWarnings(True)
    try:
        yield
    finally:
        logging.captureWarnings(False)
        threading.excepthook, sys.unraisablehook, logging.raiseExceptions = before


def _log_stray(log: logging.Logger, what: str, error: BaseException | None) -> None:
    text = one_line(error) if error is not None else "for no reason that is known"
    log.error("%s: %s", what, text, exc_info=error)
