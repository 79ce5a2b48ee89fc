"""Start: `flowrt check`, `import flowrt`, and `flowrt run` to its first event, all as processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks._running import PROJECT, SHIPPED, flowrt, left_out, wait_until, workshop
from benchmarks.pairs import Row, ratios, row
from tests.servers import free_port


def run(pairs: int) -> list[Row]:
    def heavy() -> float:
        return _took_s([sys.executable, "-c", "import cv2, openvino"])

    def bare() -> float:
        return _took_s([sys.executable, "-c", "pass"])

    check_s, bare_s, _ = ratios(lambda: _took_s([sys.executable, "-m", "flowrt", "check", str(SHIPPED)]), bare, pairs)
    import_s, heavy_s, share = ratios(lambda: _took_s([sys.executable, "-c", "import flowrt"]), heavy, pairs)
    beyond = [a - b for a, b in zip(check_s, bare_s, strict=True)]
    rows = [
        row(
            "start",
            "flowrt check beyond the interpreter",
            beyond,
            "s",
            at_most=0.3,
            check_s=check_s,
            interpreter_s=bare_s,
        ),
        row("start", "import flowrt / import cv2, openvino", share, "x", import_s=import_s, heavy_s=heavy_s),
    ]
    with workshop() as folder:
        first_s = [_first_event_s(folder) for _ in range(pairs + 1)][1:]  # the first run fills the model cache
    return [*rows, row("start", "flowrt run to the first event, model cache warm", first_s, "s", at_most=2.0)]


def _took_s(command: list[str]) -> float:
    began_s = time.perf_counter()
    done = subprocess.run(command, cwd=PROJECT, capture_output=True)
    if done.returncode:
        left_out(f"{' '.join(command[1:])} ended with {done.returncode}")
    return time.perf_counter() - began_s


def _first_event_s(data: Path) -> float:
    """Seconds from the start of the process to the first message that a sink accepted."""
    port = free_port()
    began_s = time.perf_counter()
    process = flowrt("run", str(SHIPPED), "--http", f"127.0.0.1:{port}", "--watch", "off", data=data)

    def accepted() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=1) as answer:
                sinks = json.load(answer)["sinks"]
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
            return False
        return any(sink["accepted"] for sink in sinks.values())

    try:
        wait_until(accepted, 60, "the first event")
        return time.perf_counter() - began_s
    finally:
        process.terminate()
        process.wait(20)
