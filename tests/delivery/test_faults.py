"""Faults survived: each with a ledger, and nothing that was accepted is lost. Outages of minutes are in `outages.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import psutil
import pytest

from flowrt.clock import SystemClock, VirtualClock
from flowrt.delivery import Delivery, deliverer
from flowrt.journal import Journal
from flowrt.services import Mqtt
from flowrt_nodes.mqtt_out import MqttOut
from tests.delivery.crash_child import ToFile
from tests.delivery.outside import Outside, eventually, letters
from tests.delivery.world import Subscriber, world, zone_event
from tests.servers import mosquitto

PROJECT = Path(__file__).resolve().parents[2]
REQUIRED = bool(os.environ.get("CI") or os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliverer, "BACKOFF_MIN_S", 0.05)
    monkeypatch.setattr(deliverer, "BACKOFF_MAX_S", 0.5)


@pytest.mark.slow
def test_200_kills_at_random_instants_lose_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.delivery.crash_child", str(tmp_path), "200", "7"]
    subprocess.run(command, check=True, cwd=PROJECT, timeout=200)
    accepted: dict[int, int] = {}
    for line in (tmp_path / "accepted").read_text().splitlines():
        child, count = map(int, line.split())
        accepted[child] = max(accepted.get(child, 0), count)
    assert len(accepted) > 100, "most children must have lived long enough to accept something"
    journal = Journal(tmp_path / "a.journal", clock=SystemClock())
    assert journal.statistics().salvaged == ()
    delivery = Delivery(journal, SystemClock())
    delivery.add("out", ToFile().to(tmp_path / "delivered"))
    eventually(lambda: journal.pending("out") == 0, 60.0)
    delivery.close(2.0)
    journal.close()
    delivered = (tmp_path / "delivered").read_text().splitlines()
    wanted = {f"{child}-{number}" for child, count in accepted.items() for number in range(count)}
    assert wanted - set(delivered) == set()
    assert len(wanted) > 5000
    first = list(dict.fromkeys(delivered))  # repetitions aside, everything came in order
    places = [tuple(map(int, name.split("-"))) for name in first]
    assert places == sorted(places)


def test_ten_thousand_events_at_once(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        where = tmp_path / "x.journal"
        with world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}, journal=where) as w:
            burst = [letter for i in range(10_000) for letter in w.node.encode(zone_event(i))]  # type: ignore[operator]
            for letter in burst:
                w.delivery.accept("out", [letter])
            eventually(lambda: w.statistics.delivered == 10_000, 60.0)
            assert (w.statistics.accepted, w.statistics.dead_letters, w.statistics.dropped) == (10_000, 0, {})
        eventually(lambda: len(sub.bodies("roi/events")) == 10_000, 30.0)
        assert [json.loads(body)["id"] for body in sub.bodies("roi/events")] == [f"z-{i}" for i in range(10_000)]


@pytest.mark.slow
def test_a_simulated_day_grows_neither_memory_nor_files(tmp_path: Path) -> None:
    """24 hours at an event a second and a state every 5 s, an hour's outage included, in compressed time."""
    clock = VirtualClock(1_700_000_000.0)
    journal = Journal(tmp_path / "a.journal", clock=clock)
    delivery = Delivery(journal, clock)

    class Forgetful(Outside):
        """Counts and forgets; away in the twelfth hour."""

        def deliver(self, letters, receipt):  # type: ignore[no-untyped-def]
            if self._fault is not None:
                self._fault(letters)
            receipt.delivered_all(letters)

    away = threading.Event()

    def fault(_: object) -> None:
        if away.is_set():
            from flowrt.node import Retry

            raise Retry("away", after_s=0.05)

    delivery.add("out", Forgetful().prepare(fault))
    process = psutil.Process()
    sizes: list[tuple[int, int, float]] = []
    for hour in range(24):
        if hour == 12:
            away.set()
        for second in range(0, 3600, 5):
            number = hour * 3600 + second
            clock.move_to(1_700_000_000.0 + number)
            delivery.accept("out", letters(5, start=number, size=400))
            delivery.accept("out", letters(1, start=number, size=400, urgency="state"))
        if hour == 12:
            away.clear()
        journal.flush(20.0)
        eventually(lambda: journal.pending("out") == 0, 30.0)
        sizes.append((process.memory_info().rss, process.num_fds(), journal.statistics().file_mb))
    eventually(lambda: delivery.statistics()["out"].delivered == 24 * 720 * 6)
    assert delivery.statistics()["out"].accepted == 24 * 720 * 6
    assert sizes[-1][0] <= sizes[6][0] * 1.05
    assert sizes[-1][1] <= sizes[6][1]
    assert sizes[-1][2] <= 20.0
    delivery.close(2.0)
    journal.close()
