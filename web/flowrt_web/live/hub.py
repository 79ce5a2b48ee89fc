"""What all open tabs share: figures, watched cameras, news of signals and events. Nothing of it runs while no tab is open."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from flowrt import Event, Message, SignalState
from flowrt.http import Host
from flowrt.runtime import SharedCall
from flowrt_web.live.figures import figures
from flowrt_web.live.pictures import Watched, scene_of
from flowrt_web.live.taps import words_of
from flowrt_web.views import cameras

FIGURES_S = 1.0
MAX_NEWS = 50


class Hub:
    """Used on the server's thread; what observers do on others is guarded by locks."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.workers = ThreadPoolExecutor(2, "page")
        self._figures = SharedCall(lambda: figures(host), "page figures")
        self._last: dict[str, Any] = {}
        self._figures_s = -FIGURES_S
        self._watched: dict[str, tuple[Watched, set[Any]]] = {}
        self._listening: dict[str, Callable[[], None]] = {}
        self._listeners: dict[Any, Callable[[], None]] = {}
        self._lock = threading.Lock()
        self._news: dict[Any, list[Message]] = {}

    async def figures(self) -> dict[str, Any]:
        """The figures of this second; all tabs get the same."""
        now_s = time.monotonic()
        if now_s - self._figures_s > 0.8 * FIGURES_S:
            self._last, self._figures_s = await self.host.bounded(self._figures, 5.0), now_s
        return self._last

    # -- cameras --------------------------------------------------------------------------------------------------

    def watch(self, camera: str, tab: Any, wake: Callable[[], None]) -> Watched | None:
        """Look at a camera; None where there is none of that name. wake: called on the server's thread for each picture."""
        flow = self.host.runtime.flow
        view = next((view for view in cameras(flow) if view.camera == camera), None)
        if view is None:
            return None
        known, tabs = self._watched.get(camera, (None, set()))
        if known is None or known.view != view or known.scene is not scene_of(flow, view):  # an edit changed it
            if known is not None:
                known.close()
            loop = asyncio.get_running_loop()
            known = Watched(self.host, view, lambda: _call(loop, lambda: self._wake(camera)))
            self._watched[camera] = (known, tabs)
        watched = known
        tabs.add(tab)
        self._listeners[tab] = wake
        return watched

    def unwatch(self, camera: str, tab: Any) -> None:
        """Look away."""
        if camera in self._watched:
            watched, tabs = self._watched[camera]
            tabs.discard(tab)
            if not tabs:
                watched.close()
                del self._watched[camera]

    def _wake(self, camera: str) -> None:
        for tab in self._watched[camera][1] if camera in self._watched else ():
            self._listeners[tab]()

    # -- news -----------------------------------------------------------------------------------------------------

    def listen(self, tab: Any, wake: Callable[[], None]) -> None:
        """Be told of signals and events."""
        self._listeners[tab] = wake
        with self._lock:
            self._news.setdefault(tab, [])
        loop = asyncio.get_running_loop()

        def observe(message: Message) -> None:
            if isinstance(message, SignalState | Event):
                with self._lock:
                    for news in self._news.values():
                        news.append(message)
                        del news[:-MAX_NEWS]
                _call(loop, self._wake_all)

        nodes = self.host.runtime.flow.nodes
        for name in self._listening.keys() - nodes.keys():
            self._listening.pop(name)()
        for name, spec in nodes.items():
            if name not in self._listening and any(
                issubclass(kind, SignalState | Event) for kind in spec.type.ports.outputs
            ):
                self._listening[name] = self.host.runtime.observe(name, observe)

    def news(self, tab: Any) -> list[dict[str, Any]]:
        """What came since the last call."""
        with self._lock:
            came = self._news.get(tab, [])
            if tab in self._news:
                self._news[tab] = []
        site = self.host.runtime.flow.site
        return [self.host.data(words_of(message, site)) for message in came]

    def _wake_all(self) -> None:
        for wake in list(self._listeners.values()):
            wake()

    def leave(self, tab: Any) -> None:
        """A tab looks at nothing and hears nothing any more."""
        for camera in list(self._watched):
            self.unwatch(camera, tab)
        self._listeners.pop(tab, None)
        with self._lock:
            self._news.pop(tab, None)
            nobody = not self._news
        if nobody:
            for end in self._listening.values():
                end()
            self._listening.clear()


def _call(loop: asyncio.AbstractEventLoop, function: Callable[[], None]) -> None:
    with contextlib.suppress(RuntimeError):  # the server has ended meanwhile
        loop.call_soon_threadsafe(function)
