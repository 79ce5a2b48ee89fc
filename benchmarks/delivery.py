"""Delivery beside plain client loops: MQTT at QoS 1 to Mosquitto, and InfluxDB lines, encoded and written.

Ours goes the whole way: messages are made, encoded, journalled on disk, delivered and acknowledged. The loops send the same payload, or
points of the same tags and fields in batches of 5,000 (ours end at 1 MB, too), until all is acknowledged; they make nothing but the
points and write nothing to disk. They are the quicker ones of their kind: paho with MQTT 3.1.1 and no properties, as many unacknowledged as
Mosquitto allows by default; the InfluxDB client synchronously rather than in its batching mode. The database is VictoriaMetrics,
which takes v2 writes by itself. Nothing is compressed on loopback, on either side.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._running import left_out, running, switching, wait_until, workshop
from benchmarks.nodes.events import performance, zone_event
from benchmarks.pairs import Row, ratios, row
from flowrt.contract import Contract, Point
from flowrt.contract.line_protocol import LineEncoder
from flowrt.delivery import Delivery
from flowrt.journal import OutboxCounters
from flowrt.runtime import Runtime

MESSAGES = 10_000
POINTS = 60_000
BATCH = 5_000


def run(pairs: int) -> list[Row]:
    import pytest

    from tests.servers import mosquitto, victoria

    mine, theirs, proportions = ratios(_encoded, _encoded_by_client, pairs)
    rows = [
        row(
            "delivery", "encode / influxdb-client Point", proportions, "x", at_least=5.0, ours_per_s=mine, client=theirs
        )
    ]
    for server, measure in ((mosquitto, _beside_paho), (victoria, _beside_client)):
        try:
            with workshop() as folder, server(folder) as running_server:
                rows += measure(running_server, pairs)
        except pytest.skip.Exception as missing:
            left_out(f"delivery: {missing}")
    return rows


def _beside_paho(broker: Any, pairs: int) -> list[Row]:
    sink = "{type: mqtt_out, from: source.zone_events, prefix: bench, qos: 1}"
    flow = _Flow(f'{{mqtt: {{url: "{broker.url}"}}}}', sink, "zone_event", MESSAGES)
    payload = Contract.load().encode_payload(zone_event(time.time(), 0), "bench")

    def paho() -> float:
        return _paho(broker.port, payload)

    mine, theirs, proportions = ratios(lambda: _ours(flow).delivered_per_s, paho, pairs)
    accepted, _, beside = ratios(lambda: _ours(flow).accepted_per_s, paho, pairs)
    replayed, _, again = ratios(lambda: _replayed(flow, broker), paho, pairs)
    return [
        row("delivery", "MQTT, QoS 1 / plain paho", proportions, "x", at_least=0.5, ours_per_s=mine, paho_per_s=theirs),
        row("delivery", "accepted (to disk, while delivering) / plain paho", beside, "x", ours_per_s=accepted),
        row("delivery", "replay after an outage / plain paho", again, "x", ours_per_s=replayed),
        _rate_row("accepted", accepted),
        _rate_row("delivered to Mosquitto at QoS 1", mine),
        _rate_row("replayed after an outage", replayed),
        _rate_row("plain paho, QoS 1, 20 unacknowledged", theirs),
    ]


def _beside_client(store: Any, pairs: int) -> list[Row]:
    rows = []
    service = f'{{influx: {{url: "{store.url}", token: "", org: bench}}}}'
    for kind, port, what, target, make in (
        ("performance", "performance", "points", 0.6, performance),
        ("zone_event", "zone_events", "events, recorded as well,", None, zone_event),  # the loop records nothing
    ):
        flow = _Flow(service, f"{{type: influx_out, from: source.{port}, flush_s: 0.1}}", kind, POINTS)
        (point,) = Contract.load().points(make(time.time(), 0), "bench")

        def client(point: Point = point) -> float:
            return _client(store.url, point)

        mine, theirs, proportions = ratios(lambda flow=flow: _ours(flow).delivered_per_s, client, pairs)  # type: ignore[misc]
        rows.append(
            row(
                "delivery", f"InfluxDB, {what} end to end / client with Point", proportions, "x",
                at_least=target, ours_per_s=mine, client_per_s=theirs,
            )
        )  # fmt: skip
        rows += [_rate_row(f"{what} to VictoriaMetrics", mine), _rate_row(f"{what} by the client with Point", theirs)]
    return rows


def _rate_row(what: str, per_s: list[float]) -> Row:
    return row("delivery", what, [rate / 1000 for rate in per_s], "k/s")


class _Flow(msgspec.Struct, frozen=True):
    services: str
    sink: str
    kind: str
    messages: int

    def write(self, folder: Path) -> Path:
        path = folder / "flow.yaml"
        path.write_text(
            f"flow: delivery\nsite: bench\nservices: {self.services}\nnodes:\n"
            f"  source: {{type: events, messages: {self.messages}, kind: {self.kind}}}\n  out: {self.sink}\n"
        )
        return path


class _Rates(msgspec.Struct, frozen=True):
    accepted_per_s: float
    delivered_per_s: float


def _ours(flow: _Flow) -> _Rates:
    """From the first message made to the last one on disk, and to the last one acknowledged."""
    with workshop() as folder, switching(), running(flow.write(folder)) as runtime:
        tally, many = _tally(runtime), flow.messages
        wait_until(lambda: tally.accepted >= many, 120, "acceptance", every_s=0.005)
        accepted_s = time.perf_counter()
        wait_until(lambda: tally.delivered >= many, 120, "delivery", every_s=0.005)
        delivered_s = time.perf_counter()
        began_s = float(runtime.runners["source"].node.__dict__["began_s"])
    return _Rates(many / (accepted_s - began_s), many / (delivered_s - began_s))


def _tally(runtime: Runtime) -> OutboxCounters:
    assert isinstance(runtime.delivery, Delivery)
    return runtime.delivery.counters("out")


def _replayed(flow: _Flow, broker: Any) -> float:
    """Messages per second of what waited in the journal, once the broker is back and the first of it is acknowledged."""
    broker.stop()
    try:
        with workshop() as folder, switching(), running(flow.write(folder)) as runtime:
            tally, many = _tally(runtime), flow.messages
            wait_until(lambda: tally.accepted >= many, 120, "acceptance")
            broker.start()
            wait_until(lambda: tally.delivered, 60, "the first delivery")
            first, began_s = tally.delivered, time.perf_counter()
            wait_until(lambda: tally.delivered >= many, 120, "delivery")
            return (many - first) / (time.perf_counter() - began_s)
    finally:
        broker.stop()
        broker.start()


def _paho(port: int, payload: bytes) -> float:
    """Messages per second of a loop that publishes one payload at QoS 1, 20 unacknowledged at most, until all are acknowledged."""
    import paho.mqtt.client as mqtt
    from paho.mqtt.enums import CallbackAPIVersion

    from flowrt_nodes.mqtt._connection import no_delay

    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_socket_open = no_delay
    client.max_inflight_messages_set(20)
    acknowledged = 0
    done, connected = threading.Event(), threading.Event()

    def on_publish(*_: object) -> None:
        nonlocal acknowledged
        acknowledged += 1
        if acknowledged == MESSAGES:
            done.set()

    client.on_publish = on_publish
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait(10)
    began_s = time.perf_counter()
    for _ in range(MESSAGES):
        client.publish("bench/plain", payload, qos=1)
    done.wait(120)
    took_s = time.perf_counter() - began_s
    client.disconnect()
    client.loop_stop()
    return MESSAGES / took_s


TAGS = {"site": "main-and-5th", "camera": "north", "class": "car"}
FIELDS: dict[str, Any] = {
    "count": 17,
    "mean_kmh": 41.73,
    "p85_kmh": 52.1,
    "occupancy": 0.183,
    "flow_veh_h": 912.5,
    "queue": 3,
}


def _encoded() -> float:
    """Lines per second of our encoder: 3 tags, 6 fields."""
    encoder = LineEncoder(
        "lane_interval", tuple(TAGS), {k: "int" if isinstance(v, int) else "float" for k, v in FIELDS.items()}
    )
    tags = tuple(TAGS[name] for name in encoder.tags)
    values = [FIELDS[name] for name in encoder.fields]
    return _rate(lambda i: encoder.line(tags, values, 1_777_897_800_000_000 + i))


def _encoded_by_client() -> float:
    """The same with the client's Point."""
    from influxdb_client import Point, WritePrecision

    def line(i: int) -> str:
        point = Point("lane_interval")
        for key, tag in TAGS.items():
            point.tag(key, tag)
        for key, value in FIELDS.items():
            point.field(key, value)
        return str(point.time(1_777_897_800_000_000 + i, WritePrecision.US).to_line_protocol())

    return _rate(line)


def _rate(encode: Callable[[int], object]) -> float:
    began_s = time.thread_time()
    for i in range(POINTS):
        encode(i)
    return POINTS / (time.thread_time() - began_s)


def _client(url: str, like: Point) -> float:
    """Points per second of the client's own loop: a Point each with the same tags and fields, written in batches."""
    from influxdb_client import InfluxDBClient, Point, WritePrecision
    from influxdb_client.client.write_api import SYNCHRONOUS

    begin_us = time.time_ns() // 1000
    with InfluxDBClient(url, token="", org="bench") as client, client.write_api(write_options=SYNCHRONOUS) as api:
        began_s = time.perf_counter()
        for first in range(0, POINTS, BATCH):
            points = []
            for i in range(first, first + BATCH):
                point = Point("plain")
                for key, tag in like.tags.items():
                    point.tag(key, tag)
                for key, value in like.fields.items():
                    point.field(key, value)
                points.append(point.time(begin_us + i, WritePrecision.US))
            api.write("bench", "bench", points, write_precision=WritePrecision.US)
        return POINTS / (time.perf_counter() - began_s)
