"""events: zone events as fast as they are taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated

from flowrt import Location, RoadUser, Source, ZoneEvent, setting


class Events(Source):
    """Send `messages` different zone events. began_s: time.perf_counter of the first."""

    messages: Annotated[int, setting("How many.", ge=1)] = 1000

    def produce(self) -> Iterator[ZoneEvent]:
        who = RoadUser(track_id=17, label="car", confidence=0.913, box_px=(610.5, 301.0, 702.5, 366.5), speed_kmh=41.7)
        where = Location(x_px=656.5, y_px=366.5, x_m=3.25, y_m=18.5)
        begin_s = time.time()
        self.__dict__["began_s"] = time.perf_counter()
        for i in range(self.messages):
            yield ZoneEvent(
                time_s=begin_s + i * 1e-3, camera_id="north", id=f"bench-{begin_s:.3f}-{i}", roi_id="crosswalk",
                roi_type="crosswalk", event_type="entry", object=who, location=where, object_count=3,
            )  # fmt: skip
