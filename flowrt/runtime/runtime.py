"""The running graph: built from a flow, changed by plans, counted all the time."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from flowrt.clock import Clock
from flowrt.contract import Contract
from flowrt.flow import Edge, Flow, NodeSpec, graph_of
from flowrt.journal import EventRow
from flowrt.message import Fault, Message
from flowrt.node import Context, Inference, Node, Outbox, Shared, Source, close_node, open_node
from flowrt.plan import Plan
from flowrt.runtime.faults import FaultLog
from flowrt.runtime.outboxes import NoOutboxes, Outboxes
from flowrt.runtime.runner import NodeRunner
from flowrt.runtime.runners import InferenceRunner, OutboxRunner, RecordingRunner, SourceRunner
from flowrt.runtime.topology import asking, chains, workers_reaching
from flowrt.runtime.worker import Collector, SourceWorker, Worker
from flowrt.secrets import Secrets

if TYPE_CHECKING:
    import networkx as nx

log = logging.getLogger("flowrt")


class StartFailed(Exception):
    """A node could not be opened. `node` names it."""

    def __init__(self, node: str, reason: BaseException) -> None:
        super().__init__(f"{node} can't start: {reason or type(reason).__name__}")
        self.node = node
        self.reason = reason


class ReloadFailed(Exception):
    """A reload was rolled back; the old flow goes on as it was. `node` names who was the reason, where it was one node."""

    def __init__(self, message: str, node: str = "") -> None:
        super().__init__(message)
        self.node = node


class Runtime:
    """One flow at work.

    threads: without them nothing runs by itself; `flowrt.runtime.virtual` then steps through the sources in time order.
    secrets: masked in what nodes raise, since faults may be published.
    record: given (outbox, message) instead of the outboxes, which are then not opened: no broker, no database, no journal.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        delivery: Outboxes | None = None,
        contract: Contract,
        clock: Clock,
        data: Path,
        threads: bool = True,
        record: Callable[[str, Message], None] | None = None,
        secrets: Secrets | None = None,
    ) -> None:
        self.flow = flow
        assert (delivery is None) == (record is not None), "records are delivered, or messages recorded"
        self.delivery: Outboxes = delivery if delivery is not None else NoOutboxes()
        self.contract = contract
        self.clock = clock
        self.data = data
        self.threads = threads
        self.record = record
        self._secrets = secrets or Secrets()
        self.shared = Shared()
        self.runners: dict[str, NodeRunner] = {}
        self.workers: dict[str, Worker] = {}
        self.done = threading.Event()
        self.diagnostics: list[dict[str, Any]] = []
        self.reloads: list[dict[str, Any]] = []
        self._started_s = monotonic()
        self.leaving: list[NodeRunner] = []  # removed, but still carrying what is under way
        self.outboxes: set[str] = set()
        self.events: dict[str, int] = {}
        self.last_events: deque[EventRow] = deque(maxlen=50)
        self.last_critical: deque[EventRow] = deque(maxlen=50)
        self._fault_log = FaultLog()
        self._known_events: OrderedDict[str, None] = OrderedDict()
        self._gone_in = self._gone_sent = 0
        self.structure = threading.Lock()  # who changes runners and workers
        self._state = "new"

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open every node, upstream last, then let the sources run. Raises StartFailed; nothing then stays open."""
        order = self.flow.order()
        opened: list[NodeRunner] = []
        try:
            for name in reversed(order):
                opened.append(self.new_runner(self.flow.nodes[name], self.open_node(self.flow, self.flow.nodes[name])))
        except StartFailed:
            for runner in opened:
                self.close_node(runner.node)
            raise
        self.runners = {runner.name: runner for runner in reversed(opened)}
        self._wire(self.flow, workers_reaching(self.flow))
        for runner in self.runners.values():
            if isinstance(runner, OutboxRunner) and isinstance(runner.node, Outbox):
                self.delivery.add(runner.name, runner.node)
                self.outboxes.add(runner.name)
        self._state = "running"
        self._started_s = monotonic()
        for name in order:
            self.start_worker(self.runners[name])
        self.check_done()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every source that has an end came to it; False after `timeout_s`."""
        return self.done.wait(timeout_s)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop the sources, carry what is under way to its end, let nodes finish, hand over what is owed, close all."""
        with self.structure:
            if self._state != "running":
                return
            self._state = "stopping"
            end = monotonic() + timeout_s
            sources = [worker for worker in self.workers.values() if isinstance(worker, SourceWorker)]
            for source in sources:
                source.stop()
            for source in sources:
                if not source.join(max(0.1, (end - monotonic()) * 0.6)):
                    log.warning("%s did not stop in time", source.name)
                    source.abandon()  # what it still makes must not reach nodes that are closed
            for name in self.flow.order():  # upstream first, so that a finished pipe feeds only open ones
                worker = self.workers.get(name)
                if isinstance(worker, Collector):
                    worker.runner.pipe.close()
                    worker.join(max(0.5, end - monotonic()))
            self.finish()
            self.delivery.drain(max(0.5, (end - monotonic()) * 0.6))
            self.delivery.close(max(0.5, end - monotonic()))
            for runner in self.runners.values():
                if not isinstance(runner, RecordingRunner):
                    self.close_node(runner.node)
            self._state = "stopped"
            self.done.set()

    def finish(self) -> None:
        """Let every node send what it still owes, upstream first."""
        for name in self.flow.order():
            runner = self.runners[name]
            self.finish_runner(runner)
            while isinstance(runner, InferenceRunner) and not self.threads and runner.collect_now():
                pass

    def finish_runner(self, runner: NodeRunner) -> None:
        if isinstance(runner, RecordingRunner):
            return
        try:
            runner.emit(list(runner.node.finish()))
        except Exception as error:
            self._came_from_nowhere(runner)
            runner.fail(error, None)

    def _came_from_nowhere(self, runner: NodeRunner) -> None:
        """Count an input that no edge brought, so that the ledger still balances."""
        runner.count(came_in=1)
        if not isinstance(runner, SourceRunner):
            self._gone_in -= 1

    # -- building -------------------------------------------------------------------------------------------------

    def _context(self, flow: Flow, spec: NodeSpec) -> Context:
        return Context(
            node=spec.name,
            flow=flow.name,
            site=flow.site,
            folder=flow.folder,
            data=self.data,
            clock=self.clock,
            log=logging.LoggerAdapter(log.getChild(spec.type.name), {"node": spec.name}),
            shared=self.shared,
            runtime=self,
            contract=self.contract,
            entries=flow.entries_of(spec.name),
            services=flow.services,
        )

    def open_node(self, flow: Flow, spec: NodeSpec) -> Node:
        node, context = spec.instance(), self._context(flow, spec)
        if self.record is not None and isinstance(node, Outbox):
            node.attach(context)
            return node
        try:
            open_node(node, context)
        except Exception as error:
            log.debug("%s can't start", spec.name, exc_info=True)
            raise StartFailed(spec.name, error) from error
        return node

    def _revive(self, spec: NodeSpec, context: Context) -> Node:
        """A fresh node in the place of a source that failed."""
        self.close_node(self.runners[context.node].node)
        node = spec.instance()
        open_node(node, context)
        return node

    def close_node(self, node: Node) -> None:
        try:
            close_node(node)
        except Exception as error:
            log.error("%s: close failed: %s: %s", node.context.node, type(error).__name__, error)

    def new_runner(self, spec: NodeSpec, node: Node) -> NodeRunner:
        context = node.context
        if isinstance(node, Source):
            return SourceRunner(spec, node, context, self._on_fault)
        if isinstance(node, Inference):
            runner = InferenceRunner(spec, node, context, self._on_fault)
            runner.threaded = self.threads
            return runner
        if isinstance(node, Outbox) and self.record is not None:
            return RecordingRunner(spec, node, context, self._on_fault, record=self.record)
        if isinstance(node, Outbox):
            return OutboxRunner(
                spec, node, context, self._on_fault, accept=self.delivery.accept, remember=self._remember
            )
        return NodeRunner(spec, node, context, self._on_fault)

    def _wire(self, flow: Flow, reached: dict[str, frozenset[str]]) -> None:
        """Give every runner its ways on, and a lock where several workers meet. The graph must be at rest."""
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + 4 * len(flow.nodes)))
        for name, runner in self.runners.items():
            several = len(reached[name]) > 1
            if several != (runner.lock is not None):
                runner.lock = threading.Lock() if several else None
        for runner in self.runners.values():
            runner.unfuse()
        for name, following in chains(flow, reached).items():
            self.runners[name].fuse([self.runners[next_] for next_ in following])
        ways: dict[str, list[tuple[Edge, tuple[type[Message], ...], Any]]] = {name: [] for name in self.runners}
        for edge in flow.edges:
            entrance = self.runners[edge.target].entrance(edge.field, len(reached[edge.target]) > 1)
            ways[edge.source].append((edge, flow.arriving[edge], entrance))
        for name, runner in self.runners.items():
            runner.connect(ways[name])
        dated = asking(flow)
        for name, runner in self.runners.items():
            if isinstance(runner, SourceRunner):
                runner.dated = name in dated

    def rewire(self, plan: Plan, runners: dict[str, NodeRunner], leaving: list[NodeRunner]) -> None:
        """Put the plan's new graph in force. The graph must be at rest.

        Leaving runners may still have messages under way: they keep their old ways, into runners that now have a lock.
        """
        before, after = workers_reaching(plan.old), workers_reaching(plan.new)
        old_runners, self.runners, self.flow = self.runners, runners, plan.new
        gone = {id(runner) for runner in leaving}
        was = {change.name: change.was for change in plan.changes if change.kind != "removed"}
        reached: dict[str, frozenset[str]] = {}
        leavers: dict[str, frozenset[str]] = {}
        for name in plan.new.order():  # what leavers carry into a node goes on along its new edges
            left = {f"{worker} (leaving)" for worker in before.get(was[name], ()) if id(old_runners[worker]) in gone}
            for edge in plan.new.nodes[name].edges:
                if not isinstance(plan.new.nodes[edge.source].settings, Inference):
                    left |= leavers[edge.source]
            leavers[name] = frozenset(left)
            reached[name] = after[name] | leavers[name]
        self._wire(plan.new, reached)
        for runner in leaving:
            runner.unfuse()
            runner.fuse([])
        for runner in leaving:
            for name in before:
                if old_runners[name] is runner and len(before[name]) > 1 and runner.lock is None:
                    runner.lock = threading.Lock()
            ways = []
            for edge in plan.old.edges:
                if old_runners[edge.source] is runner:
                    target = old_runners[edge.target]
                    entrance = target.entrance(edge.field, target.lock is not None)
                    ways.append((edge, plan.old.arriving[edge], entrance))
            runner.connect(ways)

    def adopt_contract(self, contract: Contract) -> None:
        """Go on with another contract: a flow's own schemas were edited. Nodes hear of it as a change of `contract`."""
        with self.structure, self.at_rest():
            self.contract = contract
            for runner in self.runners.values():
                runner.context.contract = contract
                runner.node.reconfigured(frozenset({"contract"}))

    def forget(self, runner: NodeRunner) -> None:
        """A runner that left has nothing under way any more: keep only its sums."""
        self.leaving.remove(runner)
        self._gone_sent += runner.sent
        self._gone_in += runner.received

    def start_worker(self, runner: NodeRunner) -> None:
        """Start the worker of a runner that needs one."""
        if not self.threads:
            return
        if isinstance(runner, SourceRunner):
            self.workers[runner.name] = SourceWorker(runner, self._revive, self.check_done)
        elif isinstance(runner, InferenceRunner):
            self.workers[runner.name] = Collector(runner)
        else:
            return
        self.workers[runner.name].start()

    def check_done(self) -> None:
        """The run is done when every source that has an end came to it."""
        if not self.threads or self._state != "running":
            return
        workers = [worker for worker in list(self.workers.values()) if isinstance(worker, SourceWorker)]
        finite = [worker for worker in workers if not worker.node.endless]
        all_started = len(workers) == sum(isinstance(runner, SourceRunner) for runner in self.runners.values())
        if all_started and finite and all(worker.ended for worker in finite):
            self.done.set()

    def _on_fault(self, runner: NodeRunner, fault: Fault) -> None:
        fault = msgspec.structs.replace(fault, error=self._secrets.text(fault.error))
        self._fault_log.tell(fault)
        runner.emit(fault)

    # -- rest -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def at_rest(self, timeout_s: float = 10.0) -> Iterator[None]:
        """Hold every worker between two messages, upstream first. Raises ReloadFailed where one does not come to rest."""
        end = monotonic() + timeout_s
        held: list[Worker] = []
        try:
            for name in [name for name in self.flow.order() if name in self.workers]:
                worker = self.workers[name]
                if not worker.hold(end - monotonic()):
                    raise ReloadFailed(
                        f"{name} has been busy with one message for {timeout_s:g} s; nothing was changed"
                    )
                held.append(worker)
            yield
        finally:
            for worker in held:
                worker.release()

    # -- accounts -------------------------------------------------------------------------------------------------

    def ledger(self) -> dict[str, Any]:
        """in = out + dropped + errors + held per node, and sent = received over all edges. Exact only at rest.

        `balanced` says whether both hold.
        """
        nodes = {}
        balanced = True
        sent, received = self._gone_sent, self._gone_in
        for runner in [*self.runners.values(), *self.leaving]:
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

    def status(self, recent_s: float | None = None) -> dict[str, Any]:
        """What `/api/status`, the live view and health probes show. recent_s: sinks' latencies of the last seconds only."""
        nodes = {}
        queues = {}
        now = monotonic()
        for name, runner in list(self.runners.items()):
            nodes[name] = row = runner.statistics()
            worker = self.workers.get(name)
            busy_s = worker.busy_s(now) if worker is not None else 0.0
            if busy_s:
                row["busy_s"] = busy_s
            if isinstance(worker, SourceWorker):
                row["ended"], row["failed"] = worker.ended, worker.failed
            if not isinstance(runner, RecordingRunner):  # whose node is not open
                with contextlib.suppress(Exception):  # a node's own status must not break everybody's
                    row["status"] = runner.node.status()
            channel = runner.waiting if isinstance(runner, SourceRunner) else getattr(runner, "pipe", None)
            if channel is not None:
                queues[name] = channel.statistics()
        return {
            "flow": self.flow.name,
            "site": self.flow.site,
            "file": str(self.flow.path),
            "state": self._state,
            "uptime_s": round(now - self._started_s, 3),
            "nodes": nodes,
            "queues": queues,
            "sinks": self.delivery.statistics(recent_s),
            "events": dict(self.events),
            "frames": self.frames,
            "reloads": len(self.reloads),
            "problems": self.diagnostics,
        }

    def _remember(self, row: EventRow, critical: bool) -> None:
        """Count an event once, however many sinks it reaches and however often it is updated."""
        known = self._known_events
        if row.id in known:
            return
        known[row.id] = None
        if len(known) > 10_000:
            known.popitem(last=False)
        self.events[row.type] = self.events.get(row.type, 0) + 1
        self.last_events.append(row)
        if critical:
            self.last_critical.append(row)

    @property
    def frames(self) -> int:
        """Pictures that sources carried into the graph."""
        return sum(runner.frames for runner in self.runners.values() if isinstance(runner, SourceRunner))

    @property
    def failed_sources(self) -> list[str]:
        """Sources that were given up."""
        return [name for name, worker in self.workers.items() if isinstance(worker, SourceWorker) and worker.failed]

    def graph(self) -> nx.DiGraph[str]:
        """The graph as it is wired now."""
        return graph_of(self.runners, (edge for runner in self.runners.values() for edge in runner.edges))
