"""repeat: the same tick again and again, as fast as it is carried on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

from flowrt import Source, Tick, setting


class Repeat(Source):
    """Send one tick `messages` times. cpu_s, wall_s: what carrying them all through the flow took this thread."""

    messages: Annotated[int, setting("How many.", ge=1)] = 1000
    at_once: Annotated[int, setting("How many are handed over together.", ge=1)] = 1

    def produce(self) -> Iterator[Tick | list[Tick]]:
        tick = Tick(time_s=0.0, count=0)
        for _ in range(2000):  # the cells find out that their nodes are quick, and what they send
            yield tick
        cpu_s, wall_s = time.thread_time(), time.perf_counter()
        if self.at_once == 1:
            for _ in range(self.messages):
                yield tick
        else:
            for _ in range(self.messages // self.at_once):
                yield [tick] * self.at_once
        self.__dict__["cpu_s"] = time.thread_time() - cpu_s
        self.__dict__["wall_s"] = time.perf_counter() - wall_s
