"""Long-lived threads under one supervisor: none of them ends or hangs unnoticed.

A run makes one `Supervisor` and passes it to whatever needs a thread for as long as the run lasts (the journal's writer, deliverers, the
watcher, drivers). What a thread raises, `SystemExit` included, is logged with its traceback and kept for the status; the thread
starts again where its owner says that this is safe. A thread whose target returns has done its work and is forgotten.
"""

from __future__ import annotations

import contextlib
import logging
import opcode
import threading
import time
import traceback
from collections.abc import Callable

import msgspec

from flowrt.system.backoff import Backoff

Log = logging.Logger | logging.LoggerAdapter[logging.Logger]

STEADY_S = 60.0
"""After so long without a fault a restarted thread counts as well: its waits begin anew, and its last fault is no trouble any more."""


class ThreadStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One supervised thread. alive: its target runs, or will run again. faults: how often it raised.

    error, traceback: of the last fault; empty where there was none. silent_s: since its last beat, where it promised to beat.
    trouble: what is wrong with it now, in a sentence; empty where nothing is.
    """

    name: str
    alive: bool
    faults: int
    error: str
    traceback: str
    silent_s: float | None
    trouble: str


class SupervisedThread:
    """One thread of a `Supervisor`, which makes it."""

    def __init__(
        self, name: str, target: Callable[[], None], log: Log, restart: Backoff | None, beat_within_s: float | None
    ) -> None:
        self.name = name
        self._target, self._log, self._restart, self._beat_within_s = target, log, restart, beat_within_s
        self._stopping = threading.Event()
        self._faults, self._error, self._traceback = 0, "", ""
        self._beaten = self._failed = time.monotonic()
        self._thread = threading.Thread(target=self._run, name=f"flowrt-{name}", daemon=True)

    def start(self) -> None:
        """Begin; once."""
        self._thread.start()

    def beat(self) -> None:
        """Called by the target, from time to time: it makes progress."""
        self._beaten = time.monotonic()

    def stop(self) -> None:
        """Do not start again, whatever ends the target. Telling the target to end is its owner's part."""
        self._stopping.set()

    def join(self, timeout_s: float) -> bool:
        """Wait for the end, if it was started; False where it takes longer."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """Whether the target runs, or will run again."""
        return self._thread.is_alive()

    @property
    def ident(self) -> int | None:
        """As `threading.get_ident` names it; None before it was started."""
        return self._thread.ident

    @property
    def progresses(self) -> bool:
        """Whether it neither was ended by a fault nor is silent for longer than it promised."""
        if self.finished or self._thread.ident is None:
            return True
        silent_s = time.monotonic() - self._beaten
        return self.alive and (self._beat_within_s is None or silent_s <= self._beat_within_s)

    @property
    def finished(self) -> bool:
        """Whether its target returned, or it was stopped."""
        return self._thread.ident is not None and not self.alive and (not self._error or self._stopping.is_set())

    def status(self) -> ThreadStatus:
        """A snapshot."""
        now = time.monotonic()
        silent_s = None if self._beat_within_s is None else now - self._beaten
        return ThreadStatus(
            name=self.name,
            alive=self.alive,
            faults=self._faults,
            error=self._error,
            traceback=self._traceback,
            silent_s=silent_s,
            trouble=self._trouble(now, silent_s),
        )

    def _trouble(self, now: float, silent_s: float | None) -> str:
        if self.finished:
            return ""
        if not self.alive:
            return f"the thread '{self.name}' ended: {self._error}" if self._error else ""  # or it was not started yet
        if self._error and now - self._failed < STEADY_S:
            return f"the thread '{self.name}' failed and was started again: {self._error}"
        if self._stopping.is_set():
            return ""  # it was given up, and its progress matters to nothing
        if silent_s is not None and self._beat_within_s is not None and silent_s > self._beat_within_s:
            return f"the thread '{self.name}' has made no progress for {silent_s:.0f} s"
        return ""

    def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._target()
            except BaseException as error:  # also SystemExit: a thread that ends for any reason has to say so
                self._fail(error)
            else:
                return
            if self._restart is None or self._stopping.is_set():
                return
            if time.monotonic() - began > STEADY_S:
                self._restart.reset()
            if self._stopping.wait(self._restart.wait_s()):
                return
            self.beat()

    def _fail(self, error: BaseException) -> None:
        self._faults += 1
        self._failed = time.monotonic()
        self._traceback = printable("".join(traceback.format_exception(error))[-20_000:], "\n")
        self._error = one_line(error)
        with contextlib.suppress(Exception):  # a log that can't be written must not keep the thread from starting again
            self._log.critical("the thread '%s' failed: %s", self.name, self._error, exc_info=error)


class Supervisor:
    """The long-lived threads of one run. Methods may be called from any thread."""

    def __init__(self, log: Log | None = None) -> None:
        self._log: Log = log or logging.getLogger("flowrt.system.threads")
        self._lock = threading.Lock()
        self._threads: list[SupervisedThread] = []

    def thread(
        self,
        name: str,
        target: Callable[[], None],
        *,
        restart: Backoff | None = None,
        beat_within_s: float | None = None,
    ) -> SupervisedThread:
        """A thread that is yet to be started. restart: the waits before `target` is called again after it raised; None where it is not.

        beat_within_s: how long it may go without `beat()`; None where it does not beat.
        """
        thread = SupervisedThread(name, target, self._log, restart, beat_within_s)
        with self._lock:
            self._threads = [known for known in self._threads if not known.finished]
            self._threads.append(thread)
        return thread

    def statuses(self) -> list[ThreadStatus]:
        """Every thread that runs, or was ended by a fault."""
        with self._lock:
            return [thread.status() for thread in self._threads if not thread.finished]

    def trouble(self) -> list[str]:
        """What is wrong with threads now, one sentence each; empty where all make progress."""
        return [status.trouble for status in self.statuses() if status.trouble]

    def progresses(self) -> bool:
        """Whether every thread runs and beats; one that was started again after a fault does."""
        with self._lock:
            return all(thread.progresses for thread in self._threads)

    def failed(self) -> list[ThreadStatus]:
        """Threads that a fault has ended for good."""
        return [status for status in self.statuses() if status.error and not status.alive]


def from_keyboard(error: BaseException) -> bool:
    """Whether this is Ctrl-C at the terminal, and not the fault of code that raises it by a statement of its own."""
    on_main_thread = threading.current_thread() is threading.main_thread()
    return isinstance(error, KeyboardInterrupt) and on_main_thread and not _is_raised_by_a_statement(error)


def _is_raised_by_a_statement(error: BaseException) -> bool:
    """A signal interrupts between any two instructions, and is no `raise` itself."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return False
    return trace.tb_frame.f_code.co_code[trace.tb_lasti] == opcode.opmap["RAISE_VARARGS"]


def one_line(error: BaseException, most: int = 500) -> str:
    """Type and text of an exception, cut, also where its text raises."""
    text = text_of(error, most)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def text_of(error: BaseException, most: int = 500) -> str:
    """The text of an exception in one line, cut, without what a terminal obeys; also where it raises; empty where it has none."""
    try:
        text = str(error)
    except Exception as bad:  # an exception of someone else's making
        text = f"(its text raises {type(bad).__name__})"
    return " ".join(printable(text[: 2 * most]).split())[:most]


def printable(text: str, but: str = "") -> str:
    """The text with spaces in place of what a terminal obeys and of what is no character; but: what stays."""
    return "".join(char if char.isprintable() or char in but else " " for char in text)
