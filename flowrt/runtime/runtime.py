"""The running graph: built from a flow, changed by plans, counted all the time."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from flowrt.addresses import without_passwords
from flowrt.clock import Clock
from flowrt.contract import Contract
from flowrt.flow import Flow, NodeSpec, graph_of
from flowrt.message import Fault, Message
from flowrt.node import Context, Inference, Node, Outbox, Shared, Source
from flowrt.plan import Plan
from flowrt.runtime.faults import outside_of_runtime
from flowrt.runtime.hangs import Hang, HangWatch, hanging, stands_still, what_it_is_at
from flowrt.runtime.hooks import Hooks
from flowrt.runtime.inference import Collector, InferenceRunner
from flowrt.runtime.lifecycle import FINISH_S, RECONFIGURE_S, Lifecycle, never
from flowrt.runtime.outbox import NoOutboxes, Outboxes, OutboxRunner, RecordingRunner, Unsendable, maker_of
from flowrt.runtime.recent_events import RecentEvents
from flowrt.runtime.runner import NodeRunner, Observer
from flowrt.runtime.source import SourceRunner, SourceWorker
from flowrt.runtime.status import OwnStatuses, ledger, rows
from flowrt.runtime.wiring import rewire, wire, workers_reaching
from flowrt.runtime.worker import Worker
from flowrt.secrets import Secrets
from flowrt.system.signed_links import SignedLinks
from flowrt.system.threads import Supervisor, from_keyboard, one_line, text_of

if TYPE_CHECKING:
    import networkx as nx

log = logging.getLogger("flowrt")


class StartFailed(Exception):
    """A node could not be opened. `node` names it."""

    def __init__(self, node: str, reason: BaseException) -> None:
        super().__init__(f"{node} can't start: {text_of(reason) or type(reason).__name__}")
        self.node = node
        self.reason = reason


class ReloadFailed(Exception):
    """A reload was rolled back; the old flow goes on as it was. `node` names the node that was the reason, where there is one."""

    def __init__(self, message: str, node: str = "") -> None:
        super().__init__(message)
        self.node = node


class Runtime:
    """One flow at work.

    threads: without them nothing runs by itself; `flowrt.runtime.virtual` then steps through the sources in time order.
    secrets: masked in what nodes raise, since faults may be published.
    record: given (outbox, message) instead of the outboxes, which are then not opened: no broker, no database, no journal.
    supervisor: of the threads of the run. links: for addresses of files in `data`; None where no HTTP server runs.
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
        supervisor: Supervisor | None = None,
        links: SignedLinks | None = None,
    ) -> None:
        assert (delivery is None) == (record is not None), "records are delivered, or messages recorded"
        self.flow = flow
        self.delivery: Outboxes = delivery if delivery is not None else NoOutboxes()
        self.contract = contract
        self.clock = clock
        self.data = data
        self.threads = threads
        self._secrets = secrets or Secrets()
        self.supervisor = supervisor or Supervisor(log)
        self.links = links
        self.shared = Shared()
        self.runners: dict[str, NodeRunner] = {}
        self.workers: dict[str, Worker] = {}
        self.done = threading.Event()
        self.diagnostics: list[dict[str, Any]] = []
        self.reloads: list[dict[str, Any]] = []
        self.events = RecentEvents()
        self._record = record
        self.ending = threading.Event()  # a stop is asked for: a reload under way gives up
        self.hooks = Hooks(threads=threads)
        self.life = Lifecycle(self.hooks, self.ending, self._alone)
        self._hang_watch = HangWatch(self.supervisor, self.hooks, lambda: self.workers)
        self._own_statuses = OwnStatuses(lambda: self.runners, self.hooks)
        self._leaving: list[NodeRunner] = []  # removed, but still carrying what is under way
        self._gone_in = self._gone_sent = 0  # of runners that left
        self._structure = threading.Lock()  # held by whatever changes the graph
        self._started_s = monotonic()
        self._state = "starting"

    # -- life -----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Open every node, upstream last, then let the sources run. Raises StartFailed; nothing then stays open."""
        order = self.flow.order()
        opened: list[NodeRunner] = []
        if self.threads:
            self._hang_watch.start()
        try:
            for name in reversed(order):
                spec = self.flow.nodes[name]
                node = self.open_node(self.flow, spec, give_up=self.ending.is_set)
                opened.append(self.new_runner(spec, node))
        except StartFailed:
            self.life.close_all(runner.node for runner in opened)
            self._hang_watch.stop()
            raise
        self.runners = {runner.name: runner for runner in reversed(opened)}
        wire(self.flow, self.runners, workers_reaching(self.flow))
        for runner in self.runners.values():
            if isinstance(runner, OutboxRunner) and isinstance(runner.node, Outbox):
                self.delivery.add(runner.name, runner.node)
        self._state = "running"
        self._started_s = monotonic()
        for name in order:
            self._start_worker(self.runners[name])
        self._check_done()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until every source that has an end came to it; False after `timeout_s`."""
        return self.done.wait(timeout_s)

    def stop(self, timeout_s: float = 5.0) -> None:
        """Stop the sources, carry what is under way to its end, let nodes finish, hand over what is owed, close all.

        A node that hangs in `finish` or `close` is left behind, and named by `left_behind`.
        """
        self.ending.set()
        with self._structure:
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
                    worker.stop()
                    worker.join(max(0.5, end - monotonic()))
            self.finish()
            self.delivery.drain(max(0.5, (end - monotonic()) * 0.6))
            self.delivery.close(max(0.5, end - monotonic()))
            self.life.close_all(runner.node for runner in self.runners.values())
            self._hang_watch.stop()
            self._state = "stopped"
            self.done.set()

    def left_behind(self, timeout_s: float) -> list[str]:
        """The workers that still have not ended after so long, and the hooks that go on: node, hook and place, a few words each."""
        end = monotonic() + timeout_s
        workers = [worker for worker in self.workers.values() if not worker.join(max(0.0, end - monotonic()))]
        at = [(worker, what_it_is_at(worker)) for worker in workers]
        busy = [f"{worker.name} ({place}" + (f" of {place.node})" if place.node else ")") for worker, place in at]
        return busy + [hang.text for hang in self.hanging(0.0) if hang.hook]

    def finish(self) -> None:
        """Let every node send what it still owes, upstream first."""
        end = monotonic() + FINISH_S
        for name in self.flow.order():
            runner = self.runners[name]
            self._finish(runner, end)
            while isinstance(runner, InferenceRunner) and not self.threads and runner.collect_now():
                pass

    def _finish(self, runner: NodeRunner, end: float) -> None:
        def failed(error: BaseException) -> None:
            if not isinstance(runner, SourceRunner):
                runner.n_in += 1  # no edge brought it; the ledger must still balance
                self._gone_in -= 1
            runner.fail(error, None)

        if not isinstance(runner, RecordingRunner):
            self.life.finish(runner, end, failed)

    # -- nodes ----------------------------------------------------------------------------------------------------

    def open_node(
        self, flow: Flow, spec: NodeSpec, *, until: float | None = None, give_up: Callable[[], bool] = never
    ) -> Node:
        """A new node, open. until, give_up: as of `Hooks.call`. Raises StartFailed."""
        node, context = spec.instance(), self._context(flow, spec)
        if self._record is not None and isinstance(node, Outbox):
            node.attach(context)
            return node
        try:
            self.life.open(node, context, until=until, give_up=give_up)
        except BaseException as error:  # whatever a node raises is its own fault
            if from_keyboard(error):
                raise
            log.debug("%s can't start", spec.name, exc_info=True)
            raise StartFailed(spec.name, error) from error
        return node

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
            supervisor=self.supervisor,
            links=self.links,
        )

    def _revive(self, failed: Node, spec: NodeSpec, context: Context) -> Node:
        """A fresh node in the place of a source that failed. What its `open` raises is raised here."""
        self.life.close(failed)
        node = spec.instance()
        self.life.open(node, context, give_up=context.stopping.is_set)
        return node

    def new_runner(self, spec: NodeSpec, node: Node) -> NodeRunner:
        """A runner, not yet connected, for an open node."""
        place = (spec, node, node.context, self._on_fault)
        if isinstance(node, Source):
            return SourceRunner(*place)
        if isinstance(node, Inference):
            return InferenceRunner(*place, threaded=self.threads)
        if isinstance(node, Outbox) and self._record is not None:
            return RecordingRunner(*place, record=self._record)
        if isinstance(node, Outbox):
            return OutboxRunner(*place, accept=self.delivery.accept, remember=self.events.remember, charge=self._charge)
        return NodeRunner(*place)

    def _start_worker(self, runner: NodeRunner) -> None:
        if not self.threads:
            return
        if isinstance(runner, SourceRunner):
            worker: Worker = SourceWorker(runner, self.supervisor, self._revive, self.life.close, self._check_done)
        elif isinstance(runner, InferenceRunner):
            worker = Collector(runner, self.supervisor)
        else:
            return
        self.workers[runner.name] = worker
        worker.start()

    def _check_done(self) -> None:
        """The run is done when every source that has an end came to it, or none is left."""
        if not self.threads or self._state != "running":
            return
        workers = [worker for worker in list(self.workers.values()) if isinstance(worker, SourceWorker)]
        finite = [worker for worker in workers if not worker.node.endless] or workers
        all_started = len(workers) == sum(isinstance(runner, SourceRunner) for runner in self.runners.values())
        if all_started and finite and all(worker.ended for worker in finite):
            self.done.set()

    def _charge(self, sender: str, error: Unsendable, message: Message) -> None:
        """Charge the node that made a message which no sink can encode: the one that gave it to the sink, or one before that."""
        known = {runner.name: runner for runner in (*self._leaving, *self.runners.values())}
        maker = maker_of(message, sender, known, self.flow)
        if maker is not None:
            maker.charge(error, message)

    def _on_fault(self, runner: NodeRunner, fault: Fault, error: BaseException) -> None:
        shown = self._secrets.text
        fault = msgspec.structs.replace(
            fault, error=shown(fault.error)[:500], traceback=without_passwords(shown(fault.traceback))
        )
        place = f" ({fault.file}:{fault.line})" if fault.file else ""
        trace = (type(error), error, outside_of_runtime(error.__traceback__)) if fault.traceback else None
        extra = {"node": fault.node}
        log.error("%s: %s: %s%s", fault.node, fault.error_type, fault.error, place, exc_info=trace, extra=extra)
        runner.emit(fault)

    # -- change ---------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Nothing else changes the graph meanwhile. Raises ReloadFailed where the flow does not run yet, or ends."""
        with self._structure:
            if self._state != "running":
                raise ReloadFailed(f"the flow is {self._state}")
            yield

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        with self.changing(), self.paused():
            yield

    @contextlib.contextmanager
    def paused(self, timeout_s: float = 10.0) -> Iterator[None]:
        """Every worker paused between two messages, upstream first. Raises ReloadFailed where one does not get there in time."""
        end = monotonic() + timeout_s
        with contextlib.ExitStack() as held:
            for name in [name for name in self.flow.order() if name in self.workers]:
                worker = self.workers[name]
                if not worker.hold(end - monotonic()):
                    at = what_it_is_at(worker)
                    busy = f": {at.node} is in {at}" if at.node else ""
                    raise ReloadFailed(
                        f"{name} has been busy with one message for {timeout_s:g} s{busy}; nothing was changed",
                        at.node or name,
                    )
                held.callback(worker.release)
            yield

    def adopt(self, flow: Flow) -> None:
        """The same graph from another text: keep the new marks and files, touch no node."""
        with self._structure:
            self.flow = flow

    def adopt_contract(self, contract: Contract) -> None:
        """Go on with another contract: a flow's own schemas were edited. Nodes hear of it as a change of `contract`.

        Raises ReloadFailed where a node refuses it; all nodes then have the old one.
        """
        with self._structure, self.paused():
            old, self.contract = self.contract, contract
            end = monotonic() + RECONFIGURE_S
            given: list[NodeRunner] = []
            for runner in self.runners.values():
                given.append(runner)
                try:
                    self._give_contract(runner, contract, end)
                except BaseException as error:  # whatever a node raises is its own fault
                    self.contract = old
                    for each in given:
                        try:
                            self._give_contract(each, old, end)
                        except BaseException as again:  # as above
                            log.error("%s: taking the schemas back failed: %s", each.name, one_line(again))
                    raise ReloadFailed(
                        f"{runner.name} refuses the edited schemas: {text_of(error)}; the old ones stay in force",
                        runner.name,
                    ) from error

    def _give_contract(self, runner: NodeRunner, contract: Contract, end: float) -> None:
        runner.context.contract = contract
        if not isinstance(runner, RecordingRunner):
            self.life.reconfigure(runner, frozenset({"contract"}), end)

    def finish_nodes(self, names: Iterable[str], end: float) -> None:
        """Let these nodes send what they still owe, until `end`. The graph must be paused."""
        for name in names:
            self._finish(self.runners[name], end)

    def exchange_graph(self, plan: Plan, runners: dict[str, NodeRunner]) -> list[NodeRunner]:
        """Put the plan's new graph in force. The graph must be paused. Returns the runners that leave; they stay until `forget`."""
        staying = {id(runner) for runner in runners.values()}
        leaving = [runner for runner in self.runners.values() if id(runner) not in staying]
        self._leaving += leaving
        for name, runner in runners.items():
            before = self.runners.get(name)
            if before is not None and before is not runner and before in leaving:
                runner.take_observers(before)
        rewire(plan, self.runners, runners, leaving)
        self.runners, self.flow = runners, plan.new
        return leaving

    def exchange_workers(self, order: Iterable[str], staying: Mapping[str, str], join_s: float) -> None:
        """Start new collectors, end the workers that don't stay, then start new sources.

        order: the old names, upstream first. staying: old to new name. join_s: how long the end of each is waited for.
        """
        ending = [self.workers[name] for name in order if name in self.workers and name not in staying]
        workers = {new: self.workers[old] for old, new in staying.items()}
        for name, worker in workers.items():
            worker.name = name
        self.workers = workers
        for runner in self.runners.values():  # collectors first: what ends may still have something for them
            if isinstance(runner, InferenceRunner) and runner.name not in self.workers:
                self._start_worker(runner)
        for worker in ending:  # upstream first: what one still carries, the next can still take
            worker.stop()
            if not worker.join(join_s):
                log.warning("%s did not come to its end within %g s and is left behind", worker.name, join_s)
                worker.abandon()
        for name in self.flow.order():
            if name not in self.workers:
                self._start_worker(self.runners[name])
        self._check_done()

    def forget(self, runner: NodeRunner) -> None:
        """A runner that left has nothing under way any more: keep only its sums."""
        self._leaving.remove(runner)
        self._gone_sent += runner.sent
        self._gone_in += runner.received

    # -- accounts -------------------------------------------------------------------------------------------------

    @property
    def outboxes(self) -> set[str]:
        """The names of the sinks that deliver."""
        return {name for name, runner in self.runners.items() if isinstance(runner, OutboxRunner)}

    def observe(self, name: str, observer: Observer) -> Callable[[], None]:
        """Have each message that a node makes shown to an observer, also after a reload. Call what this returns to end it.

        Raises KeyError where there is no such node.
        """
        self.runners[name].observe(observer)

        def end() -> None:
            for runner in (*self.runners.values(), *self._leaving):
                runner.end_observation(observer)

        return end

    def ledger(self) -> dict[str, Any]:
        """in = out + dropped + errors + held per node, and sent = received over all edges. Exact only while paused.

        `balanced` says whether both hold.
        """
        return ledger([*self.runners.values(), *self._leaving], self._gone_sent, self._gone_in)

    def status(self, recent_s: float | None = None, *, ask_nodes: bool = True) -> dict[str, Any]:
        """What `/api/status`, the live view and health probes show.

        It never waits for the disk, nor for a busy node. recent_s: sinks' latencies of the last seconds only. ask_nodes: with what
        each node says of itself.
        """
        own = self._own_statuses.read(wait=self.threads) if ask_nodes else {}
        nodes, queues = rows(self.runners, self.workers, own)
        return {
            "flow": self.flow.name,
            "site": self.flow.site,
            "file": str(self.flow.path),
            "state": self._state,
            "uptime_s": round(monotonic() - self._started_s, 3),
            "nodes": nodes,
            "queues": queues,
            "sinks": self.delivery.statistics(recent_s),
            "events": dict(self.events.counts),
            "frames": self.frames,
            "reloads": len(self.reloads),
            "problems": self.diagnostics,
            "threads": [msgspec.to_builtins(thread) for thread in self.supervisor.statuses()],
            "trouble": self.trouble(),
        }

    def trouble(self) -> list[str]:
        """What makes the run not ready: threads that failed or stand still, hooks and workers that hang. One sentence each."""
        hangs = [hang.text for hang in self.hanging()]
        return list(dict.fromkeys((*self.supervisor.trouble(), *self.delivery.trouble(), *hangs)))

    def hanging(self, after_s: float | None = None) -> list[Hang]:
        """Hooks and workers that have been at one thing for so long."""
        return hanging(self.hooks, self.workers, after_s)

    def progresses(self) -> bool:
        """Whether every thread of the run makes progress, for a watchdog."""
        return self.supervisor.progresses() and not stands_still(list(self.workers.values()))

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
