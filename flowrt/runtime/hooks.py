"""Calls of nodes' hooks: noted while they go on, so that one that hangs can be named, and given up where the caller has a bound.

`process` and its kin are not noted, since that costs as much as a hop; `hangs.py` looks at the threads that carry messages.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from time import monotonic
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger("flowrt")

LOOK_S = 0.1
"""How often a caller that waits for a hook looks whether it shall give up."""


class HookHangs(Exception):
    """A hook did not come back in time and was left behind."""


class HookCall:
    """A call that goes on. thread: where. given_up: nobody waits for it any more; it must change nothing."""

    def __init__(self, node: str, hook: str) -> None:
        self.node, self.hook = node, hook
        self.began = monotonic()
        self.thread = threading.get_ident()
        self.given_up = False


class Hooks:
    """The hook calls of one runtime. threads: without them every call is made on the caller's thread, and can't be given up."""

    def __init__(self, *, threads: bool) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._calls: list[HookCall] = []

    def calls(self) -> list[HookCall]:
        """Those that go on now, the oldest first."""
        with self._lock:
            return list(self._calls)

    def is_left_behind(self, node: str, hook: str) -> bool:
        """Whether a call of this hook was given up and still goes on."""
        return any((call.node, call.hook, call.given_up) == (node, hook, True) for call in self.calls())

    @contextlib.contextmanager
    def noted(self, node: str, hook: str) -> Iterator[HookCall]:
        """Note what the caller does meanwhile."""
        call = HookCall(node, hook)
        with self._lock:
            self._calls.append(call)
        try:
            yield call
        finally:
            with self._lock:
                self._calls.remove(call)

    def call(
        self,
        node: str,
        hook: str,
        action: Callable[[HookCall], T],
        *,
        until: float | None = None,
        give_up: Callable[[], bool] = lambda: False,
        late: Callable[[Future[T]], None] = lambda _: None,
    ) -> T:
        """Call a hook on a thread of its own and wait for it. Raises what it raises, and HookHangs where it is given up.

        until: `time.monotonic` at which it is given up; None for never. give_up: asked meanwhile. late: called with the outcome of a hook that
        comes back after it was given up, on its thread.
        """
        if not self._threads:
            return action(HookCall(node, hook))
        outcome: Future[T] = Future()
        calls: list[HookCall] = []
        begun = threading.Event()

        def run() -> None:
            with self.noted(node, hook) as call:
                calls.append(call)
                begun.set()
                try:
                    result = action(call)
                except BaseException as error:  # raised again where it is waited for
                    with self._lock:
                        outcome.set_exception(error)
                else:
                    with self._lock:
                        outcome.set_result(result)
            if call.given_up:
                log.warning("%s: '%s' came back after %.0f s", node, hook, monotonic() - call.began)
                with contextlib.suppress(Exception):  # it logs what goes wrong
                    late(outcome)

        thread = threading.Thread(target=run, name=f"flowrt-{hook} of {node}", daemon=True)
        thread.start()
        began = monotonic()
        while not outcome.done():
            left_s = LOOK_S if until is None else min(LOOK_S, until - monotonic())
            if left_s > 0 and not give_up():
                wait([outcome], left_s)
                continue
            begun.wait()
            with self._lock:
                if not outcome.done():
                    calls[0].given_up = True
                    raise HookHangs(f"'{hook}' did not come back within {monotonic() - began:.1f} s and is left behind")
        thread.join()  # so that no thread is left behind
        return outcome.result()
