"""signal.mqtt and a real broker: a rule sees what the controller publishes, and nothing where that is unknown."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from flowrt import Message, SignalRule, Tracks, Violation
from flowrt.clock import SystemClock
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.runtime import Runtime
from flowrt.testing.replay import substitute
from flowrt_nodes.signal.mqtt import MqttSignal
from tests.delivery.outside import eventually
from tests.harness import context, opened
from tests.servers import Mosquitto, mosquitto
from tests.traffic.street import Actor, along, play, street

RED, GREEN = "stop-and-remain", "permissive-movement-allowed"
MAX_AGE_S = 1.5
TOPICS = ("spat/main", "spat/other")


class Controller:
    """Publishes the phase of `cars` every 0.2 s, as SPaT, and whatever else it is told to."""

    def __init__(self, port: int) -> None:
        self.client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        self.client.reconnect_delay_set(0.1, 0.3)  # type: ignore[arg-type]
        self.client.connect("localhost", port)
        self.client.loop_start()
        self.state = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def publish(self, topic: str, body: bytes | dict[str, Any], retain: bool = False) -> None:
        """Returns once the broker has it."""
        data = json.dumps(body).encode() if isinstance(body, dict) else body
        self.client.publish(topic, data, qos=1, retain=retain).wait_for_publish(5.0)

    def close(self) -> None:
        self._stopping.set()
        self._thread.join()
        self.client.disconnect()
        self.client.loop_stop()

    def _run(self) -> None:
        while not self._stopping.wait(0.2):
            if self.state:
                event = {"signalGroup": 2, "state-time-speed": [{"eventState": self.state}]}
                self.client.publish(TOPICS[0], json.dumps({"intersections": [{"states": [event]}]}))


class Site:
    """A red-light rule that listens to signal.mqtt; `cars` takes the tracks of its camera."""

    def __init__(self, runtime: Runtime, cars: queue.Queue[Tracks | None], said: list[Message]) -> None:
        self.runtime, self.cars, self.said = runtime, cars, said

    def phase(self) -> str:
        """What the rule takes the signal of its stop line for now; empty where that is unknown."""
        rule = self.runtime.runners["red_light"].node
        assert isinstance(rule, SignalRule)
        found = rule.phase("cars", time.time())
        return found.state if found else ""

    @property
    def status(self) -> dict[str, Any]:
        return self.runtime.runners["signals"].node.status()

    def run_the_light(self) -> None:
        """A car drives over the stop line, in real time."""
        car = Actor(1, "car", along((0.0, -1.75, 8.0), (2.0, -1.75, -14.0)))
        for tracks in play([car], 2.0, start_s=time.time()):
            time.sleep(max(tracks.time_s - time.time(), 0.0))
            self.cars.put(tracks)


@contextmanager
def site(folder: Path, broker: Mosquitto) -> Iterator[Site]:
    """The flow at work."""
    cars: queue.Queue[Tracks | None] = queue.Queue()
    said: list[Message] = []
    flow = load(flow_file(folder, broker.url))
    runtime = Runtime(
        substitute(flow, {"speeds": behind_speed(folder, iter(cars.get, None))}),
        contract=Contract.load(),
        clock=SystemClock(),
        data=folder,
        record=lambda _, message: said.append(message),
    )
    runtime.start()
    try:
        yield Site(runtime, cars, said)
    finally:
        cars.put(None)
        runtime.stop()


def behind_speed(folder: Path, tracks: Iterator[Tracks]) -> Iterator[Tracks]:
    """Tracks with metres and km/h, as a `speed` node fills them in."""
    from flowrt_nodes.speed import Speed

    with opened(Speed(scene="north"), context(folder, scene=street(), name="speed")) as speed:
        for seen in tracks:
            yield speed.process(seen)


def flow_file(folder: Path, url: str) -> Path:
    """The street of `street.py` with a camera, whose tracks the test makes."""
    scene = street()
    lane, line, ground = scene.zones["lane_in"], scene.lines["stop_line"], scene.homography
    assert ground is not None
    (folder / "flow.yaml").write_text(
        json.dumps(
            {
                "flow": "signals",
                "site": "main-and-5th",
                "services": {"mqtt": {"url": url}},
                "scene": {
                    "north": {
                        "picture_px": scene.picture_px,
                        "homography": {"image_px": ground.image_px, "ground_m": ground.ground_m},
                        "lanes": {"lane_in": {"zone": lane.points, "heading": lane.heading}},
                        "stop_line": {"line": line.points, "signal": "cars"},
                    }
                },
                "nodes": {
                    "camera": {"type": "camera", "uri": "sim://four-way"},
                    "objects": {"type": "detect", "from": "camera", "model": "flowrt-traffic-int8.xml"},
                    "tracks": {"type": "track", "from": "objects"},
                    "speeds": {"type": "speed", "from": "tracks", "scene": "north"},
                    "signals": {"type": "signal.mqtt", "topic": TOPICS, "groups": {"2": "cars"}},
                    "red_light": {
                        "type": "violation.red_light", "from": "speeds", "scene": "north", "signal": "signals",
                        "max_age_s": MAX_AGE_S,
                    },
                    "to_broker": {"type": "mqtt_out", "from": "red_light"},
                },
            }
        )
    )  # fmt: skip
    return folder / "flow.yaml"


JUNK = [
    b"", b"\xff\xfe", b'"\xff"', b"no json", b"[]", b"{}", b'"red"', b"[" * 100_000, b"1e999", b'{"states": {"cars": ',
    b'{"intersections": [{"states": [{"signalGroup": 2, "state-time-speed": 7}]}]}'[:-3],
]  # fmt: skip


def test_from_the_controller_to_the_violation_and_through_an_outage(tmp_path: Path) -> None:
    with mosquitto(tmp_path) as broker:
        controller = Controller(broker.port)
        try:
            controller.publish(TOPICS[0], {"time": time.time(), "states": {"cars": "red"}}, retain=True)
            with site(tmp_path, broker) as at:
                eventually(lambda: at.phase() == RED)  # what was retained when the flow came up
                eventually(lambda: at.phase() == "")  # and nobody confirmed

                controller.state = "stop-And-Remain"
                eventually(lambda: at.phase() == RED)
                at.run_the_light()
                eventually(lambda: at.said)
                (violation,) = (m for m in at.said if isinstance(m, Violation) and m.phase == "new")
                assert (violation.violation_type, violation.evidence["state"]) == ("red_light", RED)

                for junk in JUNK:
                    controller.publish(TOPICS[0], junk)
                eventually(lambda: at.status["unreadable"] == len(JUNK))
                assert at.phase() == RED
                assert "spat/main" in at.status["last_unreadable"]

                broker.kill()
                controller.state = ""
                killed_s = time.monotonic()
                eventually(lambda: at.phase() == "")
                assert time.monotonic() - killed_s > MAX_AGE_S - 0.4, "it is known until its last report is too old"
                eventually(lambda: not at.status["connected"])
                at.run_the_light()
                assert [m for m in at.said if isinstance(m, Violation) and m.phase == "new"] == [violation]

                broker.start()
                controller.state = "permissive-Movement-Allowed"
                eventually(lambda: at.phase() == GREEN)
                assert at.status["connects"] == 2
                assert at.runtime.runners["signals"].errors == 0
                assert at.runtime.ledger()["balanced"]
        finally:
            controller.close()


@pytest.mark.parametrize(
    ("report", "why"),
    [
        ({"states": {"cars": "red"}}, "no time of its own"),
        ({"time": "2026-05-04T10:00:00Z", "states": {"cars": "red"}}, "too old"),
        ({"time": "2999-05-04T10:00:00Z", "states": {"cars": "red"}}, "of a wrong clock"),
    ],
    ids=["undated", "old", "from the future"],
)
def test_a_retained_report_of_unknown_age_is_no_phase(tmp_path: Path, report: dict[str, Any], why: str) -> None:
    with mosquitto(tmp_path) as broker:
        controller = Controller(broker.port)
        try:
            controller.publish(TOPICS[1], report, retain=True)
            with site(tmp_path, broker) as at:
                eventually(lambda: at.status["unreadable"] == 1)
                assert why in at.status["last_unreadable"]
                assert at.phase() == ""
                controller.publish(TOPICS[1], report)  # live, it is what the controller shows now
                eventually(lambda: at.phase() == RED)
                assert at.status["misdated"] == int("time" in report)
        finally:
            controller.close()


def test_reports_of_an_outage_are_not_taken_for_news(tmp_path: Path) -> None:
    """A broker keeps what comes for a session that is away; phases of then, dated now, would be false."""
    with mosquitto(tmp_path) as broker:
        controller = Controller(broker.port)
        try:
            with site(tmp_path, broker) as at:
                eventually(lambda: controller.publish(TOPICS[0], {"states": {"cars": "green"}}) or at.phase() == GREEN)
                received = at.status["received"]
                link = at.runtime.runners["signals"].node.__dict__["_link"]
                cut_off(link.client, lambda: controller.publish(TOPICS[0], {"states": {"cars": "red"}}))
                eventually(lambda: at.status["connects"] == 2 and at.status["connected"])
                eventually(
                    lambda: (
                        controller.publish(TOPICS[1], {"states": {"walk": "red"}}) or at.status["received"] > received
                    )
                )
                assert at.phase() in (GREEN, "")
        finally:
            controller.close()


def cut_off(client: paho.Client, meanwhile: Callable[[], None]) -> None:
    """Hold a client's network thread back, cut its connection, do something, and let it reconnect."""
    held, go_on = threading.Event(), threading.Event()

    def hold(*_: Any) -> None:
        held.set()
        go_on.wait(10.0)

    before, client.on_pre_connect = client.on_pre_connect, hold
    sock = client.socket()
    assert sock is not None
    sock.shutdown(2)
    assert held.wait(10.0)
    meanwhile()
    client.on_pre_connect = before
    go_on.set()


def test_the_newest_reports_stay_when_the_flow_is_too_slow(tmp_path: Path) -> None:
    node = MqttSignal(topic="spat")
    with opened(node, context(tmp_path, clock=SystemClock(), contract=Contract.load())):
        for number in range(1500):
            node._take("spat", b'{"time": %d, "states": {"cars": "red"}}' % (time.time() + number / 1000), False)
        assert (node.status()["received"], node.status()["dropped"]) == (1500, 500)
        first = next(node.produce())
        assert first.states == {"cars": RED}
