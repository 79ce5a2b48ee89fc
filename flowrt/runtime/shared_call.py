"""Calls that may hang: on a thread of their own, so that no caller waits for longer than it wants to; or told while they go on."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

log = logging.getLogger("flowrt")

SLOW_S = 10.0
"""A hook of a node that goes on for longer is named in the log."""


class SharedCall(Generic[T]):
    """Calls a function, once at a time: a caller that asks while a call is under way gets its result."""

    def __init__(self, function: Callable[[], T], name: str) -> None:
        self._function, self._name = function, name
        self._lock = threading.Lock()
        self._future: Future[T] | None = None

    def future(self) -> Future[T]:
        """The result of the call under way, or of a new one."""
        with self._lock:
            if self._future is None or self._future.done():
                self._future = Future()
                threading.Thread(target=self._call, args=(self._future,), name=self._name, daemon=True).start()
            return self._future

    def result(self, timeout_s: float) -> T:
        """The same, waited for. Raises TimeoutError, and what the function raised."""
        return self.future().result(timeout_s)

    def _call(self, future: Future[T]) -> None:
        try:
            future.set_result(self._function())
        except BaseException as error:  # raised again where it is asked for
            future.set_exception(error)


@contextlib.contextmanager
def told_when_slow(node: str, hook: str, after_s: float = SLOW_S) -> Iterator[None]:
    """Say in the log which hook of which node is still going on after so long, for the caller waits for it."""
    timer = threading.Timer(
        after_s, log.warning, ("%s: '%s' has been going on for %g s; it holds up the rest", node, hook, after_s)
    )
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join(1.0)  # so that no thread is left behind
