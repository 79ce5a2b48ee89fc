"""One web socket for each tab: the tab says what it looks at, and is told that much and no more.

A tab confirms each picture before it gets the next one of that camera, so that a slow line has fewer pictures, never older ones. A
tab that is hidden asks for nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable
from typing import Any, Literal

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from flowrt.flow import FROM, Edge
from flowrt.http import Host
from flowrt_web.live.hub import FIGURES_S, Hub
from flowrt_web.live.pictures import MAX_WIDTH, MIN_WIDTH, Watched, delay_ms
from flowrt_web.live.taps import BadTap, Tap
from flowrt_web.preview.memory import Memory

MAX_TABS = 16
MAX_TAPS = 4
MAX_CAMERAS = 16
TAP_S = 0.5
APART_S = 0.05
"""A tab gets a picture so often at most, of all its cameras together: one camera 20 times a second, four 5 times each."""


class Wanted(msgspec.Struct, frozen=True):
    """A camera, and how wide it is shown."""

    name: str
    width: int


class Watch(msgspec.Struct, frozen=True, tag_field="do", tag="watch"):
    """What the tab shows from now on."""

    figures: bool = False
    cameras: list[Wanted] = []
    news: bool = False


class Seen(msgspec.Struct, frozen=True, tag_field="do", tag="seen"):
    """A picture was drawn."""

    camera: str


class Look(msgspec.Struct, frozen=True, tag_field="do", tag="tap"):
    """Tap an edge. number: the tab's own, for the answers. wanted: a filter."""

    number: int
    source: str
    target: str
    field: str = FROM
    port: str = ""
    wanted: str = ""


class Untap(msgspec.Struct, frozen=True, tag_field="do", tag="untap"):
    """End a tap."""

    number: int


_decode = msgspec.json.Decoder(Watch | Seen | Look | Untap)
State = Literal["due", "sent"]


class LiveSocket:
    """Serves the sockets of one run."""

    def __init__(self, host: Host, memory: Memory) -> None:
        self._hub = Hub(host)
        self._memory = memory
        self._tabs = 0

    async def serve(self, socket: WebSocket) -> None:
        """One tab, from its handshake to its end."""
        if self._tabs >= MAX_TABS:
            await socket.close(1013, "too many tabs are open")
            return
        self._tabs += 1
        if self._tabs == 1:
            self._memory.start()
        tab = _Tab(socket, self._hub)
        try:
            await socket.accept()
            await tab.run()
        finally:
            self._tabs -= 1
            if not self._tabs:
                self._memory.stop()
            tab.close()


class _Tab:
    def __init__(self, socket: WebSocket, hub: Hub) -> None:
        self._socket, self._hub, self._host = socket, hub, hub.host
        self._want = Watch()
        self._cameras: dict[str, tuple[Watched, int]] = {}
        self._shown: dict[str, int] = {}  # number of the picture that was sent last, by camera
        self._due_s: dict[str, float] = {}  # no sooner is the next picture of a camera sent, on the loop's clock
        self._unconfirmed: set[str] = set()
        self._taps: dict[int, Tap] = {}
        self._woken = asyncio.Event()
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        """Until the tab closes, or any of these ends."""
        tasks = [asyncio.ensure_future(work) for work in (self._listen(), self._feed(), self._count(), self._tap())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError, OSError):
                    await task  # a socket that was closed by the other side raises whichever of these

    def close(self) -> None:
        """Let go of everything."""
        for tap in self._taps.values():
            tap.close()
        self._hub.leave(self)

    async def _listen(self) -> None:
        while True:
            try:
                message = _decode.decode(await self._socket.receive_text())
            except KeyError:  # what starlette makes of bytes
                await self._say({"kind": "error", "error": "expected text"})
                continue
            except (msgspec.DecodeError, RecursionError) as error:
                await self._say({"kind": "error", "error": str(error)})
                continue
            if isinstance(message, Watch):
                self._watch(message)
            elif isinstance(message, Seen):
                self._unconfirmed.discard(message.camera)
                self._woken.set()
            elif isinstance(message, Look):
                await self._start_tap(message)
            elif tap := self._taps.pop(message.number, None):
                tap.close()

    def _watch(self, want: Watch) -> None:
        self._hub.leave(self)
        self._want = want
        self._cameras = {}
        self._unconfirmed.clear()
        self._shown.clear()
        for camera in want.cameras[:MAX_CAMERAS]:
            watched = self._hub.watch(camera.name, self, self._woken.set)
            if watched is not None:
                self._cameras[camera.name] = watched, min(max(camera.width, MIN_WIDTH), MAX_WIDTH)
        if want.news:
            self._hub.listen(self, self._woken.set)
        self._woken.set()

    async def _feed(self) -> None:
        """Pictures and news, as they come."""
        loop = asyncio.get_running_loop()
        while True:
            await self._woken.wait()
            self._woken.clear()
            for message in self._hub.news(self):
                await self._say({"kind": "news", "message": message})
            for camera, (watched, width) in list(self._cameras.items()):
                newest = watched.newest
                if newest is None or camera in self._unconfirmed or self._shown.get(camera) == newest.number:
                    continue
                early_s = self._due_s.get(camera, 0.0) - loop.time()
                if early_s > 0:
                    loop.call_later(early_s, self._woken.set)
                    continue
                self._due_s[camera] = loop.time() + APART_S * len(self._cameras)
                self._unconfirmed.add(camera)
                self._shown[camera] = newest.number
                packed = await loop.run_in_executor(self._hub.workers, newest.packed, width, camera, watched.scene)
                await self._say({"kind": "delay", "camera": camera, "ms": delay_ms(newest.frame.time_s)})
                await self._send(self._socket.send_bytes(packed))

    async def _count(self) -> None:
        """The figures, once in a while."""
        while True:
            if self._want.figures:
                try:
                    await self._say(await self._hub.figures())
                except TimeoutError:
                    await self._say({"kind": "error", "error": "the figures did not come in time"})
            await asyncio.sleep(FIGURES_S)

    async def _tap(self) -> None:
        while True:
            for number, tap in list(self._taps.items()):
                looked = await asyncio.get_running_loop().run_in_executor(self._hub.workers, tap.look)
                await self._say({"kind": "tap", "number": number, **looked})
            await asyncio.sleep(TAP_S)

    async def _start_tap(self, look: Look) -> None:
        edge = Edge(look.source, look.target, look.field, look.port)
        if before := self._taps.pop(look.number, None):
            before.close()
        try:
            if len(self._taps) >= MAX_TAPS:
                raise BadTap(f"at most {MAX_TAPS} taps at a time")
            self._taps[look.number] = Tap(self._host, edge, look.wanted)
        except BadTap as error:
            await self._say({"kind": "tap", "number": look.number, "error": str(error)})

    async def _say(self, content: dict[str, Any]) -> None:
        await self._send(self._socket.send_text(self._host.packed(content).decode()))

    async def _send(self, sending: Awaitable[None]) -> None:
        async with self._sending:
            await sending
