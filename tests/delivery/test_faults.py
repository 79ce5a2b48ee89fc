"""Faults survived: each with a ledger, and nothing that was accepted is lost. Outages of minutes are in `outages.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flowrt.clock import SystemClock
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.services import Mqtt
from flowrt_nodes.mqtt.mqtt_out import MqttOut
from tests.delivery.crash_child import ToFile
from tests.delivery.outside import eventually, quick
from tests.delivery.world import Subscriber, world, zone_event
from tests.servers import mosquitto

PROJECT = Path(__file__).resolve().parents[2]
REQUIRED = bool(os.environ.get("CI") or os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1")


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
    assert journal.statistics().recovered == ()
    delivery = Delivery(journal, SystemClock(), backoff=quick)
    delivery.add("out", ToFile().to(tmp_path / "delivered"))
    eventually(lambda: journal.pending("out") == 0, 60.0)
    delivery.close(2.0)
    journal.close()
    delivered = (tmp_path / "delivered").read_text().splitlines()
    wanted = {f"{child}-{number}" for child, count in accepted.items() for number in range(count)}
    assert wanted - set(delivered) == set()
    assert len(wanted) > 5000
    first = list(dict.fromkeys(delivered))  # repetitions aside, everything came in order
    order = [tuple(map(int, name.split("-"))) for name in first]
    assert order == sorted(order)


def test_ten_thousand_events_at_once(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        where = tmp_path / "x.journal"
        with world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}, journal=where) as w:
            burst = [record for i in range(10_000) for record in w.node.encode(zone_event(i))]  # type: ignore[operator]
            for record in burst:
                w.delivery.accept("out", [record])
            eventually(lambda: w.statistics.delivered == 10_000, 60.0)
            assert (w.statistics.accepted, w.statistics.dead_letters, w.statistics.dropped) == (10_000, 0, {})
        eventually(lambda: len(sub.bodies("roi/events")) == 10_000, 30.0)
        assert [json.loads(body)["id"] for body in sub.bodies("roi/events")] == [f"z-{i}" for i in range(10_000)]
