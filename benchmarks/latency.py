"""Capture to sink acceptance and to acknowledgement at an MQTT subscriber, at 25 pictures/s, beyond what inference takes.

Measured picture by picture: (moment of acceptance or acknowledgement - moment of capture) - inference of that picture. Accepted is what the disk
has flushed. The subscriber is another process, and may hear of a picture before the disk has flushed. Beside it stands what one flush of
this disk takes by itself, in the same run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._running import left_out, quantile, running, switching, test_data, wait_until, workshop
from benchmarks.pairs import Row, row
from flowrt.delivery import Delivery

RUN_S = 12.0
WARM_UP_S = 2.0
FLUSHES = 150
TARGETS = {
    "to acceptance beyond inference": 3.0,
    "to acknowledgement beyond inference": 10.0,
    "to the sink beyond inference": None,
    "from sink to acceptance": None,
    "from sink to acknowledgement": None,
    "one flush of the disk": None,
    "inference": None,
}


def run(pairs: int) -> list[Row]:
    video, model = test_data("bridge-traffic.mp4"), test_data("yolox_nano.onnx")
    if video is None or model is None:
        return []
    import pytest

    measured: list[dict[str, list[float]]] = []
    try:
        for _ in range(pairs):
            measured.append(_measure(video, model))
    except pytest.skip.Exception as missing:
        left_out(f"latency: {missing}")
        return []
    rows = []
    for what, limit in TARGETS.items():
        for name, q in (("p50", 0.5), ("p99", 0.99)):
            values = [quantile(each[what], q) for each in measured]
            rows.append(row("latency", f"{what}, {name}", values, "ms", at_most=limit if q > 0.9 else None))
    return rows


def _measure(video: Path, model: Path) -> dict[str, list[float]]:
    from tests.servers import mosquitto

    with workshop() as folder, mosquitto(folder) as broker:
        path = folder / "flow.yaml"
        path.write_text(f"""
flow: latency
site: bench
services: {{mqtt: {{url: "{broker.url}"}}}}
nodes:
  camera: {{type: camera, uri: {video}, loop: true, fps: 25}}
  objects: {{type: detect, from: camera, model: {model}, hint: latency, requests: 1}}
  tracks: {{type: track, from: objects}}
  stamped: {{type: stamp, from: tracks}}
  to_broker: {{type: mqtt_out, from: stamped, prefix: bench}}
""")
        subscriber = subprocess.Popen(
            [sys.executable, "-m", "benchmarks._subscriber", str(broker.port), "bench/detection"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert subscriber.stdout is not None
        assert subscriber.stdout.readline() == "ready\n"
        with switching(), running(path) as runtime:
            wait_until(lambda: runtime.frames > 0, 30, "the first picture")
            time.sleep(RUN_S)
            assert isinstance(runtime.delivery, Delivery)
            latencies = list(runtime.delivery.counters("to_broker").latencies)
            seen = dict(runtime.runners["stamped"].node.__dict__["seen"])
        received, _ = subscriber.communicate("")
        flushes = _flushes(folder)
    came = {int(us): int(ns) for ns, us in (line.split() for line in received.splitlines())}
    accepted = dict(zip(seen, (committed_ns for committed_ns, _ in latencies), strict=False))  # a record a picture
    return _beyond(seen, accepted, came) | {"one flush of the disk": flushes}


def _beyond(
    seen: dict[int, tuple[int, int, float]], accepted: dict[int, int], came: dict[int, int]
) -> dict[str, list[float]]:
    begin_ns = min(origin_ns for origin_ns, _, _ in seen.values()) + int(WARM_UP_S * 1e9)
    result: dict[str, list[float]] = {what: [] for what in TARGETS}
    for when, (origin_ns, passed_ns, inference_ms) in seen.items():
        if origin_ns < begin_ns:
            continue
        result["inference"].append(inference_ms)
        result["to the sink beyond inference"].append((passed_ns - origin_ns) / 1e6 - inference_ms)
        for what, moments in (("acceptance", accepted), ("acknowledgement", came)):
            if when in moments:
                result[f"to {what} beyond inference"].append((moments[when] - origin_ns) / 1e6 - inference_ms)
                result[f"from sink to {what}"].append((moments[when] - passed_ns) / 1e6)
    heard = len(result["from sink to acknowledgement"])
    assert heard > 0.9 * len(result["inference"]), "the subscriber heard of nearly every picture"
    return result


def _flushes(folder: Path) -> list[float]:
    """Milliseconds that flushes of two pages each take, 40 ms apart, as the journal does at that rate."""
    took = []
    with (folder / "flushed").open("wb", buffering=0) as file:
        for _ in range(FLUSHES):
            file.write(bytes(8192))
            began_s = time.perf_counter()
            getattr(os, "fdatasync", os.fsync)(file.fileno())
            took.append((time.perf_counter() - began_s) * 1e3)
            time.sleep(0.04)
    return took
