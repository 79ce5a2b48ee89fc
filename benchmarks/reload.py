"""200 reloads of the shipped flow under 25 pictures/s: from the end of the write to the new graph in force, and the gaps they leave.

The sink nodes are the shipped ones (with nowhere to deliver to). Edits: a setting, a rewiring, a node without model added and removed.
"""

from __future__ import annotations

import gc
import re
import shutil
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from benchmarks._running import SHIPPED, quantile, running, switching, test_data, wait_until, workshop
from benchmarks.pairs import Row, row
from flowrt.commands.run import settle
from flowrt.runtime import Runtime
from flowrt.watch import Reloader, Watcher
from flowrt.watch.watcher import READY_AFTER_S

RELOADS = 200
FPS = 25.0
TURNS = 10
"""Reloads are made in so many batches, with as long without any after each."""


def run(pairs: int) -> list[Row]:
    took: dict[str, list[float]] = {"settings": [], "wiring": []}
    gaps: list[float] = []
    detail: dict[str, list[float]] = {name: [] for name in ("gap_with_ms", "gap_without_ms", "p50_ms", "worst_ms")}
    stages: dict[str, list[float]] = {}
    for number in range(max(1, pairs // 2)):
        measured = _measure()
        took["settings"].append(quantile(measured.settings, 0.95))
        took["wiring"].append(quantile(measured.wiring, 0.95))
        gaps.append(measured.gap_with_ms - measured.gap_without_ms)
        detail["gap_with_ms"].append(measured.gap_with_ms)
        detail["gap_without_ms"].append(measured.gap_without_ms)
        detail["p50_ms"].append(quantile(measured.settings + measured.wiring, 0.5))
        detail["worst_ms"].append(max(measured.settings + measured.wiring))
        for stage, values in measured.stages.items():
            stages.setdefault(f"{stage}_p95_ms", []).append(quantile(values, 0.95))
        print(f"  run {number + 1}: p95 {took['settings'][-1]:.0f} and {took['wiring'][-1]:.0f} ms", file=sys.stderr)
    limit = 1000 / FPS + 20
    return [
        row("reload", "p95, setting changed", took["settings"], "ms", at_most=100.0, **detail, **stages),
        row("reload", "p95, rewired, node added or removed", took["wiring"], "ms", at_most=150.0),
        row("reload", "longest interval between pictures, more than without", gaps, "ms", at_most=limit, **detail),
    ]


class Measured(NamedTuple):
    """Milliseconds: of each reload by kind, and by stage as the reloader tells them; the longest interval between pictures that came
    out of inference, while the flow was reloaded and while it was not, in turn and for as long."""

    settings: list[float]
    wiring: list[float]
    stages: dict[str, list[float]]
    gap_with_ms: float
    gap_without_ms: float


def _measure() -> Measured:
    with workshop() as folder:
        shutil.copytree(SHIPPED.parent / "scenes", folder / "scenes")
        path = folder / "intersection.yaml"
        text = _at_25_fps(SHIPPED.read_text()).rstrip() + "\n  marked: {type: mark, from: objects}\n"
        path.write_text(text)
        with switching(), running(path) as runtime:
            reloader = Reloader(runtime)
            watcher = Watcher(reloader)
            watcher.start()
            try:
                wait_until(lambda: runtime.runners["marked"].n_out > 2 * FPS, 180, "the first pictures")
                time.sleep(READY_AFTER_S + 2)  # what edits may need is imported by then
                settle()
                settings: list[float] = []
                wiring: list[float] = []
                stages: dict[str, list[float]] = {}
                spans: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
                for turn in range(TURNS):
                    began_s = time.perf_counter()
                    for number in range(turn * RELOADS // TURNS, (turn + 1) * RELOADS // TURNS):
                        _edit(number, path, text, runtime, settings, wiring)
                        for stage, value in reloader.history[-1].took_ms.items():
                            stages.setdefault(stage, []).append(value)
                    ended_s = time.perf_counter()
                    spans[True].append((began_s, ended_s))
                    time.sleep(ended_s - began_s)
                    spans[False].append((ended_s, time.perf_counter()))
                times_s = list(runtime.runners["marked"].node.__dict__["times_s"])
            finally:
                watcher.stop()
                gc.unfreeze()
    return Measured(settings, wiring, stages, _longest_ms(times_s, spans[True]), _longest_ms(times_s, spans[False]))


def _longest_ms(times_s: list[float], spans: list[tuple[float, float]]) -> float:
    """The longest interval between two pictures, the later of which came within one of the spans."""
    return 1e3 * max(
        later - earlier
        for earlier, later in pairwise(times_s)
        if any(began_s <= later <= ended_s for began_s, ended_s in spans)
    )


def _at_25_fps(text: str) -> str:
    """The shipped flow with 25 pictures/s: a clip where there is one, since rendering would be measured too."""
    video = test_data("bridge-traffic.mp4")
    uri = (
        f"type: camera, simulated: true, loop: true, fps: {FPS:g}, uri: '{video}'"
        if video
        else 'type: camera, uri: "sim://four-way?seed=7&camera=north&fps=25"'
    )
    return re.sub(r'type: camera, uri: "[^"]*"', lambda _: uri, text, count=1)


def _edit(number: int, path: Path, text: str, runtime: Runtime, settings: list[float], wiring: list[float]) -> None:
    """Write the edit of that number, and wait for it to be in force and done."""
    edits: list[tuple[list[float], Callable[[int], str]]] = [
        (settings, lambda i: text.replace("tolerance_kmh: 5", f"tolerance_kmh: {5 + i % 7 + 1}")),
        (wiring, lambda _: text.replace("health: ", "more: {type: filter, from: tracks, when: 'track.confidence > 0.5'}\n  health: ", 1)),
        (wiring, lambda _: text.replace("[zones, jaywalking, yielding, near_misses]", "[zones, near_misses]")),
        (settings, lambda i: text.replace("dwell_s: 30", f"dwell_s: {31 + i}").replace("grace_s: 0.3", f"grace_s: 0.{4 + i % 5}")),
        (wiring, lambda _: text),
    ]  # fmt: skip
    kind, edited = edits[number % len(edits)]
    before = runtime.flow
    path.write_text(edited(number))
    written_s = time.perf_counter()
    wait_until(lambda: runtime.flow is not before, 10, "the reload")
    kind.append((time.perf_counter() - written_s) * 1e3)
    with runtime.changing():
        pass  # the reload is over
