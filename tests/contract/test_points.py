"""Points: what the measurements keep, that repeating changes nothing, and that a real database takes every line."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import pytest
from influxdb_client import Point, WritePrecision
from servers import InfluxDB, influx

from flowrt.contract import Contract, NotInContract
from flowrt.message import Fault, Message
from flowrt.traffic import Frame
from tests.contract.messages import CAMERA, SITE, TIME_S, detections, every, health, tracks, violation, zone_event

CONTRACT = Contract.load()
KEPT = [message for message in every() if not isinstance(message, Fault)]
TIME_US = round(TIME_S * 1e6)


@pytest.mark.parametrize("message", KEPT, ids=lambda m: type(m).__name__)
def test_lines_are_the_points_as_the_client_writes_them(message: Message) -> None:
    lines = CONTRACT.lines(message, SITE)
    points = CONTRACT.points(message, SITE)
    assert lines == [
        Point.from_dict(
            {"measurement": p.measurement, "tags": p.tags, "fields": p.fields, "time": p.time_ns}, WritePrecision.NS
        )
        .to_line_protocol()
        .encode()
        for p in points
    ]


@pytest.mark.parametrize("message", KEPT, ids=lambda m: type(m).__name__)
def test_points_keep_to_their_schema(message: Message) -> None:
    for point in CONTRACT.points(message, SITE):
        spec = CONTRACT.measurements[point.measurement]
        assert set(point.tags) == set(spec.tags)  # all of them: a table's tags are fixed by its first point
        assert all(point.tags.values())
        whole = {"time": "", **point.tags, **point.fields}
        errors = CONTRACT.validator().check(_as_topic(spec), whole)
        assert [str(error) for error in errors] == []
        of_type = {"float": float, "int": int, "string": str, "bool": bool}
        assert all(type(value) is of_type[spec.fields[name].type] for name, value in point.fields.items())


def _as_topic(spec: Any) -> Any:
    from flowrt.contract import TopicSpec

    return TopicSpec(topic=spec.measurement, schema=spec.schema, file=spec.file)


def only(message: Message, measurement: str) -> Any:
    (point,) = [p for p in CONTRACT.points(message, SITE) if p.measurement == measurement]
    return point


def test_detection_events() -> None:
    point = only(tracks(), "detection_events")
    assert point.time_ns == TIME_US * 1000
    assert point.tags == {
        "site": SITE,
        "camera_id": CAMERA,
        "camera_position": "none",
        "detection_model": "yolox_nano",
    }
    assert point.fields == {
        "object_count": 3,
        "vehicle_count": 2,
        "pedestrian_count": 1,
        "confidence_avg": 0.7,
        "processing_time": 7.9,
    }


def test_the_camera_says_where_it_is() -> None:
    frame = Frame(time_s=TIME_S, camera_id=CAMERA, image=np.zeros((4, 4, 3), np.uint8), position="north")
    assert only(detections(frame=frame), "detection_events").tags["camera_position"] == "north"
    (point,) = CONTRACT.points(detections(), SITE, {"camera_position": "south"})
    assert point.tags["camera_position"] == "south"


def test_an_empty_picture_has_no_confidence() -> None:
    assert "confidence_avg" not in only(detections(0), "detection_events").fields


def test_a_violation_is_one_point_for_life() -> None:
    new, end = only(violation(), "violation_events"), only(violation("end", TIME_S + 3), "violation_events")
    assert (new.tags, new.time_ns) == (end.tags, end.time_ns)
    assert (new.fields["phase"], end.fields["phase"]) == ("new", "end")
    assert (new.fields["count"], new.fields["object_id"], new.fields["speed"]) == (1, 17, 38.4)
    assert 0 <= new.time_ns - TIME_US * 1000 < 1_000_000


def test_two_events_of_one_series_at_one_instant_stay_two() -> None:
    times = {only(violation(track_id=track), "violation_events").time_ns for track in range(8)}
    assert len(times) == 8
    assert len({only(zone_event(track), "roi_events").time_ns for track in range(8)}) == 8
    assert all(0 <= time_ns - TIME_US * 1000 < 1_000_000 for time_ns in times)


@pytest.mark.parametrize(
    ("count", "level"), [(0, "low"), (2, "low"), (3, "medium"), (7, "medium"), (8, "high"), (99, "high")]
)
def test_activity_level(count: int, level: str) -> None:
    assert only(zone_event(count=count), "roi_events").fields["activity_level"] == level


def test_health_has_a_point_for_each_service_and_one_for_all() -> None:
    points = {point.tags["service_name"]: point for point in CONTRACT.points(health(), SITE)}
    assert {name: point.fields["service_status"] for name, point in points.items()} == {
        "flowrt": "degraded",
        "mqtt": "up",
        "influxdb": "down",
        "grafana": "disabled",
    }
    assert points["flowrt"].fields["uptime_seconds"] == 86412.5
    assert points["mqtt"].fields == {"service_status": "up", "latency_ms": 0.8}
    assert all(point.tags["host"] == "edge-01" and point.tags["site"] == SITE for point in points.values())


def test_what_is_not_finite_is_left_out() -> None:
    nan = msgspec.structs.replace(health(), cpu_usage=float("nan"), memory_usage=float("inf"))
    point = next(p for p in CONTRACT.points(nan, SITE) if p.tags["service_name"] == "flowrt")
    assert not {"cpu_usage", "memory_usage"} & set(point.fields)


def test_lines_name_their_bucket() -> None:
    buckets = {spec.bucket for message in KEPT for spec, _ in CONTRACT.lines_of(message, SITE)}
    assert buckets == {"monitoring", "analytics"}


def test_a_message_that_no_measurement_keeps() -> None:
    with pytest.raises(NotInContract):
        CONTRACT.lines(next(m for m in every() if isinstance(m, Fault)), SITE)


# --- a real database -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InfluxDB]:
    with influx(tmp_path_factory.mktemp("influx"), databases=("traffic",)) as running:
        yield running


def write(database: InfluxDB, lines: list[bytes]) -> None:
    url = f"{database.url}/api/v2/write?bucket=traffic&precision=ns"
    urllib.request.urlopen(urllib.request.Request(url, b"\n".join(lines)), timeout=20).close()


def test_a_real_database_takes_every_line_and_gives_it_back(database: InfluxDB) -> None:
    odd = msgspec.structs.replace(
        violation(track_id=99), camera_id='c,1= "x"\\', roi_id="a\\", violation_type='tab\tnew\nline "q" \\ €'
    )
    messages = [*KEPT, odd]
    lines = [line for message in messages for line in CONTRACT.lines(message, SITE)]
    for _ in range(2):  # the second time changes nothing
        write(database, lines)
    expected: dict[tuple[Any, ...], dict[str, Any]] = {}
    for message in messages:
        for point in CONTRACT.points(message, SITE):
            key = (point.measurement, point.time_ns, *sorted(point.tags.items()))
            expected.setdefault(key, {}).update(point.fields)
    assert len(expected) < len(lines)  # a violation's end overwrote its beginning
    found = {
        (name, row["time"], *sorted((tag, row[tag]) for tag in spec.tags)): {
            field: row[field] for field in spec.fields if row.get(field) is not None
        }
        for name, spec in CONTRACT.measurements.items()
        for row in database.query(f'SELECT * FROM "{name}"', "traffic")
    }
    plain = {key: value for key, value in expected.items() if "99" not in str(value.get("object_id"))}
    assert {key: value for key, value in found.items() if value.get("object_id") != 99} == plain
    (strange,) = [value for value in found.values() if value.get("object_id") == 99]
    assert strange["violation_type"] == odd.violation_type


def test_fields_have_the_types_of_the_contract_in_a_real_database(database: InfluxDB) -> None:
    write(database, [line for message in KEPT for line in CONTRACT.lines(message, SITE)])
    in_database = {"float": "float", "int": "integer", "string": "string", "bool": "boolean"}
    for name, spec in CONTRACT.measurements.items():
        found = {
            row["fieldKey"]: row["fieldType"] for row in database.query(f'SHOW FIELD KEYS FROM "{name}"', "traffic")
        }
        assert found
        assert found == {field: in_database[spec.fields[field].type] for field in found}
