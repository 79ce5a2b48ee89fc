"""What hangs: hooks and workers that are at one thing for too long, named with node, hook and place in the code.

A worker does not note which node it is at, since that would cost as much as a hop. Its stack tells, and is looked at only when it is late.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from time import monotonic
from types import FrameType
from typing import NamedTuple

from flowrt.runtime.channel import Channel
from flowrt.runtime.hooks import Hooks
from flowrt.runtime.inference import InferenceRunner
from flowrt.runtime.runner import NodeRunner
from flowrt.runtime.worker import Worker
from flowrt.system.backoff import Backoff
from flowrt.system.threads import Supervisor

log = logging.getLogger("flowrt")

SLOW_S = 10.0
"""A hook, or a message in one node, that takes longer is named in log, readiness and health."""
STANDSTILL_S = 30.0
"""A worker that carries one message for so long makes no progress: a watchdog may end the run."""
TICK_S = 1.0

_HOOKS = {"collect": "collect", "_encode_and_accept": "encode", "finish": "finish"}
"""What a runner's function is at when it is the innermost one; the others are at `process`, or `submit`."""
_OURS = ("flowrt.", "threading", "concurrent.futures", "contextlib")


class Place(NamedTuple):
    """What a thread is at. node: empty where it is in no node. where: file and line in the node's own code, where that is known."""

    node: str
    hook: str
    where: str

    def __str__(self) -> str:
        return f"'{self.hook}'" + (f" (at {self.where})" if self.where else "")


class Hang(NamedTuple):
    """One thing that hangs, since a `time.monotonic`: a node in a hook, or a worker (no hook) with one message."""

    node: str
    hook: str
    since: float
    text: str


def place_of(thread: int) -> Place:
    """What a thread is at now."""
    frame = sys._current_frames().get(thread)  # public, in spite of its name: the one way to another thread's stack
    own: FrameType | None = None
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.startswith("flowrt.runtime."):
            if frame.f_code is Channel.put.__code__:
                return Place("", "put", "")
            runner = frame.f_locals.get("runner", frame.f_locals.get("self"))
            if isinstance(runner, NodeRunner):
                return Place(runner.name, _hook_of(runner, frame), _where(own))
        elif not module.startswith(_OURS):
            own = frame
        frame = frame.f_back
    return Place("", "", _where(own))


def _hook_of(runner: NodeRunner, frame: FrameType) -> str:
    if "field" in frame.f_locals:
        return f"on_{frame.f_locals['field']}"
    return _HOOKS.get(frame.f_code.co_name, "submit" if isinstance(runner, InferenceRunner) else "process")


def _where(frame: FrameType | None) -> str:
    if frame is None:
        return ""
    return f"{'/'.join(PurePath(frame.f_code.co_filename).parts[-2:])}:{frame.f_lineno}"


def hanging(hooks: Hooks, workers: Mapping[str, Worker], after_s: float | None = None) -> list[Hang]:
    """Hooks and workers that have been at one thing for so long, `SLOW_S` where it is not said."""
    after_s = SLOW_S if after_s is None else after_s
    now = monotonic()
    found = []
    for call in hooks.calls():
        if now - call.began > after_s:
            at = place_of(call.thread)
            within = f", now in {at} of {at.node}" if at.node not in ("", call.node) else ""
            where = f" (at {at.where})" if at.where and not within else ""
            text = f"{call.node} has been in '{call.hook}' for {now - call.began:.0f} s{where}{within}"
            found.append(Hang(call.node, call.hook, call.began, text))
    for name, worker in list(workers.items()):
        since = worker.busy_since(now)
        if since is not None and now - since > after_s:
            found.append(Hang(name, "", since, _busy_text(name, worker, now - since)))
    return found


def _busy_text(name: str, worker: Worker, busy_s: float) -> str:
    text = f"{name} has been busy with one message for {busy_s:.0f} s"
    at = what_it_is_at(worker)
    if at.hook == "put":
        return f"{text}: it waits for the node behind it"
    return f"{text}: {at.node} is in {at}" if at.node else text


def what_it_is_at(worker: Worker) -> Place:
    """What a worker's threads are at: a node's hook where one carries a message, else what the source does."""
    places = [place_of(thread) for thread in worker.idents()]
    busy = [place for place in places if place.node or place.hook]
    idle = [place for place in places if place.where]
    return busy[0] if busy else Place(worker.name, "produce", idle[0].where if idle else "")


def stands_still(workers: Iterable[Worker]) -> bool:
    """Whether one of these carries one message for so long that it makes no progress."""
    now = monotonic()
    return any(worker.busy_s(now) > STANDSTILL_S for worker in workers)


class HangWatch:
    """Tells the log what hangs, once each, and when it goes on."""

    def __init__(self, supervisor: Supervisor, hooks: Hooks, workers: Callable[[], Mapping[str, Worker]]) -> None:
        self._hooks, self._workers = hooks, workers
        self._stopping = threading.Event()
        self._thread = supervisor.thread("hang watch", self._run, restart=Backoff(0.1, 5.0))

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End."""
        self._thread.stop()
        self._stopping.set()
        self._thread.join(1.0)  # so that no thread is left behind

    def _run(self) -> None:
        told: dict[tuple[str, str, float], Hang] = {}
        while not self._stopping.wait(TICK_S):
            now = {hang[:3]: hang for hang in hanging(self._hooks, self._workers())}
            for key, hang in now.items():
                if key not in told:
                    log.error("%s", hang.text, extra={"node": hang.node})
            for key in told.keys() - now.keys():
                node, hook, since = key
                log.warning("%s goes on after %.0f s%s", node, monotonic() - since, f" in '{hook}'" if hook else "")
            told = now
