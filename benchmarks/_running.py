"""Flows for benchmarks: written into a folder with the benchmarks' own nodes, run in this process or by `flowrt run`."""

from __future__ import annotations

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from flowrt.clock import SystemClock
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.journal import Journal
from flowrt.runtime import Runtime

PROJECT = Path(__file__).resolve().parents[1]
SHIPPED = PROJECT / "flows" / "intersection.yaml"


def test_data(name: str) -> Path | None:
    """A file of the shared test data; None, and a line saying so, where it is missing."""
    folder = Path(os.environ.get("FLOWRT_TEST_DATA") or PROJECT.parent / "shared" / "data")
    if (folder / name).exists():
        return (folder / name).resolve()
    left_out(f"{name} is not in {folder}; set FLOWRT_TEST_DATA")
    return None


def left_out(why: str) -> None:
    """Say which rows the table will lack, and why."""
    print(f"  left out: {why}", file=sys.stderr)


@contextmanager
def workshop() -> Iterator[Path]:
    """A folder for flows, with the benchmarks' nodes in it, gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="flowrt-bench-") as name:
        folder = Path(name)
        shutil.copytree(Path(__file__).parent / "nodes", folder / "nodes", ignore=shutil.ignore_patterns("__pycache__"))
        yield folder


@contextmanager
def running(path: Path, *, start: bool = True, threads: bool = True) -> Iterator[Runtime]:
    """The flow of that file with a journal on disk beside it. Delivers, reloads and counts as `flowrt run` does."""
    logging.getLogger("flowrt").setLevel(logging.ERROR)
    clock, log = SystemClock(), logging.getLogger("flowrt")
    flow = load(path)
    journal = Journal(path.parent / "journal.db", clock=clock, log=log)
    runtime = Runtime(
        flow,
        delivery=Delivery(journal, clock, log),
        contract=Contract.of_flow(flow.folder),
        clock=clock,
        data=path.parent,
        threads=threads,
    )
    try:
        if start:
            runtime.start()
        yield runtime
    finally:
        runtime.stop()
        journal.close()


@contextmanager
def switching() -> Iterator[None]:
    """The GIL's switch interval as `flowrt run` sets it."""
    before_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before_s)


def flowrt(*words: str, data: Path, **environment: str) -> subprocess.Popen[bytes]:
    """`flowrt WORDS` as a process of its own, its data in a folder of its own, quiet."""
    return subprocess.Popen(
        [sys.executable, "-m", "flowrt", *words],
        env={**os.environ, "FLOWRT_DATA": str(data), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT,
    )


def free_port() -> int:
    """A port of the loopback that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def status_of(port: int) -> dict[str, Any]:
    """What a `flowrt run --http 127.0.0.1:PORT` says of itself; empty before it answers and after it ended."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/api/status", timeout=5) as answer:
            return dict(json.load(answer))
    except OSError:
        return {}


def wait_until(condition: object, timeout_s: float, what: str, every_s: float = 0.001) -> None:
    """Wait for a callable to be true, asked that often, which costs CPU each time; raises TimeoutError."""
    assert callable(condition)
    end = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what} did not happen within {timeout_s:g} s")
        time.sleep(every_s)


def quantile(values: list[float], q: float) -> float:
    """The q-quantile of measured values, by rank."""
    ordered = sorted(values)
    return ordered[min(int(q * len(ordered)), len(ordered) - 1)]
