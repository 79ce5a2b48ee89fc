"""Scenes: those in force, as they are drawn over pictures, and drafts of them on their way into the file."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flowrt.http import Host, Route
from flowrt.traffic.scene import Scene
from flowrt_web.editing.drafts import Drafts
from flowrt_web.editing.files import Changed
from flowrt_web.editing.scene_operations import Operation
from flowrt_web.editing.tree import Refused

RELOAD_WAIT_S = 60.0
T = TypeVar("T")


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Operations on a scene, for the file that has this hash."""

    scene: str
    hash: str
    operations: list[Operation]


class Nothing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A request without content."""


def routes(host: Host) -> Iterable[Route]:
    """The routes of scenes."""
    drafts = Drafts(host)

    async def scenes(_: Request) -> Response:
        entries = host.runtime.flow.sections.get("scene", {})
        return host.json({"scenes": {name: drawn(scene) for name, scene in entries.items()}})

    async def source(request: Request) -> Response:
        name = request.path_params["name"]
        found, data = await _elsewhere(drafts.scene_data, name)
        fixed = await _elsewhere(drafts.fixed, found, name)
        undoable = await _elsewhere(drafts.files.undoable)
        facts = {"scene": name, "file": found.file.name, "hash": found.hash, "data": data, "fixed": fixed}
        return host.json(facts | {"undoable": undoable is not None, "signals": _signals(host)})

    async def check(request: Request) -> Response:
        wish = await _content(request, Wish)
        draft = await _elsewhere(drafts.draft, wish.scene, wish.hash, wish.operations)
        return host.json(drafts.words(draft))

    async def save(request: Request) -> Response:
        wish = await _content(request, Wish)
        draft = await _elsewhere(drafts.draft, wish.scene, wish.hash, wish.operations)
        if not draft.good:
            return host.json(drafts.words(draft) | {"error": "the draft has problems: nothing was saved"}, 422)
        last = _last_reload(host)
        new = await _elsewhere(drafts.save, draft)
        return host.json(drafts.words(draft) | {"hash": new} | await reloaded(last))

    async def undo(request: Request) -> Response:
        await _content(request, Nothing)
        last = _last_reload(host)
        await _elsewhere(drafts.files.undo)
        return host.json(await reloaded(last))

    async def reloaded(last: int) -> dict[str, Any]:
        """The verdict of the reload that follows a save, be it this one's or the watcher's, whichever comes first."""
        try:
            await asyncio.wait_for(_elsewhere(host.reloader.reload, "saved by the page"), RELOAD_WAIT_S)
        except TimeoutError:
            return {"reload": {"ok": None, "message": f"the reload goes on after {RELOAD_WAIT_S:g} s", "lines": []}}
        since = [reload for reload in host.reloader.history if reload.number > last]
        outcome = next((reload for reload in since if reload.lines or not reload.ok), since[-1])
        return {"reload": {"ok": outcome.ok, "message": outcome.message, "lines": outcome.lines,
                           "took_ms": outcome.took_ms, "problems": outcome.diagnostics}}  # fmt: skip

    yield Route("/api/page/scenes", scenes)
    yield Route("/api/page/scenes/{name}", _careful(host, source))
    yield Route("/api/page/scene/check", _careful(host, check), "edit", ("POST",), "scene")
    yield Route("/api/page/scene/save", _careful(host, save), "edit", ("POST",), "scene")
    yield Route("/api/page/scene/undo", _careful(host, undo), "edit", ("POST",), "scene")


def _last_reload(host: Host) -> int:
    return host.reloader.history[-1].number if host.reloader.history else 0


def drawn(scene: Scene) -> dict[str, Any]:
    """A scene's lines, zones and lamps in pixels of its own picture."""
    return {
        "name": scene.name,
        "picture_px": scene.picture_px,
        "lines": [msgspec.to_builtins(line) for line in scene.lines.values()],
        "zones": [msgspec.to_builtins(zone) for zone in scene.zones.values()],
        "lamps": [msgspec.to_builtins(lamp) | {"name": name} for name, lamp in scene.lamps.items()],
    }


def _signals(host: Host) -> list[str]:
    """The signal groups that the flow's nodes publish or its scenes name, for the editor to offer."""
    flow = host.runtime.flow
    named = {group for scene in flow.sections.get("scene", {}).values() for group in scene.signals}
    named |= {group for spec in flow.nodes.values() for group in spec.settings.published("signal")}
    return sorted(named)


def _careful(host: Host, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """The same, with what can't be done said in words."""

    async def careful(request: Request) -> Response:
        try:
            return await answer(request)
        except Changed as error:
            return host.json({"error": str(error), "conflict": True}, 409)
        except Refused as error:
            return host.json({"error": str(error)}, 422)
        except msgspec.DecodeError as error:
            return host.json({"error": str(error)}, 400)
        except OSError as error:
            return host.json({"error": f"the file can't be used: {error.strerror or error}"}, 500)

    return careful


async def _content(request: Request, kind: type[T]) -> T:
    return msgspec.json.decode(await request.body(), type=kind)


async def _elsewhere(function: Callable[..., T], *arguments: Any) -> T:
    """Off the server's thread: files are read and flows checked."""
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *arguments))
