"""Taps: a look at the messages of one edge, sampled and bounded, for as long as a tab asks for it.

The observer runs on the thread that carries the messages: it counts, and keeps a message where there is room. What is kept is filtered
and put into words on another thread.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flowrt import Frame, Message
from flowrt.contract.payload import payload_of
from flowrt.flow import Edge
from flowrt.http import Host
from flowrt.node import Context
from flowrt_nodes.filter import Filter

SAMPLED = 24
"""Messages kept between two looks, the last ones; all others are counted only."""
SHOWN = 12
MAX_FILTER = 2000

Passes = Callable[[Message], Message | None]


class BadTap(ValueError):
    """What was asked for can't be tapped; the message says why."""


class Tap:
    """One tapped edge. A look gives what came since the last one."""

    def __init__(self, host: Host, edge: Edge, wanted: str) -> None:
        """wanted: a text that messages shall have, or, after a `=`, CEL as the `filter` node takes it. Raises BadTap."""
        runtime = host.runtime
        if edge not in runtime.flow.arriving:
            raise BadTap("the flow has no such edge any more")
        self.edge = edge
        self._host = host
        self._types = runtime.flow.arriving[edge]
        self._text, self._passes = _filters(host, wanted.strip())
        self._lock = threading.Lock()
        self._kept: deque[Message] = deque(maxlen=SAMPLED)
        self._seen = 0
        self._end = runtime.observe(edge.source, self._observe)

    def close(self) -> None:
        """Look at nothing more."""
        self._end()

    def look(self) -> dict[str, Any]:
        """What came since the last look. seen: how many; sampled: how many of them were looked at; messages: those shown."""
        with self._lock:
            seen, kept = self._seen, list(self._kept)
            self._seen = 0
            self._kept.clear()
        passed = [message for message in map(self._passes, kept) if message is not None]
        words = [self._host.data(words_of(message, self._host.runtime.flow.site)) for message in passed]
        if self._text:
            words = [each for each in words if self._text in msgspec.json.encode(each).decode().lower()]
        return {"seen": seen, "sampled": len(kept), "matching": len(words), "messages": words[-SHOWN:]}

    def _observe(self, message: Message) -> None:
        if isinstance(message, self._types):
            with self._lock:
                self._seen += 1
                self._kept.append(message)


def words_of(message: Message, site: str) -> dict[str, Any]:
    """A message as it would be published; of a picture its number and size."""
    head: dict[str, Any] = {"type": message.port}
    if isinstance(message, Frame):
        width, height = message.size_px
        return head | {"camera_id": message.camera_id, "number": message.number, "picture_px": [width, height]}
    try:
        payload = payload_of(message, site)
        return head | msgspec.json.decode(msgspec.json.encode(payload, enc_hook=repr))  # type: ignore[no-any-return]
    except Exception as error:  # a message type of someone else's making
        return head | {"error": f"it can't be shown: {type(error).__name__}"}


def _filters(host: Host, wanted: str) -> tuple[str, Passes]:
    """The text to look for, and which messages pass before that."""
    if len(wanted) > MAX_FILTER:
        raise BadTap(f"a filter of more than {MAX_FILTER} characters")
    if not wanted.startswith("="):
        return wanted.lower(), lambda message: message
    node = Filter(when=wanted[1:].strip())
    runtime = host.runtime
    problems = list(node.check(_View(runtime.flow.folder)))
    if problems:
        raise BadTap(f"{problems[0].message} ({problems[0].hint})" if problems[0].hint else problems[0].message)
    node.open(
        Context(
            node="tap", flow=runtime.flow.name, site=runtime.flow.site, folder=runtime.flow.folder, data=runtime.data,
            clock=runtime.clock, log=logging.getLogger("flowrt.page"), shared=runtime.shared, runtime=runtime,
            contract=runtime.contract,
        )
    )  # fmt: skip

    def passes(message: Message) -> Message | None:
        try:
            return node.process(message)
        except (TypeError, ValueError, RuntimeError):  # what an evaluation raises; such a message does not match
            return None

    return "", passes


class _View:
    """What a filter's check may look at: nothing but its expression."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.services: Mapping[str, Any] = {}

    def entry(self, section: str, name: str) -> Any:
        """No sections."""
        return None

    def published(self, kind: str) -> frozenset[str]:
        """No names."""
        return frozenset()
