"""Start: `flowrt check`, `import flowrt`, and `flowrt run` to its first event, all as processes of their own.

An event is one that the journal keeps, such as a vehicle that enters a zone: the detector has found it, the tracker has confirmed it
in three pictures of a camera with ten a second.

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
from typing import NamedTuple

from benchmarks._running import PROJECT, SHIPPED, left_out, workshop
from benchmarks.pairs import Row, ratios, row
from tests.servers import free_port

BARE = ["-c", "pass"]
HEAVY = ["-c", "import cv2, openvino"]
IMPORT = ["-c", "import flowrt"]
CHECK = ["-m", "flowrt", "check", str(SHIPPED)]
TIMEOUT_S = 30.0
LOOK_S = 0.03


def run(pairs: int) -> list[Row]:
    check_s, bare_s, _ = ratios(lambda: _took_s(CHECK), lambda: _took_s(BARE), pairs)
    import_s, heavy_s, share = ratios(lambda: _took_s(IMPORT), lambda: _took_s(HEAVY), pairs)
    beyond = [a - b for a, b in zip(check_s, bare_s, strict=True)]
    rows = [
        row("start", "flowrt check beyond the interpreter", beyond, "s", at_most=0.3, check_s=check_s, bare_s=bare_s),
        row("start", "import flowrt / import cv2, openvino", share, "x", import_s=import_s, heavy_s=heavy_s),
    ]
    with workshop() as folder:  # one data folder: the first run, which does not count, fills the model cache
        marks: list[Marks] = []

        def first_event() -> float:
            marks.append(_start(folder))
            return marks[-1].event_s

        try:
            event_s, heavy_s, share = ratios(first_event, lambda: _took_s(HEAVY), pairs)
        except (TimeoutError, RuntimeError) as error:
            left_out(f"flowrt run to the first event: {error}")
            return rows
    accepted_s, tracks_s = [mark.accepted_s for mark in marks[1:]], [mark.tracks_s for mark in marks[1:]]
    return [
        *rows,
        row("start", "flowrt run to the first message that a sink accepted, model cache warm", accepted_s, "s"),
        row("start", "the same to the first picture's tracks", tracks_s, "s"),
        row("start", "the same to the first event", event_s, "s", at_most=2.0, heavy_s=heavy_s),
        row("start", "the same / import cv2, openvino", share, "x"),
    ]


class Marks(NamedTuple):
    """Seconds from the start of a process until something had happened."""

    accepted_s: float
    tracks_s: float
    event_s: float


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


def _start(data: Path) -> Marks:
    """Run the shipped flow until its first event."""
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
    marks: dict[str, float] = {}
    try:
        while "event_s" not in marks:
            if process.poll() is not None:
                raise RuntimeError(f"ended with {process.returncode}: {log.read_text(errors='replace')[-300:]}")
            now_s = time.perf_counter() - began_s
            if now_s > TIMEOUT_S:
                raise TimeoutError(f"no event within {TIMEOUT_S:g} s, only {', '.join(marks) or 'nothing'}")
            for name in _happened(port):
                marks.setdefault(name, time.perf_counter() - began_s)
            time.sleep(LOOK_S)
        return Marks(**marks)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _happened(port: int) -> list[str]:
    """Which marks the run has passed, by its own status."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/status", timeout=2) as answer:
            status = json.load(answer)
    except (urllib.error.URLError, OSError):
        return []
    passed = {
        "accepted_s": any(sink["accepted"] for sink in status["sinks"].values()),
        "tracks_s": bool(status["nodes"]["tracks"]["emitted"]),
        "event_s": bool(status["events"]),
    }
    return [name for name, yes in passed.items() if yes]
