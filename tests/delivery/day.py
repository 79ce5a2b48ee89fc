"""A day of the shipped flow in virtual time: a program that runs it and prints, once per simulated hour, what it holds.

    python -m tests.delivery.day FOLDER      # with MQTT_URL and INFLUX_URL set; lines of JSON on stdout

The simulated intersection with half its traffic is watched for 92 s: boxes as a perfect detector gives them, phases as the
controller tells them. Of that, every third simulated minute shows the next 4.6 s at 5 pictures a second: 11,040 pictures in 24 hours,
so that the day costs about a minute of CPU. Everything behind the detector is the shipped flow: tracking, ten rules, traffic flow, totals, health, and
three out-nodes with their journal. The hours end when all that was sent is delivered, so memory is compared between equal moments.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import msgspec
import psutil

from flowrt import Detections, Message, SignalState
from flowrt.clock import VirtualClock
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.flow import Flow
from flowrt.journal import Journal
from flowrt.runtime import Runtime
from flowrt.runtime.virtual import run
from flowrt.testing.replay import substitute
from flowrt_scoring.simulated import Faults, on_simulation
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.traffic.simulation import Simulation
from flowrt_sim.uri import parse

SHIPPED = Path(__file__).resolve().parents[2] / "flows" / "intersection.yaml"
START_S = 1_700_006_400.0
HOURS, PERIOD_S, SHOWN_S, FPS = 24, 180.0, 4.6, 5.0
WATCHED_S = 92.0


def recorded(flow: Flow) -> list[list[Detections | SignalState]]:
    """What detector and controller say, in slices of `SHOWN_S`, with times from the begin of each slice."""
    world = parse(f"sim://four-way?seed=7&rate=0.5&duration_s={WATCHED_S:g}")
    motion = Motion(Simulation(world.seed, world.scenario, world.rate))
    staged = on_simulation(flow, world, motion, boxes="truth", faults=Faults(noise_px=1.0))
    slices: list[list[Detections | SignalState]] = [[] for _ in range(int(WATCHED_S / SHOWN_S))]
    for name in ("signals", "objects"):
        for message in staged.nodes[name].settings.messages:  # type: ignore[attr-defined]
            number, after_s = divmod(message.time_s, SHOWN_S)
            if number >= len(slices):
                break
            slices[int(number)].append(moved(message, after_s - message.time_s))
    return slices


def moved(message: Any, by_s: float) -> Any:
    """The same at another time."""
    if isinstance(message, SignalState):
        since_s = {group: moment + by_s for group, moment in message.since_s.items()}
        return SignalState(time_s=message.time_s + by_s, states=message.states, since_s=since_s)
    return msgspec.structs.replace(message, time_s=message.time_s + by_s)


def day(slices: list[list[Detections | SignalState]], kind: type[Message]) -> Iterator[Message]:
    """The messages of one kind, for `HOURS`."""
    slice_ = cycle(slices)
    for period in range(int(HOURS * 3600 / PERIOD_S)):
        for message in next(slice_):
            if isinstance(message, kind):
                yield moved(message, START_S + period * PERIOD_S)


class Watch:
    """Ends each simulated hour: waits until everything is delivered, then writes down what the process holds."""

    def __init__(self, delivery: Delivery, journal: Journal) -> None:
        self._delivery, self._journal = delivery, journal
        self._process = psutil.Process()
        self._hour = 0

    def over(self, messages: Iterator[Message]) -> Iterator[Message]:
        """The messages, with the hours ended in between."""
        for message in messages:
            while message.time_s >= START_S + (self._hour + 1) * 3600:
                self.end_hour()
            yield message

    def end_hour(self) -> None:
        """Tell the parent, wait for its word, settle unless the outside is away, measure."""
        self._hour += 1
        self._say(over=self._hour, pending={name: sink.pending for name, sink in self._delivery.statistics().items()})
        if sys.stdin.readline().strip() != "away":
            self._delivery.drain(60.0)
        with self._process.oneshot():
            self._say(
                hour=self._hour,
                cpu_s=sum(self._process.cpu_times()[:2]),
                rss_mb=self._process.memory_info().rss / 1e6,
                files=self._process.num_fds(),
                threads=self._process.num_threads(),
                journal_mb=self._journal.statistics().file_mb,
                sinks={name: self.account(name) for name in self._delivery.statistics()},
            )

    def account(self, name: str) -> dict[str, Any]:
        """The sink's ledger."""
        sink = self._delivery.statistics()[name]
        names = ("accepted", "delivered", "dead_letters", "dropped", "pending", "errors", "retries", "last_error")
        return {each: getattr(sink, each) for each in names}

    def _say(self, **facts: Any) -> None:
        print(msgspec.json.encode(facts).decode(), flush=True)


def main(folder: Path) -> None:
    """Run the day."""
    clock = VirtualClock(START_S)
    camera = f"sim://four-way?seed=7&camera=north&fps={FPS:g}"
    flow = load(SHIPPED, overrides={"north.uri": camera, "health.every_s": "60"})
    slices = recorded(flow)
    journal = Journal(folder / "day.journal", clock=clock)
    delivery = Delivery(journal, clock)
    watch = Watch(delivery, journal)
    given = {"objects": watch.over(day(slices, Detections)), "signals": day(slices, SignalState)}
    runtime = Runtime(
        substitute(flow, given),
        delivery=delivery,
        contract=Contract.of_flow(flow.folder),
        clock=clock,
        data=folder,
        threads=False,
    )
    runtime.start()
    run(runtime)
    watch.end_hour()
    ledger, events = runtime.ledger(), dict(runtime.events.counts)
    runtime.stop(30.0)
    pictures = runtime.runners["objects"].n_out
    cpu_s = sum(psutil.Process().cpu_times()[:2])
    sinks = {name: watch.account(name) for name in runtime.outboxes}
    print(
        msgspec.json.encode(
            {"ledger": ledger, "events": events, "pictures": pictures, "cpu_s": cpu_s, "sinks": sinks}
        ).decode()
    )
    journal.close()


if __name__ == "__main__":
    assert os.environ.get("MQTT_URL")
    main(Path(sys.argv[1]))
