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

from flowrt.clock import Clock
from flowrt.contract import Contract
from flowrt.flow import Edge, Flow, NodeSpec, graph_of
from flowrt.journal import EventRow
from flowrt.messages import Fault, Message
from flowrt.node import Context, Inference, Node, Outbox, Shared, Source
from flowrt.plan import Plan
from flowrt.runtime.cell import Cell
from flowrt.runtime.cells import InferenceCell, OutboxCell, RecordingCell, SourceCell
from flowrt.runtime.driver import Collector, Driver, SourceDriver
from flowrt.runtime.faults import FaultLog
from flowrt.runtime.outboxes import NoOutboxes, Outboxes
from flowrt.runtime.topology import asking, drivers_reaching, rows

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
    ) -> None:
        self.flow = flow
        assert (delivery is None) == (record is not None), "letters are delivered, or messages recorded"
        self.delivery: Outboxes = delivery if delivery is not None else NoOutboxes()
        self.contract = contract
        self.clock = clock
        self.data = data
        self.threads = threads
        self.record = record
        self.shared = Shared()
        self.cells: dict[str, Cell] = {}
        self.drivers: dict[str, Driver] = {}
        self.done = threading.Event()
        self.problems: list[dict[str, Any]] = []
        self.reloads: list[dict[str, Any]] = []
        self._started_s = monotonic()
        self.leaving: list[Cell] = []  # removed, but still carrying what is under way
        self.outboxes: set[str] = set()
        self.events: dict[str, int] = {}
        self.last_events: deque[EventRow] = deque(maxlen=50)
        self._fault_log = FaultLog()
        self._known_events: OrderedDict[str, None] = OrderedDict()
        self._gone_in = self._gone_sent = 0
        self.structure = threading.Lock()  # who changes cells and drivers
        self._state = "new"

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open every node, upstream last, then let the sources run. Raises StartFailed; nothing then stays open."""
        order = self.flow.order()
        opened: list[Cell] = []
        try:
            for name in reversed(order):
                opened.append(self.new_cell(self.flow.nodes[name], self.open_node(self.flow, self.flow.nodes[name])))
        except StartFailed:
            for cell in opened:
                self.close_node(cell.node)
            raise
        self.cells = {cell.name: cell for cell in reversed(opened)}
        self._wire(self.flow, drivers_reaching(self.flow))
        for cell in self.cells.values():
            if isinstance(cell, OutboxCell) and isinstance(cell.node, Outbox):
                self.delivery.add(cell.name, cell.node)
                self.outboxes.add(cell.name)
        self._state = "running"
        self._started_s = monotonic()
        for name in order:
            self.drive(self.cells[name])
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
            sources = [driver for driver in self.drivers.values() if isinstance(driver, SourceDriver)]
            for source in sources:
                source.stop()
            for source in sources:
                if not source.join(max(0.1, (end - monotonic()) * 0.6)):
                    log.warning("%s did not stop in time", source.name)
                    source.abandon()  # what it still makes must not reach nodes that are closed
            for name in self.flow.order():  # upstream first, so that a finished pipe feeds only open ones
                driver = self.drivers.get(name)
                if isinstance(driver, Collector):
                    driver.cell.pipe.close()
                    driver.join(max(0.5, end - monotonic()))
            self.finish()
            self.delivery.settle(max(0.5, (end - monotonic()) * 0.6))
            self.delivery.close(max(0.5, end - monotonic()))
            for cell in self.cells.values():
                if not isinstance(cell, RecordingCell):
                    self.close_node(cell.node)
            self._state = "stopped"
            self.done.set()

    def finish(self) -> None:
        """Let every node send what it still owes, upstream first."""
        for name in self.flow.order():
            cell = self.cells[name]
            self.finish_cell(cell)
            while isinstance(cell, InferenceCell) and not self.threads and cell.collect_now():
                pass

    def finish_cell(self, cell: Cell) -> None:
        if isinstance(cell, RecordingCell):
            return
        try:
            cell.emit(list(cell.node.finish()))
        except Exception as error:
            self._came_from_nowhere(cell)
            cell.fail(error, None)

    def _came_from_nowhere(self, cell: Cell) -> None:
        """Count an input that no edge brought, so that the ledger still balances."""
        cell.count(came_in=1)
        if not isinstance(cell, SourceCell):
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
            scene=flow.scene_of(spec.name),
            services=flow.services,
        )

    def open_node(self, flow: Flow, spec: NodeSpec) -> Node:
        node = spec.instance()
        node.__dict__["context"] = context = self._context(flow, spec)
        if self.record is not None and isinstance(node, Outbox):
            return node
        try:
            node.open(context)
        except Exception as error:
            log.debug("%s can't start", spec.name, exc_info=True)
            self.close_node(node)
            raise StartFailed(spec.name, error) from error
        return node

    def _revive(self, spec: NodeSpec, context: Context) -> Node:
        """A fresh node in the place of a source that failed."""
        self.close_node(self.cells[context.node].node)
        node = spec.instance()
        node.__dict__["context"] = context
        node.open(context)
        return node

    def close_node(self, node: Node) -> None:
        try:
            node.close()
        except Exception as error:
            log.error("%s: close failed: %s: %s", node.context.node, type(error).__name__, error)

    def new_cell(self, spec: NodeSpec, node: Node) -> Cell:
        context = node.context
        if isinstance(node, Source):
            return SourceCell(spec, node, context, self._on_fault)
        if isinstance(node, Inference):
            cell = InferenceCell(spec, node, context, self._on_fault)
            cell.threaded = self.threads
            return cell
        if isinstance(node, Outbox) and self.record is not None:
            return RecordingCell(spec, node, context, self._on_fault, record=self.record)
        if isinstance(node, Outbox):
            return OutboxCell(spec, node, context, self._on_fault, accept=self.delivery.accept, remember=self._remember)
        return Cell(spec, node, context, self._on_fault)

    def _wire(self, flow: Flow, reached: dict[str, frozenset[str]]) -> None:
        """Give every cell its ways on, and a lock where several drivers meet. The graph must be at rest."""
        sys.setrecursionlimit(max(sys.getrecursionlimit(), 1000 + 4 * len(flow.nodes)))
        for name, cell in self.cells.items():
            several = len(reached[name]) > 1
            if several != (cell.lock is not None):
                cell.lock = threading.Lock() if several else None
        for cell in self.cells.values():
            cell.take_up()
        for name, following in rows(flow, reached).items():
            self.cells[name].lay([self.cells[next_] for next_ in following])
        ways: dict[str, list[tuple[Edge, tuple[type[Message], ...], Any]]] = {name: [] for name in self.cells}
        for edge in flow.edges:
            entrance = self.cells[edge.target].entrance(edge.field, len(reached[edge.target]) > 1)
            ways[edge.source].append((edge, flow.arriving[edge], entrance))
        for name, cell in self.cells.items():
            cell.connect(ways[name])
        dated = asking(flow)
        for name, cell in self.cells.items():
            if isinstance(cell, SourceCell):
                cell.dated = name in dated

    def rewire(self, plan: Plan, cells: dict[str, Cell], leaving: list[Cell]) -> None:
        """Put the plan's new graph in force. The graph must be at rest.

        Leaving cells may still have messages under way: they keep their old ways, into cells that now have a lock.
        """
        before, after = drivers_reaching(plan.old), drivers_reaching(plan.new)
        old_cells, self.cells, self.flow = self.cells, cells, plan.new
        gone = {id(cell) for cell in leaving}
        was = {change.name: change.was for change in plan.changes if change.kind != "removed"}
        reached: dict[str, frozenset[str]] = {}
        leavers: dict[str, frozenset[str]] = {}
        for name in plan.new.order():  # what leavers carry into a node goes on along its new edges
            left = {f"{driver} (leaving)" for driver in before.get(was[name], ()) if id(old_cells[driver]) in gone}
            for edge in plan.new.nodes[name].edges:
                if not isinstance(plan.new.nodes[edge.source].settings, Inference):
                    left |= leavers[edge.source]
            leavers[name] = frozenset(left)
            reached[name] = after[name] | leavers[name]
        self._wire(plan.new, reached)
        for cell in leaving:
            cell.take_up()
            cell.lay([])
        for cell in leaving:
            for name in before:
                if old_cells[name] is cell and len(before[name]) > 1 and cell.lock is None:
                    cell.lock = threading.Lock()
            ways = []
            for edge in plan.old.edges:
                if old_cells[edge.source] is cell:
                    target = old_cells[edge.target]
                    entrance = target.entrance(edge.field, target.lock is not None)
                    ways.append((edge, plan.old.arriving[edge], entrance))
            cell.connect(ways)

    def adopt_contract(self, contract: Contract) -> None:
        """Go on with another contract: a flow's own schemas were edited. Nodes hear of it as a change of `contract`."""
        with self.structure, self.at_rest():
            self.contract = contract
            for cell in self.cells.values():
                cell.context.contract = contract
                cell.node.reconfigured(frozenset({"contract"}))

    def forget(self, cell: Cell) -> None:
        """A cell that left has nothing under way any more: keep only its sums."""
        self.leaving.remove(cell)
        self._gone_sent += cell.sent
        self._gone_in += cell.received

    def drive(self, cell: Cell) -> None:
        """Start the driver of a cell that needs one."""
        if not self.threads:
            return
        if isinstance(cell, SourceCell):
            self.drivers[cell.name] = SourceDriver(cell, self._revive, self.check_done)
        elif isinstance(cell, InferenceCell):
            self.drivers[cell.name] = Collector(cell)
        else:
            return
        self.drivers[cell.name].start()

    def check_done(self) -> None:
        """The run is done when every source that has an end came to it."""
        if not self.threads or self._state != "running":
            return
        drivers = [driver for driver in list(self.drivers.values()) if isinstance(driver, SourceDriver)]
        finite = [driver for driver in drivers if not driver.node.endless]
        all_started = len(drivers) == sum(isinstance(cell, SourceCell) for cell in self.cells.values())
        if all_started and finite and all(driver.ended for driver in finite):
            self.done.set()

    def _on_fault(self, cell: Cell, fault: Fault) -> None:
        self._fault_log.tell(fault)
        cell.emit(fault)

    # -- rest -----------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def at_rest(self, timeout_s: float = 10.0) -> Iterator[None]:
        """Hold every driver between two messages, upstream first. Raises ReloadFailed where one does not come to rest."""
        end = monotonic() + timeout_s
        held: list[Driver] = []
        try:
            for name in [name for name in self.flow.order() if name in self.drivers]:
                driver = self.drivers[name]
                if not driver.hold(end - monotonic()):
                    raise ReloadFailed(
                        f"{name} has been busy with one message for {timeout_s:g} s; nothing was changed"
                    )
                held.append(driver)
            yield
        finally:
            for driver in held:
                driver.let_go()

    # -- accounts -------------------------------------------------------------------------------------------------

    def ledger(self) -> dict[str, Any]:
        """in = out + dropped + errors + held per node, and sent = received over all edges. Exact only at rest.

        `balanced` says whether both hold.
        """
        nodes = {}
        balanced = True
        sent, received = self._gone_sent, self._gone_in
        for cell in [*self.cells.values(), *self.leaving]:
            row = {
                "in": cell.n_in,
                "out": cell.n_out,
                "dropped": cell.dropped,
                "errors": cell.errors,
                "held": cell.held,
            }
            balanced &= row["in"] == row["out"] + row["dropped"] + row["errors"] + row["held"]
            nodes[cell.name] = row
            sent += cell.sent
            received += cell.received
        return {"nodes": nodes, "sent": sent, "received": received, "balanced": balanced and sent == received}

    def status(self, recent_s: float | None = None) -> dict[str, Any]:
        """What `/api/status`, the live view and health probes show. recent_s: sinks' latencies of the last seconds only."""
        nodes = {}
        queues = {}
        now = monotonic()
        for name, cell in list(self.cells.items()):
            nodes[name] = row = cell.statistics()
            driver = self.drivers.get(name)
            busy_s = driver.busy_s(now) if driver is not None else 0.0
            if busy_s:
                row["busy_s"] = busy_s
            if isinstance(driver, SourceDriver):
                row["ended"], row["failed"] = driver.ended, driver.failed
            with contextlib.suppress(Exception):  # a node's own status must not break everybody's
                row["status"] = cell.node.status()
            channel = cell.waiting if isinstance(cell, SourceCell) else getattr(cell, "pipe", None)
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
            "problems": self.problems,
        }

    def _remember(self, row: EventRow) -> None:
        """Count an event once, however many sinks it reaches and however often it is updated."""
        known = self._known_events
        if row.id in known:
            return
        known[row.id] = None
        if len(known) > 10_000:
            known.popitem(last=False)
        self.events[row.type] = self.events.get(row.type, 0) + 1
        self.last_events.append(row)

    @property
    def frames(self) -> int:
        """Pictures that sources carried into the graph."""
        return sum(cell.frames for cell in self.cells.values() if isinstance(cell, SourceCell))

    @property
    def failed_sources(self) -> list[str]:
        """Sources that were given up."""
        return [name for name, driver in self.drivers.items() if isinstance(driver, SourceDriver) and driver.failed]

    def graph(self) -> nx.DiGraph[str]:
        """The graph as it is wired now."""
        return graph_of(self.cells, (edge for cell in self.cells.values() for edge in cell.edges))
