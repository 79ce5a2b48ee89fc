"""A service that refuses every message until its configuration is fixed: they are held, the commands say so, and all go then."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flowrt.cli import main
from flowrt.journal import JournalView, journal_path
from flowrt.services import Influx, Mqtt
from flowrt_nodes.influx.influx_out import InfluxOut
from flowrt_nodes.mqtt.mqtt_out import MqttOut
from tests.delivery.outside import eventually
from tests.delivery.world import Subscriber, violation, world, zone_event
from tests.servers import influx, mosquitto, victoria

FLOW = "main-and-5th"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the flow's journal is for the commands."""
    monkeypatch.setenv("FLOWRT_DATA", str(tmp_path / "data"))
    return journal_path(FLOW)


def said(capsys: Captured, *words: str) -> str:
    """What a command prints."""
    assert main([*words]) == 0
    return capsys.readouterr().out


def listed(capsys: Captured) -> dict[str, Any]:
    return dict(json.loads(said(capsys, "dead-letters", "list", FLOW, "--format", "json")))


@contextlib.contextmanager
def refused(node: Any, folder: Path, service: Mqtt | Influx, journal: Path, held: int) -> Iterator[Any]:
    """A sink that is refused, with so many records."""
    name = "mqtt" if isinstance(service, Mqtt) else "influx"
    with world(node, folder, {name: service}, journal=journal) as w:
        w.send(*(violation(i) for i in range(held)))
        eventually(lambda: w.statistics.state == "refused")
        eventually(lambda: (w.statistics.pending, w.statistics.dead_letters) == (held, 0))
        eventually(lambda: _noted(journal))
        yield w


def _noted(journal: Path) -> bool:
    with JournalView(journal) as view:
        return any(outbox.refused for outbox in view.outboxes())


@pytest.mark.parametrize("version", [5, "3.1.1"])
def test_wrong_credentials_are_named_and_cost_no_message(
    tmp_path: Path, journal: Path, capsys: Captured, version: Any
) -> None:
    with mosquitto(tmp_path, users={"flow": "right", "listener": "ears"}) as broker:
        bad = Mqtt(url=broker.url, username="flow", password="planted-wrong", version=version)
        with refused(MqttOut(), tmp_path / "w", bad, journal, 3):
            (sink,) = listed(capsys)["refused"]
            assert (sink["sink"], sink["held"]) == ("out", 3)
            assert sink["reason"].startswith(f"the broker at localhost:{broker.port} refuses the connection: ")
            assert sink["reason"].endswith("; check username and password")
            since = sink["since"]
            out = said(capsys, "dead-letters", "list", FLOW)
            assert out.startswith("there are no dead letters\nout: the service refuses every message since ")
            assert (
                f"since {since}: {sink['reason']}. 3 messages are held, and go as soon as its configuration is fixed"
                in out
            )
            head, line, below = said(capsys, "outbox", FLOW).splitlines()
            assert (head.split()[1], line.split()[1]) == ("state", "refused")
            assert below in out
            (box,) = json.loads(said(capsys, "outbox", FLOW, "--format", "json"))
            assert (box["refused"], box["state"], box["pending"]) == (True, "refused", 3)
            assert "planted" not in out + below
        after = said(capsys, "dead-letters", "list", FLOW)  # the flow does not run any more
        assert f"out: the service refused, when the flow ran last, every message since {since}: " in after
        good = Mqtt(url=broker.url, username="flow", password="right", version=version)
        with (
            Subscriber(broker.port, user=("listener", "ears")) as sub,
            world(MqttOut(), tmp_path / "v", {"mqtt": good}, journal=journal) as w,
        ):
            eventually(lambda: w.statistics.delivered == 3)
            eventually(lambda: len(sub.bodies("violations")) == 3)
            eventually(lambda: not _noted(journal))
            assert said(capsys, "dead-letters", "list", FLOW) == "there are no dead letters\n"


def test_held_messages_are_neither_retried_nor_dropped(tmp_path: Path, journal: Path, capsys: Captured) -> None:
    with mosquitto(tmp_path, users={"flow": "right"}) as broker:
        bad = Mqtt(url=broker.url, username="flow", password="wrong")
        with refused(MqttOut(), tmp_path / "w", bad, journal, 1) as w:
            for action, done in (("retry", "0 queued again"), ("drop", "0 dropped")):
                out = said(capsys, "dead-letters", action, FLOW, "--sink", "out").splitlines()
                assert out[0] == done
                assert out[1].startswith("out: the service refuses every message since ")
                assert out[1].endswith("1 message is held, and goes as soon as its configuration is fixed")
                assert main(["dead-letters", action, FLOW, "1"]) == 2
                assert "message 1 is not dead: it waits for 'out'" in capsys.readouterr().err
            assert said(capsys, "dead-letters", "drop", FLOW, "--sink", "another") == "0 dropped\n"
            assert w.statistics.pending == 1


def test_a_database_that_wants_another_password(tmp_path: Path, journal: Path, capsys: Captured) -> None:
    with victoria(tmp_path) as store:
        store.kill()
        open_to_all = list(store.command)
        store.command += ["-httpAuth.username=flow", "-httpAuth.password=right"]
        store.start()
        service = Influx(url=store.url, token="planted-token")
        with refused(InfluxOut(flush_s=0.1), tmp_path / "w", service, journal, 5) as w:
            (sink,) = listed(capsys)["refused"]
            assert (sink["sink"], sink["held"]) == ("out", 5)
            assert f"the database at 127.0.0.1:{store.port} refuses the token (401)" in sink["reason"]
            assert "check token, organisation and bucket" in sink["reason"]
            assert "planted" not in said(capsys, "dead-letters", "list", FLOW)
            store.kill()
            store.command = open_to_all
            store.start()
            eventually(lambda: w.statistics.delivered == 5)
            eventually(lambda: not _noted(journal))
        assert listed(capsys) == {"dead_letters": [], "refused": []}


def test_a_bucket_that_does_not_exist(tmp_path: Path, journal: Path, capsys: Captured) -> None:
    with influx(tmp_path) as database:
        database.query("DROP DATABASE traffic_monitoring")
        with refused(InfluxOut(flush_s=0.1), tmp_path / "w", Influx(url=database.url), journal, 5) as w:
            (sink,) = listed(capsys)["refused"]
            assert "no such bucket or organisation (404)" in sink["reason"]
            database.query("CREATE DATABASE traffic_monitoring")
            eventually(lambda: w.statistics.delivered == 5)


def test_a_broker_that_is_away_is_not_called_refused(tmp_path: Path, journal: Path, capsys: Captured) -> None:
    with world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url="mqtt://127.0.0.1:1")}, journal=journal) as w:
        w.send(zone_event(1))
        eventually(lambda: "can't be reached" in w.statistics.last_error)
        assert w.statistics.state == "waiting"
        w.journal.flush(5.0)
        assert listed(capsys)["refused"] == []
