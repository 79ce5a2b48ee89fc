"""The report of a run: one JSON document whose numbers add up."""

from __future__ import annotations

import os
import sys
from typing import Any

import msgspec
import psutil

from flowrt.runtime import Runtime


def report(runtime: Runtime, *, wall_s: float, exit_code: int) -> dict[str, Any]:
    """What `--report` writes. To be called after the runtime stopped."""
    status = runtime.status()
    sinks = {name: msgspec.to_builtins(row) for name, row in status["sinks"].items()}
    latencies = [row["latency_ms"] for row in sinks.values() if (row.get("latency_ms") or {}).get("p50") is not None]
    nodes = {
        name: {
            key: row[key]
            for key in ("type", "in", "out", "emitted", "dropped", "errors", "unsendable", "held", "process_ms")
        }
        for name, row in status["nodes"].items()
    }
    times = os.times()
    return {
        "flow": status["flow"],
        "site": status["site"],
        "file": status["file"],
        "exit_code": exit_code,
        "wall_s": round(wall_s, 3),
        "cpu_s": round(times.user + times.system, 3),
        "rss_peak_mb": round(_rss_peak_mb(), 1),
        "frames": status["frames"],
        "fps": round(status["frames"] / wall_s, 2) if wall_s else 0.0,
        "events": status["events"],
        "nodes": nodes,
        "queues": status["queues"],
        "latency_ms": max(latencies, key=lambda row: row["p99"] or 0.0) if latencies else {"p50": None, "p99": None},
        "delivery": {
            name: {key: row[key] for key in ("accepted", "resumed", "delivered", "pending", "dead_letters", "dropped")}
            for name, row in sinks.items()
        },
        "parked": runtime.delivery.parked(),
        "ledger": {key: value for key, value in runtime.ledger().items() if key != "nodes"},
        "reloads": runtime.reloads,
        "problems": runtime.diagnostics,
    }


def _rss_peak_mb() -> float:
    """Peak resident memory. Linux counts in KiB, macOS in bytes; Windows has a counter of its own."""
    if sys.platform == "win32":
        return float(psutil.Process().memory_info().peak_wset) / 1e6
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6
