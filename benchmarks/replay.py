"""Two minutes of the shipped flow's one camera replayed, ten rules over the tracks of about 18 road users a picture.

Times real time by CPU time of this process: every node run, every rule run on the kept results of `speed` and `roi`, and what is done most
often, one threshold of one rule changed. The recording is of a simulated run whose detections are the truth's.
"""

from __future__ import annotations

import itertools
import logging
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks._running import SHIPPED
from benchmarks.pairs import Row, row
from flowrt import Event
from flowrt.config import load
from flowrt.testing.recording import Recording
from flowrt.testing.replay import recorder, rehearse, replay
from flowrt.testing.replay_cache import ReplayCache

LENGTH_S = 120.0
RULES = (
    "red_light", "wrong_way", "speeding", "turns", "stopped", "on_crosswalk", "on_amber", "jaywalking", "yielding", "near_misses",
)  # fmt: skip


def run(pairs: int) -> list[Row]:
    logging.getLogger("flowrt").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="flowrt-bench-") as folder:
        path = Path(folder) / "run.rec"
        _record(path)
        numbers = itertools.count()

        def changed(rules: Iterable[str]) -> float:
            return _times_real_time(
                path, [f"{rule}.end_after_s={2 + next(numbers) / 1000}" for rule in rules], kept=True
            )

        _times_real_time(path, [], kept=True)
        series: dict[str, list[float]] = {"every node": [], "every rule changed": []}
        series |= {f"one rule changed: {rule}": [] for rule in ("stopped", "near_misses")}
        for _ in range(pairs):
            series["every node"].append(_times_real_time(path, [], kept=False))
            series["every rule changed"].append(changed(RULES))
            changed([])
            for rule in ("stopped", "near_misses"):
                series[f"one rule changed: {rule}"].append(changed([rule]))
                changed([])
            print(", ".join(f"{what} {values[-1]:.0f}" for what, values in series.items()), file=sys.stderr)
    targets = {what: {"at_least": 100.0} for what in series if what.startswith("one rule")}
    return [row("replay", what, values, "x real time", **targets.get(what, {})) for what, values in series.items()]


def _record(path: Path) -> None:
    """The flow's own tracker on the truth's boxes."""
    from flowrt_scoring.simulated import Faults, on_simulation
    from flowrt_sim.traffic.motion import Motion
    from flowrt_sim.traffic.simulation import Simulation
    from flowrt_sim.uri import parse

    running, writer = recorder(load(SHIPPED), [], path)
    world = parse(f"sim://four-way?seed=7&duration_s={LENGTH_S:g}")
    motion = Motion(Simulation(world.seed, world.scenario, world.rate))
    rehearse(on_simulation(running, world, motion, boxes="truth", faults=Faults()), kind=Event)
    writer.close()


def _times_real_time(path: Path, overrides: list[str], *, kept: bool) -> float:
    flow = load(SHIPPED, overrides=dict(each.split("=") for each in overrides))
    recording = Recording(path)
    began_s = time.process_time()
    replay(recording, flow, Event, kept=ReplayCache(recording) if kept else None)
    return LENGTH_S / (time.process_time() - began_s)
