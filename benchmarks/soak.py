"""30 minutes of the shipped flow, as fast as it goes: memory, file handles and threads must not grow after warm-up.

Sources under `asap` keep to capture time, so half an hour of traffic passes in minutes. FLOWRT_SOAK_S sets another length in seconds of
capture time; what is quoted is 1800.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from pathlib import Path

import psutil

from benchmarks._running import SHIPPED, flowrt, free_port, status_of, workshop
from benchmarks.pairs import Row, row

LENGTH_S = float(os.environ.get("FLOWRT_SOAK_S", "1800"))
FPS = 10
SAMPLE_S = 1.0
WARM_UP = 50
"""Pictures before the first sample."""
AT_MOST_S = 7200.0


def run(pairs: int) -> list[Row]:
    """One run, whatever the number of pairs."""
    with workshop() as folder:
        resident, handles, threads = _watch(folder)
    facts = {"capture_s": LENGTH_S, "resident_mb": resident[:: max(1, len(resident) // 40)]}
    return [
        row("soak", "memory, last fifth / second fifth", [_growth(resident)], "x", at_most=1.05, **facts),
        row("soak", "file handles, last fifth - second fifth", [_more(handles)], "handles", at_most=0),
        row("soak", "threads, last fifth - second fifth", [_more(threads)], "threads", at_most=0),
    ]


def _watch(folder: Path) -> tuple[list[float], list[float], list[float]]:
    """Resident MB, open handles and threads, once a second from the first pictures to shortly before the last."""
    uri = f"sim://four-way?seed=7&camera=north&fps={FPS}&duration_s={LENGTH_S:g}"
    port = free_port()
    words = ["run", str(SHIPPED), "--http", f"127.0.0.1:{port}", "--watch", "off"]
    process = flowrt(*words, "--set", f"north.uri={uri}", "--set", "north.pace=asap", data=folder)
    watched = psutil.Process(process.pid)
    samples: list[tuple[float, float, float]] = []
    pictures, told_s, end_s = 0, time.monotonic(), time.monotonic() + AT_MOST_S
    try:
        while (
            process.poll() is None and pictures < LENGTH_S * FPS * 0.98
        ):  # what comes while it closes is no steady state
            if time.monotonic() > end_s:
                raise TimeoutError(f"only {pictures} pictures within {AT_MOST_S:g} s")
            pictures = status_of(port).get("frames", pictures)
            if pictures > WARM_UP:
                with watched.oneshot():
                    samples.append((watched.memory_info().rss / 1e6, watched.num_fds(), watched.num_threads()))
            if samples and time.monotonic() - told_s > 30:
                told_s = time.monotonic()
                print(f"  {pictures / FPS:.0f} of {LENGTH_S:g} s, {samples[-1][0]:.0f} MB", file=sys.stderr)
            time.sleep(SAMPLE_S)
        process.wait(120)
    except psutil.NoSuchProcess:
        process.wait(120)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"the flow ended with {process.returncode}")
    resident, handles, threads = (list(series) for series in zip(*samples, strict=True))
    return resident, handles, threads


def _fifths(values: list[float]) -> tuple[list[float], list[float]]:
    fifth = max(1, len(values) // 5)
    return values[fifth : 2 * fifth], values[-fifth:]


def _growth(values: list[float]) -> float:
    second, last = _fifths(values)
    return statistics.median(last) / statistics.median(second)


def _more(values: list[float]) -> float:
    second, last = _fifths(values)
    return statistics.median(last) - statistics.median(second)
