"""The camera on live sources: real servers that answer late, stall, die and come back."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise

import pytest
from delaying_proxy import DelayingProxy
from harness import context, data_file, opened
from live_servers import MjpegCamera, RtspServer, free_port, silent_camera

from flowrt import CameraStatus, Frame, Message
from flowrt.clock import SystemClock
from flowrt_nodes.camera import Camera
from flowrt_nodes.camera._live.over_http import offered
from flowrt_nodes.camera._live.over_rtsp import greet
from flowrt_nodes.camera._live.protocol import NoAnswer

PATIENCE_S = 60.0


def until(made: Iterator[Message], kind: type[Message], count: int = 1, **wanted: str) -> list[Message]:
    """Everything up to the `count`th message of that kind with those fields."""
    seen, left = [], count
    end_s = time.monotonic() + PATIENCE_S
    for message in made:
        seen.append(message)
        if isinstance(message, kind) and all(getattr(message, name) == value for name, value in wanted.items()):
            left -= 1
            if not left:
                return seen
        assert time.monotonic() < end_s, f"no {kind.__name__} {wanted} within {PATIENCE_S} s"
    raise AssertionError(f"the camera ended before {kind.__name__} {wanted}")


def frames_of(messages: list[Message]) -> list[Frame]:
    return [message for message in messages if isinstance(message, Frame)]


def test_rtsp_survives_the_death_of_its_server(real, caplog):
    server = RtspServer(data_file("parking-lot-cars.mp4"))
    try:
        with (
            caplog.at_level(logging.INFO),
            opened(
                Camera(uri=server.url, stall_s=8, reconnect_s=0.2, reconnect_max_s=1.0, position="north"), real
            ) as camera,
        ):
            made = camera.produce()
            first = frames_of(until(made, Frame, 25))
            assert first[0].size_px == (768, 432)
            server.kill()
            until(made, CameraStatus, status="offline")
            server.start()
            second = frames_of(until(made, Frame, 10))
            assert until(made, CameraStatus, status="online")
            assert camera.status()["reconnects"] >= 1
    finally:
        server.kill()
    frames = first + second
    times = [frame.time_s for frame in frames]
    assert times == sorted(times)
    assert [frame.number for frame in frames] == sorted({frame.number for frame in frames})
    assert abs(times[-1] - time.time()) < PATIENCE_S
    assert "pass-word" not in caplog.text
    assert "rtsp://***@127.0.0.1" in caplog.text


def test_intervals_stay_right_behind_a_network_that_delays(real):
    """The server sends 12.5 pictures a second; the network holds each up by up to some 150 ms, another one by another time."""
    server = RtspServer(data_file("parking-lot-cars.mp4"))
    proxy = DelayingProxy(server.port, sigma_s=0.05)
    url = server.url.replace(str(server.port), str(proxy.port))
    try:
        with opened(Camera(uri=url), real) as camera:
            made = camera.produce()
            frames = frames_of(until(made, Frame, 100))
            status = camera.status()
            report = until(made, CameraStatus)[-1]
    finally:
        proxy.close()
        server.kill()
    times = [
        frame.time_s for frame in frames if frame.time_s > frames[0].time_s + 3.5
    ]  # at first the clock learns the delay
    pictures = [(later - earlier) / 0.08 for earlier, later in pairwise(times)]
    errors_ms = [abs(each - round(each)) * 80 for each in pictures]
    assert max(errors_ms) <= 2.0
    assert all(round(each) >= 1 for each in pictures)
    assert status["clock"] in ("pts", "camera")
    assert 15 < status["jitter_ms"] < 100
    assert isinstance(report, CameraStatus)
    assert report.clock == status["clock"]
    assert report.jitter_ms is not None
    assert report.jitter_ms > 15


def test_mjpeg_over_http(real):
    server = MjpegCamera()
    try:
        with opened(Camera(uri=server.url, status_s=0.5), real) as camera:
            seen = until(camera.produce(), Frame, 30)
            real.stopping.set()
    finally:
        server.close()
    frames = frames_of(seen)
    assert {frame.size_px for frame in frames} == {(320, 240)}
    assert not frames[0].image.flags.writeable
    online = [m for m in seen if isinstance(m, CameraStatus) and m.status == "online"]
    assert online[0].resolution == "320x240"
    assert online[0].clock == "arrival"  # MJPEG tells no times


def test_fps_limits_a_live_camera(real):
    server = MjpegCamera(fps=25)
    try:
        with opened(Camera(uri=server.url, fps=5), real) as camera:
            frames = frames_of(until(camera.produce(), Frame, 12))
    finally:
        server.close()
    # At most five a second over the whole; a slow machine may give fewer.
    assert frames[-1].time_s - frames[1].time_s >= 10 / 5 * 0.9


def test_the_watchdog_sees_a_stalled_camera(real):
    server = MjpegCamera()
    try:
        with opened(Camera(uri=server.url, stall_s=1.5, reconnect_s=0.1, reconnect_max_s=0.2), real) as camera:
            made = camera.produce()
            until(made, Frame, 5)
            server.stalled.set()
            lost = until(made, CameraStatus, status="offline")[-1]
            assert isinstance(lost, CameraStatus)
            server.stalled.clear()
            until(made, Frame, 3)
    finally:
        server.close()
    assert lost.resolution == "320x240"
    assert lost.detail


def test_a_slow_consumer_gets_the_newest_picture(real):
    server = MjpegCamera(fps=50)
    try:
        with opened(Camera(uri=server.url), real) as camera:
            made = camera.produce()
            until(made, Frame, 3)
            time.sleep(1.0)
            late = frames_of(until(made, Frame, 2))[-1]
            assert time.time() - late.time_s < 0.9  # not one of those that came meanwhile
            assert camera.status()["overwritten"] > 10
    finally:
        server.close()


def test_a_camera_that_never_answers_holds_up_nobody(real):
    with silent_camera() as url, opened(Camera(uri=url, stall_s=2, reconnect_s=0.1, status_s=0.5), real) as camera:
        made = camera.produce()
        status = until(made, CameraStatus, 2)
        assert all(isinstance(m, CameraStatus) and m.status == "offline" for m in status)
        real.stopping.set()
        began_s = time.monotonic()
        list(made)
        camera.close()
        assert time.monotonic() - began_s < 5


def test_a_camera_that_is_not_there_is_tried_again_until_it_is(real):
    port = free_port()
    later: list[MjpegCamera] = []
    url = f"http://127.0.0.1:{port}/stream"
    try:
        with opened(Camera(uri=url, reconnect_s=0.1, reconnect_max_s=0.3), real) as camera:
            made = camera.produce()
            until(made, CameraStatus, detail="no answer: Connection refused")
            timer = threading.Timer(0.5, lambda: later.append(MjpegCamera(port)))
            timer.start()
            until(made, Frame, 3)
            timer.join()
    finally:
        for server in later:
            server.close()


def test_a_usb_camera_that_is_not_there_is_reported(real):
    with opened(Camera(uri="99", reconnect_s=0.1), real) as camera:
        status = until(
            camera.produce(),
            CameraStatus,
            detail="no pictures: there is no USB camera 99 here, or another program uses it",
        )[-1]
    assert isinstance(status, CameraStatus)
    assert status.status == "offline"


def test_back_off_doubles_and_is_bounded(real, monkeypatch):
    waits: list[float] = []
    with opened(Camera(uri="rtsp://127.0.0.1:9/x", reconnect_s=1.0, reconnect_max_s=6.0), real) as camera:
        now_s = [0.0]
        monkeypatch.setattr("flowrt_nodes.camera.time.monotonic", lambda: now_s[0])

        def wait(seconds: float) -> bool:
            waits[-1] += seconds
            now_s[0] += seconds
            return False

        monkeypatch.setattr(real.stopping, "wait", wait)
        for _ in range(6):
            waits.append(0.0)
            list(camera._wait_to_reconnect())
    for wait_s, most_s in zip(waits, [1.0, 2.0, 4.0, 6.0, 6.0, 6.0], strict=True):
        assert most_s / 2 <= round(wait_s, 6) <= most_s


def test_a_silent_camera_keeps_no_other_waiting(tmp_path):
    """OpenCV opens one stream at a time in a process; a camera that hangs must not hold that turn."""
    server = MjpegCamera()
    clock = SystemClock()
    try:
        with (
            silent_camera() as url,
            opened(Camera(uri=url, stall_s=30), context(tmp_path, name="mute", clock=clock)) as mute,
        ):
            waiting = threading.Thread(target=lambda: list(mute.produce()))
            waiting.start()
            time.sleep(0.5)
            with opened(Camera(uri=server.url), context(tmp_path, name="good", clock=clock)) as good:
                began_s = time.monotonic()
                until(good.produce(), Frame, 3)
                assert time.monotonic() - began_s < 4
            mute.context.stopping.set()
            waiting.join(5)
            assert not waiting.is_alive()
    finally:
        server.close()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("rtsp://127.0.0.1:9/x", "no answer: Connection refused"),
        ("http://no-such-host.invalid/x", "no answer: "),
        ("http://127.0.0.1:99999/x", "no answer: "),
    ],
)
def test_why_a_camera_can_not_be_reached(url, says):
    with pytest.raises(NoAnswer, match=says):
        (greet if url.startswith("rtsp") else offered)(url, 2.0)


def test_a_web_server_that_is_no_camera(real):
    """It answers, but not with pictures."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        url = f"http://127.0.0.1:{server.server_address[1]}/"
        with opened(Camera(uri=url, reconnect_s=0.1), real) as camera:
            until(camera.produce(), CameraStatus, detail="no pictures: the address gives a web page")
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
