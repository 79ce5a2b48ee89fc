"""Cameras to test against: an MJPEG camera over HTTP, GStreamer's RTSP server, and a camera that never answers."""

from __future__ import annotations

import os
import re
import socket
import socketserver
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from flowrt_nodes._lib.cv import cv2

DEBIAN_PYTHON = "/usr/bin/python3"


def free_port() -> int:
    """A free TCP port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class MjpegCamera:
    """Sends numbered grey pictures until told to stall, then keeps the line open and silent."""

    def __init__(self, port: int = 0, size: tuple[int, int] = (320, 240), fps: float = 25.0) -> None:
        self.stalled = threading.Event()
        self.closing = threading.Event()
        camera = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                number = 0
                while not camera.closing.wait(1.0 / fps):
                    if camera.stalled.is_set():
                        continue
                    picture = np.full((size[1], size[0], 3), 40 + number % 180, np.uint8)
                    content = cv2.imencode(".jpg", picture)[1].tobytes()
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(content)}\r\n\r\n"
                    try:
                        self.wfile.write(head.encode() + content + b"\r\n")
                    except OSError:
                        return
                    number += 1

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/stream"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End every connection."""
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class WebServer:
    """A server whose answers a test writes: `answers` maps a path to status, headers and body; the requests are kept."""

    def __init__(
        self,
        answers: dict[str, tuple[int, dict[str, str], bytes]],
        login: str = "",
        tls: dict[str, Path] | None = None,
    ) -> None:
        """login: the value of the `Authorization` header without which the answer is 401. tls: cert_file and key_file, for https."""
        self.requests: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append(self.path)
                status, headers, body = answers.get(self.path, (404, {}, b""))
                if login and self.headers["Authorization"] != login:
                    status, headers, body = 401, {"WWW-Authenticate": 'Basic realm="camera"'}, b""
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls["cert_file"], tls["key_file"])
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.place = f"127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()

    def __enter__(self) -> WebServer:
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def rtsp_describing(sdp: str) -> Iterator[str]:
    """An RTSP server that describes its stream so, and says no more; gives its URL."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = b""
            for line in self.rfile:
                request += line
                if line != b"\r\n":
                    continue
                number = re.search(rb"CSeq: (\d+)", request)
                assert number is not None
                body = sdp.encode() if request.startswith(b"DESCRIBE") else b""
                head = f"RTSP/1.0 200 OK\r\nCSeq: {int(number[1])}\r\nPublic: OPTIONS, DESCRIBE, SETUP\r\n"
                head += f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n"
                self.wfile.write(head.encode() + body)
                request = b""

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        yield f"rtsp://127.0.0.1:{server.server_address[1]}/north"
        server.shutdown()


@contextmanager
def silent_camera() -> Iterator[str]:
    """Accepts connections and never says a word; gives its URL."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield f"rtsp://127.0.0.1:{listener.getsockname()[1]}/north"


class RtspServer:
    """GStreamer's RTSP server with an H.264 file, in a process of its own, to be killed and started again."""

    def __init__(self, file: Path, *login: str) -> None:
        """login: user, password and `basic` or `digest`, where the server asks for them."""
        self.port = free_port()
        self.url = f"rtsp://operator:pass-word@127.0.0.1:{self.port}/north"
        self._file = file
        self._login = login
        self._process: subprocess.Popen[str] | None = None
        self.start()

    def start(self) -> None:
        """Start, and wait until it listens. Without GStreamer the test is skipped, or fails where it is required."""
        script = Path(__file__).with_name("rtsp_server.py")
        self._process = subprocess.Popen(
            [DEBIAN_PYTHON, str(script), str(self.port), str(self._file), *self._login],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline().strip() != "ready":
            assert self._process.stderr is not None
            said = self._process.stderr.read().strip().splitlines()[-1:]
            self.kill()
            reason = f"no RTSP server: {said}; apt-get install python3-gi gir1.2-gst-rtsp-server-1.0 gstreamer1.0-plugins-good"
            if os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1" or os.environ.get("CI"):
                pytest.fail(reason)
            pytest.skip(reason)

    def kill(self) -> None:
        """As a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdout, self._process.stderr):
                if stream is not None:
                    stream.close()
            self._process = None
