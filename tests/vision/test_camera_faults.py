"""The camera's faults found in the field, each named by its number: addresses, refusals, clips, rates."""

from __future__ import annotations

import itertools
import logging
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from harness import case_folder, data_file, opened
from live_servers import MjpegCamera, RtspServer, WebServer, rtsp_describing
from servers import certificates
from vision.test_camera import View, run
from vision.test_live_camera import frames_of, until

from flowrt import CameraStatus, Frame
from flowrt.addresses import without_passwords
from flowrt.config import read
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera import Camera
from flowrt_nodes.camera._containers import ends_amid_something, is_cut_off
from flowrt_nodes.camera._live.protocol import Login
from flowrt_nodes.camera._meter import Meter

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
UNKNOWN_VIDEO = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\na=rtpmap:96 X-OWN/90000\r\n"


# 5: back-off


@pytest.mark.parametrize("name", ["reconnect_s", "reconnect_max_s"])
def test_fault_05_a_back_off_without_end_is_refused(name):
    with pytest.raises(msgspec.ValidationError, match="3600"):
        msgspec.convert({"uri": "rtsp://host/x", name: 1e18}, Camera)


# 18: clips


@pytest.mark.parametrize(("case", "name", "pictures"), [("01", "cut.mp4", 22), ("02", "vfr.webm", 12)])
def test_fault_18_a_clip_whose_count_was_a_guess_is_whole_and_loops(virtual, case, name, pictures):
    file = case_folder(case) / name
    frames, status = run(Camera(uri=str(file)), virtual)
    assert len(frames) == pictures
    assert {s.status for s in status} == {"online", "offline"}
    assert status[-1].detail == f"ended after {pictures} pictures"
    virtual.stopping.clear()
    with opened(Camera(uri=str(file), loop=True), virtual) as camera:
        made = itertools.islice((m for m in camera.produce() if isinstance(m, Frame)), 3 * pictures)
        times = [frame.time_s for frame in made]
    steps = np.diff(times)
    assert len(times) == 3 * pictures
    assert np.allclose(steps[pictures - 1 :: pictures], np.mean(steps[: pictures - 1])), (
        "a round ends in the clip's rhythm"
    )
    assert (steps > 0).all()


@pytest.mark.parametrize(("suffix", "code"), [("mp4", "mp4v"), ("avi", "MJPG"), ("webm", "VP80")])
def test_fault_18_a_file_that_ends_too_early_is_told_from_its_bytes(tmp_path, suffix, code):
    file = tmp_path / f"whole.{suffix}"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*code), 10.0, (64, 48))
    rng = np.random.default_rng(1)
    for _ in range(40):
        writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    assert not is_cut_off(file)
    content = file.read_bytes()
    for share in (0.5, 0.9):
        file.write_bytes(content[: int(len(content) * share)])
        assert is_cut_off(file)


@pytest.mark.parametrize(
    ("suffix", "code"), [("flv", "FLV1"), ("ts", "mp4v"), ("m2ts", "mp4v"), ("mkv", "mp4v"), ("webm", "VP80")]
)
def test_fault_18_a_stream_in_a_file_that_ends_amid_something_is_told(tmp_path, virtual, suffix, code):
    """None of these says how long it is: Matroska neither, as it is written into a pipe."""
    file = tmp_path / f"whole.{suffix}"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*code), 10.0, (64, 48))
    rng = np.random.default_rng(1)
    for _ in range(60):
        writer.write(rng.integers(0, 255, (48, 64, 3), np.uint8))
    writer.release()
    content = file.read_bytes()
    if suffix in ("mkv", "webm"):
        at = content.index(b"\x18\x53\x80\x67") + 4
        content = content[:at] + b"\x01" + b"\xff" * 7 + content[at + 8 :]
        file.write_bytes(content)
    assert not ends_amid_something(file)
    frames, status = run(Camera(uri=str(file)), virtual)
    assert (len(frames), status[-1].status) == (60, "offline")
    for share in (0.3, 0.55, 0.9):
        file.write_bytes(content[: int(len(content) * share) // 188 * 188 + 100])
        assert ends_amid_something(file), share
    virtual.stopping.clear()
    frames, status = run(Camera(uri=str(file)), virtual)
    assert len(frames) < 60
    assert status[-1].status == "error"
    assert "the file is truncated or damaged" in status[-1].detail
    file.write_bytes(content + b"\0" * 100)
    assert not is_cut_off(file)


# 20: addresses


def test_fault_20_addresses_of_other_kinds_are_named(tmp_path):
    _, diagnostics = read(case_folder("22") / "flow.yaml")
    said = {d.path.split(".")[1]: f"{d.message} {d.hint}" for d in diagnostics if d.severity == "error"}
    assert sorted(said) == ["a", "b", "c", "f"]
    for node in "abc":
        assert "is no camera address of a kind that is read: rtsp, rtsps, http, https" in said[node]
    assert "the address has no host" in said["f"]


@pytest.mark.parametrize(
    ("uri", "size"), [("file://my%20clip.mp4", None), ("2024", (64, 64)), ("FILE://my%20clip.mp4", None)]
)
def test_fault_20_files_and_folders_with_odd_names_are_read(virtual, uri, size):
    folder = case_folder("22")
    where = msgspec.structs.replace(virtual, folder=folder)
    camera = Camera(uri=uri)
    assert not camera.live
    assert list(camera.check(View(folder))) == []
    frames, _ = run(camera, where)
    assert frames
    assert size is None or frames[0].size_px == size


def test_fault_20_a_folder_that_is_called_like_a_usb_camera_is_pointed_out(tmp_path):
    (tmp_path / "7").mkdir()
    [diagnostic] = Camera(uri="7").check(View(tmp_path))
    assert (diagnostic.severity, diagnostic.hint) == ("warning", "write './7' for that")


@pytest.mark.parametrize(
    "uri", ["rtsp://", "rtsp:///stream1", "http://:80/x", "rtsp://host:99999/x", "rtsp://host:port/x"]
)
def test_fault_20_an_address_without_a_host_or_with_a_wrong_port_is_refused(tmp_path, uri):
    [diagnostic] = Camera(uri=uri).check(View(tmp_path))
    assert diagnostic.keys == ("uri",)


@pytest.mark.parametrize(
    "uri",
    [
        "rtsp://admin:Alfa@Bravo26@127.0.0.1:9/1",
        "rtsp://admin:Charlie/Delta26@127.0.0.1:9/1",
        "rtsp://admin:Echo#Foxtrot26@127.0.0.1:9/1",
        "rtsp://admin:Echo?Foxtrot26@127.0.0.1:9/1",
    ],
)
def test_fault_14_a_password_that_must_be_encoded_is_named_and_not_shown(tmp_path, uri):
    [diagnostic] = Camera(uri=uri).check(View(tmp_path))
    assert "percent-encoded" in diagnostic.message
    assert " as %" in diagnostic.hint
    for part in ("Alfa", "Bravo26", "Charlie", "Delta26", "Echo", "Foxtrot26", "admin"):
        assert part not in f"{diagnostic.message}{diagnostic.hint}{without_passwords(uri)}"


def test_fault_14_a_password_in_a_path_is_without_passwords(tmp_path):
    uri = "rtsp://127.0.0.1:9/user=admin_password=Golf26_channel=1_stream=0.sdp"
    assert without_passwords(uri) == "rtsp://127.0.0.1:9/user=admin_password=***"
    assert list(Camera(uri=uri).check(View(tmp_path))) == []


@pytest.mark.parametrize(
    "uri", ["rtsp://host/path@x", "rtsp://host:554/path@x", "rtsp://u:p%40@host:554/a@b?c=d@e", "rtsp://[::1]:554/x"]
)
def test_good_addresses_are_not_refused(tmp_path, uri):
    assert list(Camera(uri=uri).check(View(tmp_path))) == []


@pytest.mark.parametrize("uri", ["rtsp:/192.168.1.20/stream1", "192.168.1.20/stream1", "192.168.1.20:554"])
def test_fault_20_an_address_without_its_scheme_is_recognised(tmp_path, uri):
    [diagnostic] = Camera(uri=uri).check(View(tmp_path))
    assert diagnostic.hint == "the address of a network camera begins with rtsp:// or http://"


# 20: why there are no pictures


def reason(uri: str, **settings: Any) -> str:
    """What `flowrt check --probe` says of the camera."""
    diagnostics = list(Camera(uri=uri, **settings).probe(View(Path())))
    return diagnostics[0].message if diagnostics else ""


PAGE = (200, {"Content-Type": "text/html; charset=utf-8"}, b"<html>log in</html>")


def test_fault_20_what_a_web_server_answers_is_told():
    answers = {
        "/page": PAGE,
        "/text": (200, {"Content-Type": "application/json"}, b"{}"),
        "/busy": (503, {}, b""),
        "/picture": (200, {"Content-Type": "image/jpeg"}, JPEG),
        "/broken": (200, {"Content-Type": "image/jpeg"}, JPEG[:40]),
        "/to_login": (302, {"Location": "/page"}, b""),
        "/to_picture": (307, {"Location": "/picture"}, b""),
        "/round": (302, {"Location": "/round"}, b""),
    }
    with WebServer(answers) as server:
        said = {path: reason(f"http://{server.place}{path}") for path in [*answers, "/nothing"]}
    assert said == {
        "/page": "no pictures: the address gives a web page",
        "/text": "no pictures: what the address gives can't be decoded (it is application/json)",
        "/busy": "the camera refuses: 503 Service Unavailable",
        "/picture": "",
        "/broken": "no pictures: what the address gives is no picture that can be read",
        "/to_login": "no pictures: the address gives a web page",
        "/to_picture": "",
        "/round": "no pictures: the address leads on and on, or to no camera over HTTP",
        "/nothing": "the camera has no such path (404)",
    }


def test_fault_20_a_wrong_password_over_http_is_told():
    with WebServer({"/p": (200, {"Content-Type": "image/jpeg"}, JPEG)}, Login("admin", "s3:cr@t").basic()) as server:
        assert reason(f"http://{server.place}/p") == "the camera asks for user and password (401)"
        assert reason(f"http://admin:wrong@{server.place}/p") == "the camera refuses user and password (401)"
        assert reason(f"http://admin:s3%3Acr%40t@{server.place}/p") == ""


@pytest.mark.parametrize("method", ["basic", "digest"])
def test_fault_20_what_an_rtsp_server_refuses_is_told(method):
    server = RtspServer(data_file("parking-lot-cars.mp4"), "operator", "right", method)
    place = f"127.0.0.1:{server.port}"
    try:
        assert reason(f"rtsp://{place}/north") == "the camera asks for user and password (401)"
        assert reason(f"rtsp://operator:wrong@{place}/north") == "the camera refuses user and password (401)"
        assert reason(f"rtsp://operator:right@{place}/south") == "the camera has no such path (404)"
        assert reason(f"rtsp://operator:right@{place}/sound") == "no pictures: the camera's stream has no video"
        assert reason(f"rtsp://operator:right@{place}/north") == ""
    finally:
        server.kill()


def test_fault_20_a_codec_that_can_not_be_decoded_is_named():
    with rtsp_describing(UNKNOWN_VIDEO) as url:
        assert reason(url) == "no pictures: the camera's video codec, X-OWN, can't be decoded"


def test_fault_20_a_server_of_another_protocol_is_told():
    with WebServer({}) as server:
        assert reason(f"rtsp://{server.place}/north") == "no answer of a camera: the server does not speak RTSP"


def test_fault_20_check_probe_tries_the_address(tmp_path):
    flow = tmp_path / "flow.yaml"
    with WebServer({"/page": PAGE}) as server:
        flow.write_text(
            f"flow: f\nnodes:\n  north: {{type: camera, uri: 'http://{server.place}/page'}}\n"
            "  show: {type: debug, from: north.camera_status}\n"
        )
        assert read(flow)[1] == []
        [diagnostic] = read(flow, probe=True)[1]
    assert (diagnostic.line, diagnostic.path) == (3, "nodes.north.uri")
    assert diagnostic.message == "no pictures: the address gives a web page"


# 21: rates, returns, single pictures


def test_fault_21_the_return_of_a_camera_is_logged_as_its_loss_is(real, caplog):
    server = RtspServer(data_file("parking-lot-cars.mp4"))
    try:
        camera = Camera(uri=server.url, stall_s=8, reconnect_s=0.2, reconnect_max_s=1.0)
        with caplog.at_level(logging.INFO), opened(camera, real):
            made = camera.produce()
            until(made, Frame, 3)
            assert "pictures again" not in caplog.text, "the first connection is no return"
            server.kill()
            until(made, CameraStatus, status="offline")
            server.start()
            until(made, Frame, 1)
    finally:
        server.kill()
    returned = [record for record in caplog.records if "pictures again after" in record.message]
    assert len(returned) == 1
    assert "rtsp://***@127.0.0.1" in returned[0].message


def test_fault_21_the_rate_of_a_stalled_camera_falls(real):
    server = MjpegCamera(fps=20)
    try:
        with opened(Camera(uri=server.url, stall_s=60, status_s=0.5), real) as camera:
            made = camera.produce()
            until(made, Frame, 40)
            assert camera.status()["fps"] > 2
            server.stalled.set()
            stalled_s = time.monotonic()
            for message in made:
                if isinstance(message, CameraStatus) and message.fps == 0:
                    break
                assert time.monotonic() - stalled_s < 20, "the rate is that of the last three seconds"
            assert message.status == "online"
            assert camera.status()["fps"] == 0
    finally:
        server.close()


def test_fault_21_the_rate_is_that_of_the_last_seconds():
    meter = Meter(0.0)
    image = np.zeros((4, 4, 3), np.uint8)
    times = [*np.arange(0, 10, 0.1), *np.arange(10, 15, 0.5)]
    for time_s in times:
        meter.frame(Frame(time_s=float(time_s), camera_id="north", image=image), 1.0)
        if time_s == 9.0:
            assert meter.fps(9.0) == pytest.approx(10, abs=0.1)
    assert meter.fps(times[-1]) == pytest.approx(2, abs=0.1)
    slow = Meter(0.0)
    for time_s in (0.0, 5.0, 10.0):
        slow.frame(Frame(time_s=time_s, camera_id="north", image=image), 1.0)
    assert slow.fps(14.0) == pytest.approx(0.2)


def test_fault_21_an_address_that_gives_single_pictures_is_a_camera(real):
    with (
        WebServer({"/snap.jpg": (200, {"Content-Type": "image/jpeg"}, JPEG)}) as server,
        opened(Camera(uri=f"http://{server.place}/snap.jpg", fps=10), real) as camera,
    ):
        seen = until(camera.produce(), Frame, 12)
        assert camera.status()["reconnects"] == 0
        asked = len(server.requests)
    frames = frames_of(seen)
    assert asked <= 15
    assert {frame.size_px for frame in frames} == {(64, 48)}
    assert [s.status for s in seen if isinstance(s, CameraStatus)] == ["online"]
    assert np.diff([frame.time_s for frame in frames]).mean() >= 0.08


def test_fault_14_the_certificate_of_an_https_camera_is_verified(tmp_path, real):
    files = certificates(tmp_path / "tls")
    part = b"--b\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(JPEG), JPEG)
    answers = {
        "/snap.jpg": (200, {"Content-Type": "image/jpeg"}, JPEG),
        "/stream": (200, {"Content-Type": "multipart/x-mixed-replace; boundary=b"}, 50 * part),
    }
    with WebServer(answers, Login("admin", "Sesame26").basic(), files) as server:
        uri = f"https://admin:Sesame26@localhost:{server.place.rpartition(':')[2]}/snap.jpg"
        said = reason(uri)
        assert said.startswith("the camera's certificate is not trusted (")
        assert "`certificate: any`" in said
        assert server.requests == [], "nothing is asked of it, and no password sent"
        assert reason(uri, ca_file=str(files["ca_file"])) == ""
        assert reason(uri, certificate="any") == ""
        with opened(Camera(uri=uri, fps=10, ca_file=str(files["ca_file"])), real) as camera:
            assert frames_of(until(camera.produce(), Frame, 3))
        stream = uri.replace("snap.jpg", "stream")
        assert "not trusted" in reason(stream)
        assert reason(stream, ca_file=str(files["ca_file"])) == ""
        assert reason(stream, certificate="any") == ""


# 13: the ledger


def test_fault_13_every_overwritten_picture_is_counted(real):
    """The server numbers its pictures by their grey, so what came and what was dropped must add up."""
    server = MjpegCamera(fps=40)
    try:
        with opened(Camera(uri=server.url), real) as camera:
            made = (message for message in camera.produce() if isinstance(message, Frame))
            first = next(made)
            frames = [first]
            while len(frames) < 5 or camera.dropped < 10:
                real.stopping.wait(0.15)  # the flow is busy meanwhile
                frames.append(next(made))
                assert len(frames) < 60
            numbers = [round(float(frame.image.mean())) for frame in frames]
            made_by_camera = (numbers[-1] - numbers[0]) % 180 + 1  # its numbers begin again after 180
            assert abs(camera.dropped + len(frames) - made_by_camera) <= 1  # a grey may be one off once it was a JPEG
            assert camera.status()["overwritten"] == camera.dropped
    finally:
        server.close()
