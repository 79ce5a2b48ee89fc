"""30 minutes of the shipped flow, as fast as it goes: memory, file handles and threads must not grow after warm-up.

Sources under `asap` keep to capture time, so half an hour of traffic passes in minutes. FLOWRT_SOAK_S sets another length in seconds of
capture time; what is quoted is 1800.
"""

from __future__ import annotations

import os
import statistics
import time
from pathlib import Path

import psutil

from benchmarks._running import SHIPPED, flowrt, workshop
from benchmarks.pairs import Row, row

LENGTH_S = float(os.environ.get("FLOWRT_SOAK_S", "1800"))
FPS = 10
SAMPLE_S = 1.0


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
    """Resident MB, open handles and threads, once a second from the first to the last."""
    uri = f"sim://four-way?seed=7&camera=north&fps={FPS}&duration_s={LENGTH_S:g}"
    words = [
        "run",
        str(SHIPPED),
        "--http",
        "off",
        "--watch",
        "off",
        "--set",
        f"north.uri={uri}",
        "--set",
        "north.pace=asap",
    ]
    process = flowrt(*words, data=folder)
    watched = psutil.Process(process.pid)
    resident: list[float] = []
    handles: list[float] = []
    threads: list[float] = []
    while process.poll() is None:
        try:
            with watched.oneshot():
                row_now = watched.memory_info().rss / 1e6, watched.num_fds(), watched.num_threads()
        except psutil.NoSuchProcess:
            break
        for series, value in zip((resident, handles, threads), row_now, strict=True):
            series.append(float(value))
        time.sleep(SAMPLE_S)
    if process.returncode not in (0, None):
        raise RuntimeError(f"the flow ended with {process.returncode}")
    cut = max(1, len(resident) // 20)  # the end of the run, when it closes, is no steady state
    return resident[:-cut], handles[:-cut], threads[:-cut]


def _fifths(values: list[float]) -> tuple[list[float], list[float]]:
    fifth = max(1, len(values) // 5)
    return values[fifth : 2 * fifth], values[-fifth:]


def _growth(values: list[float]) -> float:
    second, last = _fifths(values)
    return statistics.median(last) / statistics.median(second)


def _more(values: list[float]) -> float:
    second, last = _fifths(values)
    return statistics.median(last) - statistics.median(second)
