"""`aggregate`: totals kept for long, computed in the flow, so that they work with every version of the database.

- FpsMinute: mean pictures per second of each camera, per minute (from Performance).
- VehicleCount: vehicles of each lane, per 5 minutes (from LaneInterval, by the interval's end).
- ViolationCount: violations by type and severity, per hour (from Violation, phase `new`).

Windows are cut by event time and aligned to the hour. A window is sent when a message of a later one arrives; what belongs to
a window before (a late event, or a clock that was set back) corrects its total, which is sent again and overwrites. `finish` sends what is open.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec

from flowrt import (
    Aggregate,
    FpsMinute,
    LaneInterval,
    Performance,
    Transform,
    VehicleCount,
    Violation,
    ViolationCount,
    setting,
)
from flowrt_nodes._lib.saved_state import SavedState

A = TypeVar("A", bound=Aggregate)


KEEP_S = 2 * 3600.0
"""Windows that ended less long ago are remembered."""
COUNTED, LATE_S = 512, 5.0
"""So many intervals are known not to be counted twice; a first message that is older than what was saved by more is another run's."""


class Total(msgspec.Struct):
    """A running total. weight: what `value` was weighted by. first_s: time of the first message in it."""

    first_s: float
    n: int = 0
    count: int = 0
    value: float = 0.0
    weight: float = 0.0


class Window(msgspec.Struct):
    """Totals by key of one window that began at `start_s`."""

    start_s: float
    joined_late: bool
    totals: dict[tuple[str, ...], Total] = {}


class SavedWindows(msgspec.Struct):
    """What is remembered, as it is saved. lengths_s and windows: of each series. counted: ids of the last intervals that were counted."""

    last_s: float
    lengths_s: list[float]
    windows: list[dict[float, Window]]
    counted: list[str]


class Series(Generic[A]):
    """One kind of aggregate: the window that is open, and those before it."""

    def __init__(self, window_s: float, make: Callable[[float, float, tuple[str, ...], Total], A]) -> None:
        self.window_s = window_s
        self.windows: dict[float, Window] = {}
        """By their beginning; the newest one is open. A successor takes them over."""
        self._make = make

    def add(self, time_s: float, key: tuple[str, ...], *, count: int, value: float, weight: float) -> list[A]:
        """Count one message; returns what is complete now, or corrected."""
        start_s = math.floor(time_s / self.window_s) * self.window_s
        newest_s = max(self.windows, default=-math.inf)
        done: list[A] = []
        if start_s > newest_s:
            done = self.totals()
            oldest_s = start_s - KEEP_S - self.window_s
            self.windows = {begin_s: window for begin_s, window in self.windows.items() if begin_s > oldest_s}
        late = start_s < newest_s
        window = self.windows.get(start_s)
        if (
            window is None
        ):  # joined late also where it is older than all that is remembered: its total went out long ago
            joined_late = not self.windows or start_s < min(self.windows)
            window = self.windows[start_s] = Window(start_s=start_s, joined_late=joined_late)
        total = window.totals.setdefault(key, Total(first_s=time_s))
        total.n += 1
        total.count += count
        total.value += value * weight
        total.weight += weight
        return [*done, self._made(window, key, total)] if late else done

    def totals(self) -> list[A]:
        """Everything in the open window."""
        if not self.windows:
            return []
        window = self.windows[max(self.windows)]
        return [self._made(window, key, total) for key, total in window.totals.items()]

    def _made(self, window: Window, key: tuple[str, ...], total: Total) -> A:
        return self._make(total.first_s if window.joined_late else window.start_s, self.window_s, key, total)


def _fps(time_s: float, window_s: float, key: tuple[str, ...], total: Total) -> FpsMinute:
    return FpsMinute(
        time_s=time_s,
        camera_id=key[0],
        window_s=window_s,
        fps=round(total.value / total.weight, 3),
        frames_dropped=total.count,
        n=total.n,
    )


def _vehicles(time_s: float, window_s: float, key: tuple[str, ...], total: Total) -> VehicleCount:
    return VehicleCount(
        time_s=time_s,
        camera_id=key[0],
        window_s=window_s,
        lane_id=key[1],
        direction=key[2],
        vehicle_count=total.count,
        average_speed=round(total.value / total.weight, 2) if total.weight else None,
    )


def _violations(time_s: float, window_s: float, key: tuple[str, ...], total: Total) -> ViolationCount:
    return ViolationCount(
        time_s=time_s,
        camera_id=key[0],
        window_s=window_s,
        violation_type=key[1],
        severity=key[2],  # type: ignore[arg-type]  # the key was made from a Violation's severity
        count=total.count,
    )


class Aggregates(Transform):
    """Totals worth keeping for 30 days: frame rate per minute, vehicles per 5 minutes, violations per hour.

    What is in the open windows is saved with each interval and violation: a process that was killed goes on with it.
    """

    example: ClassVar[str] = "{type: aggregate, from: [health, flow_of_lanes, red_light]}"

    fps_window_s: Annotated[float, setting("Length of a window of frame rates.", ge=1.0, restart=True)] = 60.0
    vehicle_window_s: Annotated[float, setting("Length of a window of vehicle counts.", ge=1.0, restart=True)] = 300.0
    violation_window_s: Annotated[float, setting("Length of a window of violations.", ge=1.0, restart=True)] = 3600.0

    def open(self, context: Any) -> None:
        self._fps = Series(self.fps_window_s, _fps)
        self._vehicles = Series(self.vehicle_window_s, _vehicles)
        self._violations = Series(self.violation_window_s, _violations)
        self._counted: deque[str] = deque(maxlen=COUNTED)
        self._state = SavedState(context, SavedWindows)
        self._saved = self._state.load()

    def process(
        self, message: Performance | LaneInterval | Violation
    ) -> Iterable[FpsMinute | VehicleCount | ViolationCount]:
        self._recover(message.time_s)
        if isinstance(message, LaneInterval):
            told = f"{message.camera_id} {message.lane_id} {message.id}"
            if told in self._counted:  # again, after a kill
                return ()
            self._counted.append(told)
        made = self._add(message)
        if not isinstance(message, Performance):
            lengths_s, windows = [s.window_s for s in self._series], [s.windows for s in self._series]
            self._state.save(SavedWindows(message.time_s, lengths_s, windows, list(self._counted)))
        return made

    def _recover(self, time_s: float) -> None:
        """Go on with the windows of a killed process, unless a clip began again."""
        saved, self._saved = self._saved, None
        if saved is None or time_s < saved.last_s - LATE_S or saved.lengths_s != [s.window_s for s in self._series]:
            return
        if not any(series.windows for series in self._series):
            self.import_state(saved.windows)
            self._counted.extend(saved.counted)

    def _add(
        self, message: Performance | LaneInterval | Violation
    ) -> Iterable[FpsMinute | VehicleCount | ViolationCount]:
        camera = message.camera_id
        if isinstance(message, Performance):
            if not camera:
                return ()  # the runtime's own report is the mean of the cameras' and would count them twice
            dropped, fps = message.frames_dropped, message.fps
            return self._fps.add(message.time_s, (camera,), count=dropped, value=fps, weight=1.0)
        if isinstance(message, LaneInterval):
            key = (camera, message.lane_id, message.direction)
            speed = message.average_speed
            # An interval that ends with the window belongs to it, so its last instant counts, not the one after.
            return self._vehicles.add(
                message.time_s - min(message.interval_s, 1.0) / 2.0,
                key,
                count=message.vehicle_count,
                value=speed or 0.0,
                weight=float(message.vehicle_count) if speed is not None else 0.0,
            )
        if message.phase != "new":
            return ()
        key = (camera, message.violation_type, message.severity)
        return self._violations.add(message.started_s, key, count=1, value=0.0, weight=0.0)

    def finish(self) -> Iterable[Aggregate]:
        self._state.clear()
        return [*self._fps.totals(), *self._vehicles.totals(), *self._violations.totals()]

    def export_state(self) -> Any:
        return [series.windows for series in self._series]

    def import_state(self, state: Any) -> None:
        for series, windows in zip(self._series, state, strict=True):
            series.windows = windows

    @property
    def _series(self) -> tuple[Series[Any], ...]:
        return self._fps, self._vehicles, self._violations
