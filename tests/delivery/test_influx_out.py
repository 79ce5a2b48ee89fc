"""influx_out against VictoriaMetrics (write protocol), InfluxDB 1.6 (read back) and a server with scripted faults."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from flowrt.journal import JournalView
from flowrt.services import Influx
from flowrt_nodes.influx.influx_out import InfluxOut
from tests.delivery.outside import eventually
from tests.delivery.scripted_http import OK, Answer, scripted
from tests.delivery.world import violation, world, zone_event
from tests.servers import free_port, influx, victoria


def node(**settings: Any) -> InfluxOut:
    return InfluxOut(flush_s=0.1, timeout_s=2.0, **settings)


def test_the_real_write_protocol(tmp_path: Path) -> None:
    with victoria(tmp_path) as store:
        services = {"influx": Influx(url=store.url, token="planted-token")}
        with world(node(gzip=True), tmp_path / "w", services) as w:
            w.send(*(zone_event(i) for i in range(50)))
            eventually(lambda: w.statistics.delivered == 50)
        eventually(lambda: sum(len(x["values"]) for x in store.samples('{__name__=~"roi_events_dwell_time"}')) == 50)


def test_points_come_back_with_event_time(tmp_path: Path) -> None:
    with influx(tmp_path) as database:
        with world(node(), tmp_path / "w", {"influx": Influx(url=database.url)}) as w:
            w.send(*(violation(i) for i in range(20)))
            w.send(*(violation(i, "end", ended_s=1_700_000_100.0) for i in range(20)))  # overwrites, adds nothing
            eventually(lambda: w.statistics.delivered == 40)
        rows = database.query('SELECT speed, "count", phase FROM violation_events')
        assert len(rows) == 20
        assert {row["phase"] for row in rows} == {"end"}
        assert {row["speed"] for row in rows} == {61.5}
        seconds = sorted(row["time"] // 1_000_000_000 for row in rows)
        assert seconds == [1_700_000_000 + i for i in range(20)]


def test_a_field_of_another_type_costs_only_that_point(tmp_path: Path) -> None:
    journal = tmp_path / "x.journal"
    with influx(tmp_path) as database:
        with world(node(), tmp_path / "w", {"influx": Influx(url=database.url)}, journal=journal) as w:
            good = [record for i in range(40) for record in w.node.encode(zone_event(i))]  # type: ignore[operator]
            w.delivery.accept("out", good[:1])
            eventually(lambda: w.statistics.delivered == 1)
            bad = good[20]
            body = bad.body.replace(b"dwell_time=0", b'dwell_time="long"')
            assert body != bad.body
            records = [*good[1:20], type(bad)(**{n: getattr(bad, n) for n in bad.__struct_fields__} | {"body": body})]
            w.delivery.accept("out", [*records, *good[21:]])
            eventually(lambda: w.statistics.delivered == 39 and w.statistics.dead_letters == 1)
        assert len(database.query("SELECT dwell_time FROM roi_events")) == 39
    with JournalView(journal) as view:
        (dead,) = view.dead_letters()
        assert dead.body == body
        assert "field type conflict" in dead.reason


def test_database_down_at_start_and_appearing_later(tmp_path: Path) -> None:
    port = free_port()
    with world(node(), tmp_path / "w", {"influx": Influx(url=f"http://127.0.0.1:{port}")}) as w:
        w.send(*(zone_event(i) for i in range(100)))
        eventually(lambda: w.statistics.state == "waiting")
        assert w.statistics.pending == 100
        assert "does not answer" in w.statistics.last_error
        with scripted(port=port) as late:
            eventually(lambda: w.statistics.delivered == 100)
            assert len(set(late.stored)) == 100


@pytest.mark.parametrize(
    "fault",
    [
        (500, {}, b'{"message": "internal"}'),
        (503, {"Retry-After": "0.2"}, b""),
        (429, {"Retry-After": "0.2"}, b'{"message": "slow down"}'),
        (401, {}, b'{"message": "unauthorized"}'),
        (404, {}, b'{"message": "bucket not found"}'),
        None,
    ],
    ids=["500", "503", "429", "401", "404", "half a response"],
)
def test_faults_that_pass_lose_nothing(tmp_path: Path, fault: Answer | None) -> None:
    failures = [0]

    def script(lines: list[bytes]) -> Answer | None:
        failures[0] += 1
        return fault if failures[0] <= 3 else OK

    with scripted(script) as server:
        with world(node(), tmp_path / "w", {"influx": Influx(url=server.url, token="planted-token")}) as w:
            w.send(*(zone_event(i) for i in range(200)))
            eventually(lambda: w.statistics.delivered == 200)
            assert (w.statistics.dead_letters, w.statistics.retries) == (0, 3)
            assert "planted" not in str(w.statistics)
        assert len(set(server.stored)) == 200


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    times: list[float] = []

    def script(lines: list[bytes]) -> Answer:
        times.append(time.monotonic())
        return (429, {"Retry-After": "1"}, b"") if len(times) == 1 else OK

    with scripted(script) as server, world(node(), tmp_path / "w", {"influx": Influx(url=server.url)}) as w:
        w.send(zone_event(1))
        eventually(lambda: w.statistics.delivered == 1)
    assert times[1] - times[0] >= 1.0


def test_a_hang_times_out(tmp_path: Path) -> None:
    hanging = [True]

    def script(lines: list[bytes]) -> Answer:
        if hanging:
            hanging.pop()
            server.release.wait(20.0)
        return OK

    with scripted(script) as server:
        fast = InfluxOut(flush_s=0.05, timeout_s=0.5)
        with world(fast, tmp_path / "w", {"influx": Influx(url=server.url)}) as w:
            w.send(zone_event(1))
            eventually(lambda: w.statistics.delivered == 1)
            assert w.statistics.retries >= 1


def test_400_isolates_the_points_to_blame(tmp_path: Path) -> None:
    def script(lines: list[bytes]) -> Answer:
        if any(b"bad_zone" in line for line in lines):
            return 400, {}, b'{"message": "partial write: field type conflict"}'
        return OK

    with scripted(script) as server, world(node(), tmp_path / "w", {"influx": Influx(url=server.url)}) as w:
        w.send(*(zone_event(i, "bad_zone" if i in (7, 130, 131) else "crosswalk") for i in range(200)))
        eventually(lambda: w.statistics.delivered == 197 and w.statistics.dead_letters == 3)
        assert len({line for line in server.stored if b"bad_zone" not in line}) == 197


def test_batches_by_count_bytes_and_age(tmp_path: Path) -> None:
    with scripted() as server:
        by_count = InfluxOut(batch_points=10, flush_s=5.0)
        with world(by_count, tmp_path / "a", {"influx": Influx(url=server.url)}) as w:
            w.send(*(zone_event(i) for i in range(30)))
            eventually(lambda: w.statistics.delivered == 30, 4.0)
        assert {len(lines) for lines in server.writes} == {10}
        server.writes.clear()
        line = len(server.stored[0])
        by_bytes = InfluxOut(batch_kb=3.5 * line / 1000, flush_s=0.2)
        with world(by_bytes, tmp_path / "b", {"influx": Influx(url=server.url)}) as w:
            w.send(*(zone_event(i) for i in range(9)))
            eventually(lambda: w.statistics.delivered == 9, 4.0)
        assert max(len(lines) for lines in server.writes) == 3


def test_who_gathers_is_asked_again_when_the_batch_is_old_enough(tmp_path: Path) -> None:
    with scripted() as server:
        patient = InfluxOut(flush_s=0.05)
        with world(patient, tmp_path / "w", {"influx": Influx(url=server.url)}) as w:
            assert patient.tick_s == 0.2  # nothing is gathered
            w.delivery.close(3.0)
            (record,) = patient.encode(zone_event(1))
            acknowledgements = Acknowledgements()
            patient.deliver([record], acknowledgements)
            assert 0.0 < patient.tick_s <= 0.05
            time.sleep(patient.tick_s)
            patient.deliver([], acknowledgements)
            assert acknowledgements.records == [record]
            assert patient.tick_s == 0.2


class Acknowledgements:
    """Keeps what was delivered."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def delivered_all(self, records: Any) -> None:
        self.records += records

    def delivered(self, record: Any) -> None:
        self.records.append(record)

    def rejected(self, record: Any, reason: str) -> None:
        raise AssertionError(reason)

    def rejected_all(self, records: Any, reason: str) -> None:
        raise AssertionError(reason)


def test_compressed_for_far_servers_only(tmp_path: Path) -> None:
    with scripted() as server:
        for gzip, encoding in ((None, None), (True, "gzip")):
            with world(node(gzip=gzip), tmp_path / f"{gzip}", {"influx": Influx(url=server.url, token="t-1")}) as w:
                w.send(zone_event(1))
                eventually(lambda w=w: w.statistics.delivered == 1)  # type: ignore[misc]
            path, headers = server.requests[-1]
            assert headers.get("Content-Encoding") == encoding if encoding else "gzip" not in headers.values()
            assert "bucket=traffic_monitoring" in path
            assert "precision=ns" in path
            assert headers["Authorization"] == "Token t-1"


def test_without_an_address_the_journal_keeps_everything(tmp_path: Path) -> None:
    journal = tmp_path / "x.journal"
    with world(node(), tmp_path / "w", {}, journal=journal) as w:
        w.send(*(zone_event(i) for i in range(30)))
        w.journal.flush(5.0)
        assert (w.statistics.pending, w.statistics.state) == (30, "disabled")
        assert w.statistics.last_error == "no address, waiting"  # fault 21: not only "disabled" beside what waits
    with scripted() as server:
        with world(node(), tmp_path / "v", {"influx": Influx(url=server.url)}, journal=journal) as w:
            eventually(lambda: w.statistics.delivered == 30)
            assert w.statistics.resumed == 30
        assert len(set(server.stored)) == 30


def test_fault_08_events_of_one_instant_are_all_in_a_real_database(tmp_path: Path) -> None:
    """One picture, one zone, two thousand road users; delivered twice."""
    events = [
        replace(zone_event(0), id=f"z-{i}", object=replace(zone_event(0).object, track_id=i // 2)) for i in range(2000)
    ]
    with influx(tmp_path) as database:
        for again in range(2):
            with world(node(), tmp_path / str(again), {"influx": Influx(url=database.url)}) as w:
                w.send(*events)
                eventually(lambda w=w: w.statistics.delivered == 2000, 20.0)  # type: ignore[misc]
        rows = database.query("SELECT object_id FROM roi_events")
    assert len(rows) == 2000
    assert {row["time"] // 1_000_000 for row in rows} == {1_700_000_000_000}
