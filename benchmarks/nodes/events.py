"""events: messages as fast as they are taken."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Literal

from flowrt import Location, Performance, RoadUser, Source, ZoneEvent, setting


class Events(Source):
    """Send `messages` different messages. began_s: time.perf_counter of the first."""

    messages: Annotated[int, setting("How many.", ge=1)] = 1000
    kind: Annotated[
        Literal["zone_event", "performance"], setting("Events, which are recorded too, or plain values.")
    ] = "zone_event"

    def produce(self) -> Iterator[ZoneEvent | Performance]:
        begin_s = time.time()
        make = zone_event if self.kind == "zone_event" else performance
        self.__dict__["began_s"] = time.perf_counter()
        for i in range(self.messages):
            yield make(begin_s, i)


WHO = RoadUser(track_id=17, label="car", confidence=0.913, box_px=(610.5, 301.0, 702.5, 366.5), speed_kmh=41.7)
WHERE = Location(x_px=656.5, y_px=366.5, x_m=3.25, y_m=18.5)


def zone_event(begin_s: float, i: int) -> ZoneEvent:
    """The i-th event."""
    return ZoneEvent(
        time_s=begin_s + i * 1e-3, camera_id="north", id=f"bench-{begin_s:.3f}-{i}", roi_id="crosswalk",
        roi_type="crosswalk", event_type="entry", object=WHO, location=WHERE, object_count=3,
    )  # fmt: skip


def performance(begin_s: float, i: int) -> Performance:
    """The i-th point of 3 tags and 6 fields."""
    return Performance(
        time_s=begin_s + i * 1e-3, camera_id="north", service="detect", fps=14.97, processing_time_ms=41.73,
        cpu_usage=52.1, memory_usage=231.5, active_objects=17, frames_dropped=3,
    )  # fmt: skip
