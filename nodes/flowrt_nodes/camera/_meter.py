"""Which of a camera's pictures are kept, and what is known of its state. All times are capture times."""

from __future__ import annotations

from typing import Literal

from flowrt import Frame


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

    def __init__(self, fps: float) -> None:
        self.status: Literal["online", "offline", "error"] = "offline"
        self.detail = "not connected yet"
        self.fps = fps
        self.resolution = ""
        self._counted = 0
        self._since_s: float | None = None
        self._reported_s = float("-inf")

    def frame(self, frame: Frame, every_s: float) -> bool:
        """Count a picture; whether a status is due: the first picture, another size, or the time."""
        resolution = "{}x{}".format(*frame.size_px)
        changed = self.change("online", "") or resolution != self.resolution
        self.resolution = resolution
        if self._since_s is None or frame.time_s < self._since_s:
            self._since_s, self._counted = frame.time_s, 0
        elif frame.time_s - self._since_s >= 1.0:
            self.fps = (self._counted + 1) / (frame.time_s - self._since_s)
            self._since_s, self._counted = frame.time_s, 0
        else:
            self._counted += 1
        return changed or self.due(frame.time_s, every_s)

    def change(self, status: Literal["online", "offline", "error"], detail: str) -> bool:
        """Set the state; whether it is another one."""
        changed = (status, detail) != (self.status, self.detail)
        if status != self.status:
            self._since_s = None
        if status != "online":
            self.fps = 0.0
        self.status, self.detail = status, detail
        return changed

    def due(self, time_s: float, every_s: float) -> bool:
        """Whether the last status was sent long enough ago."""
        return abs(time_s - self._reported_s) >= every_s

    def reported(self, time_s: float) -> None:
        """A status was sent."""
        self._reported_s = time_s
