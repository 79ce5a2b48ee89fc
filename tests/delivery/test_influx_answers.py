"""influx_out and the answers of InfluxDB 2 and 3: doubles that answer as real servers were recorded to answer."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from doubles.influx import Bucket, Double, Request
from doubles.influx_2 import InfluxDB2, influx_2
from doubles.influx_3 import MOST_BYTES, InfluxDB3, influx_3

from flowrt.journal import JournalView
from flowrt.services import Influx
from flowrt.sink import OutboxRecord
from flowrt.traffic import Location, RoadUser, ZoneEvent
from flowrt_nodes.influx._writer import retry_after_s
from flowrt_nodes.influx.influx_out import InfluxOut
from tests.delivery.outside import eventually
from tests.delivery.scripted_http import Answer, scripted
from tests.delivery.world import World, world
from tests.raw_server import dripping, serving

ORG, RAW = "smart-intersection", "traffic_monitoring"
TOKEN_3 = "apiv3_of-the-administrator"


@pytest.fixture
def two() -> Iterator[tuple[InfluxDB2, Influx]]:
    """An InfluxDB 2 with both buckets and a token that may write to them."""
    with influx_2() as database:
        body = {"username": "admin", "password": "x", "org": ORG, "bucket": RAW, "retentionPeriodSeconds": 7 * 86_400, "token": "admin"}  # fmt: skip
        database.answer(Request("POST", "/api/v2/setup", {}, {}, _json(body)))
        database.buckets["traffic_analytics"] = Bucket(name="traffic_analytics", id="b2", retention_s=30 * 86_400)
        database.tokens["writes"] = {("write", one.id) for one in database.buckets.values()}
        yield database, Influx(url=database.url, token="writes")


@pytest.fixture
def three() -> Iterator[tuple[InfluxDB3, Influx]]:
    """An InfluxDB 3 with both databases."""
    with influx_3(TOKEN_3) as database:
        for name, days in ((RAW, 7), ("traffic_analytics", 30)):
            database.buckets[name] = Bucket(name=name, retention_s=days * 86_400)
        yield database, Influx(url=database.url, token=TOKEN_3)


def _json(content: Any) -> bytes:
    return json.dumps(content).encode()


def event(number: int, age_s: float = 60.0) -> ZoneEvent:
    """A zone event of a minute ago, or older."""
    user = RoadUser(track_id=number + 1, label="person", confidence=0.8, box_px=(1.0, 2.0, 3.0, 4.0))
    return ZoneEvent(
        id=f"z-{number}",
        time_s=time.time() - age_s + number * 0.001,
        camera_id="north",
        roi_id="crosswalk",
        roi_type="crosswalk",
        event_type="entry",
        object=user,
        location=Location(x_px=10.0, y_px=20.0),
    )


def node(**settings: Any) -> InfluxOut:
    return InfluxOut(**{"flush_s": 0.1, "timeout_s": 5.0, **settings})


def stored(database: Double) -> int:
    return len(database.buckets[RAW].points)


def send_with_a_bad_one(w: World, n: int) -> None:
    """n events, the one in the middle with a field of another type; the first goes alone, so that the type is known."""
    records = [record for i in range(n) for record in w.node.encode(event(i))]
    w.delivery.accept("out", records[:1])
    eventually(lambda: w.statistics.delivered == 1)
    bad = records[n // 2]
    body = bad.body.replace(b"dwell_time=0", b'dwell_time="long"')
    assert body != bad.body
    records[n // 2] = type(bad)(**{name: getattr(bad, name) for name in bad.__struct_fields__} | {"body": body})
    w.delivery.accept("out", records[1:])


def test_a_partial_write_of_influxdb_2_costs_only_the_bad_point(tmp_path: Path, two: tuple[InfluxDB2, Influx]) -> None:
    """422: the server has written the rest of the batch."""
    database, service = two
    with world(node(), tmp_path, {"influx": service}) as w:
        send_with_a_bad_one(w, 40)
        eventually(lambda: w.statistics.delivered == 39 and w.statistics.dead_letters == 1)
    assert stored(database) == 39


def test_a_refused_batch_of_influxdb_3_costs_only_the_bad_point(
    tmp_path: Path, three: tuple[InfluxDB3, Influx]
) -> None:
    """400: the server has written nothing of the batch."""
    database, service = three
    with world(node(), tmp_path, {"influx": service}) as w:
        send_with_a_bad_one(w, 40)
        eventually(lambda: w.statistics.delivered == 39 and w.statistics.dead_letters == 1)
    assert stored(database) == 39


def test_a_batch_too_large_for_influxdb_3_is_written_in_parts(tmp_path: Path, three: tuple[InfluxDB3, Influx]) -> None:
    """413 beyond 10 MB: no point is to blame."""
    database, service = three
    with world(
        node(batch_kb=30_000.0, batch_points=50_000, flush_s=3.0, timeout_s=30.0), tmp_path, {"influx": service}
    ) as w:
        records = [record for i in range(12) for record in w.node.encode(event(i))]
        long = b'note="' + b"x" * 1_000_000 + b'",'
        padded = [
            type(one)(**{n: getattr(one, n) for n in one.__struct_fields__} | {"body": one.body.replace(b" ", b" " + long, 1)})
            for one in records
        ]  # fmt: skip
        assert sum(len(one.body) for one in padded) > MOST_BYTES
        w.delivery.accept("out", padded)
        eventually(lambda: w.statistics.delivered == 12, 60.0)
        assert w.statistics.dead_letters == 0
    assert any(len(request.body) > MOST_BYTES for request in database.requests), "one batch was too large"
    assert stored(database) == 12


@pytest.mark.parametrize(
    ("token", "said"), [("wrong", "refuses the token (401)"), ("reads", "refuses the token (403)")]
)
def test_a_refused_token_of_influxdb_2_waits_for_a_better_one(
    tmp_path: Path, two: tuple[InfluxDB2, Influx], token: str, said: str
) -> None:
    database, service = two
    database.tokens["reads"] = {("read", one.id) for one in database.buckets.values()}
    with world(node(), tmp_path, {"influx": Influx(url=service.url, token=token)}) as w:
        w.send(*(event(i) for i in range(20)))
        eventually(lambda: said in (w.statistics.last_error or ""))
        assert (w.statistics.pending, w.statistics.dead_letters) == (20, 0)
        database.tokens[token] = database.tokens["writes"]
        eventually(lambda: w.statistics.delivered == 20)


def test_a_refused_token_of_influxdb_3_waits(tmp_path: Path, three: tuple[InfluxDB3, Influx]) -> None:
    _, service = three
    with world(node(), tmp_path, {"influx": Influx(url=service.url, token="wrong")}) as w:
        w.send(*(event(i) for i in range(20)))
        eventually(lambda: "refuses the token (401)" in (w.statistics.last_error or ""))
        assert (w.statistics.pending, w.statistics.dead_letters) == (20, 0)


@pytest.mark.parametrize(
    ("setting", "said"), [("bucket", 'bucket "nosuch" not found'), ("org", 'organization name "nosuch" not found')]
)
def test_a_missing_bucket_or_organisation_of_influxdb_2_waits_until_it_is_there(
    tmp_path: Path, two: tuple[InfluxDB2, Influx], setting: str, said: str
) -> None:
    database, service = two
    wrong = Influx(**{"url": service.url, "token": "writes", setting: "nosuch"})
    with world(node(), tmp_path, {"influx": wrong}) as w:
        w.send(*(event(i) for i in range(20)))
        eventually(lambda: said in (w.statistics.last_error or ""))
        assert (w.statistics.pending, w.statistics.dead_letters) == (20, 0)
        if setting == "org":
            database.org = "nosuch"
        else:
            database.buckets["nosuch"] = database.buckets[RAW]
        eventually(lambda: w.statistics.delivered == 20)


def test_a_missing_database_of_influxdb_3_is_not_made_by_a_mistyped_name(
    tmp_path: Path, three: tuple[InfluxDB3, Influx]
) -> None:
    """Its first write would make a database of that name, and the dashboards would stay empty."""
    database, service = three
    wrong = Influx(url=service.url, token=TOKEN_3, bucket="traffic_monitorin")
    with world(node(), tmp_path, {"influx": wrong}) as w:
        w.send(*(event(i) for i in range(20)))
        eventually(lambda: "there is no bucket 'traffic_monitorin'" in (w.statistics.last_error or ""), 5.0)
        assert "traffic_monitoring (7 days)" in w.statistics.last_error
        assert (w.statistics.pending, w.statistics.dead_letters) == (20, 0)
        assert "traffic_monitorin" not in database.buckets
        database.buckets["traffic_monitorin"] = Bucket(name="traffic_monitorin")
        eventually(lambda: w.statistics.delivered == 20)


def test_points_older_than_influxdb_2_keeps_are_dead_letters_found_by_few_requests(
    tmp_path: Path, two: tuple[InfluxDB2, Influx]
) -> None:
    """422 too: a clip of last month. The answer says how many were dropped, so that all of a batch need no search."""
    database, service = two
    journal = tmp_path / "x.journal"
    with world(node(flush_s=0.5), tmp_path, {"influx": service}, journal=journal) as w:
        w.send(*(event(i, age_s=30 * 86_400) for i in range(64)))
        eventually(lambda: w.statistics.dead_letters == 64)
    with JournalView(journal) as view:
        assert all("outside retention policy" in dead.reason for dead in view.dead_letters())
    writes = [request for request in database.requests if request.path == "/api/v2/write"]
    assert len(writes) <= 8, f"{len(writes)} requests for 64 points of one reason"


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param((200, {}, b"<html>sign in</html>"), id="200"),
        pytest.param((201, {}, b"{}"), id="201"),
        pytest.param((302, {"Location": "/login"}, b""), id="302"),
    ],
)
def test_only_204_is_a_success(tmp_path: Path, answer: Answer) -> None:
    """A proxy's sign-in page or another program on the port has stored nothing."""
    with (
        scripted(lambda lines: answer) as server,
        world(node(), tmp_path, {"influx": Influx(url=server.url, token="t")}) as w,
    ):
        w.send(*(event(i) for i in range(5)))
        eventually(lambda: bool(w.statistics.last_error), 5.0)
        assert (w.statistics.delivered, w.statistics.pending, w.statistics.dead_letters) == (0, 5, 0)


def test_no_write_is_ever_empty(tmp_path: Path, two: tuple[InfluxDB2, Influx], three: tuple[InfluxDB3, Influx]) -> None:
    """Version 3 refuses an empty body: a batch halved down to one point ends there."""
    for name, (database, service) in {"two": two, "three": three}.items():
        with world(node(), tmp_path / name, {"influx": service}) as w:
            send_with_a_bad_one(w, 5)
            eventually(settled(w, 5))
        writes = [request for request in database.requests if request.path == "/api/v2/write"]
        assert all(request.body.strip() for request in writes)


def settled(w: World, n: int) -> Callable[[], bool]:
    return lambda: w.statistics.delivered + w.statistics.dead_letters == n


@pytest.mark.parametrize(
    "said", ["nan", "inf", "-inf", "-5", "1e999", "soon", "Wed, 99 Foo 99999 00:00:00 GMT", "\xb2"]
)
def test_fault_17_a_retry_after_that_is_nonsense_does_not_make_it_ask_all_the_time(tmp_path: Path, said: str) -> None:
    times: list[float] = []

    def script(lines: list[bytes]) -> Answer:
        times.append(time.monotonic())
        return 503, {"Retry-After": said}, b""

    with scripted(script) as server, world(node(), tmp_path, {"influx": Influx(url=server.url)}) as w:
        w.send(event(1))
        eventually(lambda: len(times) >= 4, 15.0)
        assert "answers 503" in w.statistics.last_error
    assert len(times) < 50 * (times[-1] - times[0] + 1.0)
    assert retry_after_s(said) in (None, 0.0, 600.0)


def test_fault_17_an_error_page_of_300_mb_is_not_read(tmp_path: Path) -> None:
    """Its first words are told; the memory stays what it was."""
    page = b"<html>no such place" + b" " * 300_000_000
    before = psutil.Process().memory_info().rss
    with (
        scripted(lambda lines: (502, {}, page)) as server,
        world(node(), tmp_path, {"influx": Influx(url=server.url, token="t")}) as w,
    ):
        w.send(event(1))
        eventually(lambda: "no such place" in (w.statistics.last_error or ""), 15.0)
        most = psutil.Process().memory_info().rss
        assert len(w.statistics.last_error) < 500
    assert most - before < 50_000_000


@pytest.mark.parametrize("token", ["planted-token\n", "planted-token\r\n", " planted-token "])
def test_fault_14_a_line_break_at_the_end_of_a_token_is_taken_off(tmp_path: Path, token: str) -> None:
    with (
        scripted() as server,
        world(node(), tmp_path, {"influx": Influx(url=server.url, token=token)}) as w,
    ):
        w.send(event(1))
        eventually(lambda: w.statistics.delivered == 1)
    assert server.requests[-1][1]["Authorization"] == "Token planted-token"


@pytest.mark.parametrize("token", ["planted\ntoken", "planted\0token", "plantedtokén"])
def test_fault_14_a_token_that_can_not_be_sent_is_named_and_not_shown(
    tmp_path: Path, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "x.journal"
    with (
        scripted() as server,
        world(node(), tmp_path, {"influx": Influx(url=server.url, token=token)}, journal=journal) as w,
    ):
        w.send(event(1))
        eventually(lambda: w.statistics.state == "refused")
        assert "the token or password holds a line break" in w.statistics.last_error
        assert (w.statistics.pending, w.statistics.dead_letters, w.statistics.errors) == (1, 0, 0)
        told = f"{w.statistics} {w.node.status()} {caplog.text}"
    assert "planted" not in told
    assert "Traceback" not in told
    assert not [file for file in tmp_path.glob("*.journal*") if b"planted" in file.read_bytes()]


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
@pytest.mark.parametrize("token", ["planted-token", 'plan"ted\\token'])
def test_fault_14_a_server_that_echoes_the_token_does_not_get_it_into_journal_or_log(
    tmp_path: Path, status: int, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    journal = tmp_path / "x.journal"
    page = json.dumps({"message": f"no rights for Token {token}, {token}"}).encode()
    with (
        scripted(lambda lines: (status, {}, page)) as server,
        world(node(), tmp_path, {"influx": Influx(url=server.url, token=token)}, journal=journal) as w,
    ):
        w.send(event(1))
        eventually(lambda: w.statistics.last_error or w.statistics.dead_letters)
        w.journal.flush(5.0)
        told = f"{w.statistics} {w.node.status()} {caplog.text}"
    with JournalView(journal) as view:
        told += "".join(dead.reason for dead in view.dead_letters())
    assert "no rights for Token ***, ***" in told
    for form in (token, json.dumps(token)[1:-1]):
        assert form not in told
        assert not [file for file in tmp_path.glob("*.journal*") if form.encode() in file.read_bytes()]


def test_fault_17_a_header_that_drips_does_not_hold_the_write(tmp_path: Path) -> None:
    with (
        serving(dripping(b"HTTP/1.1 204 No Content\r\nX-Drip: ")) as url,
        world(node(timeout_s=0.5), tmp_path, {"influx": Influx(url=url)}) as w,
    ):
        w.send(event(1))
        eventually(lambda: "no whole answer within 0.5 s" in (w.statistics.last_error or ""), 5.0)


def test_points_older_than_influxdb_3_keeps_are_told_of_once(
    tmp_path: Path, three: tuple[InfluxDB3, Influx], caplog: pytest.LogCaptureFixture
) -> None:
    """204, and they are gone: a clip of last month."""
    _, service = three
    with world(node(), tmp_path, {"influx": service}) as w:
        for i in range(5):
            w.send(event(i, age_s=30 * 86_400))
            eventually(lambda i=i: w.statistics.delivered == i + 1)  # type: ignore[misc]
    assert caplog.text.count("keeps points of 'traffic_monitoring' for 7.0 days, and drops older ones") == 1


def test_points_of_an_earlier_version_keep_their_time(tmp_path: Path, two: tuple[InfluxDB2, Influx]) -> None:
    """They lie in the journal with microseconds."""
    database, service = two
    at_us = time.time_ns() // 1000
    line = f"roi_events,site=main-and-5th dwell_time=1 {at_us}".encode()
    old = OutboxRecord(id="old", time_s=at_us / 1e6, address="roi_events", body=line)
    with world(node(), tmp_path, {"influx": service}) as w:
        w.delivery.accept("out", [old, *w.node.encode(event(1))])
        eventually(lambda: w.statistics.delivered == 2)
    assert stored(database) == 2
    assert {at_ns for *_, at_ns in database.buckets[RAW].points} >= {at_us * 1000}
