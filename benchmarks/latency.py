"""Capture to sink acceptance and to receipt at an MQTT subscriber, at 25 pictures/s, beyond what inference takes.

Measured picture by picture: (moment of acceptance or receipt - moment of capture) - inference of that picture. Acceptance is when a
deliverer has read the committed letter back, a little later than the commit itself. The subscriber is another process.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from benchmarks._running import left_out, quantile, running, test_data, wait_until, workshop
from benchmarks.pairs import Row, row

RUN_S = 12.0
WARM_UP_S = 2.0


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
    for what, limit in (("acceptance", 3.0), ("receipt", 10.0)):
        p50 = [quantile(each[what], 0.5) for each in measured]
        p99 = [quantile(each[what], 0.99) for each in measured]
        rows.append(row("latency", f"p50 to {what} beyond inference", p50, "ms"))
        rows.append(row("latency", f"p99 to {what} beyond inference", p99, "ms", at_most=limit))
    rows.append(row("latency", "inference, p50", [quantile(each["inference"], 0.5) for each in measured], "ms"))
    rows.append(row("latency", "inference, p99", [quantile(each["inference"], 0.99) for each in measured], "ms"))
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
  accepted: {{type: accepting, from: stamped}}
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
        before_s = sys.getswitchinterval()
        sys.setswitchinterval(0.0005)  # as `flowrt run` has it
        try:
            with running(path) as runtime:
                wait_until(lambda: runtime.frames > 0, 30, "the first picture")
                time.sleep(RUN_S)
                stamped, accepted = runtime.cells["stamped"].node.__dict__, runtime.cells["accepted"].node.__dict__
        finally:
            sys.setswitchinterval(before_s)
        received, _ = subscriber.communicate("")
    came = {int(us): int(ns) for ns, us in (line.split() for line in received.splitlines())}
    return _beyond(stamped["seen"], accepted["accepted"], came)


def _beyond(
    seen: dict[int, tuple[int, int, float]], accepted: dict[int, int], came: dict[int, int]
) -> dict[str, list[float]]:
    begin_ns = min(origin_ns for origin_ns, _, _ in seen.values()) + int(WARM_UP_S * 1e9)
    result: dict[str, list[float]] = {"acceptance": [], "receipt": [], "inference": []}
    for when, (origin_ns, _, inference_ms) in seen.items():
        if origin_ns < begin_ns:
            continue
        result["inference"].append(inference_ms)
        for what, moments in (("acceptance", accepted), ("receipt", came)):
            if when in moments:
                result[what].append((moments[when] - origin_ns) / 1e6 - inference_ms)
    assert len(result["receipt"]) > 0.9 * len(result["inference"]), "the subscriber heard of nearly every picture"
    return result
