from collections.abc import Iterator
from typing import Annotated, ClassVar

from flowrt import Record, Source, setting


class SchoolHours(Source):
    """Say at every whole minute whether school begins or ends about now."""

    hours: Annotated[tuple[int, ...], setting("Hours of the day, UTC, that count.")] = (7, 13)
    endless: ClassVar[bool] = True

    def produce(self) -> Iterator[Record]:
        clock, stopping = self.context.clock, self.context.stopping
        minute = int(clock.now_s() // 60)
        while not stopping.is_set():
            busy = minute // 60 % 24 in self.hours
            yield Record(time_s=minute * 60.0, data={"school": busy})
            minute += 1
            if not clock.sleep(minute * 60 - clock.now_s(), stopping):
                return
