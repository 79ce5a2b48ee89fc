"""Start: `flowrt check`, `import flowrt`, and `flowrt run` to its first event, all as processes of their own.

The baseline is what every vision program pays before its first line: `python -c "import cv2, openvino"`. Compiled modules are
kept, as they are where a program is installed. Before anything is measured each command has run once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from benchmarks._running import PROJECT, SHIPPED, left_out, workshop
from benchmarks.pairs import Row, ratios, row
from tests.servers import free_port

BARE = ["-c", "pass"]
HEAVY = ["-c", "import cv2, openvino"]
IMPORT = ["-c", "import flowrt"]
CHECK = ["-m", "flowrt", "check", str(SHIPPED)]
TIMEOUT_S = 30.0
LOOK_S = 0.01


def run(pairs: int) -> list[Row]:
    check_s, bare_s, _ = ratios(lambda: _took_s(CHECK), lambda: _took_s(BARE), pairs)
    import_s, heavy_s, share = ratios(lambda: _took_s(IMPORT), lambda: _took_s(HEAVY), pairs)
    beyond = [a - b for a, b in zip(check_s, bare_s, strict=True)]
    rows = [
        row("start", "flowrt check beyond the interpreter", beyond, "s", at_most=0.3, check_s=check_s, bare_s=bare_s),
        row("start", "import flowrt / import cv2, openvino", share, "x", import_s=import_s, heavy_s=heavy_s),
    ]
    with workshop() as folder:  # one data folder: the first run, which does not count, fills the model cache
        try:
            first_s, heavy_s, share = ratios(lambda: _first_event_s(folder), lambda: _took_s(HEAVY), pairs)
        except (TimeoutError, RuntimeError) as error:
            left_out(f"flowrt run to the first event: {error}")
            return rows
    return [
        *rows,
        row("start", "flowrt run to the first event, model cache warm", first_s, "s", at_most=2.0, heavy_s=heavy_s),
        row("start", "the same / import cv2, openvino", share, "x"),
    ]


def _environment(**more: str) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | more


def _took_s(words: list[str]) -> float:
    """Seconds that a Python process takes. Raises RuntimeError where it fails."""
    began_s = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *words], cwd=PROJECT, capture_output=True, env=_environment(), timeout=TIMEOUT_S
    )
    took_s = time.perf_counter() - began_s
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip() or f"code {done.returncode}"
        raise RuntimeError(f"python {' '.join(words)}: {said}")
    return took_s


def _first_event_s(data: Path) -> float:
    """Seconds from the start of the process to the first message that a sink accepted."""
    port = free_port()
    words = ["run", str(SHIPPED), "--http", f"127.0.0.1:{port}", "--watch", "off"]
    log = data / "run.log"
    with log.open("wb") as output:
        began_s = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "flowrt", *words],
            cwd=PROJECT,
            env=_environment(FLOWRT_DATA=str(data)),
            stdout=output,
            stderr=output,
        )
    try:
        while not _accepted(port):
            if process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode}: {log.read_text(errors='replace')[-300:]}")
            if time.perf_counter() - began_s > TIMEOUT_S:
                raise TimeoutError(f"nothing was accepted within {TIMEOUT_S:g} s")
            time.sleep(LOOK_S)
        return time.perf_counter() - began_s
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _accepted(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=2) as answer:
            sinks = json.load(answer)["sinks"]
    except (urllib.error.URLError, OSError):
        return False
    return any(sink["accepted"] for sink in sinks.values())
