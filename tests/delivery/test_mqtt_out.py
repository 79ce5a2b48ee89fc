"""mqtt_out against real Mosquitto: topics, properties, last will, TLS, refusals, lost connections."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flowrt.contract import Contract
from flowrt.journal import JournalView
from flowrt.message import Record
from flowrt.services import Mqtt
from flowrt.sink import OutboxRecord
from flowrt.system.backoff import Backoff
from flowrt_nodes.mqtt.mqtt_out import MqttOut
from tests.delivery.outside import eventually
from tests.delivery.world import Subscriber, camera_status, violation, world, zone_event
from tests.harness import context, opened
from tests.servers import certificates, mosquitto

VERSIONS = pytest.mark.parametrize("version", [5, "3.1.1"])


def ids(sub: Subscriber, topic: str) -> list[str]:
    return [json.loads(body)["id"] for body in sub.bodies(topic)]


@VERSIONS
def test_topics_quality_and_retain_are_the_contracts(tmp_path: Path, version: Any) -> None:
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        with world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url, version=version)}) as w:
            w.send(violation(1), zone_event(1), camera_status(1))
            eventually(lambda: w.statistics.delivered == 3)
        eventually(lambda: len(sub.received) >= 5)
        received = {message.topic: message for message in sub.received}
        assert received["smartintersection/violations"].qos == 2
        assert received["smartintersection/roi/events"].qos == 1
        assert sub.bodies("availability") == [b"online", b"offline"]
        if version == 5:
            assert received["smartintersection/violations"].properties.ContentType == "application/json"
            assert received["smartintersection/violations"].properties.MessageExpiryInterval == 86400
            assert not hasattr(received["smartintersection/violations"].properties, "UserProperty")
        with Subscriber(broker.port, "smartintersection/#") as late:
            eventually(lambda: len(late.received) == 2)
            assert {m.topic for m in late.received if m.retain} == {
                "smartintersection/cameras/status",
                "smartintersection/availability",
            }


def test_settings_override_the_contract(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        node = MqttOut(prefix="city/{site}", qos=1, retain=True)
        with world(node, tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}) as w:
            w.send(violation(1))
            eventually(lambda: w.statistics.delivered == 1)
        eventually(lambda: sub.bodies("violations"))
        (message,) = [m for m in sub.received if m.topic == "city/main-and-5th/violations"]
        assert message.qos == 1
        with Subscriber(broker.port, "city/+/violations") as late:
            eventually(lambda: late.received and late.received[0].retain)


def test_last_will_says_offline(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        code = (
            "import sys, time; from pathlib import Path; from tests.delivery.world import world, violation\n"
            "from flowrt_nodes.mqtt.mqtt_out import MqttOut; from flowrt.services import Mqtt\n"
            f"with world(MqttOut(), Path({str(tmp_path / 'w')!r}), {{'mqtt': Mqtt(url={broker.url!r})}}) as w:\n"
            "    w.node._link.up.wait(10); print('up', flush=True); time.sleep(60)\n"
        )
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        assert child.stdout is not None
        assert child.stdout.readline() == b"up\n"
        eventually(lambda: sub.bodies("availability") == [b"online"])
        child.kill()
        child.wait()
        child.stdout.close()
        eventually(lambda: sub.bodies("availability") == [b"online", b"offline"])


def test_tls_with_client_certificate(tmp_path: Path) -> None:
    files = certificates(tmp_path / "ca", "flowrt")
    with mosquitto(tmp_path, tls=files, require_certificate=True) as broker:
        tls = ssl.create_default_context(cafile=str(files["ca_file"]))
        tls.load_cert_chain(files["flowrt.crt"], files["flowrt.key"])
        service = Mqtt(
            url=broker.url,
            ca_file=str(files["ca_file"]),
            cert_file=str(files["flowrt.crt"]),
            key_file=str(files["flowrt.key"]),
        )
        with Subscriber(broker.port, tls=tls) as sub, world(MqttOut(), tmp_path / "w", {"mqtt": service}) as w:
            w.send(violation(1))
            eventually(lambda: w.statistics.delivered == 1)
            eventually(lambda: ids(sub, "violations") == ["v-1"])


def test_a_certificate_of_a_stranger_is_refused(tmp_path: Path) -> None:
    files, strangers = certificates(tmp_path / "ca"), certificates(tmp_path / "other")
    with mosquitto(tmp_path, tls=files) as broker:
        service = Mqtt(url=broker.url, ca_file=str(strangers["ca_file"]))
        with world(MqttOut(), tmp_path / "w", {"mqtt": service}) as w:
            w.send(violation(1))
            eventually(lambda: w.statistics.state == "refused")
            assert "certificate verify failed" in w.statistics.last_error
            assert w.statistics.pending == 1


def test_a_missing_ca_file_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match=r"ca_file nowhere\.crt can't be used"),
        world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url="mqtts://localhost:1", ca_file="nowhere.crt")}),
    ):
        pass


@VERSIONS
def test_wrong_credentials_cost_nothing_but_time(tmp_path: Path, version: Any) -> None:
    journal = tmp_path / "x.journal"
    with mosquitto(tmp_path, users={"flow": "right", "listener": "ears"}) as broker:
        bad = Mqtt(url=broker.url, username="flow", password="planted-wrong", version=version)
        with world(MqttOut(), tmp_path / "w", {"mqtt": bad}, journal=journal) as w:
            w.send(violation(1))
            eventually(lambda: "check username and password" in w.statistics.last_error and w.statistics.pending)
            assert (w.statistics.pending, w.statistics.dead_letters) == (1, 0)
            assert w.node.status()["connected"] is False
            assert "planted" not in f"{w.statistics}{w.node.status()}"
        good = Mqtt(url=broker.url, username="flow", password="right", version=version)
        with (
            Subscriber(broker.port, user=("listener", "ears")) as sub,
            world(MqttOut(), tmp_path / "v", {"mqtt": good}, journal=journal) as w,
        ):
            eventually(lambda: w.statistics.delivered == 1)
            eventually(lambda: ids(sub, "violations") == ["v-1"])
            if version == 5:  # it may have been sent before, as far as this process can know
                properties = next(m for m in sub.received if m.topic.endswith("violations")).properties
                assert ("resent", "true") in properties.UserProperty


def test_a_denied_topic_is_a_dead_letter(tmp_path: Path) -> None:
    journal = tmp_path / "x.journal"
    acl = "user flow\ntopic write smartintersection/roi/events\ntopic write smartintersection/availability\n"
    with (
        mosquitto(tmp_path, users={"flow": "pw"}, acl=acl) as broker,
        world(
            MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url, username="flow", password="pw")}, journal=journal
        ) as w,
    ):
        w.send(violation(1), zone_event(1), violation(2))
        eventually(lambda: w.statistics.delivered == 1 and w.statistics.dead_letters == 2)
    with JournalView(journal) as view:
        assert {dead.reason for dead in view.dead_letters()} == {"the broker refuses it: not authorised"}


@VERSIONS
def test_a_payload_over_the_brokers_limit_is_a_dead_letter(tmp_path: Path, version: Any) -> None:
    with mosquitto(tmp_path, extra="max_packet_size 20000") as broker, Subscriber(broker.port) as sub:
        service = Mqtt(url=broker.url, version=version)
        with world(MqttOut(validate="off"), tmp_path / "w", {"mqtt": service}) as w:
            big = OutboxRecord(
                id="big", time_s=0.0, address="smartintersection/violations", body=b"x" * 30_000, headers={"qos": 1}
            )
            w.send(zone_event(1))
            w.delivery.accept("out", [big])
            w.send(zone_event(2))
            eventually(lambda: w.statistics.delivered == 2 and w.statistics.dead_letters == 1, 30.0)
        assert set(ids(sub, "roi/events")) == {"z-1", "z-2"}


def test_a_breach_of_the_contract_never_goes_out(tmp_path: Path) -> None:
    journal = tmp_path / "x.journal"
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        with world(MqttOut(validate="all"), tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}, journal=journal) as w:
            good = next(iter(w.node.encode(violation(1))))  # type: ignore[operator]
            broken = json.loads(good.body) | {"severity": "terrible"}
            fields = {name: getattr(good, name) for name in good.__struct_fields__}
            w.delivery.accept("out", [OutboxRecord(**fields | {"body": json.dumps(broken).encode()}), good])
            eventually(lambda: w.statistics.delivered == 1 and w.statistics.dead_letters == 1)
        eventually(lambda: len(ids(sub, "violations")) == 1)
    with JournalView(journal) as view:
        (dead,) = view.dead_letters()
        assert "violations.schema.json#/properties/severity/enum" in dead.reason


@VERSIONS
def test_a_broker_killed_and_back_with_its_memory_wiped(tmp_path: Path, version: Any) -> None:
    """Short absences, again and again, with both protocols (long ones: `outages.py`).

    The ledger: each record is retained on a topic of its own, so the broker's content tells what arrived in it.
    """

    def records(first: int, count: int) -> list[Record]:
        return [Record(time_s=0.0, data={"n": n}, topic=f"ledger/{n}") for n in range(first, first + count)]

    with mosquitto(tmp_path) as broker:
        service = Mqtt(url=broker.url, version=version)
        with world(MqttOut(retain=True), tmp_path / "w", {"mqtt": service}) as w:
            for round_ in range(3):
                base = round_ * 1000
                w.send(*records(base, 200))
                eventually(lambda base=base: w.statistics.delivered >= base * 0.6 + 50)  # type: ignore[misc]
                broker.kill()  # in the middle of a batch
                away = records(base + 200, 400)
                w.send(*away)
                broker.start()
                eventually(lambda base=base: w.statistics.delivered == base * 0.6 + 600, 30.0)  # type: ignore[misc]
                with Subscriber(broker.port, "+/ledger/#") as late:
                    wanted = {f"smartintersection/{record.topic}" for record in away}
                    eventually(lambda wanted=wanted, late=late: wanted <= {m.topic for m in late.received})  # type: ignore[misc]
            assert w.statistics.dead_letters == 0
            assert w.node.status()["connects"] >= 4


def test_what_is_sent_again_says_so(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}) as w:
        w.send(zone_event(0))
        eventually(lambda: w.statistics.delivered == 1)
        broker.pause()  # takes everything, acknowledges nothing
        for i in range(1, 11):
            w.send(zone_event(i))
        eventually(lambda: w.node.status()["in_flight"] == 10)
        broker.kill()
        broker.start()
        with Subscriber(broker.port) as sub:
            eventually(lambda: w.statistics.delivered == 11, 20.0)
            w.send(zone_event(11))
            eventually(lambda: "z-11" in ids(sub, "roi/events"))
            for message in (m for m in sub.received if m.topic.endswith("roi/events")):
                again = json.loads(message.body)["id"] != "z-11"
                marked = ("resent", "true") in getattr(message.properties, "UserProperty", [])
                assert again == marked


def test_a_lost_connection_resumes_its_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What was under way at QoS 2 is completed by the protocol: it arrives once, and nothing is sent from the journal again."""
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        with world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}) as w:
            w.send(zone_event(0))
            eventually(lambda: w.statistics.delivered == 1)
            broker.pause()
            w.send(*(violation(i) for i in range(10)))
            eventually(lambda: w.node.status()["in_flight"] == 10)
            w.node.__dict__["_link"].client.socket().shutdown(socket.SHUT_RDWR)
            broker.resume()
            eventually(lambda: w.statistics.delivered == 11, 20.0)
            assert w.node.status()["connects"] == 2
        eventually(lambda: len(ids(sub, "violations")) >= 10)
        assert ids(sub, "violations") == [f"v-{i}" for i in range(10)]
        assert "new session" not in caplog.text


def test_fault_13_sinks_of_one_broker_return_together(tmp_path: Path) -> None:
    """One waits for a minute before it connects again; another one gets through, and so it tries at once."""
    with mosquitto(tmp_path) as broker:
        services = {"mqtt": Mqtt(url=broker.url)}
        second = MqttOut()
        where = context(tmp_path, name="second", services=services, contract=Contract.load())
        with world(MqttOut(), tmp_path / "w", services) as w, opened(second, where):
            w.delivery.add("second", second)
            eventually(lambda: all(node.status().get("connects") for node in (w.node, second)))
            second.__dict__["_link"]._backoff = Backoff(60.0, 60.0)
            broker.stop()
            for name, node in (("out", w.node), ("second", second)):
                w.delivery.accept(name, list(node.encode(zone_event(1))))  # type: ignore[operator]  # each node has one
            eventually(lambda: all(row.state == "waiting" for row in w.delivery.statistics().values()))
            broker.start()
            eventually(lambda: all(row.delivered == 1 for row in w.delivery.statistics().values()), 25.0)
            assert w.delivery.remove("second", timeout_s=2.0) == 0


def test_a_broker_that_never_acknowledges(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker, Subscriber(broker.port) as sub:
        with world(MqttOut(ack_timeout_s=0.5), tmp_path / "w", {"mqtt": Mqtt(url=broker.url, keepalive_s=2)}) as w:
            w.send(zone_event(0))
            eventually(lambda: w.statistics.delivered == 1)
            broker.pause()
            w.send(*(zone_event(i) for i in range(1, 50)))
            eventually(lambda: "does not acknowledge" in w.statistics.last_error)
            assert w.statistics.pending == 49
            broker.resume()
            eventually(lambda: w.statistics.delivered == 50, 30.0)
        eventually(lambda: set(ids(sub, "roi/events")) == {f"z-{i}" for i in range(50)})


def test_an_old_state_does_not_replace_a_newer_one(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        node = MqttOut(order="live-first", backlog_per_s=50)
        journal = tmp_path / "x.journal"
        with world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url="mqtt://localhost:1")}, journal=journal) as w:
            w.send(*(camera_status(i) for i in range(100)))
            w.journal.flush(5.0)
        with world(node, tmp_path / "v", {"mqtt": Mqtt(url=broker.url)}, journal=journal) as w:
            w.send(camera_status(1000))
            eventually(lambda: w.statistics.delivered == 101)
        with Subscriber(broker.port) as late:
            eventually(lambda: late.bodies("cameras/status"))
            assert json.loads(late.bodies("cameras/status")[0])["fps"] == 1000.0


@pytest.mark.skipif(os.name != "posix", reason="mosquitto_sub of the distribution")
def test_a_foreign_client_reads_it(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        listener = subprocess.Popen(
            ["mosquitto_sub", "-p", str(broker.port), "-t", "smartintersection/violations", "-q", "2", "-C", "1"],
            stdout=subprocess.PIPE,
        )
        with world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}) as w:
            eventually(lambda: w.send(violation(len(w.node._retained_at))) or listener.poll() is not None, 10.0)  # type: ignore[func-returns-value]
        out, _ = listener.communicate(timeout=5)
        assert json.loads(out)["violation_type"] == "speeding"
