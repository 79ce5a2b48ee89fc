"""A broker for one machine, where no other is configured: a child `mosquitto`, or `amqtt` in a thread where there is no binary.

It listens on loopback only, asks for no login, and keeps nothing over a restart: the journal does that. Nodes share one:
`context.shared.acquire(KEY, lambda: start(context))`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import psutil

from flowrt import Context
from flowrt.system.private_files import make_private_folder, open_private

KEY = "embedded-broker"
HOST = "127.0.0.1"
DEFAULT_PORT = 1883
_START_S = 10.0
_PLACES = (
    "/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/sbin", "/opt/homebrew/bin", r"C:\Program Files\mosquitto",
)  # fmt: skip

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]


class EmbeddedBroker:
    """A running broker. kind: `mosquitto` or `amqtt`."""

    kind: str
    port: int

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"mqtt://{HOST}:{self.port}"

    def close(self) -> None:
        """End it; clients are disconnected."""
        raise NotImplementedError


def start(context: Context) -> EmbeddedBroker:
    """Start one, on port 1883 if that is free. Raises RuntimeError where neither kind can be started."""
    binary = find_mosquitto()
    folder = context.data / f"{context.flow}.broker"
    _end_orphan(folder)
    port = free_port()
    broker = _Mosquitto(binary, folder, port, context.log) if binary else _Amqtt(port)
    context.log.info("no broker is configured: an embedded %s serves MQTT on %s:%d", broker.kind, HOST, broker.port)
    return broker


def find_mosquitto() -> str | None:
    """Where the binary is; distributions put it where PATH does not lead."""
    return shutil.which("mosquitto", path=os.pathsep.join([os.environ.get("PATH", ""), *_PLACES]))


def free_port() -> int:
    """1883, or any port where another program has that."""
    for port in (DEFAULT_PORT, 0):
        with socket.socket() as probe:
            if os.name == "posix":
                probe.setsockopt(
                    socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
                )  # a broker that has just ended leaves no gap
            with contextlib.suppress(OSError):
                probe.bind((HOST, port))
                return int(probe.getsockname()[1])
    raise RuntimeError("no TCP port of loopback is free for the embedded broker")


class _Mosquitto(EmbeddedBroker):
    """A child process, started again should it die."""

    kind = "mosquitto"

    def __init__(self, binary: str, folder: Path, port: int, log: Log) -> None:
        self.port, self._folder, self._log = port, folder, log
        make_private_folder(folder)
        if folder.is_symlink():
            raise OSError(f"{folder} is a link, which is not followed; remove it")
        config = folder / "mosquitto.conf"
        _write(
            config,
            f"listener {port} {HOST}\nallow_anonymous true\npersistence false\nset_tcp_nodelay true\n"
            "max_queued_messages 10000\nlog_dest none\n",
        )
        self._command = [binary, "-c", str(config)]
        self._closing = threading.Event()
        self._process = self._launch()
        self._watch = threading.Thread(target=self._keep_alive, name="flowrt-embedded-broker", daemon=True)
        self._watch.start()

    def _launch(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for us; the broker lives until the last record is delivered
        )
        try:
            _write(self._folder / "pid", str(process.pid))
        except OSError:
            process.kill()
            process.wait()
            raise
        until = time.monotonic() + _START_S
        while time.monotonic() < until and process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), timeout=1.0):
                return process
            time.sleep(0.02)
        process.kill()
        process.wait()
        raise RuntimeError(f"the embedded broker ({self._command[0]}) did not start on {HOST}:{self.port}")

    def _keep_alive(self) -> None:
        while not self._closing.wait(0.5):
            if self._process.poll() is None:
                continue
            self._log.error("the embedded broker ended with %s; it is started again", self._process.returncode)
            try:
                self._process = self._launch()
            except (OSError, RuntimeError) as error:
                self._log.error("%s", error)
                self._closing.wait(5.0)

    def close(self) -> None:
        self._closing.set()
        self._watch.join(_START_S)
        self._process.terminate()
        try:
            self._process.wait(3.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        (self._folder / "pid").unlink(missing_ok=True)


def _write(file: Path, text: str) -> None:
    """Replace a file of our own. Raises OSError, also where the name is a link that was planted there."""
    with os.fdopen(open_private(file), "r+b") as out:
        out.truncate()
        out.write(text.encode())


def _end_orphan(folder: Path) -> None:
    """End the broker of an earlier run that was killed: its child went on alone."""
    with contextlib.suppress(OSError, ValueError, psutil.Error):
        orphan = psutil.Process(int((folder / "pid").read_text()))
        if str(folder / "mosquitto.conf") in orphan.cmdline():
            orphan.terminate()
            orphan.wait(3.0)


class _Amqtt(EmbeddedBroker):
    """amqtt on an event loop of its own. About a tenth of Mosquitto's rate, MQTT 3.1.1 only."""

    kind = "amqtt"

    def __init__(self, port: int) -> None:
        from amqtt.broker import Broker

        self.port = port
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{port}", "max_connections": 100}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.ERROR)  # both tell of every packet
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="flowrt-embedded-broker", daemon=True)
        self._thread.start()

        async def make() -> Any:  # a broker belongs to the loop on which it was made
            broker = Broker(config)
            await broker.start()
            return broker

        self._broker = self._call(make())

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_S)

    def close(self) -> None:
        async def end() -> None:
            await self._broker.shutdown()
            left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await asyncio.sleep(0.05)  # transports close on the loop's next rounds

        try:
            self._call(end())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(_START_S)
            self._loop.close()
