"""Which of a camera's pictures are kept, and what is known of its state. All times are capture times."""

from __future__ import annotations

from typing import Literal

from flowrt import Frame

RECENT_S = 3.0
"""The rate is that of so many seconds, or of the last two pictures."""
MEASURED_S = 1.0
"""A rate measured over less than this says nothing."""


class Thinner:
    """Lets at most so many pictures a second through, evenly, by capture time."""

    def __init__(self) -> None:
        self._due_s = float("-inf")

    def wants(self, time_s: float, fps: float) -> bool:
        """Whether the picture of that time is one of those to keep."""
        every_s = 1.0 / fps
        if abs(time_s - self._due_s) > 10 * every_s:  # the first picture, a pause, or a clock that was set
            self._due_s = time_s
        if time_s < self._due_s - 0.25 * every_s:  # a live camera's pictures come a little early or late
            return False
        self._due_s += every_s
        return True


class Meter:
    """What is known of the camera's state and rate. Times are capture times."""

    def __init__(self, declared_fps: float) -> None:
        """declared_fps: the rate until it was measured."""
        self.status: Literal["online", "offline", "error"] = "offline"
        self.detail = "not connected yet"
        self.declared_fps = declared_fps
        self.resolution = ""
        self._times: tuple[float, ...] = ()  # replaced, never changed: `status` reads it on other threads
        self._reported_s = float("-inf")

    def frame(self, frame: Frame, every_s: float) -> bool:
        """Count a picture; whether a status is due: the first picture, another size, or the time."""
        resolution = "{}x{}".format(*frame.size_px)
        changed = self.change("online", "") or resolution != self.resolution
        self.resolution = resolution
        now_s = frame.time_s
        recent = [time_s for time_s in self._times if now_s - RECENT_S <= time_s < now_s] or self._times[-1:]
        self._times = (*(time_s for time_s in recent if time_s < now_s), now_s)
        return changed or self.due(now_s, every_s)

    def fps(self, now_s: float | None = None) -> float:
        """Pictures per second in the last seconds. now_s: of a live camera, so that the rate falls where it has stalled."""
        times = self._times
        if self.status != "online" or not times:
            return 0.0
        span_s = times[-1] - times[0]
        if span_s < MEASURED_S and self.declared_fps:
            fps = self.declared_fps
        else:
            fps = (len(times) - 1) / span_s if span_s else 0.0
        if now_s is not None and now_s - times[-1] > max(MEASURED_S, 2.0 / max(fps, 1e-6)):
            return sum(time_s > now_s - RECENT_S for time_s in times) / RECENT_S
        return fps

    def change(self, status: Literal["online", "offline", "error"], detail: str) -> bool:
        """Set the state; whether it is another one."""
        changed = (status, detail) != (self.status, self.detail)
        if status != self.status:
            self._times = ()
        self.status, self.detail = status, detail
        return changed

    def due(self, time_s: float, every_s: float) -> bool:
        """Whether the last status was sent long enough ago."""
        return abs(time_s - self._reported_s) >= every_s

    def reported(self, time_s: float) -> None:
        """A status was sent."""
        self._reported_s = time_s
