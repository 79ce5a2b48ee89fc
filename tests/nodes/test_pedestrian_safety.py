"""Pedestrian safety, from what rules and zones report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from harness import context, feed, opened

from flowrt import Detections, Location, PedestrianEvent, RoadUser, Tracks, Violation, ZoneEvent
from flowrt_nodes.pedestrian_safety import PedestrianSafety

WALKER, CAR = 7, 4


def picture() -> Tracks:
    """A car and a pedestrian."""
    boxes = np.array([[0, 0, 50, 30], [60, 0, 70, 30]], np.float32)
    seen = Detections(
        time_s=99.0, camera_id="north", boxes_px=boxes, confidence=np.ones(2, np.float32),
        class_id=np.array([0, 1], np.int64), labels=("car", "person"), picture_px=(100, 100),
    )  # fmt: skip
    return Tracks.of(
        seen, np.arange(2), track_id=np.array([CAR, WALKER], np.int64), age_s=np.ones(2, np.float32),
        velocity_px_s=np.zeros((2, 2), np.float32),
    )  # fmt: skip


def user(track: int) -> RoadUser:
    return RoadUser(
        track_id=track, label="person" if track == WALKER else "car", confidence=0.9, box_px=(0.0, 0.0, 1.0, 1.0)
    )


def entry(track: int, roi_type: Any = "crosswalk", event_type: Any = "entry") -> ZoneEvent:
    where = Location(x_px=1.0, y_px=1.0)
    return ZoneEvent(id=f"e{track}", time_s=100.0, camera_id="north", roi_id="z", roi_type=roi_type, event_type=event_type,
                     object=user(track), location=where)  # fmt: skip


def violation(kind: str, track: int, **evidence: Any) -> Violation:
    where = Location(x_px=1.0, y_px=1.0)
    return Violation(id=f"{kind}-{track}", time_s=100.0, camera_id="north", violation_type=kind, severity="medium", phase="new",
                     location=where, object=user(track), evidence=evidence, started_s=99.5, roi_id="z")  # fmt: skip


def told(folder: Path, *messages: Any) -> list[PedestrianEvent]:
    with opened(PedestrianSafety(), context(folder)) as node:
        return list(feed(node, [picture(), *messages]))


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (entry(WALKER), ("crosswalk_entry", WALKER, None, "low")),
        (violation("jaywalking", WALKER), ("unsafe_crossing", WALKER, None, "medium")),
        (violation("failure_to_yield", CAR, pedestrian_id=WALKER), ("unsafe_crossing", WALKER, CAR, "high")),
        (violation("near_miss", CAR, other_id=WALKER, ttc_s=1.2), ("near_miss", WALKER, CAR, "high")),
        (violation("near_miss", CAR, other_id=WALKER, ttc_s=0.5), ("near_miss", WALKER, CAR, "critical")),
        (violation("near_miss", CAR, other_id=WALKER, pet_s=0.7), ("near_miss", WALKER, CAR, "critical")),
    ],
)
def test_it_is_told_from_the_pedestrians_side(tmp_path: Path, cause: Any, expected: tuple[Any, ...]) -> None:
    (event,) = told(tmp_path, cause)
    assert (event.event_type, event.pedestrian_id, event.vehicle_id, event.risk_level) == expected
    assert told(tmp_path, cause)[0].id == event.id, "the same cause gives the same event"
    assert event.id != cause.id


@pytest.mark.parametrize(
    "cause",
    [
        entry(CAR),
        entry(WALKER, roi_type="sidewalk"),
        entry(WALKER, event_type="exit"),
        violation("near_miss", CAR, other_id=5, ttc_s=0.5),
        violation("speeding", CAR),
        msgspec.structs.replace(violation("jaywalking", WALKER), phase="end"),
    ],
)
def test_the_rest_is_not_about_pedestrians(tmp_path: Path, cause: Any) -> None:
    assert told(tmp_path, cause) == []
