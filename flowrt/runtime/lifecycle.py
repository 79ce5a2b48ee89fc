"""What nodes are asked to do besides processing: open, follow an edit, finish, close. Each call has a bound, and is named while it hangs."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from time import monotonic

from flowrt.node import Context, Node, close_node, open_node
from flowrt.runtime.hooks import HookCall, HookHangs, Hooks
from flowrt.runtime.runner import NodeRunner
from flowrt.system.threads import from_keyboard, one_line

log = logging.getLogger("flowrt")

FINISH_S = 3.0
"""How long the nodes may take to send what they still owe, all together, when a run ends."""
CLOSE_S = 4.0
"""How long nodes may take to close, all that close together."""
RECONFIGURE_S = 15.0
"""How long nodes may take to follow an edit in place, all together: nothing is processed meanwhile."""
LEAST_S = 0.5
"""Each of them has so long, also where others took the time."""


def never() -> bool:
    """Nothing gives up."""
    return False


class Lifecycle:
    """Calls nodes' hooks for one runtime. ending: set when the run shall end; who waits for a hook then gives up.

    alone: within it nothing else changes the graph, and no message is processed.
    """

    def __init__(
        self, hooks: Hooks, ending: threading.Event, alone: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self.hooks = hooks
        self._ending = ending
        self._alone = alone

    def open(
        self, node: Node, context: Context, *, until: float | None = None, give_up: Callable[[], bool] = never
    ) -> None:
        """Open a node. Raises what its `open` raises, and HookHangs; it is closed where it opens after that."""

        def close(outcome: Future[None]) -> None:
            if outcome.exception() is None:
                self.close(node)

        def action(_: HookCall) -> None:
            open_node(node, context)

        self.hooks.call(context.node, "open", action, until=until, give_up=give_up, late=close)

    def close(self, node: Node, end: float | None = None) -> None:
        """Close a node; what it raises is logged. One that has not ended at `end` is left behind."""
        until = monotonic() + CLOSE_S if end is None else max(end, monotonic() + LEAST_S)
        try:
            self.hooks.call(node.context.node, "close", lambda _: close_node(node), until=until)
        except BaseException as error:  # whatever a node raises is its own fault
            if from_keyboard(error):
                raise
            log.error("%s: close failed: %s", node.context.node, one_line(error))

    def close_all(self, nodes: Iterable[Node]) -> None:
        """Close these; together they have the time of one."""
        end = monotonic() + CLOSE_S
        for node in nodes:
            self.close(node, end)

    def finish(self, runner: NodeRunner, end: float, failed: Callable[[BaseException], None]) -> None:
        """Let a node send what it still owes, until `end`. failed: called with what its hook raises."""

        def action(call: HookCall) -> None:
            try:
                made = runner.finish()
            except BaseException as error:  # whatever a node raises is its own fault
                if not call.given_up:
                    failed(error)
                return
            for message in made:
                if call.given_up:  # the nodes behind it may be closed by now
                    return
                runner.emit(message)

        try:
            self.hooks.call(runner.name, "finish", action, until=max(end, monotonic() + LEAST_S))
        except HookHangs as error:
            runner.report(error, None)

    def reconfigure(self, runner: NodeRunner, changed: frozenset[str], end: float) -> None:
        """Call a node's `reconfigured`. The graph must be paused. Raises what it raises, and HookHangs where it has not ended at `end`.

        One that comes back later is called again, between two messages, with the settings that the node has by then.
        """
        node = runner.node
        if self.hooks.is_left_behind(runner.name, "reconfigured"):
            raise HookHangs("an earlier 'reconfigured' has not come back yet")

        def again(_: Future[None]) -> None:
            try:
                with self._alone():
                    if runner.node is node:
                        self.reconfigure(runner, changed, monotonic() + RECONFIGURE_S)
            except BaseException as error:  # whatever a node raises is its own fault
                log.error("%s: its settings may be in force only in part: %s", runner.name, one_line(error))

        self.hooks.call(
            runner.name,
            "reconfigured",
            lambda _: node.reconfigured(changed),
            until=max(end, monotonic() + LEAST_S),
            give_up=self._ending.is_set,
            late=again,
        )
