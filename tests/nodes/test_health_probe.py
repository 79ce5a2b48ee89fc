"""The probe against real services, and its verdict on what a runtime says of itself."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import islice
from pathlib import Path
from typing import Any, cast

import pytest
from harness import context, opened
from servers import free_port, mosquitto

from flowrt import CheckView, Health, Performance
from flowrt.clock import SystemClock, VirtualClock
from flowrt.delivery.delivery import SinkStatistics
from flowrt.services import Grafana, Influx, Mqtt
from flowrt.services.checks import Target, check, targets
from flowrt_nodes.health_probe import HealthProbe
from tests.raw_server import Serve, answering, serving


class Said:
    """A runtime that answers `status` with what the test lays down, one answer after the other."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked_s: list[float | None] = []

    def status(self, recent_s: float | None = None) -> dict[str, Any]:
        self.asked_s.append(recent_s)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def camera(frames: int, *, status: str = "online", dropped: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "type": "camera",
        "in": frames,
        "out": frames - dropped,
        "dropped": dropped,
        "status": {"status": status},
        **more,
    }


def reports(folder: Path, *answers: dict[str, Any], n: int, **settings: Any) -> list[Health | Performance]:
    """The first `n` messages of a probe in virtual time that moves by `every_s`."""
    clock = VirtualClock(1000.0)
    where = context(folder, clock=clock)
    where.runtime = Said(*answers)
    settings.setdefault("start_s", 0.0)
    with opened(HealthProbe(min_disk_free_mb=0.0, max_cpu=100.0, max_memory=100.0, **settings), where) as probe:
        return list(islice(probe.produce(), n))


def health(folder: Path, *answers: dict[str, Any], **settings: Any) -> Health:
    """The newest of as many reports as there are answers."""
    per_report = 2 + sum(facts["type"] == "camera" for facts in answers[0].get("nodes", {}).values())
    found = reports(folder, *answers, n=per_report * (len(answers) - 1) + 1, **settings)[-1]
    assert isinstance(found, Health)
    return found


def test_all_well_is_healthy(tmp_path: Path) -> None:
    found = health(tmp_path, {"nodes": {"north": camera(10)}})
    assert (found.status, found.reasons, found.active_cameras) == ("healthy", [], 1)


def test_one_camera_away_degrades_and_all_away_is_critical(tmp_path: Path) -> None:
    one = {"nodes": {"north": camera(10), "east": camera(0, status="offline")}}
    assert health(tmp_path, one).status == "degraded"
    assert health(tmp_path, one).reasons == ["east: offline"]
    none = {"nodes": {"north": camera(9, status="error"), "east": camera(0, status="offline")}}
    assert health(tmp_path, none).status == "critical"
    assert health(tmp_path, none).reasons[0] == "no camera is online"


def test_a_camera_gets_time_for_its_first_picture(tmp_path: Path) -> None:
    waiting = {"nodes": {"north": camera(0, status="offline")}}
    assert health(tmp_path, waiting, start_s=15.0).status == "healthy"
    assert health(tmp_path, waiting, waiting, every_s=20.0, start_s=15.0).status == "critical"
    failed = {"nodes": {"north": camera(0, status="error")}}
    assert health(tmp_path, failed, start_s=15.0).status == "critical"
    lost = {"nodes": {"north": camera(5, status="offline")}}
    assert health(tmp_path, lost, start_s=15.0).status == "critical"


def test_frame_rate_and_drops_are_of_the_interval(tmp_path: Path) -> None:
    first, second = {"nodes": {"north": camera(100, dropped=7)}}, {"nodes": {"north": camera(150, dropped=10)}}
    messages = reports(tmp_path, first, second, n=6, every_s=5.0)
    newest = messages[-1]
    assert isinstance(newest, Performance)
    assert (newest.camera_id, newest.service, newest.fps, newest.frames_dropped) == ("north", "camera", 10.0, 3)
    assert [message.time_s for message in messages] == [1000.0] * 3 + [1005.0] * 3


def test_a_counter_that_began_anew_gives_no_negative_rate(tmp_path: Path) -> None:
    messages = reports(tmp_path, {"nodes": {"north": camera(100, dropped=9)}}, {"nodes": {"north": camera(3)}}, n=6)
    newest = messages[-1]
    assert isinstance(newest, Performance)
    assert (newest.fps, newest.frames_dropped) == (0.0, 0)


def test_too_few_pictures_degrade(tmp_path: Path) -> None:
    found = health(tmp_path, {"nodes": {"north": camera(0)}}, {"nodes": {"north": camera(10)}}, min_fps=5.0)
    assert found.reasons == ["north: 2 pictures a second, expected 5"]


def test_a_node_that_stands_still_with_input_waiting_is_critical(tmp_path: Path) -> None:
    stuck = {"nodes": {"north": camera(10), "objects": {"type": "detect", "in": 5, "out": 3, "held": 2}}}
    found = health(tmp_path, stuck, stuck, stuck, every_s=20.0, stall_s=30.0)
    assert found.status == "critical"
    assert found.reasons[0].startswith("objects: stalled for 40 s")


def test_a_node_that_is_merely_idle_has_not_stalled(tmp_path: Path) -> None:
    idle = {"nodes": {"north": camera(10), "objects": {"type": "detect", "in": 5, "out": 5, "held": 0}}}
    assert health(tmp_path, idle, idle, idle, every_s=20.0, stall_s=30.0).status == "healthy"


def test_a_model_that_only_fails_is_critical_and_another_nodes_error_degrades(tmp_path: Path) -> None:
    def status(errors: int) -> dict[str, Any]:
        model = {"type": "detect", "in": errors, "errors": errors, "last_error": "RuntimeError: no device"}
        return {"nodes": {"north": camera(10), "objects": model}}

    assert health(tmp_path, status(0), status(4)).status == "critical"
    other = {
        "nodes": {"north": camera(10), "map": {"type": "map", "out": 9, "errors": 1, "last_error": "KeyError: 'x'"}}
    }
    found = health(tmp_path, {"nodes": {"north": camera(10)}}, other)
    assert found.status == "degraded"
    assert "KeyError" in found.reasons[0]


def test_fault_02_a_thread_of_the_run_that_failed_is_critical(tmp_path: Path) -> None:
    trouble = "thread 'journal writer' ended: OSError: no space"
    found = health(tmp_path, {"nodes": {"north": camera(10)}, "trouble": [trouble]})
    assert (found.status, found.reasons) == ("critical", [trouble])
    found = health(tmp_path, {"nodes": {"north": camera(10)}, "trouble": []})
    assert (found.status, found.reasons) == ("healthy", [])


def test_a_growing_outbox_and_dead_letters_degrade(tmp_path: Path) -> None:
    before = {"nodes": {}, "sinks": {"to_broker": {"pending": 90, "dead_letters": 0}}}
    after = {"nodes": {}, "sinks": {"to_broker": {"pending": 120, "dead_letters": 2}}}
    found = health(tmp_path, before, after, max_outbox=100)
    assert found.status == "degraded"
    assert found.reasons[0] == "to_broker: 120 messages wait and their number grows"
    assert "2 dead letters" in found.reasons[1]


@pytest.mark.parametrize("state", ["waiting", "refused"])
def test_a_sink_that_cannot_deliver_degrades_and_the_slowest_sinks_latency_counts(tmp_path: Path, state: str) -> None:
    def sink(**more: Any) -> SinkStatistics:
        return SinkStatistics(
            accepted=9, delivered=4, pending=5, dead_letters=0, dropped={}, resumed=0, oldest_s=3.0, rate_per_s=0.0, state_s=9.0,
            errors=0, retries=2, **more,
        )  # fmt: skip

    away = sink(state=state, last_error="connection refused", latency_ms={"p50": 20.0, "p99": 30.0})
    good = sink(state="up", last_error="", latency_ms={"p50": 25.0, "p99": 28.0})
    status = {"nodes": {}, "sinks": {"to_broker": away, "to_history": good}}
    found, performance = reports(tmp_path, status, n=2)
    assert isinstance(found, Health)
    assert found.reasons == ["to_broker: can't deliver (connection refused); its messages wait on disk"]
    assert isinstance(performance, Performance)
    assert (performance.latency_p50_ms, performance.latency_p99_ms, performance.outbox_pending) == (25.0, 30.0, 10)


def test_latencies_are_those_since_the_last_report(tmp_path: Path) -> None:
    """Asked for in real time, which hardly goes on here, while the clock of the flow makes steps of 5 s."""
    where = context(tmp_path, clock=VirtualClock(1000.0))
    where.runtime = said = Said({"nodes": {"north": camera(10)}})
    with opened(HealthProbe(every_s=5.0), where) as probe:
        for _ in islice(probe.produce(), 6):
            pass
    assert len(said.asked_s) == 2
    assert all(recent_s is not None and 0.0 <= recent_s < 5.0 for recent_s in said.asked_s)


def test_a_full_disk_is_critical(tmp_path: Path) -> None:
    where = context(tmp_path, clock=VirtualClock(1000.0))
    with opened(HealthProbe(min_disk_free_mb=1e12), where) as probe:
        found = next(iter(probe.produce()))
    assert isinstance(found, Health)
    assert found.status == "critical"
    assert any("are free for the journal" in reason for reason in found.reasons)


# -- services ---------------------------------------------------------------------------------------------------------


def test_a_broker_that_answers_is_up_and_a_wrong_password_is_named(tmp_path: Path) -> None:
    with mosquitto(tmp_path, users={"probe": "right"}) as broker:
        right = check(Target(name="mqtt", kind="mqtt", url=broker.url, user="probe", password="right"), 5.0)
        wrong = check(Target(name="mqtt", kind="mqtt", url=broker.url, user="probe", password="wr0ng"), 5.0)
    assert right.up
    assert right.latency_ms is not None
    assert not wrong.up
    assert "check user and password" in wrong.error
    assert "wr0ng" not in wrong.error


def test_an_empty_port_says_what_to_do() -> None:
    port = free_port()
    for kind in ("mqtt", "influxdb", "grafana"):
        scheme = "mqtt" if kind == "mqtt" else "http"
        found = check(Target(name=kind, kind=kind, url=f"{scheme}://127.0.0.1:{port}"), 2.0)
        assert not found.up
        assert found.error.startswith(f"nothing listens on 127.0.0.1:{port}: start ")


def test_a_service_that_accepts_and_says_nothing_is_down_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        found = check(
            Target(name="influxdb", kind="influxdb", url=f"http://127.0.0.1:{listener.getsockname()[1]}"), 0.3
        )
    assert not found.up
    assert "no answer" in found.error


def test_a_service_that_drips_is_down_in_time() -> None:
    """Each byte comes within the time limit of one read; the whole answer never does."""
    over = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
            while not over.wait(0.1):
                connection.sendall(b" ")

    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        thread = threading.Thread(target=drip)
        thread.start()
        started_s = time.monotonic()
        found = check(Target(name="grafana", kind="grafana", url=f"http://127.0.0.1:{listener.getsockname()[1]}"), 0.5)
        took_s = time.monotonic() - started_s
        over.set()
        thread.join()
    assert "no answer" in found.error
    assert took_s < 5.0


class Other(BaseHTTPRequestHandler):
    """A program that is no Grafana."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *_: object) -> None:
        """Keep the test's output clean."""


@pytest.mark.parametrize(
    ("serve", "said"),
    [
        pytest.param(
            lambda connection: None,
            "closes the connection without an answer; it looks like a program that closes",
            id="closes",
        ),
        pytest.param(answering(b"\x20\x01\x00", b""), "looks like", id="half a CONNACK"),
        pytest.param(
            answering(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"),
            "a web server",
            id="web",
        ),
    ],
)
def test_fault_20_what_is_no_broker_is_named_with_what_it_looks_like(serve: Serve, said: str) -> None:
    with serving(serve) as url:
        begun_s = time.monotonic()
        result = check(Target(name="mqtt", kind="mqtt", url=url.replace("http:", "mqtt:")), 2.0)
        assert said in result.error
        assert time.monotonic() - begun_s < 7.0


def test_another_program_on_grafanas_port_is_recognised() -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Other) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        found = check(Target(name="grafana", kind="grafana", url=f"http://127.0.0.1:{server.server_port}"), 2.0)
        server.shutdown()
    assert not found.up
    assert "is the port taken by another program" in found.error


def test_the_services_of_a_flow_are_asked_and_those_without_address_are_not() -> None:
    services = {
        "mqtt": Mqtt(url="mqtts://broker:8883", username="u", password="p"),
        "influx": Influx(),
        "grafana": Grafana(url="http://localhost:3000"),
    }
    assert [target.name for target in targets(services)] == ["mqtt", "grafana"]


def test_a_dead_service_degrades_the_report(tmp_path: Path) -> None:
    url = f"mqtt://127.0.0.1:{free_port()}"
    where = context(tmp_path, clock=SystemClock(), services={"mqtt": Mqtt(url=url)})
    with opened(HealthProbe(timeout_s=2.0), where) as probe:
        found = next(iter(probe.produce()))
    assert isinstance(found, Health)
    assert found.services["mqtt"].status == "down"
    assert any(reason.startswith("mqtt: nothing listens on") for reason in found.reasons)


def test_a_broken_edit_degrades_with_line_and_column_until_it_is_mended(tmp_path: Path) -> None:
    well = {"nodes": {"north": camera(10)}}
    diagnostic = {"file": "/flows/intersection.yaml", "line": 20, "column": 26, "message": "unknown node type 'x'"}
    found = health(tmp_path, {**well, "problems": [diagnostic] * 5})
    assert found.status == "degraded"
    assert "flow file: intersection.yaml:20:26: unknown node type 'x'" in found.reasons
    assert "flow file: 2 more problems: `flowrt check` lists them" in found.reasons
    assert health(tmp_path, {**well, "problems": []}).status == "healthy"


def test_where_the_intersection_is(tmp_path: Path) -> None:
    status = {"nodes": {"north": camera(10)}}
    found = health(tmp_path, status, latitude=59.9139, longitude=10.7522)
    assert (found.latitude, found.longitude) == (59.9139, 10.7522)
    assert health(tmp_path, status).latitude is None
    problems = list(HealthProbe(latitude=59.9139).check(cast("CheckView", None)))
    assert [problem.message for problem in problems] == ["a latitude without a longitude"]
