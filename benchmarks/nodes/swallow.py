"""swallow: where ticks end."""

from __future__ import annotations

from flowrt import Tick, Transform


class Swallow(Transform):
    """Take what comes."""

    def process(self, tick: Tick) -> None:
        return None
