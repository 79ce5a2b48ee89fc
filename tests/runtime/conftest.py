"""A bench: a folder with the test nodes, and runtimes built from flow texts in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from flowrt.clock import Clock, SystemClock, VirtualClock
from flowrt.config import load
from flowrt.contract import Contract
from flowrt.delivery import Delivery
from flowrt.flow import Flow
from flowrt.journal import Journal
from flowrt.plan import Plan
from flowrt.runtime import Runtime
from flowrt.runtime.reload import apply
from tests.runtime.node_types import write_nodes


class Bench:
    """Writes, loads, runs and edits one flow."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "flow.yaml"
        self.journal = Journal(None, clock=SystemClock(), log=logging.getLogger("test"))
        self.runtimes: list[Runtime] = []
        write_nodes(folder)

    def flow(self, nodes: str, head: str = "flow: bench\nsite: here\n") -> Flow:
        """A flow of the given `nodes` block."""
        lines = "\n".join("  " + line.strip() for line in nodes.strip().splitlines())
        self.path.write_text(f"{head}nodes:\n{lines}\n")
        return load(self.path)

    def runtime(self, nodes: str | Flow, *, threads: bool = True) -> Runtime:
        """A runtime, not yet started."""
        clock: Clock = SystemClock() if threads else VirtualClock()
        runtime = Runtime(
            nodes if isinstance(nodes, Flow) else self.flow(nodes),
            delivery=Delivery(self.journal, clock, logging.getLogger("test")),
            contract=Contract.load(),
            clock=clock,
            data=self.folder,
            threads=threads,
        )
        self.runtimes.append(runtime)
        return runtime

    def edit(self, runtime: Runtime, nodes: str, **options: bool) -> dict[str, object]:
        """Apply another `nodes` block to a running runtime."""
        return self.edit_to(runtime, self.flow(nodes), **options)

    def edit_to(self, runtime: Runtime, flow: Flow, **options: bool) -> dict[str, object]:
        """Apply another flow to a running runtime."""
        return apply(runtime, Plan.between(runtime.flow, flow), **options)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    for runtime in bench.runtimes:
        runtime.stop()
    bench.journal.close()
