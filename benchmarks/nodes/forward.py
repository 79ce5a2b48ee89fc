"""forward: hands a tick on as it is."""

from __future__ import annotations

from flowrt import Tick, Transform


class Forward(Transform):
    """Pass on what comes."""

    def process(self, tick: Tick) -> Tick:
        return tick
