"""1, 2, 4 and 8 cameras at 10 pictures/s, 1280x720, one shared model: cores, memory, drops. Each run is a process of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import psutil

from benchmarks._running import flowrt, free_port, status_of, test_data, wait_until, workshop
from benchmarks.pairs import Row, row

COUNTS = (1, 2, 4, 8)
WARM_UP_S, RUN_S, FPS = 4.0, 8.0, 10.0
START_S = 60.0
MODEL = "flowrt-traffic-fp16.xml"


class Measured(NamedTuple):
    """Cores in use, resident MB, pictures per second that came to the end, and pictures dropped, all after warm-up."""

    cores: float
    resident_mb: float
    rate: float
    dropped: int


def run(pairs: int) -> list[Row]:
    """Half as many rounds as pairs, since a round takes more than a minute."""
    video = test_data("bridge-traffic.mp4")
    if video is None:
        return []
    measured: dict[int, list[Measured]] = {count: [] for count in COUNTS}
    for number in range(max(1, pairs // 2)):
        for count in COUNTS:
            measured[count].append(now := _measure(video, count))
            print(
                f"  round {number + 1}, {count} cameras: {now.cores:.2f} cores, {now.resident_mb:.0f} MB, "
                f"{now.rate:.1f} of {count * FPS:g} pictures/s, {now.dropped} dropped",
                file=sys.stderr,
            )

    def each(count: int, fact: Callable[[Measured], float]) -> list[float]:
        return [fact(one) for one in measured[count]]

    first, four = measured[1], measured[4]
    rows = [
        row("cameras", f"{count} cameras: cores in use", each(count, lambda one: one.cores), "cores")
        for count in COUNTS
        if count != 4
    ]
    return [
        *rows,
        row("cameras", "4 cameras: cores in use", each(4, lambda one: one.cores), "cores", at_most=0.85 * 2),
        row("cameras", "4 cameras: pictures dropped", each(4, lambda one: one.dropped), "pictures", at_most=0),
        row("cameras", "4 cameras: pictures processed / due", each(4, lambda one: one.rate / (4 * FPS)), "x", at_least=0.99),
        row("cameras", "8 cameras: pictures processed / due", each(8, lambda one: one.rate / (8 * FPS)), "x"),
        row("cameras", "memory of the first", each(1, lambda one: one.resident_mb), "MB", at_most=250.0),
        row("cameras", "memory of each further", [(b.resident_mb - a.resident_mb) / 3 for a, b in zip(first, four, strict=True)], "MB", at_most=40.0),
        row("cameras", "CPU a picture, of 4 / of 1", [_cpu_a_picture(b) / _cpu_a_picture(a) for a, b in zip(first, four, strict=True)], "x", at_most=1.0),
    ]  # fmt: skip


def _cpu_a_picture(one: Measured) -> float:
    return one.cores / max(one.rate, 1e-9)


def _measure(video: Path, count: int) -> Measured:
    with workshop() as folder:
        nodes = []
        for i in range(count):
            nodes.append(f"  c{i}: {{type: camera, uri: '{video}', simulated: true, loop: true, fps: {FPS}}}")
            nodes.append(f"  d{i}: {{type: detect, from: c{i}, model: {MODEL}}}")
            nodes.append(f"  t{i}: {{type: track, from: d{i}}}")
        text = "flow: cameras\nsite: bench\nnodes:\n" + "\n".join(nodes)
        ends = ", ".join(f"t{i}" for i in range(count))
        (folder / "flow.yaml").write_text(
            f"{text}\n  to_file: {{type: file_out, from: [{ends}], path: tracks.ndjson}}\n"
        )
        port = free_port()
        words = ["run", str(folder / "flow.yaml"), "--http", f"127.0.0.1:{port}", "--watch", "off"]
        process = flowrt(*words, data=folder / "data")
        try:
            watched = psutil.Process(process.pid)
            wait_until(lambda: _pictures(port, count)[0] > count, START_S, "the first pictures")
            time.sleep(WARM_UP_S)
            began_s, used_s, (done, lost) = time.monotonic(), sum(watched.cpu_times()[:2]), _pictures(port, count)
            time.sleep(RUN_S)
            (done_later, lost_later), took_s = _pictures(port, count), time.monotonic() - began_s
            cores = (sum(watched.cpu_times()[:2]) - used_s) / took_s
            return Measured(cores, watched.memory_info().rss / 1e6, (done_later - done) / took_s, lost_later - lost)
        finally:
            process.terminate()
            process.wait(60)


def _pictures(port: int, count: int) -> tuple[int, int]:
    """How many the trackers took, and how many were dropped anywhere; none before the flow answers."""
    nodes = status_of(port).get("nodes", {})
    return sum(nodes[f"t{i}"]["in"] for i in range(count) if nodes), sum(node["dropped"] for node in nodes.values())
