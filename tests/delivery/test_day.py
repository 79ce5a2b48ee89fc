"""24 hours of the shipped flow in virtual time, with real outages of broker and database in the 3rd and in the 15th hour."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowrt.journal import JournalView
from tests.delivery.day import FPS, HOURS, PERIOD_S, SHOWN_S
from tests.delivery.outside import eventually
from tests.delivery.scripted_http import OK, Answer, scripted
from tests.delivery.world import Subscriber
from tests.servers import mosquitto

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PROJECT = Path(__file__).resolve().parents[2]
AWAY = (3, 15)
"""Hours at whose end broker and database go away; an hour later they come back."""
WARM, LAST = slice(4, 7), slice(-3, None)
"""Hours whose memory is compared: after the warm-up, which has seen an outage, and at the end."""


class Day(msgspec.Struct):
    """What was seen. waiting: records without acknowledgement when each hour was over. hours: what was held when all was delivered.

    end: accounts. points: lines that the database took. violations: ids that a listener got; recorded: those in the journal.
    """

    waiting: list[dict[str, int]]
    hours: list[dict[str, Any]]
    end: dict[str, Any]
    points: int
    violations: set[str]
    recorded: set[str]

    def most(self, what: str, hours: slice) -> float:
        """The largest of some hours."""
        return max(float(hour[what]) for hour in self.hours[hours])


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Day]:
    folder = tmp_path_factory.mktemp("day")
    away = False

    def answer(_: list[bytes]) -> Answer:
        return (503, {"Retry-After": "0.5"}, b"") if away else OK

    with mosquitto(folder) as broker, scripted(answer) as database, Subscriber(broker.port, "+/violations") as listener:
        environment = {**os.environ, "MQTT_URL": broker.url, "INFLUX_URL": database.url}
        command = [sys.executable, "-m", "tests.delivery.day", str(folder)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, env=environment, cwd=PROJECT, stdin=pipe, stdout=pipe, text=True) as child:
            assert child.stdin is not None
            assert child.stdout is not None
            waiting, hours, end = [], [], {}
            for line in child.stdout:
                told = json.loads(line)
                if "over" in told:
                    away = told["over"] in AWAY
                    waiting.append(told["pending"])
                    broker.pause() if away else broker.resume()
                    child.stdin.write("away\n" if away else "there\n")
                    child.stdin.flush()
                elif "hour" in told:
                    hours.append(told)
                else:
                    end = told
        assert child.returncode == 0
        with JournalView(folder / "day.journal") as view:
            recorded = {event.id for event in view.events() if event.type == "violations"}
        ids = lambda: {json.loads(body)["id"] for body in listener.bodies("violations")}  # noqa: E731
        eventually(lambda: ids() >= recorded, 20.0)
        yield Day(waiting, hours, end, len(database.stored), ids(), recorded)


def test_it_was_a_whole_day_with_something_in_every_hour(day: Day) -> None:
    assert [hour["hour"] for hour in day.hours] == list(range(1, HOURS + 1))
    assert day.end["pictures"] == round(HOURS * 3600 / PERIOD_S * SHOWN_S * FPS)
    assert day.end["events"]["violations"] > HOURS
    accepted = [hour["sinks"]["to_history"]["accepted"] for hour in day.hours]
    assert all(after - before > 100 for before, after in pairwise(accepted))


def test_memory_files_and_threads_do_not_grow(day: Day) -> None:
    assert day.most("rss_mb", LAST) <= 1.05 * day.most("rss_mb", WARM)
    assert day.most("files", LAST) <= day.most("files", WARM)
    assert day.most("threads", LAST) <= day.most("threads", WARM)


def test_the_ledgers_balance_and_nothing_is_lost(day: Day) -> None:
    assert day.end["ledger"]["balanced"]
    assert sum(node["errors"] for node in day.end["ledger"]["nodes"].values()) == 0
    for sink in day.end["sinks"].values():
        assert sink["accepted"] == sink["delivered"] > 0
        assert (sink["dead_letters"], sink["dropped"], sink["pending"], sink["errors"]) == (0, {}, 0, 0)
    assert day.points >= day.end["sinks"]["to_history"]["delivered"]
    assert day.violations == day.recorded
    assert len(day.recorded) > HOURS


def test_the_outages_were_felt(day: Day) -> None:
    for hour in AWAY:
        assert day.waiting[hour]["to_broker"] > 0
        assert day.waiting[hour]["to_history"] > 100
