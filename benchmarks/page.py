"""What the live page costs: four cameras at 10 pictures/s, with no tab open and with two that show all four.

A tab is a web socket that asks for what the cameras page asks for and confirms each picture; the browser's own work is not counted. One
run is measured in turn without and with tabs, by CPU time for each picture that came to the end, so that a busy machine is busy for both.
"""

from __future__ import annotations

import json
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks._running import flowrt, free_port, status_of, test_data, wait_until, workshop
from benchmarks.pairs import Row, row

CAMERAS, FPS, TABS = 4, 10.0, 2
WIDTH = 640
WARM_UP_S, RUN_S, START_S = 4.0, 8.0, 90.0
MODEL = "flowrt-traffic-fp16.xml"


def run(pairs: int) -> list[Row]:
    """As many pairs as asked for, of one run."""
    video = test_data("bridge-traffic.mp4")
    if video is None:
        return []
    without: list[float] = []
    beside: list[float] = []
    rates: list[float] = []
    with _flow(video) as (process, port):
        for number in range(pairs):
            without.append(_cpu_ms(process, port)[0])
            with _tabs(port) as shown:
                time.sleep(1.0)
                before = sum(shown)
                cost, lost = _cpu_ms(process, port)
                beside.append(cost)
                rates.append((sum(shown) - before) / RUN_S / (CAMERAS * TABS))
            time.sleep(1.0)  # the tabs go away
            print(f"  pair {number + 1}: {without[-1]:.1f} ms, {beside[-1]:.1f} ms, {lost} dropped", file=sys.stderr)
        dropped = sum(node["dropped"] for node in status_of(port)["nodes"].values())
    proportions = [b / a for a, b in zip(without, beside, strict=True)]
    return [
        row("page", "4 cameras, no tab: CPU a picture", without, "ms"),
        row("page", f"4 cameras, {TABS} tabs: CPU a picture", beside, "ms"),
        row("page", f"CPU a picture, {TABS} tabs / none", proportions, "x", at_most=1.15),
        row("page", f"{TABS} tabs: pictures dropped", [dropped], "pictures", at_most=0),
        row("page", f"{TABS} tabs: pictures/s a camera and tab", rates, "1/s", median=statistics.median(rates)),
    ]


@contextmanager
def _flow(video: Path) -> Iterator[tuple[psutil.Process, int]]:
    with workshop() as folder:
        nodes = []
        for i in range(CAMERAS):
            nodes.append(f"  c{i}: {{type: camera, uri: '{video}', simulated: true, loop: true, fps: {FPS}}}")
            nodes.append(f"  d{i}: {{type: detect, from: c{i}, model: {MODEL}}}")
            nodes.append(f"  t{i}: {{type: track, from: d{i}}}")
        ends = ", ".join(f"t{i}" for i in range(CAMERAS))
        nodes.append(f"  to_file: {{type: file_out, from: [{ends}], path: tracks.ndjson}}")
        (folder / "flow.yaml").write_text("flow: page\nsite: bench\nnodes:\n" + "\n".join(nodes) + "\n")
        port = free_port()
        words = ["run", str(folder / "flow.yaml"), "--http", f"127.0.0.1:{port}", "--watch", "off"]
        process = flowrt(*words, data=folder / "data")
        try:
            wait_until(lambda: _pictures(port) > CAMERAS, START_S, "the first pictures", 0.2)
            time.sleep(WARM_UP_S)
            yield psutil.Process(process.pid), port
        finally:
            process.terminate()
            process.wait(60)


def _cpu_ms(process: psutil.Process, port: int) -> tuple[float, int]:
    """CPU time for each picture that the trackers took, and how many were dropped."""
    used_s, done = sum(process.cpu_times()[:2]), _pictures(port)
    time.sleep(RUN_S)
    made = _pictures(port) - done
    lost = sum(node["dropped"] for node in status_of(port)["nodes"].values())
    return (sum(process.cpu_times()[:2]) - used_s) / max(made, 1) * 1e3, lost


def _pictures(port: int) -> int:
    nodes = status_of(port).get("nodes", {})
    return sum(nodes[f"t{i}"]["in"] for i in range(CAMERAS)) if nodes else 0


@contextmanager
def _tabs(port: int) -> Iterator[list[int]]:
    """Tabs that show every camera; how many pictures each has been sent."""
    shown = [0] * TABS
    origin = f"http://127.0.0.1:{port}"
    sockets = [connect(f"ws://127.0.0.1:{port}/api/page/live", origin=origin) for _ in range(TABS)]  # type: ignore[arg-type]
    threads = [threading.Thread(target=_show, args=(i, sockets[i], shown), daemon=True) for i in range(TABS)]
    for thread in threads:
        thread.start()
    try:
        yield shown
    finally:
        for socket in sockets:
            socket.close()
        for thread in threads:
            thread.join(5)


def _show(number: int, socket: object, shown: list[int]) -> None:
    cameras = [{"name": f"c{i}", "width": WIDTH} for i in range(CAMERAS)]
    try:
        socket.send(json.dumps({"do": "watch", "figures": True, "news": True, "cameras": cameras}))  # type: ignore[attr-defined]
        for message in socket:  # type: ignore[attr-defined]
            if isinstance(message, bytes):
                length = int.from_bytes(message[:4], "little")
                shown[number] += 1
                socket.send(json.dumps({"do": "seen", "camera": json.loads(message[4 : 4 + length])["camera"]}))  # type: ignore[attr-defined]
    except ConnectionClosed:
        return
