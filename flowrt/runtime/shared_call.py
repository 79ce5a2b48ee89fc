"""Calls that several may ask for and that may hang: on a thread of their own, so that no caller waits for longer than it wants to."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


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
