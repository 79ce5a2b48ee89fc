"""The figures of a run, made once a second however many tabs there are, and not at all where there is none."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from flowrt.commands.terminal.problems import text
from flowrt.diagnostics import Diagnostic
from flowrt.http import Host
from flowrt.runtime.runner import NodeRunner

MAX_RELOADS = 8


def figures(host: Host) -> dict[str, Any]:
    """Nodes, edges, queues, sinks, problems and reloads, as they are now. Secrets are masked."""
    runtime = host.runtime
    status = runtime.status()
    nodes = {
        name: {
            key: row.get(key)
            for key in ("in", "out", "emitted", "dropped", "errors", "held", "rate_per_s", "process_ms", "last_error",
                        "status", "ended", "failed", "fps", "picture_age_s", "busy_s")
            if row.get(key) is not None
        }
        for name, row in status["nodes"].items()
    }  # fmt: skip
    shown: dict[str, Any] = host.data(
        {
            "kind": "figures",
            "time_s": time.time(),
            "state": status["state"],
            "uptime_s": status["uptime_s"],
            "frames": status["frames"],
            "nodes": nodes,
            "edges": edge_counts(dict(runtime.runners)),
            "queues": status["queues"],
            "sinks": {name: msgspec.to_builtins(row) for name, row in status["sinks"].items()},
            "events": status["events"],
            "problems": [_problem(problem) for problem in status["problems"]],
            "trouble": status["trouble"],
            "reloads": [_short(reload) for reload in runtime.reloads[-MAX_RELOADS:]],
            "generation": generation(host),
        }
    )
    return shown


def generation(host: Host) -> str:
    """Another text after each edit that changed the graph, so that the page draws it anew."""
    return str(id(host.runtime.flow))


def edge_counts(runners: dict[str, NodeRunner]) -> list[dict[str, Any]]:
    """How many messages have travelled on each edge since its source was made, and how many its source dropped before that."""
    rows = []
    for name, runner in runners.items():
        for edge, count in runner.edge_counts():
            rows.append(
                {"source": name, "target": edge.target, "field": edge.field, "port": edge.port,
                 "messages": count, "dropped": runner.dropped}
            )  # fmt: skip
    return rows


def _problem(problem: dict[str, Any]) -> dict[str, Any]:
    """A problem with the line that it is in and a caret, as `flowrt check` shows it."""
    shown = msgspec.convert(problem, Diagnostic)
    return {"severity": shown.severity, "message": shown.message, "text": text([shown])}


def _short(reload: dict[str, Any]) -> dict[str, Any]:
    return {
        key: reload[key] for key in ("number", "time_s", "reason", "ok", "message", "lines", "took_ms") if key in reload
    }
