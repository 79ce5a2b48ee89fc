"""my_node: a source; `flowrt run my_node.yaml` runs it."""

from collections.abc import Iterator
from typing import Annotated, ClassVar

from flowrt import Record, Source, setting


class MyNode(Source):
    """Say how often it was asked, every few seconds."""

    every_s: Annotated[float, setting("Time between two records.", gt=0)] = 1.0
    endless: ClassVar[bool] = True

    def produce(self) -> Iterator[Record]:
        clock, stopping = self.context.clock, self.context.stopping
        time_s, count = clock.now_s(), 0
        while not stopping.is_set():
            yield Record(time_s=time_s, data={"count": count})
            time_s, count = time_s + self.every_s, count + 1
            if not clock.sleep(time_s - clock.now_s(), stopping):
                return
