"""Brokers that are unwell, or are none: what comes of it is told, passes, and costs no message."""

from __future__ import annotations

import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from flowrt.clock import SystemClock
from flowrt.contract import Contract
from flowrt.node import Shared, close_node
from flowrt.services import Mqtt
from flowrt_nodes.mqtt.mqtt_in import MqttIn
from flowrt_nodes.mqtt.mqtt_out import MqttOut
from tests.delivery.outside import eventually
from tests.delivery.scripted_broker import Packet, scripted_broker, well
from tests.delivery.world import Subscriber, violation, world, zone_event
from tests.harness import context, opened
from tests.raw_server import Serve, answering, serving, silent
from tests.servers import certificates, mosquitto

NONSENSE = {
    "PUBACK of one byte too few": b"\x40\x01\x00",
    "empty PUBACK": b"\x40\x00",
    "PUBACK with half properties": b"\x40\x05\x00\x01\x00\x7f\x1f",
    "length of five bytes": b"\x40\xff\xff\xff\xff\x7f",
    "packet of type 0": b"\x00\x00",
    "SUBACK without a body": b"\x90\x00",
    "PUBREC of one byte": b"\x50\x01\x00",
    "PUBLISH whose topic is not UTF-8": b"\x30\x06\x00\x02\xff\xfe\x00x",
    "PUBLISH shorter than its topic": b"\x30\x03\x00\x50x",
    "noise": bytes(range(256)),
}


@pytest.mark.parametrize("version", [5, "3.1.1"])
@pytest.mark.parametrize("nonsense", NONSENSE.values(), ids=NONSENSE.keys())
def test_fault_03_a_broker_that_breaks_the_protocol_once_is_connected_to_again(
    tmp_path: Path, nonsense: bytes, version: Any
) -> None:
    def script(packet: Packet) -> bytes | None:
        events = packet.kind == 3 and b"roi/events" in packet.body
        return nonsense if events and packet.connection == 0 else well(packet)

    with scripted_broker(script) as (url, packets):
        service = Mqtt(url=url, version=version)
        with world(MqttOut(qos=1, ack_timeout_s=2.0), tmp_path, {"mqtt": service}) as w:
            w.send(*(zone_event(i) for i in range(30)))
            eventually(lambda: w.statistics.delivered == 30, 15.0)
            assert (w.statistics.dead_letters, w.statistics.errors) == (0, 0)
    assert max(packet.connection for packet in packets) >= 1


def test_fault_11_a_broker_that_is_killed_again_and_again_makes_no_dead_letters(tmp_path: Path) -> None:
    """Each life ends with messages under way; none of them is to blame."""
    ends = threading.Event()
    with mosquitto(tmp_path) as broker, world(MqttOut(), tmp_path / "w", {"mqtt": Mqtt(url=broker.url)}) as w:

        def crash() -> None:
            while not ends.wait(0.7):
                broker.kill()
                broker.start()

        crashing = threading.Thread(target=crash)
        crashing.start()
        try:
            for i in range(1200):
                w.send(zone_event(i))
                ends.wait(0.01)
        finally:
            ends.set()
            crashing.join()
        eventually(lambda: w.statistics.delivered == 1200, 60.0)
        assert w.statistics.dead_letters == 0


def test_fault_11_a_broker_that_hangs_up_on_every_message_makes_no_dead_letters(tmp_path: Path) -> None:
    """Not even on `availability`: nothing proves that it is the message."""
    sick = [True]

    def script(packet: Packet) -> bytes | None:
        return None if sick and packet.kind == 3 else well(packet)

    with scripted_broker(script) as (url, packets), world(MqttOut(), tmp_path, {"mqtt": Mqtt(url=url)}) as w:
        w.send(*(zone_event(i) for i in range(10)))
        eventually(lambda: max((packet.connection for packet in packets), default=0) >= 6, 20.0)
        assert (w.statistics.dead_letters, w.statistics.pending) == (0, 10)
        sick.clear()
        eventually(lambda: w.statistics.delivered == 10, 20.0)


def test_fault_11_the_message_that_ends_each_connection_is_found(tmp_path: Path) -> None:
    def script(packet: Packet) -> bytes | None:
        return None if b'"z-5"' in packet.body else well(packet)

    with scripted_broker(script) as (url, _), world(MqttOut(), tmp_path, {"mqtt": Mqtt(url=url)}) as w:
        w.send(*(zone_event(i) for i in range(10)))
        eventually(lambda: w.statistics.delivered == 9 and w.statistics.dead_letters == 1, 40.0)


def test_a_refusal_at_qos_2_is_no_delivery_after_a_lost_connection(tmp_path: Path) -> None:
    """As Mosquitto does: it refuses by PUBREC, hangs up on the PUBREL that paho sends all the same, and completes it on the next connection."""

    def script(packet: Packet) -> bytes | None:
        violations = packet.kind == 3 and b"smartintersection/violations" in packet.body
        match packet.kind, packet.flags & 6:
            case 1, _:
                resumed = not packet.body[7] & 2  # clean start
                return b"\x20\x03" + bytes([resumed]) + b"\x00\x00"
            case 3, 4 if violations:
                return b"\x50\x03" + packet.mid + b"\x87"
            case 3, 2 if violations:
                return b"\x40\x03" + packet.mid + b"\x87"
            case 6, _:
                return None if packet.connection == 0 else b"\x70\x02" + packet.body[:2]
        return well(packet)

    with scripted_broker(script) as (url, _), world(MqttOut(), tmp_path, {"mqtt": Mqtt(url=url)}) as w:
        w.send(violation(1))
        eventually(lambda: w.statistics.dead_letters == 1)
        assert w.statistics.delivered == 0


# -- what is at the address (fault 20) ----------------------------------------------------------------------------------


def hang_up(connection: socket.socket) -> None:
    """Take a connection and close it."""


def greet(connection: socket.socket) -> None:
    """As SSH does."""
    connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")
    silent(connection)


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    files = certificates(folder)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["cert_file"], files["key_file"])

    def serve(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secured:
            silent(secured)

    with serving(serve) as url:
        yield url


WEB = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
STRANGERS: dict[str, tuple[Serve, str]] = {
    "closes": (hang_up, "a program that closes the connection"),
    "says nothing": (silent, "a program that takes connections and says nothing"),
    "web": (answering(WEB), "a web server"),
    "ssh": (greet, "an SSH server"),
}


@pytest.mark.parametrize("scheme", ["mqtt", "mqtts"])
@pytest.mark.parametrize(("serve", "look"), STRANGERS.values(), ids=STRANGERS.keys())
def test_fault_20_what_is_no_broker_is_named_with_what_it_looks_like(
    tmp_path: Path, scheme: str, serve: Serve, look: str
) -> None:
    with serving(serve) as url:
        service = Mqtt(url=url.replace("http", scheme))
        with world(MqttOut(), tmp_path, {"mqtt": service}) as w:
            w.send(zone_event(1))
            eventually(lambda: look in (w.statistics.last_error or ""), 14.0)
            assert w.statistics.pending == 1


def test_fault_20_a_wrong_scheme_is_named(tmp_path: Path) -> None:
    with tls_server(tmp_path / "ca") as url:
        service = Mqtt(url=url.replace("http:", "mqtt:"))
        with world(MqttOut(), tmp_path / "w", {"mqtt": service}) as w:
            w.send(zone_event(1))
            eventually(lambda: "write mqtts:// in `url`" in (w.statistics.last_error or ""), 14.0)
    with mosquitto(tmp_path) as broker:
        service = Mqtt(url=broker.url.replace("mqtt:", "mqtts:"))
        with world(MqttOut(), tmp_path / "v", {"mqtt": service}) as w:
            w.send(zone_event(1))
            eventually(lambda: "write mqtt:// in `url`" in (w.statistics.last_error or ""), 14.0)


def test_fault_20_the_client_id_is_exactly_as_written(tmp_path: Path) -> None:
    """A second node at the same broker can't have the same one: it gets its own name behind it."""
    shared = Shared()
    with scripted_broker() as (url, packets):
        service = {"mqtt": Mqtt(url=url, client_id="intersection-17")}
        first, second = MqttOut(), MqttIn(topic="a")
        with opened(second, context(tmp_path, clock=SystemClock(), name="in", services=service, shared=shared)):
            eventually(lambda: second.status()["connected"])
        with world(first, tmp_path, service, shared=shared):
            eventually(lambda: first.status()["connected"])
            with opened(second, context(tmp_path, clock=SystemClock(), name="in", services=service, shared=shared)):
                eventually(lambda: second.status()["connected"])
        assert [packet.client_id for packet in packets if packet.kind == 1] == [
            "intersection-17",
            "intersection-17",
            "intersection-17-in",
        ]


def test_fault_20_the_exact_client_id_is_taken_when_it_is_free(tmp_path: Path) -> None:
    """As after a reload, in which the new node connects before the old one is gone."""
    shared = Shared()

    def script(packet: Packet) -> bytes | None:
        if packet.kind == 1 and packet.client_id != "intersection-17":
            return b"\x20\x03\x00\x85\x00"
        return well(packet)

    with scripted_broker(script) as (url, _):
        service = {"mqtt": Mqtt(url=url, client_id="intersection-17")}
        with world(MqttOut(), tmp_path / "old", service, shared=shared) as old:
            eventually(lambda: old.node.status()["connected"])
            new = MqttOut()
            where = context(
                tmp_path, clock=SystemClock(), name="new", services=service, shared=shared, contract=Contract.load()
            )
            with opened(new, where):
                eventually(lambda: "check client_id" in new.status().get("trouble", ""))
                close_node(old.node)
                eventually(lambda: new.status()["connected"], 10.0)


# -- what comes in -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [5, "3.1.1"])
def test_fault_17_json_of_20_mb_is_left_out_and_counted(tmp_path: Path, version: Any) -> None:
    with mosquitto(tmp_path) as broker:
        node = MqttIn(topic="in/#")
        service = {"mqtt": Mqtt(url=broker.url, version=version)}
        with (
            opened(node, context(tmp_path, clock=SystemClock(), services=service)),
            Subscriber(broker.port) as other,
        ):
            eventually(lambda: node.status()["connected"])
            records = iter(node.produce())
            before = psutil.Process().memory_info().rss
            for _ in range(3):
                other.client.publish("in/big", b"[" + b"{}," * 6_600_000 + b"{}]", qos=1).wait_for_publish(30.0)
            other.client.publish("in/small", b'{"n": 1}', qos=1)
            assert next(records).data == {"n": 1}
            grown = psutil.Process().memory_info().rss - before
            assert grown < 400_000_000, "the listener beside it and the broker's client hold them, nothing decodes them"
            if version == "3.1.1":  # with MQTT 5 the broker does not even send them
                assert node.status()["unreadable"] == 3
                assert "larger than max_kb" in node.status()["last_unreadable"]


def test_many_large_messages_wait_within_bounds(tmp_path: Path) -> None:
    """Bytes count, not messages: the broker waits when 16 MB do."""
    with mosquitto(tmp_path) as broker:
        node = MqttIn(topic="in/#", payload="text")
        service = {"mqtt": Mqtt(url=broker.url)}
        with (
            opened(node, context(tmp_path, clock=SystemClock(), services=service)),
            Subscriber(broker.port, "none") as other,
        ):
            eventually(lambda: node.status()["connected"])
            for i in range(60):
                other.client.publish("in/a", f"{i} ".encode().ljust(900_000), qos=1)
            eventually(lambda: node.status()["waiting_mb"] >= 15.0, 20.0)
            assert node.status()["waiting_mb"] <= 17.0
            records = iter(node.produce())
            assert [next(records).data["text"].split()[0] for _ in range(60)] == [str(i) for i in range(60)]


def test_a_refused_subscription_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)

    def script(packet: Packet) -> bytes | None:
        return b"\x90\x04" + packet.mid + b"\x00\x87" if packet.kind == 8 else well(packet)

    with scripted_broker(script) as (url, _):
        node = MqttIn(topic="secret/#")
        with opened(node, context(tmp_path, clock=SystemClock(), services={"mqtt": Mqtt(url=url)})):
            eventually(lambda: "refuses the subscription to 'secret/#'" in node.status().get("trouble", ""))


def test_fault_21_a_sink_with_nothing_to_send_says_that_its_broker_is_away(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        broker.kill()
        with world(MqttOut(), tmp_path, {"mqtt": Mqtt(url=broker.url)}) as w:
            eventually(lambda: w.statistics.state == "waiting" and "can't be reached" in w.statistics.last_error)
            broker.start()
            eventually(lambda: w.statistics.state == "up", 30.0)
            broker.kill()
            eventually(lambda: w.statistics.state == "waiting", 30.0)
