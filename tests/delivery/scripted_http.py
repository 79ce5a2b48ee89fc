"""A small HTTP server that answers writes by a script: for the faults that no real database makes on demand."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]
OK: Answer = (204, {}, b"")


class ScriptedServer:
    """Takes writes of line protocol. `script(lines)` gives the answer; None breaks off in the middle of it.

    stored: lines of writes answered with 204. writes: all lines of each write, answered or not.
    """

    def __init__(self, script: Callable[[list[bytes]], Answer | None], port: int) -> None:
        self.script = script
        self.stored: list[bytes] = []
        self.writes: list[list[bytes]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.release = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                lines = body.split(b"\n")
                server.requests.append((self.path, dict(self.headers)))
                server.writes.append(lines)
                answer = server.script(lines)
                if answer is None:
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                    self.close_connection = True
                    return
                status, headers, text = answer
                if status == 204:
                    server.stored += lines
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if status != 204:
                    self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                if status != 204:
                    self.wfile.write(text)

            def log_message(self, *_: Any) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._http.daemon_threads = True
        self.port = self._http.server_address[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def scripted(
    script: Callable[[list[bytes]], Answer | None] = lambda lines: OK, port: int = 0
) -> Iterator[ScriptedServer]:
    """A running server, on the given port or any."""
    server = ScriptedServer(script, port)
    thread = threading.Thread(target=server._http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.release.set()
        server._http.shutdown()
        server._http.server_close()
        thread.join()
