"""Applying a plan to a running graph.

The order is what makes it safe: open everything new; pause the graph; do what may fail, undoably; exchange, which can't fail;
resume; only then stop and close the old. What fails before the exchange leaves the old flow exactly as it was.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from functools import partial
from time import monotonic, perf_counter, sleep
from typing import Any

from flowrt.flow import Flow
from flowrt.node import Inference, Node, Outbox, Source
from flowrt.plan import Change, Plan
from flowrt.runtime.hangs import SLOW_S
from flowrt.runtime.hooks import HookHangs
from flowrt.runtime.inference import InferenceRunner
from flowrt.runtime.lifecycle import FINISH_S, LEAST_S, RECONFIGURE_S
from flowrt.runtime.outbox import OutboxRunner
from flowrt.runtime.runner import NodeRunner
from flowrt.runtime.runtime import ReloadFailed, Runtime, StartFailed
from flowrt.runtime.source import SourceRunner, SourceWorker
from flowrt.runtime.worker import Worker
from flowrt.system.threads import from_keyboard, one_line, text_of

log = logging.getLogger("flowrt")

JOIN_S = 2.0
"""How long a replaced source may take to come to its end before it is left behind."""
DRAIN_S = 10.0
"""How long replaced inference may take to give back what is in flight."""
OPEN_S = 180.0
"""How long the new nodes of an edit may take to open, all together: models may have to be compiled."""


def apply(
    runtime: Runtime,
    plan: Plan,
    *,
    strict: bool = False,
    deliver_s: float = 5.0,
    superseded: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """Turn the running flow into `plan.new`. Returns timings and the ledger; raises ReloadFailed with nothing changed.

    strict: refuse to remove a sink that still has something to deliver.
    deliver_s: how long a removed sink may go on delivering before the rest is parked.
    superseded: whether there is a later edit; nodes that have been opening for `SLOW_S` by then are given up.
    """
    old = plan.old
    refuse_rename(plan)
    with runtime.changing():
        if runtime.flow is not old:
            raise ReloadFailed("the plan was made for another flow than the one that runs")
        if strict:
            _refuse_backlog(runtime, plan)
        started = perf_counter()
        fresh = _open_new(runtime, plan, superseded)
        opened = perf_counter()
        try:
            with runtime.paused():
                paused = perf_counter()
                carried = _carry_state(runtime, plan, fresh)
                _reconfigure(runtime, plan)
                leaving, replaced = _exchange(runtime, plan, fresh, carried)
                begun = {
                    name: runner.begun
                    for name, runner in runtime.runners.items()
                    if isinstance(runner, InferenceRunner)
                }
                ledger = runtime.ledger()
                exchanged = perf_counter()
        except BaseException:
            runtime.life.close_all(fresh.values())
            raise
        _exchange_workers(runtime, plan, leaving)
        _drain(runtime, plan, begun)
        parked = _exchange_outboxes(runtime, plan, leaving, deliver_s)
        for runner in leaving:
            runtime.forget(runner)
        runtime.life.close_all([*replaced, *(runner.node for runner in leaving)])
        if not ledger["balanced"]:
            log.error("the ledger does not balance after a reload: %s", ledger)
        return {
            "open_ms": round((opened - started) * 1e3, 2),
            "rest_ms": round((exchanged - paused) * 1e3, 2),
            "in_force_ms": round((exchanged - started) * 1e3, 2),
            "parked": parked,
            "ledger": ledger,
        }


def refuse_rename(plan: Plan) -> None:
    """Raises ReloadFailed where the flow has another name: its journal has that name."""
    if plan.new.name != plan.old.name:
        raise ReloadFailed(
            f"the name of a running flow can't change ({plan.old.name} → {plan.new.name}), since its journal has it: "
            "stop the run and start it again"
        )


def _refuse_backlog(runtime: Runtime, plan: Plan) -> None:
    sinks = runtime.delivery.statistics()
    for change in plan.of("removed"):
        pending = getattr(sinks.get(change.was), "pending", 0)
        if pending:
            raise ReloadFailed(
                f"{change.was} still has {pending} messages to deliver and --strict forbids to park them"
            )


def _open_new(runtime: Runtime, plan: Plan, superseded: Callable[[], bool]) -> dict[str, Node]:
    fresh: dict[str, Node] = {}
    kinds = {change.name: change.kind for change in plan.changes}
    began = monotonic()

    def give_up() -> bool:
        return runtime.ending.is_set() or (monotonic() - began > SLOW_S and superseded())

    try:
        for name in reversed(plan.new.order()):
            if kinds[name] in ("added", "replaced"):
                spec = plan.new.nodes[name]
                fresh[name] = runtime.open_node(plan.new, spec, until=began + OPEN_S, give_up=give_up)
    except StartFailed as error:
        runtime.life.close_all(fresh.values())
        raise ReloadFailed(f"{error}; the reload was rolled back", error.node) from error
    return fresh


def _carry_state(runtime: Runtime, plan: Plan, fresh: dict[str, Node]) -> set[str]:
    """Hand the memory of replaced nodes to their successors. Returns the names of those that took it over."""
    carried = set()
    end = monotonic() + RECONFIGURE_S
    for change in plan.of("replaced"):
        if plan.old.nodes[change.was].type.name != plan.new.nodes[change.name].type.name:
            continue
        try:
            if _carry(runtime, runtime.runners[change.was].node, fresh[change.name], max(end, monotonic() + LEAST_S)):
                carried.add(change.name)
        except BaseException as error:  # whatever a node raises is its own fault
            if from_keyboard(error):
                raise
            raise ReloadFailed(
                f"{change.name}: its memory can't be carried over: {text_of(error)}; the reload was rolled back",
                change.name,
            ) from error
    return carried


def _carry(runtime: Runtime, old: Node, new: Node, until: float) -> bool:
    """Hand over what one node remembers; False where that is nothing."""
    call = partial(runtime.hooks.call, until=until, give_up=runtime.ending.is_set)
    state = call(old.context.node, "export_state", lambda _: old.export_state())
    if state is not None:
        call(new.context.node, "import_state", lambda _: new.import_state(state))
    return state is not None


def _reconfigure(runtime: Runtime, plan: Plan) -> None:
    """Set changed settings on living nodes; all of them or, where one refuses, none."""
    done: list[Change] = []
    end = monotonic() + RECONFIGURE_S
    for change in plan.of("reconfigured"):
        done.append(change)
        try:
            _give_settings(runtime, runtime.runners[change.was], plan.new, change.name, change, end)
        except BaseException as error:  # whatever a node raises is its own fault
            if from_keyboard(error):
                raise
            for step in reversed(done):
                try:
                    _give_settings(runtime, runtime.runners[step.was], plan.old, step.was, step, end)
                except HookHangs:
                    log.warning("%s has its settings back, and is told once its 'reconfigured' comes back", step.was)
                except BaseException as again:  # whatever a node raises is its own fault
                    if from_keyboard(again):
                        raise
                    log.error("%s: taking the change back failed: %s", step.was, one_line(again))
            raise ReloadFailed(
                f"{change.name} refuses the change: {text_of(error)}; the reload was rolled back", change.name
            ) from error


def _give_settings(runtime: Runtime, runner: NodeRunner, flow: Flow, name: str, change: Change, end: float) -> None:
    """Give a living node the settings and section entries that it has in `flow`. What `reconfigured` raises is raised here."""
    settings = flow.nodes[name].settings
    with _not_collecting(runner, max(end, monotonic() + LEAST_S)):
        for field in settings.__struct_fields__:
            setattr(runner.node, field, getattr(settings, field))
        _give_context(runner, flow, name)
        runtime.life.reconfigure(runner, frozenset(change.changed), end)


@contextlib.contextmanager
def _not_collecting(runner: NodeRunner, until: float) -> Iterator[None]:
    """An inference node may be collecting on its own thread. Raises TimeoutError where it goes on with that."""
    if not isinstance(runner, InferenceRunner):
        yield
        return
    if not runner.collecting.acquire(timeout=max(until - monotonic(), 0.0)):
        raise TimeoutError("its 'collect' has not come back")
    try:
        yield
    finally:
        runner.collecting.release()


def _give_context(runner: NodeRunner, flow: Flow, name: str) -> None:
    """Make a runner's context that of `flow`."""
    context = runner.context
    context.node, context.site, context.folder = name, flow.site, flow.folder
    context.entries, context.services = flow.entries_of(name), flow.services


def _exchange(
    runtime: Runtime, plan: Plan, fresh: dict[str, Node], carried: set[str]
) -> tuple[list[NodeRunner], list[Node]]:
    """Put the new graph in force. Returns the runners that leave and the nodes that were replaced, all still open.

    Nothing here raises: what nodes raise while they finish is contained.
    """
    ending = [
        change.was
        for change in plan.changes
        if change.kind == "removed" or (change.kind == "replaced" and change.name not in carried)
    ]
    runtime.finish_nodes(ending, monotonic() + FINISH_S)
    replaced: list[Node] = []
    runners: dict[str, NodeRunner] = {}
    for change in plan.changes:
        if change.kind == "removed":
            continue
        spec = plan.new.nodes[change.name]
        runner = runtime.runners.get(change.was)
        node = fresh.get(change.name)
        if node is None:
            runner = runtime.runners[change.was]
            runner.spec, runner.name = spec, change.name
            _give_context(runner, plan.new, change.name)
        elif runner is None or not _fits(runner, node):
            runner = runtime.new_runner(spec, node)
        else:
            replaced.append(runner.node)
            runner.install(spec, node, node.context)
        runners[change.name] = runner
    return runtime.exchange_graph(plan, runners), replaced


def _fits(runner: NodeRunner, node: Node) -> bool:
    """Whether a node can take over the runner as it is, queue and counters and all."""
    for runner_type, node_type in ((SourceRunner, Source), (InferenceRunner, Inference), (OutboxRunner, Outbox)):
        if isinstance(runner, runner_type) or isinstance(node, node_type):
            return isinstance(runner, runner_type) and isinstance(node, node_type)
    return True


def _exchange_workers(runtime: Runtime, plan: Plan, leaving: list[NodeRunner]) -> None:
    """Stop the workers of what left or was replaced, and start those of what is new."""
    gone = {id(runner) for runner in leaving}
    changed = {change.was for change in plan.changes if change.kind in ("removed", "replaced")}
    names = {change.was: change.name for change in plan.changes if change.was and change.kind != "removed"}

    def ends(name: str, worker: Worker) -> bool:
        return id(worker.runner) in gone or (name in changed and isinstance(worker, SourceWorker))

    staying = {name: names[name] for name, worker in runtime.workers.items() if not ends(name, worker)}
    runtime.exchange_workers(plan.old.order(), staying, JOIN_S)


def _drain(runtime: Runtime, plan: Plan, begun: dict[str, int]) -> None:
    """Wait until replaced inference nodes have given back what was in flight when they were replaced."""
    end = monotonic() + DRAIN_S
    for change in plan.of("replaced"):
        runner = runtime.runners[change.name]
        while isinstance(runner, InferenceRunner) and runner.ended < begun[change.name]:
            if monotonic() > end:
                log.warning("%s: what was in flight did not come back within %g s", change.name, DRAIN_S)
                break
            sleep(0.002)


def _exchange_outboxes(runtime: Runtime, plan: Plan, leaving: list[NodeRunner], deliver_s: float) -> dict[str, int]:
    """Tell the delivery which outboxes there are now. Returns what was parked, by outbox."""
    parked: dict[str, int] = {}
    for runner in leaving:
        if isinstance(runner, OutboxRunner):
            left = runtime.delivery.remove(runner.name, timeout_s=deliver_s)
            if left:
                parked[runner.name] = left
                log.warning(
                    "%s was removed with %d messages undelivered; they are parked in the journal", runner.name, left
                )
    for change in plan.changes:
        added = runtime.runners.get(change.name)
        if change.kind not in ("added", "replaced") or not isinstance(added, OutboxRunner):
            continue
        node = added.node
        assert isinstance(node, Outbox), "an outbox's runner has an outbox"
        if change.kind == "replaced" and isinstance(plan.old.nodes[change.was].settings, Outbox):
            runtime.delivery.swap(change.name, node)
        else:
            runtime.delivery.add(change.name, node)
    return parked
