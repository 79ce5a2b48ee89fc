"""The last minutes of what trackers and signals made, kept while a tab is open: bounded by time and number.

Tracks are kept without their pictures; of these a small one is kept each second, so that what a preview finds can be shown.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from flowrt import Message, Objects
from flowrt.http import Host
from flowrt.testing.replay import usual_nodes
from flowrt_web.stills import jpeg, resized

KEPT_S = 180.0
MAX_MESSAGES = 20_000
PICTURE_EVERY_S = 1.0
PICTURE_WIDTH = 480


class Remembered(NamedTuple):
    """A message and the node that made it."""

    node: str
    message: Message


class SmallPicture(NamedTuple):
    """What a camera saw at a time."""

    time_s: float
    jpeg: bytes


class Memory:
    """Filled on the threads that carry messages, read on any."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._lock = threading.Lock()
        self._messages: deque[Remembered] = deque(maxlen=MAX_MESSAGES)
        self._pictures: dict[str, deque[SmallPicture]] = {}
        self._nodes: tuple[str, ...] = ()
        self._ends: list[Callable[[], None]] = []

    def start(self) -> None:
        """Begin to keep; what is there of the same nodes stays."""
        runtime = self._host.runtime
        nodes = tuple(usual_nodes(runtime.flow))
        with self._lock:
            if nodes != self._nodes:
                self._messages.clear()
                self._pictures.clear()
            self._nodes = nodes
        self._ends = [runtime.observe(name, self._observer(name)) for name in nodes]

    def stop(self) -> None:
        """Keep nothing more."""
        for end in self._ends:
            end()
        self._ends = []

    def recent(self) -> tuple[tuple[str, ...], list[Remembered]]:
        """The nodes, and what they made in the last minutes, in order."""
        with self._lock:
            messages = list(self._messages)
        if not messages:
            return self._nodes, []
        since_s = messages[-1].message.time_s - KEPT_S
        return self._nodes, [each for each in messages if each.message.time_s >= since_s]

    def picture(self, camera: str, time_s: float) -> bytes | None:
        """The picture of a camera that was taken nearest to a time."""
        with self._lock:
            pictures = list(self._pictures.get(camera, ()))
        return min(pictures, key=lambda each: abs(each.time_s - time_s)).jpeg if pictures else None

    def _observer(self, name: str) -> Callable[[Message], None]:
        pictured_s = 0.0

        def observe(message: Message) -> None:
            nonlocal pictured_s
            kept = msgspec.structs.replace(message, frame=None) if isinstance(message, Objects) else message
            now_s = time.monotonic()
            picture = None
            if isinstance(message, Objects) and message.frame is not None and now_s - pictured_s > PICTURE_EVERY_S:
                pictured_s = now_s
                picture = SmallPicture(message.time_s, jpeg(resized(message.frame.image, PICTURE_WIDTH), 60))
            with self._lock:
                self._messages.append(Remembered(name, kept))
                if picture is not None:
                    most = int(KEPT_S / PICTURE_EVERY_S)
                    self._pictures.setdefault(message.camera_id, deque(maxlen=most)).append(picture)

        return observe
