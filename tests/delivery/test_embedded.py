"""The embedded broker of both kinds against foreign clients (mosquitto_pub and mosquitto_sub), and mqtt_in."""

from __future__ import annotations

import gc
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flowrt.clock import SystemClock
from flowrt.contract import Contract
from flowrt.message import Record
from flowrt.node import Shared
from flowrt.services import Mqtt
from flowrt_nodes.mqtt import _embedded_broker as embedded
from flowrt_nodes.mqtt.mqtt_in import MqttIn
from flowrt_nodes.mqtt.mqtt_out import MqttOut
from tests.delivery.outside import eventually
from tests.delivery.world import violation, world, zone_event
from tests.harness import context, opened
from tests.servers import mosquitto, need

# amqtt leaves the sockets of clients that went by themselves to the collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(autouse=True)
def sockets_of_amqtt() -> Iterator[None]:
    """Collect them here, so that no other test is blamed for them."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(params=["mosquitto", "amqtt"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "amqtt":
        monkeypatch.setattr(embedded, "find_mosquitto", lambda: None)
    else:
        need("mosquitto")
    return str(request.param)


@pytest.fixture
def broker(kind: str, tmp_path: Path) -> Iterator[embedded.EmbeddedBroker]:
    broker = embedded.start(context(tmp_path, clock=SystemClock()))
    assert broker.kind == kind
    yield broker
    broker.close()


def listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("qos", [0, 1, 2])
def test_foreign_clients(broker: embedded.EmbeddedBroker, qos: int) -> None:
    need("mosquitto_pub", "mosquitto_sub")
    where = ["-h", "127.0.0.1", "-p", str(broker.port), "-q", str(qos)]
    subprocess.run(["mosquitto_pub", *where, "-t", "a/kept", "-r", "-m", "state"], check=True, timeout=10)
    listener = subprocess.Popen(
        ["mosquitto_sub", *where, "-t", "a/#", "-C", "3", "-W", "10", "-F", "%t %p"], stdout=subprocess.PIPE, text=True
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "a/kept state\n"
    for topic in ("b/other", "a/1", "a/deep/2"):
        # Reading lines keeps the publisher connected until the message has arrived: a client that leaves right after a
        # message of QoS 0 has been promised nothing.
        talker = subprocess.Popen(["mosquitto_pub", *where, "-t", topic, "-l"], stdin=subprocess.PIPE, text=True)
        assert talker.stdin is not None
        talker.stdin.write("x\n")
        talker.stdin.flush()
        if topic.startswith("a/"):
            assert listener.stdout.readline() == f"{topic} x\n"
        talker.stdin.close()
        assert talker.wait(timeout=10) == 0
    assert listener.wait(timeout=15) == 0


def test_everything_works_with_nothing_configured(kind: str, tmp_path: Path) -> None:
    shared = Shared()
    with world(MqttOut(), tmp_path, {}, shared=shared) as w:
        state = w.node.status()
        port = int(state["broker"].rpartition(":")[2])
        assert state["embedded"] == kind
        listener = subprocess.Popen(
            [
                "mosquitto_sub",
                "-h",
                "127.0.0.1",
                "-p",
                str(port),
                "-t",
                "smartintersection/#",
                "-C",
                "3",
                "-W",
                "20",
                "-F",
                "%t %p",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert listener.stdout is not None
        assert listener.stdout.readline() == "smartintersection/availability online\n"
        w.send(violation(1), zone_event(1))
        eventually(lambda: w.statistics.delivered == 2)
        out, _ = listener.communicate(timeout=20)
        topics = {line.partition(" ")[0] for line in out.splitlines()}
        assert topics == {"smartintersection/violations", "smartintersection/roi/events"}
    assert not listening(port), "the last user closes the broker"


def test_one_broker_for_all_nodes_and_restarted_when_it_dies(tmp_path: Path) -> None:
    need("mosquitto")
    shared = Shared()
    with (
        world(MqttOut(), tmp_path, {}, shared=shared) as first,
        world(MqttOut(), tmp_path, {}, shared=shared) as second,
    ):
        assert first.node.status()["broker"] == second.node.status()["broker"]
        first.send(violation(1))
        eventually(lambda: first.statistics.delivered == 1)
        process = psutil.Process(int((tmp_path / "data" / "test.broker" / "pid").read_text()))
        process.kill()
        first.send(violation(2))
        eventually(lambda: first.statistics.delivered == 2, 20.0)


def test_an_orphan_of_a_killed_run_is_ended(tmp_path: Path) -> None:
    need("mosquitto")
    code = (
        "import time; from pathlib import Path; from flowrt.clock import SystemClock; from tests.harness import context\n"
        "from flowrt_nodes.mqtt import _embedded_broker as e\n"
        f"e.start(context(Path({str(tmp_path)!r}), clock=SystemClock())); print('up', flush=True); time.sleep(60)\n"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"up\n"
    orphan = psutil.Process(int((tmp_path / "data" / "test.broker" / "pid").read_text()))
    child.kill()
    child.wait()
    child.stdout.close()
    assert orphan.is_running()
    broker = embedded.start(context(tmp_path, clock=SystemClock()))
    try:
        eventually(lambda: not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE)
    finally:
        broker.close()


def collect(node: MqttIn, into: list[Record]) -> threading.Thread:
    thread = threading.Thread(target=lambda: into.extend(node.produce()), daemon=True)
    thread.start()
    return thread


def test_mqtt_in_makes_records(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        where = context(
            tmp_path, clock=SystemClock(), services={"mqtt": Mqtt(url=broker.url)}, contract=Contract.load()
        )
        node = MqttIn(topic=["spat/+", "other"])
        got: list[Record] = []
        with opened(node, where):
            collect_into: Any = []
            thread = threading.Thread(target=lambda: [collect_into.append(r) for r in node.produce()], daemon=True)
            thread.start()
            eventually(lambda: node.status()["connected"])
            eventually(
                lambda: publish(broker.port, "spat/1", {"time": "2026-05-04T10:00:00Z", "phase": 2}) or collect_into
            )
            for topic, body in (
                ("spat/2", "[1, 2]"),
                ("spat/3", "no json"),
                ("nothing", "{}"),
                ("other", '{"time": 12.5}'),
            ):
                subprocess.run(
                    ["mosquitto_pub", "-p", str(broker.port), "-q", "1", "-t", topic, "-m", body], check=True
                )
            eventually(lambda: any(r.topic == "other" for r in collect_into))
            got = list(collect_into)
            assert node.status()["unreadable"] == 1
            where.stopping.set()
            thread.join(5.0)
            assert not thread.is_alive()
        by_topic = {record.topic: record for record in got}
        assert set(by_topic) == {"spat/1", "spat/2", "other"}
        assert by_topic["spat/1"].time_s == 1_777_888_800.0
        assert by_topic["spat/1"].data["phase"] == 2
        assert by_topic["spat/2"].data == {"value": [1, 2]}
        assert by_topic["other"].time_s == 12.5


def publish(port: int, topic: str, data: dict[str, Any]) -> None:
    subprocess.run(
        ["mosquitto_pub", "-p", str(port), "-q", "1", "-t", topic, "-m", json.dumps(data)], check=True, timeout=10
    )


@pytest.mark.parametrize(("topic", "wrong"), [("a/#/b", "`#` may only"), ("a+/b", "`\\+` must fill"), ("", "empty")])
def test_mqtt_in_checks_its_filters(topic: str, wrong: str) -> None:
    (diagnostic,) = MqttIn(topic=["fine/+/#", topic]).check(None)  # type: ignore[arg-type]
    assert diagnostic.keys == ("topic", 1)
    assert wrong.replace("\\", "") in diagnostic.message


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("mosquitto.conf", "symbolic"),
        ("mosquitto.conf", "hard"),
        ("pid", "symbolic"),
        ("pid", "hard"),
        ("", "symbolic"),
    ],
)
def test_fault_16_a_planted_link_is_not_followed(tmp_path: Path, name: str, kind: str) -> None:
    where = context(tmp_path, clock=SystemClock())
    folder = where.data / f"{where.flow}.broker"
    if not embedded.find_mosquitto():
        pytest.skip("Mosquitto is not installed")
    victim = tmp_path / "victim"
    if name:
        folder.mkdir(parents=True)
        victim.write_text("precious")
        (folder / name).symlink_to(victim) if kind == "symbolic" else (folder / name).hardlink_to(victim)
    else:
        victim.mkdir()
        folder.symlink_to(victim)
    with pytest.raises(OSError, match="link"):
        embedded.start(where)
    assert victim.read_text() == "precious" if name else not list(victim.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="links and modes of POSIX")
def test_fault_16_its_folder_and_files_are_the_owners_whatever_the_umask(tmp_path: Path) -> None:
    where = context(tmp_path, clock=SystemClock())
    if not embedded.find_mosquitto():
        pytest.skip("Mosquitto is not installed")
    before = os.umask(0)
    try:
        broker = embedded.start(where)
    finally:
        os.umask(before)
    folder = where.data / f"{where.flow}.broker"
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (folder, *folder.iterdir())}
    broker.close()
    assert modes == {folder.name: 0o700, "mosquitto.conf": 0o600, "pid": 0o600}
