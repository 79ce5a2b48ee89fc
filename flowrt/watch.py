"""Reloading: the flow file and everything it uses, watched; an edit checked, planned and applied, or refused and said so.

Invariants
- Folders are watched, not inodes, so that editors that save by rename and symlink swaps (Kubernetes ConfigMaps) are seen. What
  else happens in those folders (a journal, a log) neither starts a reload nor holds one up.
- What counts is content: a save that changes no byte of any file does nothing.
- A file with problems leaves the running flow untouched; its problems stand in the status until they are mended.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec
from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.polling import PollingObserver

from flowrt.catalog import Catalog, NodeTypeError
from flowrt.contract import Contract
from flowrt.fingerprint import fingerprint
from flowrt.flow import Flow
from flowrt.load import load
from flowrt.load.report import locate
from flowrt.plan import Plan
from flowrt.problem import FlowError, Problem
from flowrt.runtime import ReloadFailed, Runtime
from flowrt.runtime.reload import apply

log = logging.getLogger("flowrt")

WatchMode = Literal["auto", "poll", "off"]
QUIET_S = 0.02
"""An edit is over when nothing has happened to its files for so long."""

WRITTEN_S = 0.004
"""The same after a file was closed by who wrote it, or moved into its place: only further files may follow."""

EVENTS: list[type[FileSystemEvent]] = [
    FileModifiedEvent, FileClosedEvent, FileMovedEvent, FileCreatedEvent, FileDeletedEvent,
    DirMovedEvent, DirCreatedEvent, DirDeletedEvent,
]  # fmt: skip
"""What is asked of the system: not to be told of files that are only read, since a reload reads many."""

MAX_LINKS = 40
"""How many links on the way to a file are followed; Linux gives up there too."""

EMPTY_S = 0.3
"""How long an empty flow file is given to be filled, before it counts as an edit."""

READY_AFTER_S = 3.0
"""When a flow has run for so long, what an edit may bring into it is imported: the first added rule need not wait for that."""


class Reload(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one reload. plan: kind to node names; lines: the plan in words; took_ms: by stage."""

    number: int
    time_s: float
    reason: str
    ok: bool
    message: str
    plan: dict[str, list[str]] = {}
    lines: list[str] = []
    took_ms: dict[str, float] = {}
    parked: dict[str, int] = {}
    ledger: dict[str, Any] = {}
    problems: list[Problem] = []


class Reloader:
    """Turns edits of the flow file into changes of the running graph. Safe to call from any thread."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        overrides: Mapping[str, str] | None = None,
        strict: bool = False,
        on_load: Callable[[Flow], None] | None = None,
        on_reload: Callable[[Reload], None] | None = None,
    ) -> None:
        """on_load: told of each edited flow before anything is done with it. on_reload: told what became of it."""
        self.runtime = runtime
        self.strict = strict
        self.history: list[Reload] = []
        self.on_load = on_load
        self.on_reload = on_reload
        self._overrides = dict(overrides or {})
        self._busy = threading.Lock()
        self._number = 0
        self._named: frozenset[Path] = frozenset()
        self._seen = fingerprints(runtime.flow.files)
        self._schemas = self._own_schemas(runtime.flow)

    @property
    def path(self) -> Path:
        """The flow file."""
        return self.runtime.flow.path

    def files(self) -> tuple[Path, ...]:
        """What is watched: the running flow's files, and those of the last edit or its problems, which may have been refused."""
        return tuple({*self.runtime.flow.files, *self._named})

    def reload(self, reason: str) -> Reload:
        """Read the flow file and bring the running graph to it."""
        with self._busy:
            return self._reload(reason, time.perf_counter(), fingerprints(self.files()))

    def follow(self, reason: str, since: float | None = None) -> Reload | None:
        """The same, but only where a file that the flow was read from has another content than when it was last looked at.

        since: when the edit was noticed (time.perf_counter), for the timings.
        """
        with self._busy:
            seen = fingerprints(self.files())
            if seen == self._seen:
                return None
            return self._reload(reason, time.perf_counter() if since is None else since, seen)

    def _reload(self, reason: str, started: float, seen: dict[Path, str]) -> Reload:
        self._seen = seen
        self._number += 1
        report = self._attempt(reason, started)
        self._seen = {file: self._seen[file] for file in self.files()}
        self.history.append(report)
        del self.history[:-100]
        self.runtime.reloads = [*self.runtime.reloads, msgspec.to_builtins(report)][-len(self.history) :]
        self._tell(report)
        return report

    def _attempt(self, reason: str, started: float) -> Reload:
        def report(ok: bool, message: str, **facts: Any) -> Reload:
            return Reload(number=self._number, time_s=time.time(), reason=reason, ok=ok, message=message, **facts)

        if not self.path.exists():
            problem = Problem(
                file=str(self.path), line=0, column=0, path="", severity="warning",
                message="the flow file is gone; the flow goes on as it was", hint="put the file back to go on editing",
            )  # fmt: skip
            self.runtime.problems = [msgspec.to_builtins(problem)]
            return report(False, problem.message, problems=[problem])
        try:
            new = self._read()
        except FlowError as error:
            self.runtime.problems = [msgspec.to_builtins(problem) for problem in error.problems]
            count = len(error.problems)
            message = f"{count} problem{'s' if count > 1 else ''}; the flow goes on as it was"
            return report(False, message, problems=list(error.problems))
        if self.on_load is not None:
            self.on_load(new)
        self._follow_schemas(new)
        loaded = time.perf_counter()
        plan = Plan.between(self.runtime.flow, new)
        if plan.empty:
            self._adopt(new)
            return report(True, "nothing changes", plan=plan.names(), lines=plan.lines())
        planned = time.perf_counter()
        try:
            facts = apply(self.runtime, plan, strict=self.strict)
        except ReloadFailed as error:
            mark = locate(self.path, "nodes", error.node)
            problem = Problem(
                file=mark.file, line=mark.line, column=mark.column, path=f"nodes.{error.node}" if error.node else "",
                message=str(error),
            )  # fmt: skip
            self.runtime.problems = [msgspec.to_builtins(problem)]
            return report(False, str(error), plan=plan.names(), lines=plan.lines(), problems=[problem])
        self.runtime.problems = []
        took = {
            "load": round((loaded - started) * 1e3, 2),
            "plan": round((planned - loaded) * 1e3, 2),
            "open": facts["open_ms"],
            "rest": facts["rest_ms"],
            "total": round((planned - started) * 1e3 + facts["in_force_ms"], 2),
        }
        return report(
            True, "in force", plan=plan.names(), lines=plan.lines(), took_ms=took,
            parked=facts["parked"], ledger=facts["ledger"],
        )  # fmt: skip

    def _read(self) -> Flow:
        """The flow as its files say it now; none of them was read before it was fingerprinted. Raises FlowError."""
        while True:
            error = None
            try:
                new = load(self.path, overrides=self._overrides)
                self._named = frozenset(new.files)
            except FlowError as problems:
                error = problems
                self._named = frozenset(Path(problem.file).absolute() for problem in error.problems)
            unseen = self._named - self._seen.keys()
            if not unseen:
                if error is not None:
                    raise error
                return new
            self._seen |= fingerprints(unseen)

    @staticmethod
    def _own_schemas(flow: Flow) -> dict[Path, str]:
        return fingerprints(file for file in flow.files if "schemas" in file.parts and file.is_relative_to(flow.folder))

    def _follow_schemas(self, new: Flow) -> None:
        """Where the flow's own schemas changed, payloads and points are made by the new ones from here on."""
        schemas = self._own_schemas(new)
        if schemas != self._schemas:
            self.runtime.adopt_contract(Contract.of_flow(new.folder))
            self._schemas = schemas

    def _adopt(self, new: Flow) -> None:
        """The same graph from another text: keep the new marks and files, touch no node."""
        with self.runtime.structure:
            self.runtime.flow = new
            self.runtime.problems = []

    def _tell(self, report: Reload) -> None:
        if report.ok:
            took = f" in {report.took_ms['total']:.0f} ms" if report.took_ms else ""
            log.info("reload %d (%s): %s%s", report.number, report.reason, report.message, took)
            for line in report.lines:
                log.info("  %s", line)
        else:
            log.warning("reload %d (%s) refused: %s", report.number, report.reason, report.message)
            for problem in report.problems:
                log.warning("  %s", problem)
        if self.on_reload is not None:
            self.on_reload(report)


def fingerprints(files: Iterable[Path]) -> dict[Path, str]:
    """What is in each file."""
    return {file: fingerprint(file) for file in files}


class Watcher(FileSystemEventHandler):
    """Watches the folders of a flow's files and reloads after each edit, once it is over."""

    def __init__(self, reloader: Reloader, mode: WatchMode = "auto", poll_s: float = 0.5) -> None:
        self._reloader = reloader
        self._observer = PollingObserver(timeout=poll_s) if mode == "poll" else Observer()
        self._folders: dict[Path, Any] = {}
        self._ways: frozenset[str] = frozenset()
        self._wake = threading.Condition()
        self._since = 0.0  # when an edit began that was not looked at yet; 0 where there is none
        self._over = 0.0  # when that edit is taken to be over
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="watch", daemon=True)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin to watch."""
        self._observe()
        self._observer.start()
        self._thread.start()
        threading.Thread(target=self._get_ready, name="get ready", daemon=True).start()

    def stop(self) -> None:
        """End; a reload under way is finished first."""
        self._stopped.set()
        with self._wake:
            self._stopping = True
            self._wake.notify_all()
        self._thread.join(10)
        self._observer.stop()
        self._observer.join(5)

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Something happened in one of the folders; what, the content hash will tell."""
        into = event.dest_path in self._ways
        if not into and event.src_path not in self._ways:
            return
        self._look_after(WRITTEN_S if into or isinstance(event, FileClosedEvent) else QUIET_S)

    def _look_after(self, wait_s: float) -> None:
        """Look for changes when nothing more has happened for so long."""
        with self._wake:
            now = time.perf_counter()
            self._since = self._since or now
            self._over = now + wait_s
            self._wake.notify_all()

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._stopping and not self._since:
                    self._wake.wait()
                if self._stopping:
                    return
                left_s = self._over - time.perf_counter()
                if left_s > 0:
                    self._wake.wait(left_s)
                    continue
                since, self._since = self._since, 0.0
            self._let_it_be_written()
            if self._reloader.follow("file changed", since) is not None:
                self._observe()

    def _get_ready(self) -> None:
        """Import the node types that are installed, and what they import later, one after the other."""
        if self._stopped.wait(READY_AFTER_S):
            return
        catalog = Catalog(self._reloader.path.parent)
        for name in catalog.names():
            with contextlib.suppress(NodeTypeError, ImportError):  # who uses it will be told
                for module in sorted(catalog.get(name).cls.lazy):
                    importlib.import_module(module)
            if self._stopped.wait(QUIET_S):
                return

    def _let_it_be_written(self) -> None:
        """A flow file that is empty has most likely been cut short by an editor that is about to fill it: wait a moment."""
        end = time.perf_counter() + EMPTY_S
        while time.perf_counter() < end and not self._stopping:
            try:
                if self._reloader.path.stat().st_size:
                    return
            except OSError:
                return
            time.sleep(QUIET_S)

    def _observe(self) -> None:
        """Watch the folders in which something may change what a file of the flow reads."""
        ways = ways_to(self._reloader.files())
        wanted = {way.parent for way in ways}
        self._ways = frozenset(map(str, [*ways, *wanted, *(above for folder in wanted for above in folder.parents)]))
        local = self._reloader.path.parent / "nodes"
        if local.is_dir():
            wanted.add(local)
        fresh = {folder for folder in wanted - self._folders.keys() if folder.is_dir()}
        for folder in fresh:
            self._folders[folder] = self._observer.schedule(self, str(folder), event_filter=EVENTS)
        if fresh:
            self._look_after(QUIET_S)  # something may have happened there since the files were read
        for folder in self._folders.keys() - wanted:
            self._observer.unschedule(self._folders.pop(folder))


def ways_to(files: Iterable[Path]) -> list[Path]:
    """The files, every link on the way to them, and what those point at: what is in the files changes with any of these."""
    is_link = functools.cache(Path.is_symlink)
    ways = [file.absolute() for file in files]
    limit = MAX_LINKS * len(ways)
    for way in ways:
        link = next((part for part in (way, *way.parents) if is_link(part)), None)
        if link is not None and len(ways) < limit:
            target = link.parent / link.readlink() / way.relative_to(link)
            ways += [place for place in (link, target) if place not in ways]
    return ways
