"""A real road full of motorcycles, 64 s at 6 pictures a second: each rider with its machine is one road user.

Counted by eye, on pictures every third of a second around the stop line, each two-wheeler followed over it. During the 42 s of red eight
ride over it on the right of the waiting cars and two on their left; two more cross it in the last moment of red, at 42.4 s, and are
left out. Nobody walks on the road. In those 64 s no two road users come near a collision.
"""

from __future__ import annotations

import pytest
from clips import MODELS, Events, begun, counts, run_clip, second

OVER_THE_LINE_AT_RED = 10
GREEN_FROM_S = 42.5


@pytest.fixture(scope="module", params=MODELS)
def events(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Events:
    return run_clip("signal-two-wheelers", str(request.param), tmp_path_factory.mktemp("two-wheelers"))


def test_most_riders_over_the_line_at_red_are_reported_and_nobody_else(events: Events) -> None:
    found = begun(events, "red_light")
    assert OVER_THE_LINE_AT_RED * 0.7 <= len(found) <= OVER_THE_LINE_AT_RED
    assert len({event["object"]["track_id"] for event in found}) == len(found)
    assert {event["object"]["label"] for event in found} <= {"motorcycle", "bicycle"}
    assert max(map(second, found)) < GREEN_FROM_S


def test_riders_are_not_on_foot(events: Events) -> None:
    """One pedestrian does walk over the road beyond the junction, which the second detector sees."""
    assert len(begun(events, "jaywalking")) <= 1


def test_no_rider_nearly_collides_with_its_own_machine(events: Events) -> None:
    assert begun(events, "near_miss") == []


def test_the_approach_counts_its_cars_and_its_riders_once(events: Events) -> None:
    [counted] = [event for event in events if event.get("lane_id") == "approach"]
    assert counted["class_counts"]["car"] == 4
    riders = counts(events)["approach"] - 4
    assert riders == sum(counted["class_counts"].get(name, 0) for name in ("motorcycle", "bicycle"))
    assert riders >= OVER_THE_LINE_AT_RED
