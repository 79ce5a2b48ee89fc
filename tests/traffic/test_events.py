"""Events are built with what is known; their types fill in the rest, and ids are the same in every run."""

from __future__ import annotations

import msgspec
import pytest
from traffic.street import tracks_of

from flowrt import Event, LaneInterval, Location, PedestrianEvent, RoadUser, Violation, ZoneEvent
from flowrt.contract import Contract
from flowrt.contract.compatibility import topic_incompatibilities

CAR = RoadUser(track_id=7, label="car", confidence=0.9, box_px=(10.0, 20.0, 30.0, 60.0))


def test_a_violation_needs_time_camera_kind_and_offender() -> None:
    event = Violation(time_s=5.0, camera_id="north", violation_type="tailgating", object=CAR)
    assert (event.phase, event.severity, event.started_s, event.evidence) == ("new", "medium", 5.0, {})
    assert event.location == Location(x_px=20.0, y_px=60.0)
    assert len(event.id) == 20


def test_what_is_given_stays() -> None:
    where = Location(x_px=1.0, y_px=2.0, x_m=3.0)
    event = Violation(
        time_s=5.0, id="mine", violation_type="x", object=CAR, severity="high", location=where, started_s=2.0
    )
    assert (event.id, event.severity, event.location, event.started_s) == ("mine", "high", where, 2.0)


def test_later_phases_of_a_violation_have_its_id() -> None:
    new = Violation(time_s=5.0, camera_id="north", violation_type="x", object=CAR)
    end = Violation(time_s=9.0, camera_id="north", violation_type="x", object=CAR, started_s=5.0, phase="end")
    other = Violation(time_s=5.0, camera_id="south", violation_type="x", object=CAR)
    assert new.id == end.id != other.id
    assert msgspec.structs.replace(new, phase="end").id == new.id


def test_from_a_row_of_tracks() -> None:
    [seen] = [tracks_of(3.0, [4, 5], ["car", "bus"], [[0, 0, 10, 10], [100, 50, 200, 150]])]
    event = Violation.of(seen, 1, violation_type="bus_lane", lane_id="n_in_1", severity="low")
    assert (event.time_s, event.camera_id, event.object.label, event.object.track_id) == (3.0, "north_camera", "bus", 5)
    assert event.location == Location(x_px=150.0, y_px=150.0, lane_id="n_in_1")
    entry = ZoneEvent.of(seen, 0, roi_id="box", event_type="entry")
    assert (entry.roi_type, entry.location.x_px, entry.object.label) == ("other", 5.0, "car")


@pytest.mark.parametrize("kind", [Violation, ZoneEvent, PedestrianEvent, LaneInterval])
def test_what_is_filled_in_keeps_to_the_topic(kind: type[Event]) -> None:
    [spec] = [each for each in Contract.load().topics.values() if each.message == kind.__name__]
    assert topic_incompatibilities(kind, spec) == []
    assert set(kind.filled) <= set(kind.__struct_fields__)


def test_an_event_of_ones_own_gets_an_id_of_its_fields() -> None:
    class BusStopped(Event, frozen=True, kw_only=True, eq=False):
        port = "bus_stops"  # type: ignore[misc]  # in a module it is annotated ClassVar
        stop: str

    first, again = BusStopped(time_s=1.0, stop="a"), BusStopped(time_s=1.0, stop="a")
    assert first.id == again.id != BusStopped(time_s=1.0, stop="b").id
