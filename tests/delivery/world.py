"""A node with journal and delivery around it, and a plain paho client that listens as a foreign program would."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from flowrt.clock import SystemClock
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.message import Message
from flowrt.node import Outbox, Shared
from flowrt.system.backoff import Backoff
from flowrt.traffic import CameraStatus, Location, RoadUser, Violation, ZoneEvent
from tests.delivery.outside import quick
from tests.harness import context, opened


class World:
    """One outbox at work: `send` messages, look at `statistics`."""

    def __init__(self, node: Outbox, journal: Journal, delivery: Delivery) -> None:
        self.node, self.journal, self.delivery = node, journal, delivery

    def send(self, *messages: Message) -> None:
        """As the runtime does: encode, accept."""
        for message in messages:
            self.delivery.accept("out", list(self.node.encode(message)))

    @property
    def statistics(self) -> Any:
        return self.delivery.statistics()["out"]


@contextmanager
def world(
    node: Outbox,
    folder: Path,
    services: Mapping[str, Any],
    *,
    journal: Path | None = None,
    shared: Shared | None = None,
    backoff: Callable[[], Backoff] = quick,
) -> Iterator[World]:
    """The node open, its records under way. journal: a file; in memory without one."""
    clock = SystemClock()
    folder.mkdir(parents=True, exist_ok=True)
    where = context(folder, clock=clock, name="out", services=services, shared=shared, contract=Contract.load())
    kept = Journal(journal, clock=clock)
    try:
        with opened(node, where):
            delivery = Delivery(kept, clock, backoff=backoff)
            delivery.add("out", node)
            try:
                yield World(node, kept, delivery)
            finally:
                delivery.close(3.0)
    finally:
        kept.close()


def violation(number: int, phase: Any = "new", **more: Any) -> Violation:
    """A violation that keeps to the contract."""
    user = RoadUser(track_id=number + 1, label="car", confidence=0.9, box_px=(1.0, 2.0, 3.0, 4.0), speed_kmh=61.5)
    return Violation(
        id=f"v-{number}",
        time_s=1_700_000_000.0 + number,
        camera_id="north",
        violation_type="speeding",
        severity="high",
        phase=phase,
        location=Location(x_px=10.0, y_px=20.0),
        object=user,
        evidence={},
        started_s=1_700_000_000.0 + number,
        roi_id="n_in_1",
        **more,
    )


def zone_event(number: int, roi_id: str = "crosswalk") -> ZoneEvent:
    """A zone event (QoS 1)."""
    user = RoadUser(track_id=number + 1, label="person", confidence=0.8, box_px=(1.0, 2.0, 3.0, 4.0))
    return ZoneEvent(
        id=f"z-{number}",
        time_s=1_700_000_000.0 + number * 0.001,
        camera_id="north",
        roi_id=roi_id,
        roi_type="crosswalk",
        event_type="entry",
        object=user,
        location=Location(x_px=10.0, y_px=20.0),
    )


def camera_status(number: int) -> CameraStatus:
    """A retained state."""
    return CameraStatus(time_s=1_700_000_000.0 + number, camera_id="north", status="online", fps=float(number))


class Received(NamedTuple):
    """One message that a subscriber got."""

    topic: str
    body: bytes
    qos: int
    retain: bool
    properties: Any


class Subscriber:
    """A plain paho client on all topics, with a session that survives the broker's and its own absence."""

    def __init__(self, port: int, topic: str = "#", *, user: tuple[str, str] | None = None, tls: Any = None) -> None:
        self.received: list[Received] = []
        self._ready = threading.Event()
        self._errors: queue.Queue[str] = queue.Queue()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id="listener", protocol=paho.MQTTv5)
        if user:
            self.client.username_pw_set(*user)
        if tls is not None:
            self.client.tls_set_context(tls)
        self.client.reconnect_delay_set(0.1, 0.5)  # type: ignore[arg-type]

        def connected(client: paho.Client, *_: Any) -> None:
            client.subscribe(topic, 2)

        def subscribed(*_: Any) -> None:
            self._ready.set()

        def message(_client: Any, _data: Any, got: paho.MQTTMessage) -> None:
            self.received.append(Received(got.topic, bytes(got.payload), got.qos, got.retain, got.properties))

        self.client.on_connect, self.client.on_subscribe, self.client.on_message = connected, subscribed, message
        self.client.connect_async("localhost", port)
        self.client.loop_start()
        assert self._ready.wait(10.0), "the subscriber could not subscribe"

    def bodies(self, topic: str) -> list[bytes]:
        """Payloads of topics that end so."""
        return [heard.body for heard in list(self.received) if heard.topic.endswith(topic)]

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
