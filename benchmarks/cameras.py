"""1, 2, 4 and 8 cameras at 10 pictures/s, 1280x720, one shared model: cores, memory, drops. Each run is a process of its own."""

from __future__ import annotations

import json
import time
from pathlib import Path

import psutil

from benchmarks._running import flowrt, test_data, workshop
from benchmarks.pairs import Row, row

COUNTS = (1, 2, 4, 8)
WARM_UP_S, RUN_S, FPS = 6.0, 10.0, 10.0


def run(pairs: int) -> list[Row]:
    video = test_data("bridge-traffic.mp4")
    if video is None:
        return []
    cores: dict[int, list[float]] = {count: [] for count in COUNTS}
    memory: dict[int, list[float]] = {count: [] for count in COUNTS}
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    for _ in range(pairs):
        for count in COUNTS:
            used, resident, rate = _measure(video, count)
            cores[count].append(used)
            memory[count].append(resident)
            rates[count].append(rate)
    further = [(more - one) / 3 for one, more in zip(memory[1], memory[4], strict=True)]
    relative = [four / 4 / one for one, four in zip(cores[1], cores[4], strict=True)]
    rows = [row("cameras", f"{count} cameras: cores in use", cores[count], "cores") for count in COUNTS if count != 4]
    return [
        *rows,
        row("cameras", "4 cameras: cores in use", cores[4], "cores", at_most=0.85 * 2, memory_mb=memory),
        row(
            "cameras",
            "4 cameras: pictures processed / due",
            [rate / (4 * FPS) for rate in rates[4]],
            "x",
            at_least=0.99,
        ),
        row("cameras", "8 cameras: pictures processed / due", [rate / (8 * FPS) for rate in rates[8]], "x"),
        row("cameras", "memory of the first", memory[1], "MB", at_most=250.0),
        row("cameras", "memory of each further", further, "MB", at_most=40.0),
        row("cameras", "CPU a camera, of 4 / of 1", relative, "x", at_most=1.0),
    ]


def _measure(video: Path, count: int) -> tuple[float, float, float]:
    """Cores in use, resident MB and pictures per second, all after warm-up."""
    with workshop() as folder:
        nodes = []
        for i in range(count):
            nodes.append(f"  c{i}: {{type: camera, uri: '{video}', loop: true, fps: {FPS}}}")
            nodes.append(f"  d{i}: {{type: detect, from: c{i}, model: flowrt-traffic-fp16.xml}}")
            nodes.append(f"  t{i}: {{type: track, from: d{i}}}")
        text = "flow: cameras\nsite: bench\nnodes:\n" + "\n".join(nodes)
        ends = ", ".join(f"t{i}" for i in range(count))
        (folder / "flow.yaml").write_text(
            f"{text}\n  to_file: {{type: file_out, from: [{ends}], path: tracks.ndjson}}\n"
        )
        report = folder / "report.json"
        words = ["run", str(folder / "flow.yaml"), "--http", "off", "--watch", "off", "--report", str(report)]
        process = flowrt(*words, "--duration", str(WARM_UP_S + RUN_S + 4), data=folder / "data")
        watched = psutil.Process(process.pid)
        lines = folder / "tracks.ndjson"
        while not lines.exists() and process.poll() is None:
            time.sleep(0.05)
        time.sleep(WARM_UP_S)
        began_s, used_s, done = time.monotonic(), sum(watched.cpu_times()[:2]), _lines(lines)
        time.sleep(RUN_S)
        took_s = time.monotonic() - began_s
        cores = (sum(watched.cpu_times()[:2]) - used_s) / took_s
        rate = (_lines(lines) - done) / took_s
        resident = watched.memory_info().rss / 1e6
        process.wait(60)
        facts = json.loads(report.read_text())
        assert all(node["dropped"] == 0 for node in facts["nodes"].values()), "no picture was dropped"
    return cores, resident, rate


def _lines(file: Path) -> int:
    return file.read_bytes().count(b"\n") if file.exists() else 0
