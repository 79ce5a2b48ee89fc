"""TCP servers of which each byte is scripted: silent ones, drips, answers of any kind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
Serve = Callable[[socket.socket], None]


@contextmanager
def serving(serve: Serve) -> Iterator[str]:
    """A server that hands each connection to `serve`, on a thread; its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=handle, args=(listener.accept()[0],), daemon=True).start()

        def handle(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def answering(*answers: bytes, seen: list[bytes] | None = None) -> Serve:
    """The answers in turn, one per request of a connection; then it hangs up."""

    def serve(connection: socket.socket) -> None:
        for answer in answers:
            request = connection.recv(65536)
            if request.startswith(b"POST") and request.endswith(b"\r\n\r\n"):
                request += connection.recv(65536)
            if not request:
                return
            if seen is not None:
                seen.append(request)
            connection.sendall(answer)

    return serve


def dripping(head: bytes) -> Serve:
    """What a server sends when it wants to hold on to its client: a byte each 50 ms, for ever."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(head)
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    return serve


def silent(connection: socket.socket) -> None:
    while connection.recv(65536):
        pass
