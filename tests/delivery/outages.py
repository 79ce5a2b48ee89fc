"""Outages as long as real ones: each with a broker, a journal and a ledger of its own, so that all can pass at the same time.

What is sent goes on through the outage. `owed` is what the outside had not acknowledged when the outage began, and all that came
later: this must be on the other side in the end. What a broker that is killed had acknowledged is the broker's to keep.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from flowrt.clock import SystemClock
from flowrt.delivery import Delivery, SinkStatistics
from flowrt.journal import Journal, JournalStatistics, Limits
from flowrt.message import Record
from flowrt.services import Mqtt
from flowrt.sink import OutboxRecord
from flowrt_nodes.mqtt.mqtt_out import MqttOut
from tests.delivery.outside import Outside, eventually, quick, records
from tests.delivery.world import Subscriber, World, violation, world
from tests.servers import Mosquitto, free_port, mosquitto, need, wait_for_port

BROKER_AWAY_S, NETWORK_AWAY_S, DISK_FULL_S = 60.0, 30.0, 30.0
RETURN_S = 60.0
BEFORE, PER_S = 400, 25
FAR, NEAR = "10.89.7.2", "10.89.7.1"
REQUIRED = bool(os.environ.get("CI") or os.environ.get("FLOWRT_REQUIRE_TEST_DATA") == "1")


class Ledger(msgspec.Struct, kw_only=True):
    """What became of one outage. Records are told apart by address or id.

    away_s: how long it was. during, after: the sink's accounts at its end, and when all was delivered. trouble: why commits failed.
    beside: records that a sink beside it had delivered when the outage ended, of `beside_of`.
    """

    sent: list[str]
    owed: set[str]
    arrived: list[str]
    away_s: float
    during: SinkStatistics
    after: SinkStatistics
    trouble: str = ""
    beside: int = 0
    beside_of: int = 0


class Sender(threading.Thread):
    """Sends numbered things to the sink, and a record to a sink beside it, until told to stop."""

    def __init__(self, w: World, make: Callable[[int], Any]) -> None:
        super().__init__(daemon=True)
        self._world, self._make = w, make
        self._stopping = threading.Event()
        self.number = 0
        w.delivery.add("beside", Outside().prepare())
        self.burst(BEFORE)

    def burst(self, count: int) -> None:
        """Send so many at once."""
        for _ in range(count):
            self._world.send(self._make(self.number))
            self._world.delivery.accept("beside", records(1, start=self.number))
            self.number += 1

    def run(self) -> None:
        while not self._stopping.wait(1.0 / PER_S):
            self.burst(1)

    def stop(self) -> None:
        self._stopping.set()
        self.join()


def outage(
    w: World,
    make: Callable[[int], Any],
    name_of: Callable[[OutboxRecord], str],
    *,
    seconds: float,
    begin: Callable[[], None],
    end: Callable[[], None],
    arrived: Callable[[], list[str]],
) -> Ledger:
    """The outside goes away in mid-batch, stays away and comes back; `arrived` is asked for when all is delivered."""
    sender = Sender(w, make)
    eventually(lambda: w.statistics.delivered >= BEFORE // 4, 30.0)
    began_s = time.monotonic()
    begin()
    time.sleep(0.5)  # what was acknowledged is heard of
    acknowledged = {record.number for record in w.node.__dict__["_acknowledged"]}  # and not yet in the journal
    owed = {name_of(record) for record in w.journal.read("out", 0, 100_000) if record.number not in acknowledged}
    at_outage = sender.number
    sender.start()
    time.sleep(began_s + seconds - time.monotonic())
    during, beside, beside_of = w.statistics, w.delivery.statistics()["beside"].delivered, sender.number
    away_s = time.monotonic() - began_s
    end()
    eventually(lambda: w.statistics.delivered > during.delivered, RETURN_S)
    sender.stop()
    eventually(lambda: w.statistics.delivered == sender.number, RETURN_S)
    names = [name_of(record) for n in range(sender.number) for record in w.node.encode(make(n))]  # type: ignore[operator]
    return Ledger(
        sent=names,
        owed=owed | set(names[at_outage:]),
        arrived=arrived(),
        away_s=away_s,
        during=during,
        after=w.statistics,
        beside=beside,
        beside_of=beside_of - PER_S,  # those of the last second may be under way
    )


def broker(folder: Path, end_it: Callable[[Mosquitto], None], **settings: Any) -> Ledger:
    """A broker that is away for a minute. Each record is retained on a topic of its own, so the broker's content tells what is in it."""
    with mosquitto(folder, persistence=True) as server:
        service = Mqtt(url=server.url)
        journal = folder / "x.journal"

        def in_the_broker() -> list[str]:
            with Subscriber(server.port, "+/ledger/#") as late:
                until_quiet(lambda: len(late.received))
            return [message.topic for message in late.received]

        with world(MqttOut(retain=True, **settings), folder / "w", {"mqtt": service}, journal=journal) as w:
            return outage(
                w,
                lambda n: Record(time_s=float(n), data={"n": n}, topic=f"ledger/{n}"),
                lambda record: record.address,
                seconds=BROKER_AWAY_S,
                begin=lambda: end_it(server),
                end=server.start,
                arrived=in_the_broker,
            )


def stopped(folder: Path) -> Ledger:
    """The broker is stopped as an administrator would, and keeps what it has."""
    return broker(folder, Mosquitto.stop)


def killed(folder: Path) -> Ledger:
    """kill -9, in the middle of exchanges of QoS 2; the broker knows what it had saved last."""
    return broker(folder, Mosquitto.kill, qos=2)


def wiped(folder: Path) -> Ledger:
    """kill -9, and the broker's memory is gone: it knows neither session nor messages."""

    def wipe(server: Mosquitto) -> None:
        server.kill()
        (server.log.parent / "mosquitto.db").unlink(missing_ok=True)

    return broker(folder, wipe)


def network_cut(folder: Path) -> Ledger:
    """The cable is pulled at the other end: nothing is refused, packets just vanish."""
    ip, binary = need("ip", "mosquitto")
    with contextlib.ExitStack() as stack:
        far = stack.enter_context(far_network(ip))
        there, port = [ip, "netns", "exec", far], free_port()
        config, heard = folder / "far.conf", folder / "heard"
        config.write_text(f"listener {port}\nallow_anonymous true\nmax_queued_messages 0\nuser root\n")
        stack.enter_context(child([*there, binary, "-c", str(config)], folder / "log"))
        wait_for_port(port, host=FAR)
        listen = ["mosquitto_sub", "-p", str(port), "-t", "+/violations", "-q", "2"]
        stack.enter_context(child([*there, *listen], heard))
        time.sleep(1.0)

        def listened() -> list[str]:
            until_quiet(lambda: heard.stat().st_size)
            return [json.loads(line)["id"] for line in heard.read_bytes().splitlines()]

        def cable(state: str) -> None:
            subprocess.run([ip, "-n", far, "link", "set", f"{far}b", state], check=True)

        service = Mqtt(url=f"mqtt://{FAR}:{port}")
        with world(MqttOut(), folder / "w", {"mqtt": service}, journal=folder / "x.journal") as w:
            return outage(
                w,
                violation,
                lambda record: record.id,
                seconds=NETWORK_AWAY_S,
                begin=lambda: cable("down"),
                end=lambda: cable("up"),
                arrived=listened,
            )


def disk_full(folder: Path) -> Ledger:
    """Something else fills the disk that the journal lies on."""
    with small_disk(folder / "small", 12) as disk:
        journal = Journal(disk / "a.journal", limits=Limits(buffer_records=200), clock=SystemClock())
        delivery = Delivery(journal, SystemClock(), backoff=quick)
        node = Outside().prepare()
        delivery.add("out", node)
        journal.append("out", records(BEFORE, size=500), wait=True)
        ballast = fill_up(disk)
        began_s = time.monotonic()
        count = BEFORE + int(DISK_FULL_S * PER_S)

        def send() -> None:
            for number in range(BEFORE, count):
                delivery.accept("out", records(1, start=number, size=500))

        sender = threading.Thread(target=send)
        sender.start()
        time.sleep(DISK_FULL_S)
        during, trouble = delivery.statistics()["out"], journal.statistics()
        assert sender.is_alive(), "back-pressure: the sender waits"
        away_s = time.monotonic() - began_s
        ballast.unlink()
        sender.join(RETURN_S)
        eventually(lambda: journal.counters("out").delivered == count, RETURN_S)
        after: JournalStatistics = journal.statistics()
        assert after.trouble == ""
        ledger = Ledger(
            sent=[record.id for record in records(count)],
            owed={record.id for record in records(count)},
            arrived=node.ids,
            away_s=away_s,
            during=during,
            after=delivery.statistics()["out"],
            trouble=trouble.trouble,
        )
        delivery.close(2.0)
        journal.close()
        return ledger


def until_quiet(count: Callable[[], int], quiet_s: float = 6.0) -> None:
    """Wait until nothing more arrives."""
    last, since = count(), time.monotonic()
    while time.monotonic() - since < quiet_s:
        time.sleep(0.1)
        if count() != last:
            last, since = count(), time.monotonic()


# -- parts of the machine -------------------------------------------------------------------------------------------


def missing(reason: str) -> None:
    """What a test needs is not to be had here."""
    pytest.fail(reason) if REQUIRED else pytest.skip(reason)


@contextlib.contextmanager
def small_disk(folder: Path, size_mb: int) -> Iterator[Path]:
    """A file system of that size."""
    folder.mkdir(parents=True)
    mount = shutil.which("mount", path=f"{os.environ.get('PATH', '')}:/sbin:/usr/sbin")
    options = ["-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(folder)]
    if not mount or subprocess.run([mount, *options], capture_output=True).returncode:
        missing("a small file system can't be mounted here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_up(folder: Path) -> Path:
    """Leave no space on the file system of the folder; the file that takes it."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 4096) == 4096:
            pass
    return ballast


@contextlib.contextmanager
def far_network(ip: str) -> Iterator[str]:
    """A network namespace behind a virtual cable from NEAR to FAR: its name."""
    name = f"flowrt{os.getpid() % 10_000}"
    steps = [
        ["netns", "add", name],
        ["link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b"],
        ["link", "set", f"{name}b", "netns", name],
        ["addr", "add", f"{NEAR}/30", "dev", f"{name}a"],
        ["link", "set", f"{name}a", "up"],
        ["-n", name, "addr", "add", f"{FAR}/30", "dev", f"{name}b"],
        ["-n", name, "link", "set", f"{name}b", "up"],
        ["-n", name, "link", "set", "lo", "up"],
    ]
    try:
        for step in steps:
            done = subprocess.run([ip, *step], capture_output=True, text=True)
            if done.returncode:
                missing(f"network namespaces are not to be had here: {done.stderr.strip()}")
        yield name
    finally:
        subprocess.run([ip, "link", "del", f"{name}a"], capture_output=True)
        subprocess.run([ip, "netns", "del", name], capture_output=True)


@contextlib.contextmanager
def child(command: list[str], output: Path) -> Iterator[None]:
    """A process that runs while the block does."""
    with output.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT) as process:
        try:
            yield
        finally:
            process.terminate()


SCENARIOS: dict[str, Callable[[Path], Ledger]] = {
    "broker stopped for 60 s": stopped,
    "broker killed for 60 s": killed,
    "broker killed for 60 s, its memory wiped": wiped,
    "network cut for 30 s": network_cut,
    "disk full for 30 s": disk_full,
}
AWAY_S = dict(zip(SCENARIOS, [BROKER_AWAY_S] * 3 + [NETWORK_AWAY_S, DISK_FULL_S], strict=True))
