"""Five public clips of roads, with what a person counts in them: vehicles over the lines, crashed cars, and pedestrians.

Counted by eye on raw pictures every 0.4 to 1.0 s, each vehicle followed over the line.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from clips import MODELS, Events, begun, counts, run_clip, second

VEHICLES = {"car", "truck", "bus", "motorcycle", "bicycle"}
CRASH_S = 6.8
CRASHED_CAR = (862, 288, 962, 344)
"""Where the hit car stands from 7.6 s on. The other one, cut in two by a mast, neither detector sees with a confidence that counts."""


@pytest.fixture(scope="module", params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize(
    ("clip", "by_eye", "off"),
    [
        ("motorway", {"l1": 1, "l2": 2, "l3": 5, "l4": 3}, 1),
        ("freeway", {"all": 45}, 4),
        ("road-four-lanes", {"all": 11}, 1),
    ],
)
def test_vehicles_are_counted_as_a_person_does(
    clip: str, by_eye: dict[str, int], off: int, model: str, tmp_path: Path
) -> None:
    events = run_clip(clip, model, tmp_path)
    counted = counts(events)
    if "all" in by_eye:
        counted = {"all": sum(counted.values())}
    assert counted.keys() == by_eye.keys()
    for lane, count in by_eye.items():
        assert abs(counted[lane] - count) <= off, counted
    assert begun(events, "wrong_way") == []
    over_lines = [event for event in events if event.get("event_type") == "crossing"]
    assert sum(event["object"]["label"] in VEHICLES for event in over_lines) == sum(counted.values())


def test_a_crashed_car_is_reported_within_13_s_and_once(model: str, tmp_path: Path) -> None:
    events = run_clip("intersection-crash", model, tmp_path)
    assert counts(events)["west"] == pytest.approx(11, abs=1)
    found = begun(events, "stopped")
    assert [second(event) < CRASH_S + 13 for event in found] == [True]
    assert found[0]["object"]["box_px"] == pytest.approx(CRASHED_CAR, abs=12)


def test_cyclists_whose_bicycles_no_detector_sees_do_not_jaywalk(model: str, tmp_path: Path) -> None:
    """Three people walk over the line in the middle of the crosswalk; two cyclists ride over the road behind it."""
    events: Events = run_clip("crossing", model, tmp_path)
    assert begun(events, "jaywalking") == []
    crossed = [event for event in events if event.get("event_type") == "crossing"]
    assert sum(event["object"]["label"] == "person" for event in crossed) == pytest.approx(3, abs=1)
