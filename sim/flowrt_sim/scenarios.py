"""The scenarios: what the director makes happen, and how often.

Nothing is imported here, so that an address can be checked without the world that it names.
"""

from __future__ import annotations

VIOLATIONS = (
    "red_light", "red_light_creep", "wrong_way", "speeding", "illegal_turn", "stopped", "stopped_on_crosswalk",
    "amber_acceleration", "jaywalking", "jaywalking_midblock", "failure_to_yield", "near_miss",
    "near_miss_turning",
)  # fmt: skip
LOOKALIKES = ("right_on_red", "past_line_at_red", "spill_back", "waiting_pedestrian", "hard_stop", "short_stop")
SELDOM = (
    "jaywalking", "jaywalking_midblock", "near_miss", "near_miss_turning", "failure_to_yield", "wrong_way",
)  # fmt: skip
EVERY_S = 140.0
"""Mean interval of each violation in mixed traffic, over all four legs."""
OFTEN_S = 45.0
"""The same for the `SELDOM` incidents, which need a rare situation, so that about as many really happen."""
ALONE_S = 14.0
"""Mean interval of an incident in a scenario of its own."""

SCENARIOS: dict[str, dict[str, float]] = {
    "mixed": {
        **dict.fromkeys(VIOLATIONS, EVERY_S),
        **dict.fromkeys(LOOKALIKES, EVERY_S),
        **dict.fromkeys(SELDOM, OFTEN_S),
    },
    "calm": dict.fromkeys(("past_line_at_red", "waiting_pedestrian"), EVERY_S),
    "innocent": dict.fromkeys(LOOKALIKES, 25.0),
    **{name: {name: ALONE_S} for name in (*VIOLATIONS, *LOOKALIKES)},
}
"""Scenario names, each with its incidents and their mean interval in seconds."""
