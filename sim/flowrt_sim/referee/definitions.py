"""What counts as a violation: the numbers in each definition, and the record of one violation.

The rules of the node library have settings for the same numbers, with the same defaults; where a rule needs more evidence than
the definition, because boxes and tracks are not exact, that margin is a setting of its own. A test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

RULES = (
    "red_light", "wrong_way", "speeding", "illegal_turn", "stopped", "stopped_on_crosswalk", "amber_acceleration",
    "jaywalking", "failure_to_yield", "near_miss",
)  # fmt: skip


@dataclass(frozen=True)
class Definitions:
    """The numbers in the definitions of the violations, in the units of their names."""

    red_grace_s: float = 0.3
    full_stop_s: float = 0.4
    """A right turn on red is lawful after being at rest for this long ..."""
    full_stop_within_m: float = 7.0
    """... within this distance of the stop line."""
    rest_below_kmh: float = 1.5
    """At rest, for a full stop and for stopping on the crosswalk."""
    wrong_way_angle_deg: float = 120.0
    wrong_way_s: float = 1.0
    wrong_way_m: float = 5.0
    speeding_tolerance_kmh: float = 5.0
    speeding_section_m: float = 20.0
    speeding_s: float = 0.3
    stopped_below_kmh: float = 5.0
    stopped_s: float = 10.0
    crosswalk_s: float = 2.0
    crosswalk_overlap_m: float = 1.0
    amber_factor: float = 1.2
    amber_least_kmh: float = 15.0
    amber_within_m: float = 60.0
    jaywalking_s: float = 1.2
    kerb_m: float = 0.4
    """Nearer to the edge of the road than this, a pedestrian still stands at the kerb."""
    crosswalk_margin_m: float = 1.0
    """Beside a crosswalk by up to this counts as on it."""
    yield_about_to_s: float = 0.8
    """A pedestrian that reaches the conflict area within this time is about to step onto it."""
    yield_least_kmh: float = 5.0
    """A slower vehicle is waiting."""
    ttc_s: float = 1.5
    passing_m: float = 1.5
    """A short time to collision counts only if the two come this near."""
    pet_s: float = 1.0
    least_closing_ms: float = 3.0
    """A pair that closes slower has no time to collision, a slower vehicle no post-encroachment time."""
    crossing_deg: float = 30.0
    """Paths at a smaller angle follow each other: no post-encroachment time."""


@dataclass(frozen=True)
class Violation:
    """One violation: the rule, the road user (and the other one it concerns), where, and when.

    `time_s` is when the definition was met, `start_s` when the behaviour began, `end_s` when it ended (or the last time
    seen so far). `leg` is the leg whose camera sees it; `ground_m` the middle of the footprint and `front_m` the middle of
    the front edge at `time_s`. `value` is the measured quantity: km/h, s, degrees or a factor.
    """

    rule: str
    actor: int
    kind: str
    leg: str
    lane: str
    time_s: float
    start_s: float
    end_s: float
    ground_m: tuple[float, float]
    front_m: tuple[float, float]
    value: float
    other: int = -1
    detail: str = ""
