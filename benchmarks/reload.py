"""200 reloads of the shipped flow under 25 pictures/s: from the end of the write to the new graph in force, and the gaps they leave.

The sink nodes are the shipped ones (with nobody to deliver to). Edits: a setting, a rewiring, a node without model added and removed.
"""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from benchmarks._running import SHIPPED, quantile, running, test_data, wait_until, workshop
from benchmarks.pairs import Row, row
from flowrt.runtime import Runtime
from flowrt.watch import Reloader, Watcher

RELOADS = 200
FPS = 25.0
QUIET_S = 8.0


def run(pairs: int) -> list[Row]:
    took: dict[str, list[float]] = {"settings": [], "wiring": []}
    gaps: list[float] = []
    detail: dict[str, list[float]] = {"gap_with_ms": [], "gap_without_ms": [], "p50_ms": [], "worst_ms": []}
    for _ in range(max(1, pairs // 2)):
        settings, wiring, with_ms, without_ms = _measure()
        took["settings"].append(quantile(settings, 0.95))
        took["wiring"].append(quantile(wiring, 0.95))
        gaps.append(with_ms - without_ms)
        detail["gap_with_ms"].append(with_ms)
        detail["gap_without_ms"].append(without_ms)
        detail["p50_ms"].append(quantile(settings + wiring, 0.5))
        detail["worst_ms"].append(max(settings + wiring))
    limit = 1000 / FPS + 20
    return [
        row("reload", "p95, setting changed", took["settings"], "ms", at_most=100.0, **detail),
        row("reload", "p95, rewired, node added or removed", took["wiring"], "ms", at_most=150.0),
        row("reload", "longest interval between pictures, more than without", gaps, "ms", at_most=limit),
    ]


def _measure() -> tuple[list[float], list[float], float, float]:
    """Milliseconds of each reload by kind, and the longest interval between processed pictures with and without reloads."""
    with workshop() as folder:
        shutil.copytree(SHIPPED.parent / "scenes", folder / "scenes")
        path = folder / "intersection.yaml"
        text = _at_25_fps(SHIPPED.read_text())
        path.write_text(text)
        with running(path) as runtime:
            reloader = Reloader(runtime)
            watcher = Watcher(reloader)
            watcher.start()
            try:
                wait_until(lambda: runtime.cells["objects"].n_out > 2 * FPS, 60, "the first pictures")
                without_ms = _longest_gap_ms(runtime, lambda: time.sleep(QUIET_S))
                settings: list[float] = []
                wiring: list[float] = []
                with_ms = _longest_gap_ms(runtime, lambda: _edit(path, text, runtime, settings, wiring))
            finally:
                watcher.stop()
    return settings, wiring, with_ms, without_ms


def _at_25_fps(text: str) -> str:
    """The shipped flow with 25 pictures/s: a clip where there is one, since rendering would be measured too."""
    video = test_data("bridge-traffic.mp4")
    uri = (
        f"type: camera, loop: true, fps: {FPS:g}, uri: '{video}'"
        if video
        else 'type: camera, uri: "sim://four-way?seed=7&camera=north&fps=25"'
    )
    return re.sub(r'type: camera, uri: "[^"]*"', lambda _: uri, text, count=1)


def _edit(path: Path, text: str, runtime: Runtime, settings: list[float], wiring: list[float]) -> None:
    edits: list[tuple[list[float], Callable[[int], str]]] = [
        (settings, lambda i: text.replace("tolerance_kmh: 5", f"tolerance_kmh: {5 + i % 7 + 1}")),
        (wiring, lambda _: text.replace("health: ", "more: {type: filter, from: tracks, when: 'track.confidence > 0.5'}\n  health: ", 1)),
        (wiring, lambda _: text.replace("[zones, jaywalking, yielding, near_misses]", "[zones, near_misses]")),
        (settings, lambda i: text.replace("dwell_s: 30", f"dwell_s: {31 + i}").replace("grace_s: 0.3", f"grace_s: 0.{4 + i % 5}")),
        (wiring, lambda _: text),
    ]  # fmt: skip
    for i, (kind, edited) in zip(range(RELOADS), cycle(edits)):
        before = runtime.flow
        path.write_text(edited(i))
        written_s = time.perf_counter()
        wait_until(lambda: runtime.flow is not before, 10, "the reload")  # noqa: B023
        kind.append((time.perf_counter() - written_s) * 1e3)
        wait_until(lambda: not runtime.structure.locked(), 10, "the end of the reload")


def _longest_gap_ms(runtime: Runtime, meanwhile: Callable[[], None]) -> float:
    """The longest time between two pictures that came out of inference, while something else goes on."""
    ended = threading.Event()
    longest_s = 0.0

    def watch() -> None:
        nonlocal longest_s
        count, last_s = runtime.cells["objects"].n_out, time.perf_counter()
        while not ended.is_set():
            time.sleep(0.001)
            now = runtime.cells["objects"].n_out
            if now != count:
                now_s = time.perf_counter()
                longest_s, count, last_s = max(longest_s, now_s - last_s), now, now_s

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    meanwhile()
    ended.set()
    thread.join()
    return longest_s * 1e3
