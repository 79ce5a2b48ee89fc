"""Deliverers: order, retries, refusals, contained failures, reload."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import pytest

from flowrt.clock import SystemClock
from flowrt.delivery import Delivery, deliverer
from flowrt.delivery.suspicion import SUSPECT_AFTER
from flowrt.journal import Journal
from flowrt.sink import Acknowledger, OutboxRecord, Reject, Retry
from tests.delivery.outside import Outside, eventually, quick, records


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = Journal(None, clock=SystemClock())
    yield journal
    journal.close()


@pytest.fixture
def delivery(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Delivery]:
    delivery = Delivery(journal, SystemClock(), backoff=quick)
    yield delivery
    delivery.close(2.0)


def test_arrives_in_order_and_counts_add_up(delivery: Delivery) -> None:
    node = Outside().prepare()
    delivery.add("out", node)
    for record in records(2500):
        delivery.accept("out", [record])
    eventually(lambda: delivery.statistics()["out"].delivered == 2500)
    assert node.ids == [record.id for record in records(2500)]
    statistics = delivery.statistics()["out"]
    assert (statistics.accepted, statistics.pending, statistics.dead_letters, statistics.state) == (2500, 0, 0, "up")


def test_retry_sends_again_in_order_with_attempts(delivery: Delivery) -> None:
    calls: list[int] = []

    def away(batch: Sequence[OutboxRecord]) -> None:
        calls.append(len(batch))
        if len(calls) <= 3:
            raise Retry("away")

    node = Outside().prepare(away)
    delivery.add("out", node)
    delivery.accept("out", records(20))
    eventually(lambda: delivery.statistics()["out"].delivered == 20)
    assert node.ids == [record.id for record in records(20)]
    assert node._arrived[0].attempts >= 3
    assert delivery.statistics()["out"].retries == 3


def test_one_refused_record_is_isolated(delivery: Delivery, journal: Journal) -> None:
    def refuse(batch: Sequence[OutboxRecord]) -> None:
        if any(record.id == "n-7" for record in batch):
            raise Reject("seven is not welcome")

    node = Outside().prepare(refuse)
    delivery.add("out", node)
    delivery.accept("out", records(20))
    eventually(lambda: delivery.statistics()["out"].dead_letters == 1 and len(node.ids) == 19)
    assert node.ids == [record.id for record in records(20) if record.id != "n-7"]
    assert delivery.statistics()["out"].dead_letters == 1


def test_an_exception_is_contained_and_a_poison_record_found(delivery: Delivery) -> None:
    def broken(batch: Sequence[OutboxRecord]) -> None:
        for record in batch:
            if record.id == "n-3":
                raise ZeroDivisionError("three")

    node = Outside().prepare(broken)
    delivery.add("out", node)
    delivery.accept("out", records(6))
    eventually(lambda: delivery.statistics()["out"].dead_letters == 1 and len(node.ids) == 5, 30.0)
    assert sorted(set(node.ids)) == ["n-0", "n-1", "n-2", "n-4", "n-5"]
    statistics = delivery.statistics()["out"]
    assert (statistics.delivered, statistics.dead_letters) == (5, 1)
    assert statistics.errors >= SUSPECT_AFTER


def test_a_dead_sink_holds_up_no_other(delivery: Delivery) -> None:
    gate = threading.Event()
    dead, alive = Outside().prepare(lambda _: gate.wait(20.0)), Outside().prepare()
    delivery.add("dead", dead)
    delivery.add("alive", alive)
    delivery.accept("dead", records(100))
    delivery.accept("alive", records(100))
    eventually(lambda: len(alive.ids) == 100)
    assert delivery.statistics()["dead"].pending == 100
    gate.set()
    eventually(lambda: len(dead.ids) == 100)


def test_the_window_bounds_what_is_under_way(delivery: Delivery) -> None:
    class Slow(Outside):
        """Gives acknowledgements only when told to."""

        def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
            self._arrived.extend(records)

    node = Slow(size=8).prepare()
    delivery.add("out", node)
    delivery.accept("out", records(50))
    eventually(lambda: len(node.ids) == 8)
    running = delivery._deliverers["out"]
    for number in range(50):
        eventually(lambda number=number: len(node.ids) > number)  # type: ignore[misc]
        assert len(node.ids) - number <= 8
        running.delivered(node._arrived[number])
    eventually(lambda: delivery.statistics()["out"].pending == 0)
    assert node.ids == [record.id for record in records(50)]


def test_silence_counts_as_away(delivery: Delivery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "SILENCE_S", 0.2)

    class Mute(Outside):
        """Answers the second time."""

        def deliver(self, records: Sequence[OutboxRecord], acknowledger: Acknowledger) -> None:
            for record in records:
                self._arrived.append(record)
                if record.attempts:
                    acknowledger.delivered(record)

    node = Mute().prepare()
    delivery.add("out", node)
    delivery.accept("out", records(5))
    eventually(lambda: delivery.statistics()["out"].delivered == 5)
    assert len(node.ids) >= 10


def test_swap_goes_on_with_the_same_queue(delivery: Delivery) -> None:
    def away(_: Sequence[OutboxRecord]) -> None:
        raise Retry("away")

    old, new = Outside().prepare(away), Outside().prepare()
    delivery.add("out", old)
    delivery.accept("out", records(30))
    eventually(lambda: delivery.statistics()["out"].state == "waiting")
    delivery.swap("out", new)
    delivery.accept("out", records(5, start=30))
    eventually(lambda: delivery.statistics()["out"].delivered == 35)
    assert new.ids == [record.id for record in records(35)]
    assert new._arrived[0].attempts >= 1


def test_swap_does_not_wait_for_ever(delivery: Delivery) -> None:
    gate = threading.Event()
    delivery.add("out", Outside().prepare(lambda _: gate.wait(30.0)))
    delivery.accept("out", records(3))
    eventually(lambda: delivery.statistics()["out"].accepted == 3)
    new = Outside().prepare()
    delivery.swap("out", new, timeout_s=0.2)
    eventually(lambda: delivery.statistics()["out"].pending == 0)
    assert new.ids == ["n-0", "n-1", "n-2"]
    gate.set()


def test_remove_delivers_or_parks(delivery: Delivery, journal: Journal) -> None:
    good = Outside().prepare()
    delivery.add("good", good)
    delivery.accept("good", records(500))
    assert delivery.remove("good", timeout_s=5.0) == 0
    assert len(good.ids) == 500

    def away(_: Sequence[OutboxRecord]) -> None:
        raise Retry("away")

    delivery.add("bad", Outside().prepare(away))
    delivery.accept("bad", records(7))
    assert delivery.remove("bad", timeout_s=0.3) == 7
    assert delivery.parked() == {"bad": 7}
    back = Outside().prepare()
    delivery.add("bad", back)
    eventually(lambda: len(back.ids) == 7)
    assert delivery.parked() == {}


def test_live_records_go_before_a_paced_backlog(delivery: Delivery, journal: Journal) -> None:
    class LiveFirst(Outside):
        """Replays its backlog at 100 records a second."""

        @property
        def replay_per_s(self) -> float | None:
            return 100.0

    journal.append("out", records(100), wait=True)
    node = LiveFirst().prepare()
    delivery.add("out", node)
    delivery.accept("out", records(10, start=1000))
    eventually(lambda: "n-1009" in node.ids)
    assert len(node.ids) < 60
    eventually(lambda: len(node.ids) == 110)
    backlog = [name for name in node.ids if int(name[2:]) < 1000]
    assert backlog == [record.id for record in records(100)]
    assert node._arrived[-1].time_s - 1000.0 == 99.0


def test_without_an_outside_records_wait(delivery: Delivery) -> None:
    class Nowhere(Outside):
        """Has no outside."""

        def ready(self) -> bool:
            return False

    delivery.add("out", Nowhere().prepare())
    delivery.accept("out", records(10))
    eventually(lambda: delivery.statistics()["out"].accepted == 10)
    statistics = delivery.statistics()["out"]
    assert (statistics.pending, statistics.state) == (10, "disabled")


def test_commit_durability_waits_for_the_disk(delivery: Delivery) -> None:
    delivery.add("out", Outside(durability="commit").prepare())
    delivery.accept("out", records(3))
    assert delivery.statistics()["out"].accepted == 3
    assert set(delivery.statistics()["out"].latency_ms) == set()


def test_latencies_can_be_asked_of_the_last_seconds_only(delivery: Delivery, journal: Journal) -> None:
    delivery.add("out", Outside(durability="commit").prepare())
    delivery.accept("out", records(1), origin_ns=time.monotonic_ns() - 500_000_000)
    journal.counters("out").latencies[0] = (time.monotonic_ns() - 60_000_000_000, 500.0)  # as if a minute ago
    assert delivery.statistics(recent_s=30.0)["out"].latency_ms == {}
    delivery.accept("out", records(1), origin_ns=time.monotonic_ns() - 20_000_000)
    recent, all_of_them = delivery.statistics(recent_s=30.0)["out"], delivery.statistics()["out"]
    assert 20.0 <= recent.latency_ms["p99"] == recent.latency_ms["p50"] < 500.0
    assert all_of_them.latency_ms["p99"] == 500.0
