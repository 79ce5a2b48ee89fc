"""The reloader: an edited flow is read, planned and applied, or refused and its problems shown.

Invariants
- What counts is content: a save that changes no byte of any file does nothing.
- A file with problems leaves the running flow untouched; its problems stand in the status until they are mended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from flowrt.config import load
from flowrt.config.cache import LoadCache
from flowrt.contract import Contract
from flowrt.diagnostics import Diagnostic, FlowError
from flowrt.flow import Flow
from flowrt.plan import Plan
from flowrt.runtime import ReloadFailed, Runtime
from flowrt.runtime.hangs import SLOW_S
from flowrt.runtime.hooks import HookHangs
from flowrt.runtime.reload import apply, refuse_rename
from flowrt.system.threads import from_keyboard, one_line

log = logging.getLogger("flowrt")

LOAD_S = 60.0
"""How long it may take to read an edit, with the modules of its nodes."""


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
    diagnostics: list[Diagnostic] = msgspec.field(default_factory=list, name="problems")


class Reloader:
    """Turns edits of the flow file into changes of the running graph. Safe to call from any thread."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        overrides: Mapping[str, str] | None = None,
        strict: bool = False,
        cache: LoadCache | None = None,
        on_load: Callable[[Flow], None] | None = None,
        on_reload: Callable[[Reload], None] | None = None,
    ) -> None:
        """cache: of the load that the runtime's flow came from. on_load: called with each edited flow before anything is done with it.
        on_reload: called with the result.
        """
        self.runtime = runtime
        self.strict = strict
        self.history: list[Reload] = []
        self.outcomes = {"applied": 0, "refused": 0}
        self.on_load = on_load
        self.on_reload = on_reload
        self._overrides = dict(overrides or {})
        self._busy = threading.Lock()
        self._number = 0
        self._named: frozenset[Path] = frozenset()
        self._cache = cache or LoadCache()
        self._seen = self._fingerprints(runtime.flow.files)
        self._schemas = self._own_schemas(runtime.flow)

    @property
    def overrides(self) -> Mapping[str, str]:
        """What `--set` said; it holds for every load."""
        return self._overrides

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
            return self._reload(reason, time.perf_counter(), self._fingerprints(self.files()))

    def follow(self, reason: str, since: float | None = None) -> Reload | None:
        """The same, but only where a file that the flow was read from has another content than when it was last looked at.

        since: when the edit was noticed (time.perf_counter), for the timings.
        """
        with self._busy:
            seen = self._fingerprints(self.files())
            if seen == self._seen:
                return None
            return self._reload(reason, time.perf_counter() if since is None else since, seen)

    def _reload(self, reason: str, started: float, seen: dict[Path, str]) -> Reload:
        self._seen = seen
        self._number += 1
        report = self._attempt(reason, started)
        self._seen = {file: self._seen.get(file, "") for file in self.files()}
        self.history.append(report)
        self.outcomes["applied" if report.ok else "refused"] += 1
        del self.history[:-100]
        self.runtime.reloads = [*self.runtime.reloads, msgspec.to_builtins(report)][-len(self.history) :]
        self._tell(report)
        return report

    def _attempt(self, reason: str, started: float) -> Reload:
        """Whatever goes wrong refuses the edit: neither it nor what it may still do ends the thread that asked."""
        try:
            return self._follow_file(reason, started)
        except FlowError as error:
            count = len(error.diagnostics)
            message = f"{count} problem{'s' if count > 1 else ''}; the flow goes on as it was"
            return self._refused(reason, message, error.diagnostics)
        except BaseException as error:  # a node or a file that raises something unexpected
            if from_keyboard(error):
                raise
            log.exception("the reload failed")
            message = f"the reload failed: {one_line(error)}; the flow goes on as it was"
            return self._refused(reason, message, [self.runtime.flow.diagnostic("", message)])

    def _follow_file(self, reason: str, started: float) -> Reload:
        if not self.path.exists():
            diagnostic = Diagnostic(
                file=str(self.path), severity="warning",
                message="the flow file is gone; the flow goes on as it was", hint="put the file back to go on editing",
            )  # fmt: skip
            return self._refused(reason, diagnostic.message, [diagnostic])
        new = self._read()
        if self.on_load is not None:
            self.on_load(new)
        loaded = time.perf_counter()
        plan = Plan.between(self.runtime.flow, new)
        words: dict[str, Any] = {"plan": plan.names(), "lines": plan.lines()}
        planned = time.perf_counter()
        try:
            refuse_rename(plan)
            self._follow_schemas(new)
            if plan.empty:
                self.runtime.adopt(new)
                self.runtime.diagnostics = []
                return self._report(reason, True, "nothing changes", **words)
            facts = apply(self.runtime, plan, strict=self.strict, superseded=self._is_superseded)
        except ReloadFailed as error:
            return self._refused(reason, str(error), [new.diagnostic(error.node, str(error))], **words)
        self.runtime.diagnostics = []
        took = {
            "load": round((loaded - started) * 1e3, 2),
            "plan": round((planned - loaded) * 1e3, 2),
            "open": facts["open_ms"],
            "rest": facts["rest_ms"],
            "total": round((planned - started) * 1e3 + facts["in_force_ms"], 2),
        }
        return self._report(
            reason, True, "in force", took_ms=took, parked=facts["parked"], ledger=facts["ledger"], **words
        )

    def _report(self, reason: str, ok: bool, message: str, **facts: Any) -> Reload:
        return Reload(number=self._number, time_s=time.time(), reason=reason, ok=ok, message=message, **facts)

    def _refused(self, reason: str, message: str, diagnostics: Iterable[Diagnostic], **facts: Any) -> Reload:
        shown = list(diagnostics)
        self.runtime.diagnostics = [msgspec.to_builtins(diagnostic) for diagnostic in shown]
        return self._report(reason, False, message, diagnostics=shown, **facts)

    def _read(self) -> Flow:
        """The flow as its files say it now; none of them was read before it was fingerprinted. Raises FlowError."""
        while True:
            error = None
            try:
                new = self._load()
                self._named = frozenset(new.files)
            except FlowError as diagnostics:
                error = diagnostics
                self._named = frozenset(Path(diagnostic.file).absolute() for diagnostic in error.diagnostics)
            unseen = self._named - self._seen.keys()
            if not unseen:
                if error is not None:
                    raise error
                return new
            self._seen |= self._fingerprints(unseen)

    def _load(self) -> Flow:
        """A node's module runs code when it is imported: one that hangs must not keep later edits waiting."""
        cache, began = self._cache, time.monotonic()

        def give_up() -> bool:
            late = time.monotonic() - began > SLOW_S and self._is_superseded()
            return late or self.runtime.ending.is_set()

        try:
            return self.runtime.hooks.call(
                "the flow file",
                "load",
                lambda _: load(self.path, overrides=self._overrides, cache=cache),
                until=began + LOAD_S,
                give_up=give_up,
            )
        except HookHangs:
            self._cache = LoadCache()  # the other one is still in use
            raise

    def _is_superseded(self) -> bool:
        """Whether a file has another content by now than the reload under way has read."""
        return self._fingerprints(self._seen) != self._seen

    def _own_schemas(self, flow: Flow) -> dict[Path, str]:
        return self._fingerprints(
            file for file in flow.files if "schemas" in file.parts and file.is_relative_to(flow.folder)
        )

    def _follow_schemas(self, new: Flow) -> None:
        """Where the flow's own schemas changed, payloads and points are made by the new ones from here on. Raises ReloadFailed."""
        schemas = self._own_schemas(new)
        if schemas != self._schemas:
            self.runtime.adopt_contract(Contract.of_flow(new.folder))
            self._schemas = schemas

    def _tell(self, report: Reload) -> None:
        if report.ok:
            took = f" in {report.took_ms['total']:.0f} ms" if report.took_ms else ""
            log.info("reload %d (%s): %s%s", report.number, report.reason, report.message, took)
            for line in report.lines:
                log.info("  %s", line)
        else:
            log.warning("reload %d (%s) refused: %s", report.number, report.reason, report.message)
            for diagnostic in report.diagnostics:
                log.warning("  %s", diagnostic)
        if self.on_reload is not None:
            self.on_reload(report)

    def _fingerprints(self, files: Iterable[Path]) -> dict[Path, str]:
        return {file: self._cache.fingerprints.of(file) for file in files}
