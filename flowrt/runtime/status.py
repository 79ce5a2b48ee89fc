"""What a running graph says of itself: a row for each node, the ledger, and what nodes say of themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping
from time import monotonic
from typing import Any

import msgspec

from flowrt.node import Node
from flowrt.runtime.hooks import Hooks
from flowrt.runtime.inference import InferenceRunner
from flowrt.runtime.outbox import RecordingRunner
from flowrt.runtime.runner import NodeRunner
from flowrt.runtime.shared_call import SharedCall
from flowrt.runtime.source import SourceRunner, SourceWorker
from flowrt.runtime.worker import Worker
from flowrt.system.threads import from_keyboard, one_line

ASK_S = 0.5
"""How long the status waits for what nodes say of themselves, before it shows what they said the last time."""
STATUS_BYTES = 100_000
"""What a node says of itself is left out where it is longer."""


class OwnStatuses:
    """What the nodes say of themselves. A node that hangs meanwhile holds up no other."""

    def __init__(self, runners: Callable[[], Mapping[str, NodeRunner]], hooks: Hooks) -> None:
        self._runners, self._hooks = runners, hooks
        self._last: dict[str, Any] = {}
        self._asking = SharedCall(self._ask, "status of nodes")

    def read(self, *, wait: bool) -> dict[str, Any]:
        """By node. wait: on another thread, for `ASK_S` at most; what they said the last time where it takes longer."""
        if not wait:
            return self._ask()
        with contextlib.suppress(TimeoutError):
            self._last = self._asking.result(ASK_S)
        return self._last

    def _ask(self) -> dict[str, Any]:
        statuses = {}
        for name, runner in list(self._runners().items()):
            if not isinstance(runner, RecordingRunner):
                with self._hooks.noted(name, "status"):
                    statuses[name] = _own(runner.node)
        return statuses


def _own(node: Node) -> Any:
    """As plain values; a status that can't be shown must not break the others."""
    try:
        shown = msgspec.json.encode(node.status(), enc_hook=repr)
        if len(shown) > STATUS_BYTES:
            return {"error": f"its status is too long to show: {len(shown)} bytes"}
        return msgspec.json.decode(shown)
    except BaseException as error:  # whatever a node raises is its own fault
        if from_keyboard(error):
            raise
        return {"error": f"its status can't be shown: {one_line(error)}"}


def rows(
    runners: Mapping[str, NodeRunner], workers: Mapping[str, Worker], own: Mapping[str, Any]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]]]:
    """The status of each node, and of each queue."""
    nodes: dict[str, dict[str, Any]] = {}
    queues: dict[str, dict[str, Any]] = {}
    now = monotonic()
    for name, runner in list(runners.items()):
        nodes[name] = row = runner.statistics()
        worker = workers.get(name)
        busy_s = worker.busy_s(now) if worker is not None else 0.0
        if busy_s:
            row["busy_s"] = busy_s
        if isinstance(worker, SourceWorker):
            row["ended"], row["failed"] = worker.ended, worker.failed
        if name in own:
            row["status"] = own[name]
        if isinstance(runner, SourceRunner) and runner.channel is not None:
            queues[name] = runner.channel.statistics()
        if isinstance(runner, InferenceRunner):
            queues[name] = runner.pipe.statistics()
    return nodes, queues


def ledger(runners: Iterable[NodeRunner], sent: int, received: int) -> dict[str, Any]:
    """The account of every runner. sent, received: over edges, by runners that left."""
    nodes = {}
    balanced = True
    for runner in runners:
        row = {
            "in": runner.n_in,
            "out": runner.n_out,
            "dropped": runner.dropped,
            "errors": runner.errors,
            "held": runner.held,
        }
        balanced &= row["in"] == row["out"] + row["dropped"] + row["errors"] + row["held"]
        nodes[runner.name] = row
        sent += runner.sent
        received += runner.received
    return {"nodes": nodes, "sent": sent, "received": received, "balanced": balanced and sent == received}
