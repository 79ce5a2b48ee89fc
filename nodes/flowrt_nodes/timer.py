"""timer: a tick at fixed intervals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

from flowrt import Source, Tick, setting


class Timer(Source):
    """Send a tick every `every_s` seconds, at multiples of it since midnight UTC.

    Drop policy: ticks that could not be sent in time, because the flow was held up or the machine slept, are skipped, not
    made up for; `count` goes on by one per tick sent. A run ends when every other source has ended.
    """

    every_s: Annotated[float, setting("Interval.", ge=0.01, le=86400)] = 60.0
    at_start: Annotated[bool, setting("Also tick once at the start.")] = False

    endless: ClassVar[bool] = True
    example: ClassVar[str] = """\
each_minute: {type: timer, every_s: 60}
"""

    def produce(self) -> Iterator[Tick]:
        clock, stopping = self.context.clock, self.context.stopping
        count = 0
        if self.at_start:
            yield Tick(time_s=clock.now_s(), count=0)
            count = 1
        last_s = clock.now_s()
        while not stopping.is_set():
            due_s = self._after(last_s)
            if not clock.virtual:
                while (wait_s := due_s - clock.now_s()) > 0:
                    if not clock.sleep(min(wait_s, 1.0), stopping):
                        return
                    last_s = min(last_s, clock.now_s())  # the clock may have been set back
                    due_s = min(due_s, self._after(last_s))  # the interval may have been shortened
                due_s = max(due_s, self._after(clock.now_s()) - self.every_s)
            yield Tick(time_s=due_s, count=count)
            last_s = due_s
            count += 1

    def _after(self, time_s: float) -> float:
        """The first multiple of the interval after a time."""
        return (int(time_s / self.every_s + 1e-9) + 1) * self.every_s
