"""Delivery beside plain client loops: MQTT at QoS 1 to Mosquitto, and InfluxDB lines, encoded and written.

Ours goes the whole way: events are made, encoded, journalled on disk, delivered, acknowledged and removed. The loops have their payloads
or points at hand and only send them. The database is VictoriaMetrics, which takes v2 writes by itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from benchmarks._running import left_out, running, wait_until, workshop
from benchmarks.pairs import Row, ratios, row
from flowrt.line_protocol import LineEncoder

MESSAGES = 10_000
POINTS = 20_000
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
    service = f'services: {{mqtt: {{url: "{broker.url}"}}}}'
    sink = "{type: mqtt_out, from: source.zone_events, prefix: bench, qos: 1}"
    mine, theirs, proportions = ratios(lambda: _ours(service, sink, MESSAGES), lambda: _paho(broker.port), pairs)
    return [
        row(
            "delivery",
            "MQTT, QoS 1 / plain paho loop",
            proportions,
            "x",
            at_least=0.9,
            ours_per_s=mine,
            paho_per_s=theirs,
        )
    ]


def _beside_client(store: Any, pairs: int) -> list[Row]:
    service = f'services: {{influx: {{url: "{store.url}", token: "", org: bench}}}}'
    sink = "{type: influx_out, from: source.zone_events, flush_s: 0.1}"
    mine, theirs, proportions = ratios(lambda: _ours(service, sink, POINTS), lambda: _client(store.url), pairs)
    return [
        row(
            "delivery",
            "InfluxDB end to end / client with Point",
            proportions,
            "x",
            at_least=2.0,
            ours_per_s=mine,
            client_per_s=theirs,
        )
    ]


def _ours(service: str, sink: str, messages: int) -> float:
    """Events per second, from the first one made to the last one acknowledged."""
    with workshop() as folder:
        path = folder / "flow.yaml"
        path.write_text(
            f"flow: delivery\nsite: bench\n{service}\nnodes:\n"
            f"  source: {{type: events, messages: {messages}}}\n  out: {sink}\n"
        )
        with running(path) as runtime:
            wait_until(lambda: runtime.delivery.statistics()["out"].delivered >= messages, 120, "delivery")
            return messages / (time.perf_counter() - float(runtime.cells["source"].node.__dict__["began_s"]))


def _paho(port: int) -> float:
    """Messages per second of a loop that publishes one payload at QoS 1, 20 unacknowledged at most, until all are acknowledged."""
    import paho.mqtt.client as mqtt
    from flowrt_nodes._mqtt import _no_delay
    from paho.mqtt.enums import CallbackAPIVersion

    payload = b'{"' + b"x" * 400 + b'":1}'
    client = mqtt.Client(CallbackAPIVersion.VERSION2)
    client.on_socket_open = _no_delay
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


def _client(url: str) -> float:
    """Points per second of the client's own loop: a Point each, written in batches."""
    from influxdb_client import InfluxDBClient, Point, WritePrecision
    from influxdb_client.client.write_api import SYNCHRONOUS

    begin_us = time.time_ns() // 1000
    with InfluxDBClient(url, token="", org="bench") as client, client.write_api(write_options=SYNCHRONOUS) as api:
        began_s = time.perf_counter()
        for first in range(0, POINTS, BATCH):
            points = []
            for i in range(first, first + BATCH):
                point = Point("plain")
                for key, tag in TAGS.items():
                    point.tag(key, tag)
                for key, value in FIELDS.items():
                    point.field(key, value)
                points.append(point.time(begin_us + i, WritePrecision.US))
            api.write("bench", "bench", points, write_precision=WritePrecision.US)
        return POINTS / (time.perf_counter() - began_s)
