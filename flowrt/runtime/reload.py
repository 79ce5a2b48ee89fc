"""Applying a plan to a running graph.

The order is what makes it safe: open everything new; bring the graph to rest; do what may fail, undoably; swap, which can't fail;
let go; only then stop and close the old. What fails before the swap leaves the old flow exactly as it was.
"""

from __future__ import annotations

import contextlib
import logging
from time import monotonic, perf_counter, sleep
from typing import Any

from flowrt.flow import Flow
from flowrt.node import Inference, Node, Outbox, Source
from flowrt.plan import Change, Plan
from flowrt.runtime.runner import NodeRunner
from flowrt.runtime.runners import InferenceRunner, OutboxRunner, SourceRunner
from flowrt.runtime.runtime import ReloadFailed, Runtime, StartFailed
from flowrt.runtime.worker import SourceWorker, Worker

log = logging.getLogger("flowrt")

JOIN_S = 2.0
"""How long a replaced source may take to come to its end before it is left behind."""
DRAIN_S = 10.0
"""How long replaced inference may take to give back what is in flight."""


def apply(runtime: Runtime, plan: Plan, *, strict: bool = False, deliver_s: float = 5.0) -> dict[str, Any]:
    """Turn the running flow into `plan.new`. Returns timings and the ledger; raises ReloadFailed with nothing changed.

    strict: refuse to remove a sink that still has something to deliver.
    deliver_s: how long a removed sink may go on delivering before the rest is parked.
    """
    old, new = plan.old, plan.new
    if new.name != old.name:
        raise ReloadFailed(
            f"the name of a running flow can't change ({old.name} → {new.name}): stop it and start the new one"
        )
    with runtime.structure:
        if runtime.flow is not old:
            raise ReloadFailed("the plan was made for another flow than the one that runs")
        _refuse_backlog(runtime, plan, strict)
        started = perf_counter()
        fresh = _open_new(runtime, plan)
        opened = perf_counter()
        try:
            with runtime.at_rest():
                resting = perf_counter()
                _carry_state(runtime, plan, fresh)
                _reconfigure(runtime, plan)
                leaving, replaced = _swap(runtime, plan, fresh)
                begun = {
                    name: runner.begun
                    for name, runner in runtime.runners.items()
                    if isinstance(runner, InferenceRunner)
                }
                ledger = runtime.ledger()
                swapped = perf_counter()
        except BaseException:
            for node in fresh.values():
                runtime.close_node(node)
            raise
        _exchange_drivers(runtime, plan, leaving)
        _drain(runtime, plan, begun)
        parked = _exchange_outboxes(runtime, plan, leaving, deliver_s)
        for runner in leaving:
            runtime.forget(runner)
        for node in [*replaced, *(runner.node for runner in leaving)]:
            runtime.close_node(node)
        if not ledger["balanced"]:
            log.error("the ledger does not balance after a reload: %s", ledger)
        runtime.check_done()
        return {
            "open_ms": round((opened - started) * 1e3, 2),
            "rest_ms": round((swapped - resting) * 1e3, 2),
            "in_force_ms": round((swapped - started) * 1e3, 2),
            "parked": parked,
            "ledger": ledger,
        }


def _refuse_backlog(runtime: Runtime, plan: Plan, strict: bool) -> None:
    if not strict:
        return
    sinks = runtime.delivery.statistics()
    for change in plan.of("removed"):
        pending = getattr(sinks.get(change.was), "pending", 0)
        if pending:
            raise ReloadFailed(f"{change.was} still has {pending} records to deliver and --strict forbids to park them")


def _open_new(runtime: Runtime, plan: Plan) -> dict[str, Node]:
    fresh: dict[str, Node] = {}
    kinds = {change.name: change.kind for change in plan.changes}
    try:
        for name in reversed(plan.new.order()):
            if kinds[name] in ("added", "replaced"):
                fresh[name] = runtime.open_node(plan.new, plan.new.nodes[name])
    except StartFailed as error:
        for node in fresh.values():
            runtime.close_node(node)
        raise ReloadFailed(f"{error}; the reload was rolled back", error.node) from error
    return fresh


def _carry_state(runtime: Runtime, plan: Plan, fresh: dict[str, Node]) -> None:
    for change in plan.of("replaced"):
        before = runtime.runners[change.was].node
        if plan.old.nodes[change.was].type.name != plan.new.nodes[change.name].type.name:
            continue
        try:
            state = before.export_state()
            if state is not None:
                fresh[change.name].import_state(state)
                fresh[change.name].__dict__["carried_over"] = True
        except Exception as error:
            raise ReloadFailed(
                f"{change.name}: its memory can't be carried over: {error}; the reload was rolled back"
            ) from error


def _reconfigure(runtime: Runtime, plan: Plan) -> None:
    """Set changed settings on living nodes; all of them or, where one refuses, none."""
    done: list[Change] = []
    for change in plan.of("reconfigured"):
        done.append(change)
        try:
            _settle(runtime.runners[change.was], plan.new, change.name, change)
        except Exception as error:
            for step in reversed(done):
                try:
                    _settle(runtime.runners[step.was], plan.old, step.was, step)
                except Exception as again:
                    log.error("%s: taking the change back failed: %s", step.was, again)
            raise ReloadFailed(
                f"{change.name} refuses the change: {error}; the reload was rolled back", change.name
            ) from error


def _settle(runner: NodeRunner, flow: Flow, name: str, change: Change) -> None:
    """Give a living node the settings and section entries that it has in `flow`."""
    settings = flow.nodes[name].settings
    collecting = runner.collecting if isinstance(runner, InferenceRunner) else contextlib.nullcontext()
    with collecting:  # an inference node may be collecting on its own thread
        for field in settings.__struct_fields__:
            setattr(runner.node, field, getattr(settings, field))
        _move(runner, flow, name)
        runner.node.reconfigured(frozenset(change.changed))


def _move(runner: NodeRunner, flow: Flow, name: str) -> None:
    """Make a runner's context that of `flow`."""
    context = runner.context
    context.node, context.site, context.folder = name, flow.site, flow.folder
    context.entries, context.services = flow.entries_of(name), flow.services


def _swap(runtime: Runtime, plan: Plan, fresh: dict[str, Node]) -> tuple[list[NodeRunner], list[Node]]:
    """Put the new graph in force. Returns the runners that leave and the nodes that were replaced, all still open.

    Nothing here raises: what nodes raise while they finish is contained.
    """
    replaced: list[Node] = []
    for change in plan.changes:
        carried = change.kind == "replaced" and fresh[change.name].__dict__.get("carried_over")
        if change.kind == "removed" or (change.kind == "replaced" and not carried):
            runtime.finish_runner(runtime.runners[change.was])
    runners: dict[str, NodeRunner] = {}
    for change in plan.changes:
        if change.kind == "removed":
            continue
        spec = plan.new.nodes[change.name]
        if change.kind == "added":
            runners[change.name] = runtime.new_runner(spec, fresh[change.name])
            continue
        runner = runtime.runners[change.was]
        if change.kind == "replaced" and not _same_place(runner, fresh[change.name]):
            runners[change.name] = runtime.new_runner(spec, fresh[change.name])
            continue
        runners[change.name] = runner
        if change.kind == "replaced":
            replaced.append(runner.node)
            runner.install(spec, fresh[change.name], fresh[change.name].context)
        else:
            runner.spec, runner.name = spec, change.name
            _move(runner, plan.new, change.name)
    staying = {id(runner) for runner in runners.values()}
    leaving = [runner for runner in runtime.runners.values() if id(runner) not in staying]
    runtime.leaving += leaving
    runtime.rewire(plan, runners, leaving)
    return leaving, replaced


def _same_place(runner: NodeRunner, node: Node) -> bool:
    """Whether a node can take over the runner as it is, queue and counters and all."""
    for runner_type, node_type in ((SourceRunner, Source), (InferenceRunner, Inference), (OutboxRunner, Outbox)):
        if isinstance(runner, runner_type) or isinstance(node, node_type):
            return isinstance(runner, runner_type) and isinstance(node, node_type)
    return True


def _exchange_drivers(runtime: Runtime, plan: Plan, leaving: list[NodeRunner]) -> None:
    """Start new collectors, stop the workers of what left or was replaced, then start new sources."""
    gone = {id(runner) for runner in leaving}
    stopped = {change.was for change in plan.changes if change.kind in ("removed", "replaced")}
    workers: dict[str, Worker] = {}
    ending: list[Worker] = []
    was = {change.was: change.name for change in plan.changes if change.was and change.kind != "removed"}
    for name in [name for name in plan.old.order() if name in runtime.workers]:
        worker = runtime.workers[name]
        if id(worker.runner) in gone or (name in stopped and isinstance(worker, SourceWorker)):
            ending.append(worker)
        else:
            worker.name = was[name]
            workers[worker.name] = worker
    runtime.workers = workers
    for runner in runtime.runners.values():  # collectors first: what ends may still have something for them
        if isinstance(runner, InferenceRunner) and runner.name not in runtime.workers:
            runtime.start_worker(runner)
    for worker in ending:  # upstream first: what one still carries, the next can still take
        worker.stop()
        if not worker.join(JOIN_S):
            log.warning("%s did not come to its end within %g s and is left behind", worker.name, JOIN_S)
            worker.abandon()
    for name in plan.new.order():
        if name not in runtime.workers:
            runtime.start_worker(runtime.runners[name])


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
                    "%s was removed with %d records undelivered; they are parked in the journal", runner.name, left
                )
    for change in plan.changes:
        if change.kind == "removed":
            continue
        runner = runtime.runners[change.name]
        if not isinstance(runner, OutboxRunner) or not isinstance(runner.node, Outbox):
            continue
        if change.kind == "added" or (change.kind == "replaced" and change.was not in runtime.outboxes):
            runtime.delivery.add(change.name, runner.node)
        elif change.kind == "replaced":
            runtime.delivery.swap(change.name, runner.node)
    runtime.outboxes = {name for name, runner in runtime.runners.items() if isinstance(runner, OutboxRunner)}
    return parked
