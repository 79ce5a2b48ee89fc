"""Payloads: complete, deterministic, and always within their topic's schema."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import msgspec
import numpy as np
import pytest

from flowrt.contract import Contract, NotInContract
from flowrt.contract.payload import rfc3339
from flowrt.message import Event, Message, Record, Tick
from flowrt.traffic import Aggregate, Frame, Health, PedestrianEvent, RoadUser, Violation
from tests.contract.messages import CAMERA, SITE, TIME_S, detections, every, health, tracks, violation

CONTRACT = Contract.load()
CARRIED = [message for message in every() if not isinstance(message, Aggregate)]


@pytest.mark.parametrize("message", CARRIED, ids=lambda m: type(m).__name__)
def test_payloads_keep_to_their_schema(message: Message) -> None:
    payload = json.loads(CONTRACT.encode_payload(message, SITE))
    assert CONTRACT.validate_payload(message, payload) == []
    assert payload == CONTRACT.payload(message, SITE)
    assert (payload["time"], payload["site"]) == (rfc3339(round(message.time_s * 1e6)), SITE)
    assert payload.get("camera_id", "") == message.camera_id


@pytest.mark.parametrize("message", CARRIED, ids=lambda m: type(m).__name__)
def test_payloads_carry_every_field_that_is_known(message: Message) -> None:
    payload = CONTRACT.payload(message, SITE)
    if isinstance(message, type(detections())) or hasattr(message, "boxes_px"):
        return  # columns: tested below
    known = {n for n in message.__struct_fields__ if getattr(message, n) not in (None, "")}
    assert set(payload) == (known - {"time_s"}) | {"id", "time", "site"}


def test_detection_payload() -> None:
    payload = CONTRACT.payload(detections(2), SITE)
    assert payload["objects"] == [
        {"class": "car", "confidence": 0.9, "box_px": [0.0, 5.0, 15.0, 50.0], "ground_px": [7.5, 50.0]},
        {"class": "person", "confidence": 0.5, "box_px": [20.0, 25.0, 35.0, 70.0], "ground_px": [27.5, 70.0]},
    ]
    counts = {name: payload[name] for name in ("object_count", "vehicle_count", "pedestrian_count", "confidence_avg")}
    assert counts == {"object_count": 2, "vehicle_count": 1, "pedestrian_count": 1, "confidence_avg": 0.7}


def test_tracks_payload_has_what_is_known_of_each() -> None:
    first, second, third = CONTRACT.payload(tracks(3), SITE)["objects"]
    assert (first["track_id"], first["ground_m"], first["speed_kmh"]) == (17, [3.1, 12.6], 38.4)
    assert first["zones"] == second["zones"] == ["n_in_1"]
    assert set(third) == {"class", "confidence", "box_px", "ground_px", "track_id"}


def test_the_same_message_has_the_same_id_and_another_another() -> None:
    def ids(messages: list[Message]) -> list[str]:
        return [CONTRACT.payload(message, SITE)["id"] for message in messages]

    assert ids(every()) == ids(every())
    once = every()
    repeated = 3  # an empty picture at the time of another, a violation's end, a camera's second state at one instant
    assert len(set(ids(once))) == len(once) - repeated
    lasting = [message for message in every() if not isinstance(message, Event)]
    later = [msgspec.structs.replace(message, time_s=TIME_S + 60) for message in lasting]
    assert not set(ids(later)) & set(ids(lasting))


def test_a_camera_is_named_only_where_there_is_one() -> None:
    assert "camera_id" not in CONTRACT.payload(health(), SITE)
    assert CONTRACT.payload(violation(), SITE)["camera_id"] == CAMERA


def test_services_say_only_what_is_known() -> None:
    assert CONTRACT.payload(health(), SITE)["services"] == {
        "mqtt": {"status": "up", "latency_ms": 0.8},
        "influxdb": {"status": "down", "error": "connection refused"},
        "grafana": {"status": "disabled"},
    }


def test_evidence_may_hold_numpy_values_and_gaps() -> None:
    evidence = CONTRACT.payload(violation(), SITE)["evidence"]
    assert evidence == {
        "signal": "phase_2",
        "red_for_s": 2.5,
        "samples": [[1.0, 2.0], [3.0, None]],
        "zones": ["a", "b"],
        "ids": [17, 18],
    }


def test_what_is_not_finite_is_left_out() -> None:
    lost = RoadUser(track_id=1, label="car", confidence=0.5, box_px=(0, 0, 1, 1), speed_kmh=float("nan"))
    message = msgspec.structs.replace(violation(), object=lost)
    payload = CONTRACT.payload(message, SITE)
    assert "speed_kmh" not in payload["object"]
    assert CONTRACT.validate_payload(message, payload) == []


def test_what_json_has_no_form_for_is_refused() -> None:
    message = msgspec.structs.replace(violation(), evidence={"file": object()})
    with pytest.raises(TypeError, match="a payload can't hold a object"):
        CONTRACT.payload(message, SITE)


@pytest.mark.parametrize(
    ("microseconds", "written"),
    [
        (0, "1970-01-01T00:00:00.000000Z"),
        (1777888800250001, "2026-05-04T10:00:00.250001Z"),
        (1777888799999999, "2026-05-04T09:59:59.999999Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_times(microseconds: int, written: str) -> None:
    assert rfc3339(microseconds) == written


def test_records_are_free() -> None:
    record = Record(time_s=TIME_S, data={"spam": 1, "at": None}, topic="lab/spam")
    assert CONTRACT.topic(record).topic == "lab/spam"
    assert CONTRACT.payload(record, SITE)["spam"] == 1
    assert CONTRACT.validate_payload(record, CONTRACT.payload(record, SITE)) == []


@pytest.mark.parametrize("kind", [Frame, Tick])
def test_what_no_topic_carries_says_so(kind: type[Message]) -> None:
    with pytest.raises(NotInContract, match=f"no topic of the contract carries {kind.__name__}"):
        CONTRACT.topic(kind)
    with pytest.raises(NotInContract, match=f"no measurement of the contract keeps {kind.__name__}"):
        CONTRACT.measurements_of(kind)


class Near(Violation, frozen=True, kw_only=True, eq=False):
    """A violation of a third party's, without a field of its own."""

    port: ClassVar[str] = "near"


def test_a_subclass_goes_where_its_base_goes() -> None:
    given: dict[str, Any] = {name: getattr(violation(), name) for name in Violation.__struct_fields__}
    assert CONTRACT.topic(Near(**given)).topic == "violations"
    assert CONTRACT.incompatibilities(Near, "topics") == []


@pytest.mark.parametrize(
    ("kind", "topic"),
    [
        (type(detections()), "detection"),
        (type(tracks()), "detection"),
        (Health, "system/health"),
        (PedestrianEvent, "safety/pedestrian"),
    ],
)
def test_topics_by_type(kind: type[Message], topic: str) -> None:
    assert CONTRACT.topic(kind).topic == topic


def test_large_pictures_stay_whole() -> None:
    many = detections(200)
    assert len(CONTRACT.payload(many, SITE)["objects"]) == 200
    assert np.isclose(CONTRACT.payload(many, SITE)["confidence_avg"], 0.7, atol=1e-3)
