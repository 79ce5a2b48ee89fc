"""timer, filter, map, rate_limit, debug, catch, file_out; and what is said of every node of this library."""

from __future__ import annotations

import csv
import errno
import json
import logging
import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import context, feed, opened
from traffic.street import START_S, tracks_of

from flowrt import Fault, Frame, Location, OutboxRecord, Record, RoadUser, Tick, Tracks, Violation
from flowrt.clock import SystemClock
from flowrt.message import Message
from flowrt.sink import Retry
from flowrt_nodes.catch import Catch
from flowrt_nodes.debug import Debug
from flowrt_nodes.file_out import FileOut
from flowrt_nodes.filter import Filter
from flowrt_nodes.map import Map
from flowrt_nodes.rate_limit import RateLimit
from flowrt_nodes.timer import Timer


def violation(number: int = 1, severity: str = "high", time_s: float = START_S) -> Violation:
    return Violation(
        time_s=time_s,
        camera_id="north",
        id=f"v{number}",
        violation_type="red_light",
        severity=severity,  # type: ignore[arg-type]
        phase="new",
        location=Location(x_px=1.0, y_px=2.0),
        object=RoadUser(track_id=number, label="car", confidence=0.9, box_px=(0, 0, 1, 2), speed_kmh=41.5),
        evidence={"median_kmh": 61.0},
        started_s=time_s,
    )


class View:
    folder = Path()


def test_timer_ticks_at_multiples(tmp_path: Path) -> None:
    from flowrt.clock import VirtualClock

    with opened(Timer(every_s=15), context(tmp_path, clock=VirtualClock(100.0))) as node:
        ticks = list(islice(node.produce(), 4))
    assert [(tick.time_s, tick.count) for tick in ticks] == [(105, 0), (120, 1), (135, 2), (150, 3)]


def test_timer_at_start_and_on_a_real_clock(tmp_path: Path) -> None:
    where = context(tmp_path, clock=SystemClock())
    with opened(Timer(every_s=0.05, at_start=True), where) as node:
        ticks = list(islice(node.produce(), 4))
        assert ticks[0].count == 0
        assert all(abs(tick.time_s / 0.05 - round(tick.time_s / 0.05)) < 1e-3 for tick in ticks[1:])
        assert ticks[1].time_s < ticks[2].time_s < ticks[3].time_s
        stopper = threading.Timer(0.1, where.stopping.set)
        stopper.start()
        node.every_s = 3600.0
        assert len(list(node.produce())) <= 1  # at_start; then it stops at once
        stopper.join()


FILTER_CASES = [
    ("message.severity == 'high'", ["v1"]),
    ("message.severity in ['low', 'high'] && message.phase == 'new'", ["v1", "v2"]),
    ("message.object.speed_kmh > 40", ["v1", "v2"]),
    ("message.type == 'violations'", ["v1", "v2"]),
    ("message.nothing > 40", []),
    ("!has(message.nothing)", ["v1", "v2"]),
]


@pytest.mark.parametrize(("when", "passed"), FILTER_CASES)
def test_filter_of_messages(when: str, passed: list[str], tmp_path: Path) -> None:
    with opened(Filter(when=when), context(tmp_path)) as node:
        found = list(feed(node, [violation(1), violation(2, "low")]))
    assert [message.id for message in found] == passed  # type: ignore[attr-defined]


def test_filter_of_objects(tmp_path: Path) -> None:
    tracks = tracks_of(START_S, [1, 2, 3], ["car", "truck", "car"], [[0, 0, 10, 20], [50, 0, 60, 20], [90, 0, 99, 20]])
    with opened(Filter(when="track.label == 'car' && track.x_px > 10.0"), context(tmp_path)) as node:
        [found] = feed(node, [tracks])
        assert isinstance(found, Tracks)
        assert found.track_id.tolist() == [3]
        assert node.process(violation()) is not None  # a message without objects goes on whole


def test_filter_edit_in_place(tmp_path: Path) -> None:
    with opened(Filter(when="message.severity == 'high'"), context(tmp_path)) as node:
        assert node.process(violation()) is not None
        node.when = "message.severity == 'low'"
        node.reconfigured(frozenset({"when"}))
        assert node.process(violation()) is None


@pytest.mark.parametrize(("when", "part"), [("message.x >", "no CEL"), ("mesage.x", "unknown variable 'mesage'")])
def test_filter_complains_at_load(when: str, part: str) -> None:
    [diagnostic] = Filter(when=when).check(View())  # type: ignore[arg-type]
    assert part in diagnostic.message


def test_map(tmp_path: Path) -> None:
    fields = {
        "track": "message.object.track_id",
        "fast": "message.object.speed_kmh > 40",
        "where": "site + '/' + camera",
    }
    with opened(Map(fields=fields, topic="fines"), context(tmp_path)) as node:
        record = node.process(violation(7))
        assert node.process(Tick(time_s=1.0, count=1)) is None
    assert isinstance(record, Record)
    assert record.data == {"track": 7, "fast": True, "where": "main-and-5th/north"}
    assert (record.topic, record.time_s) == ("fines", START_S)


def test_map_complains_of_each_field() -> None:
    said = list(Map(fields={"a": "1 +", "b": "1 + 1", "c": "nobody"}).check(View()))  # type: ignore[arg-type]
    assert [diagnostic.keys for diagnostic in said] == [("fields", "a"), ("fields", "c")]


def test_rate_limit(tmp_path: Path) -> None:
    with opened(RateLimit(most=2, per_s=1.0), context(tmp_path)) as node:
        passed = list(feed(node, [violation(i, time_s=START_S + i * 0.1) for i in range(31)]))
        assert 7 <= len(passed) <= 8  # two at once, then two a second for three seconds
        assert node.status() == {"left_out": 31 - len(passed)}
        assert node.process(Tick(time_s=START_S + 3.0, count=1)) is not None  # each kind has its own


def test_debug_writes_lines(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    messages: list[Message] = [violation(1), *(violation(i, time_s=START_S + 0.001 * i) for i in range(2, 9))]
    with caplog.at_level(logging.INFO), opened(Debug(per_s=1.0, longest=200), context(tmp_path)) as node:
        list(feed(node, messages))
        node.process(Frame(time_s=START_S + 5, image=image))
    assert len(caplog.records) == 2
    assert '"type": "violations"' in caplog.text
    assert '"width": 6' in caplog.text
    assert "(7 more before)" in caplog.text
    assert all(len(record.message) < 250 for record in caplog.records)


def test_catch(tmp_path: Path) -> None:
    faults = [Fault(time_s=float(t), node="n", error="x" if t % 2 else "y", error_type="E") for t in range(10)]
    with opened(Catch(), context(tmp_path)) as node:
        assert len(list(feed(node, faults))) == 10
    with opened(Catch(quiet_s=4), context(tmp_path)) as node:
        assert [fault.time_s for fault in feed(node, faults)] == [0, 1, 4, 5, 8, 9]


class Receipts:
    def __init__(self) -> None:
        self.names: list[str] = []

    def delivered(self, letter: OutboxRecord) -> None:
        self.names.append(letter.id)

    def rejected(self, letter: OutboxRecord, reason: str) -> None:
        raise AssertionError(reason)


def write(node: FileOut, messages: list[Message], folder: Path, batch: int = 100) -> Receipts:
    receipts = Receipts()
    with opened(node, context(folder)):
        letters = [letter for message in messages for letter in node.encode(message)]
        for start in range(0, len(letters), batch):
            node.deliver(letters[start : start + batch], receipts)
        node.deliver([], receipts)
    return receipts


def test_file_out_ndjson(tmp_path: Path) -> None:
    receipts = write(FileOut(path="out.ndjson"), [violation(1), Tick(time_s=5.0, count=3)], tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "out.ndjson").read_text().splitlines()]
    assert lines[0]["type"] == "violations"
    assert lines[0]["time"] == "2023-11-14T22:13:20.000000Z"
    assert lines[1]["count"] == 3
    assert len(set(receipts.names)) == 2
    write(FileOut(path="out.ndjson"), [violation(2)], tmp_path)
    assert len((tmp_path / "out.ndjson").read_text().splitlines()) == 3  # appended


def test_file_out_csv(tmp_path: Path) -> None:
    write(
        FileOut(path="out.csv", columns=["id", "object.track_id", "missing", "object"]),
        [violation(1), violation(2)],
        tmp_path,
    )
    rows = list(csv.reader((tmp_path / "out.csv").read_text().splitlines()))
    assert rows[0] == ["id", "object.track_id", "missing", "object"]
    assert rows[2][:3] == ["v2", "2", ""]
    assert json.loads(rows[2][3])["label"] == "car"


def test_file_out_csv_takes_its_header_from_the_first_message_or_the_file(tmp_path: Path) -> None:
    write(FileOut(path="out.csv"), [violation(1)], tmp_path)
    write(FileOut(path="out.csv"), [violation(2), Tick(time_s=1.0, count=1)], tmp_path)
    rows = list(csv.DictReader((tmp_path / "out.csv").read_text().splitlines()))
    assert [row["id"] for row in rows] == ["v1", "v2", ""]
    assert rows[1]["severity"] == "high"


def test_file_out_rotates_and_is_bounded(tmp_path: Path) -> None:
    write(FileOut(path="o.ndjson", max_mb=0.01, keep=2), [violation(i) for i in range(300)], tmp_path, batch=5)
    files = sorted(file.name for file in tmp_path.glob("o.ndjson*"))
    assert files == ["o.ndjson", "o.ndjson.1", "o.ndjson.2"]
    assert all(file.stat().st_size <= 10_000 for file in tmp_path.glob("o.ndjson*"))
    newest = [json.loads(line)["id"] for line in (tmp_path / "o.ndjson").read_text().splitlines()]
    assert newest[-1] == "v299"


def test_file_out_mends_half_a_line(tmp_path: Path) -> None:
    (tmp_path / "o.ndjson").write_text('{"a": 1}\n{"b": ')
    write(FileOut(path="o.ndjson"), [violation(1)], tmp_path)
    lines = (tmp_path / "o.ndjson").read_text().splitlines()
    assert [sorted(json.loads(line))[0] for line in lines] == ["a", "camera_id"]


def test_file_out_waits_where_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = FileOut(path="o.ndjson")
    write(node, [violation(1)], tmp_path)
    size = (tmp_path / "o.ndjson").stat().st_size

    def full(_fd: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Retry, match="No space left"):
        write(node, [violation(2)], tmp_path)
    assert (tmp_path / "o.ndjson").stat().st_size == size  # no half-written batch is left


def test_file_out_checks_its_folder(tmp_path: Path) -> None:
    class Here:
        folder = tmp_path

    said = list(FileOut(path="nowhere/o.csv", format="ndjson", columns=["a"]).check(Here()))  # type: ignore[arg-type]
    assert {diagnostic.keys for diagnostic in said} == {("columns",), ("path",)}


OWN = ["roi", "speed", "traffic_flow", "timer", "filter", "map", "rate_limit", "debug", "file_out", "catch", "violation",
       "violation.red_light", "violation.wrong_way", "violation.speeding", "violation.illegal_turn", "violation.stopped",
       "violation.stopped_on_crosswalk", "violation.amber_acceleration", "violation.jaywalking", "violation.failure_to_yield",
       "violation.near_miss", "signal.fixed", "signal.mqtt", "signal.lamp"]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_every_node_is_described(name: str) -> None:
    """A summary, an example of its own type, and a description for every setting that is no name."""
    import msgspec
    import yaml

    from flowrt.catalog import Catalog, setting_extras

    kind = Catalog().get(name)
    assert kind.summary.endswith((".", ":"))
    example: dict[str, Any] = yaml.safe_load(kind.cls.example)
    assert [node["type"] for node in example.values()] == [name]
    info = msgspec.inspect.type_info(kind.cls)
    assert isinstance(info, msgspec.inspect.StructType)
    named = {field for field, extra in setting_extras(kind.cls).items() if extra.get("kind")}
    schema = msgspec.json.schema(kind.cls)["$defs"][kind.cls.__name__]["properties"]
    for field in info.fields:
        assert field.name in named or schema[field.encode_name].get("description"), field.name
