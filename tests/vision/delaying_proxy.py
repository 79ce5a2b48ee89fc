"""A TCP proxy whose way back is a queue in the network: each piece of data is held up for a time that varies slowly."""

from __future__ import annotations

import queue
import random
import socket
import threading
import time

CORRELATED_S = 0.5


class DelayingProxy:
    """Listens on a port of its own; what the server sends comes through late, in order."""

    def __init__(self, port: int, sigma_s: float) -> None:
        """sigma_s: standard deviation of the normal distribution whose absolute values are the delays."""
        self._target, self._sigma_s = port, sigma_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._sockets: list[socket.socket] = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [client, server]
            held: queue.Queue[tuple[float, bytes]] = queue.Queue()
            for target, arguments in (
                (self._pass_on, (client, server)), (self._take, (server, held)), (self._release, (held, client))
            ):  # fmt: skip
                threading.Thread(target=target, args=arguments, daemon=True).start()

    @staticmethod
    def _pass_on(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                sink.sendall(data)
        except OSError:
            pass

    def _take(self, source: socket.socket, held: queue.Queue[tuple[float, bytes]]) -> None:
        rng = random.Random(3)
        state, last_s = rng.gauss(0, self._sigma_s), time.monotonic()
        data = b" "
        while data:
            try:
                data = source.recv(65_536)
            except OSError:
                data = b""
            now_s = time.monotonic()
            kept = 0.5 ** ((now_s - last_s) / CORRELATED_S)
            state = kept * state + (1 - kept**2) ** 0.5 * rng.gauss(0, self._sigma_s)
            last_s = now_s
            held.put((now_s + abs(state), data))

    @staticmethod
    def _release(held: queue.Queue[tuple[float, bytes]], sink: socket.socket) -> None:
        try:
            while (piece := held.get())[1]:
                time.sleep(max(piece[0] - time.monotonic(), 0.0))
                sink.sendall(piece[1])
        except OSError:
            pass

    def close(self) -> None:
        """End every connection."""
        for each in self._sockets:
            each.close()
