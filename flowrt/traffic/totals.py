"""Totals over windows of time, kept long."""

from __future__ import annotations

from typing import ClassVar

from flowrt.message import Count, Message, NonNegative
from flowrt.traffic.kinds import Severity


class Aggregate(Message, frozen=True, kw_only=True, eq=False):
    """A total over a window, kept long. `time_s` is the window's beginning, so a repeated total overwrites the former.

    A window that was joined late (the flow began within it) carries the time of its first message instead: its point stands
    beside the one of the run before, and their sum is right.
    """

    port: ClassVar[str] = "aggregates"

    window_s: NonNegative


class FpsMinute(Aggregate, frozen=True, kw_only=True, eq=False):
    """Mean pictures per second of one camera over a minute. n: how many reports it is the mean of."""

    port: ClassVar[str] = "fps_per_minute"

    fps: NonNegative
    frames_dropped: Count
    n: Count


class VehicleCount(Aggregate, frozen=True, kw_only=True, eq=False):
    """Vehicles of one lane over five minutes. average_speed: km/h, weighted by vehicles; None where no speed was known."""

    port: ClassVar[str] = "vehicle_counts"
    identity: ClassVar[tuple[str, ...]] = ("lane_id",)

    lane_id: str
    direction: str
    vehicle_count: Count
    average_speed: NonNegative | None = None


class ViolationCount(Aggregate, frozen=True, kw_only=True, eq=False):
    """Violations of one type and severity over an hour."""

    port: ClassVar[str] = "violation_counts"
    identity: ClassVar[tuple[str, ...]] = ("violation_type", "severity")

    violation_type: str
    severity: Severity
    count: Count
