"""Channels: the queue between two threads, behind a live source or inside an inference.

`newest` keeps one replaceable message (a video frame), the newest, and every message that is not replaceable; `put` never waits.
`block` keeps everything in order; `put` waits while the channel is full.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Literal


class Closed(Exception):
    """The channel is closed and empty."""


class Channel:
    """A bounded queue with one reader. Items are (message, origin_ns) or anything else the two ends agree on."""

    def __init__(self, policy: Literal["newest", "block"], size: int) -> None:
        self.policy = policy
        self.size = size
        self.depth_max = 0
        self.dropped = 0
        self.accepted = 0
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Any) -> int:
        """Add an item; returns how many were dropped for it. Raises Closed on a closed channel."""
        with self._changed:
            dropped = 0
            if self.policy == "newest":
                if item[0].replaceable:
                    stale = [old for old in self._items if old[0].replaceable]
                    for old in stale[: len(stale) - self.size + 1]:
                        self._items.remove(old)
                        dropped += 1
            else:
                while len(self._items) >= self.size and not self._closed:
                    self._changed.wait()
            if self._closed:
                raise Closed
            self._items.append(item)
            self.accepted += 1
            self.dropped += dropped
            self.depth_max = max(self.depth_max, len(self._items))
            self._changed.notify_all()
            return dropped

    def get(self) -> Any:
        """The oldest item; waits for one. Raises Closed when the channel is closed and empty."""
        with self._changed:
            while not self._items:
                if self._closed:
                    raise Closed
                self._changed.wait()
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def get_now(self) -> Any | None:
        """The oldest item, or None."""
        with self._changed:
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No more items; what is in it can still be fetched."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def statistics(self) -> dict[str, Any]:
        """depth, depth_max, dropped, size, policy."""
        return {
            "depth": len(self._items),
            "depth_max": self.depth_max,
            "dropped": self.dropped,
            "size": self.size,
            "policy": self.policy,
        }
