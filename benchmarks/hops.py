"""Messages per second through 1, 5 and 20 pass-through nodes, beside Node-RED's.

Both sides go round with one message after the other, through nodes that do nothing but pass it on. Figures are messages per second of
CPU time of one core, so that other programs on the machine don't count. Node-RED runs without editor and HTTP: a gate keeps `window`
messages in a ring of function nodes, change nodes or junctions (node-red/ring.js). Beside a window of 1 our source hands over one message
at a time, beside a window of 64 it hands over 64; in both cases each is carried to the end before the next.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks._running import left_out, running, workshop
from benchmarks.pairs import Row, ratios, row

CHAINS = (1, 5, 20)
HERE = Path(__file__).parent / "node-red"
MODES = ("function", "change", "junction")
ROUNDS = 30_000
"""Hops of one measurement of Node-RED; ours makes 40 times as many."""


def run(pairs: int) -> list[Row]:
    rows = _beside_a_call(pairs)
    with ExitStack() as stack:
        rings = _rings(stack)
        if not rings:
            return rows
        for nodes in CHAINS:
            rows += _beside_node_red(nodes, rings, pairs)
    return rows


def _beside_a_call(pairs: int) -> list[Row]:
    """What one more node costs a message, in ns, beside a bare call of a Python function that returns its argument."""

    def hop() -> float:
        few, many = _ours(1), _ours(20)
        return (1 / many - 1 / few) / 19 * 1e9

    mine, theirs, proportions = ratios(hop, _bare_call, pairs)
    return [
        row("hops", "a hop", mine, "ns"),
        row("hops", "a bare Python call", theirs, "ns"),
        row("hops", "a hop / a bare Python call", proportions, "x"),
    ]


def _bare_call() -> float:
    def same(message: object) -> object:
        return message

    rounds = 1_000_000
    began_s = time.thread_time()
    for _ in range(rounds):
        same(None)
    called_s = time.thread_time()
    for _ in range(rounds):
        pass
    return (called_s - began_s - (time.thread_time() - called_s)) / rounds * 1e9


def _ours(nodes: int, window: int = 1) -> float:
    """Messages per second of CPU time, from the source's own loop through `nodes` nodes to the end."""
    lines = [f"  n{i}: {{type: forward, from: {'source' if i == 0 else f'n{i - 1}'}}}" for i in range(nodes)]
    messages = 40 * ROUNDS // (nodes + 1) // window * window
    with workshop() as folder:
        path = folder / "flow.yaml"
        path.write_text(
            f"flow: hops\nsite: bench\nnodes:\n  source: {{type: repeat, messages: {messages}, at_once: {window}}}\n"
            + "\n".join(lines)
            + f"\n  end: {{type: swallow, from: n{nodes - 1}}}\n"
        )
        with running(path) as runtime:
            runtime.wait(120)
            assert runtime.runners["end"].n_in == messages + 2000, "every message arrived"
            return messages / float(runtime.runners["source"].node.__dict__["cpu_s"])


def _beside_node_red(nodes: int, rings: dict[str, _Ring], pairs: int) -> list[Row]:
    rows = []
    best: dict[str, float] = {}
    for delivery, ring in rings.items():
        for mode in MODES:
            for window in (1, 64):
                ring.rate(mode, nodes, window)
                best[f"{mode}, {delivery}, window {window}"] = ring.rate(mode, nodes, window)
    floor = 20.0 if nodes >= 5 else None
    modes: dict[str, tuple[str, str, int, float | None]] = {
        "function nodes, window 1": ("function", "async", 1, floor),
        "function nodes, window 64": ("function", "async", 64, floor),
    }
    fastest = max(best, key=lambda name: best[name])
    mode, sends, credit = fastest.split(", ")
    modes[f"best mode ({fastest})"] = (mode, sends, int(credit.removeprefix("window ")), None)
    for what, (kind, sending, window, target) in modes.items():
        theirs_now = partial(rings[sending].rate, kind, nodes, window)
        mine, theirs, proportions = ratios(partial(_ours, nodes, window), theirs_now, pairs)
        facts: dict[str, Any] = {"ours_per_s": mine, "node_red_per_s": theirs, "all_modes_per_s": best}
        rows.append(row("hops", f"{nodes} nodes / Node-RED {what}", proportions, "x", at_least=target, **facts))
    return rows


class _Ring:
    """A Node-RED with all rings in it, asked through its standard input."""

    def __init__(self, node: str, sync: bool) -> None:
        pin = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if shutil.which("taskset") else []
        self._process = subprocess.Popen(
            [*pin, node, "ring.js", "sync" if sync else "async", json.dumps(CHAINS)],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._answer() == {"ready": True}

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith("{"):
                return dict(json.loads(line))
        raise RuntimeError("Node-RED ended")

    def rate(self, mode: str, nodes: int, window: int) -> float:
        """Messages per second of CPU time through `nodes` nodes."""
        assert self._process.stdin is not None
        messages = ROUNDS // (nodes + 1)
        self._process.stdin.write(
            json.dumps({"mode": mode, "nodes": nodes, "window": window, "messages": messages}) + "\n"
        )
        self._process.stdin.flush()
        return messages / float(self._answer()["cpu_s"])

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


def _rings(stack: ExitStack) -> dict[str, _Ring]:
    node = shutil.which("node")
    if node is None or not (HERE / "node_modules" / "node-red").is_dir():
        left_out("hops beside Node-RED: it is not installed (cd benchmarks/node-red && npm install)")
        return {}
    rings = {}
    for name, sync in (("async", False), ("sync", True)):
        rings[name] = _Ring(node, sync)
        stack.callback(rings[name].close)
    return rings
