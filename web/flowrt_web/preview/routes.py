"""The preview of a draft, and what the traffic seen says of a drawn lane."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Annotated, Any, TypeVar

import cv2
import msgspec
import numpy as np
from starlette.requests import Request
from starlette.responses import Response

from flowrt import Tracks
from flowrt.config import load
from flowrt.diagnostics import FlowError
from flowrt.http import Host, Route
from flowrt_web.editing.drafts import Drafts
from flowrt_web.editing.files import Changed
from flowrt_web.editing.scene_operations import Operation, Point
from flowrt_web.editing.tree import Refused
from flowrt_web.preview.comparison import compared
from flowrt_web.preview.memory import Memory
from flowrt_web.views import cameras

SLOWEST_PX_S = 15.0
T = TypeVar("T")


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A draft, as for a check or a save."""

    scene: str
    hash: str
    operations: list[Operation]


class Area(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A zone as it is drawn."""

    scene: str
    points: Annotated[list[Point], msgspec.Meta(min_length=3, max_length=500)]


def routes(host: Host, memory: Memory) -> Iterable[Route]:
    """The routes of previews."""
    drafts = Drafts(host)
    one_at_a_time = asyncio.Lock()

    def rehearsed(wish: Wish) -> dict[str, Any]:
        draft = drafts.draft(wish.scene, wish.hash, wish.operations)
        after = drafts.flow(draft)
        if after is None:
            raise Refused("the draft has problems: mend them first")
        nodes, messages = memory.recent()
        if not messages:
            raise Refused("nothing was seen yet: the last minutes are kept while this page is open")
        before = load(host.runtime.flow.path, overrides=host.reloader.overrides)
        return compared(before, after, nodes, messages)

    async def preview(request: Request) -> Response:
        try:
            wish = msgspec.json.decode(await request.body(), type=Wish)
            async with one_at_a_time:
                return host.json(await _elsewhere(rehearsed, wish))
        except Changed as error:
            return host.json({"error": str(error), "conflict": True}, 409)
        except (Refused, FlowError) as error:
            return host.json({"error": str(error)}, 422)
        except msgspec.DecodeError as error:
            return host.json({"error": str(error)}, 400)
        except OSError as error:
            return host.json({"error": f"the file can't be used: {error.strerror or error}"}, 500)

    async def picture(request: Request) -> Response:
        try:
            time_s = float(request.query_params.get("time", ""))
        except ValueError:
            return host.json({"error": "time is seconds since the epoch"}, 400)
        found = memory.picture(request.path_params["camera"], time_s)
        if found is None:
            return host.json({"error": "there is no picture of that time any more"}, 404)
        return Response(found, media_type="image/jpeg")

    async def heading(request: Request) -> Response:
        try:
            area = msgspec.json.decode(await request.body(), type=Area)
        except msgspec.DecodeError as error:
            return host.json({"error": str(error)}, 400)
        return host.json(await _elsewhere(seen_heading, host, memory, area))

    yield Route("/api/page/preview", preview, "edit", ("POST",), "scene")
    yield Route("/api/page/seen/{camera}", picture)
    yield Route("/api/page/heading", heading, "edit", ("POST",), "scene")


def seen_heading(host: Host, memory: Memory, area: Area) -> dict[str, Any]:
    """Which way the traffic goes in a zone: the mean direction, how many tracks, and how much they agree, 0 to 1."""
    flow = host.runtime.flow
    seen_by = {view.camera for view in cameras(flow) if view.scene == area.scene}
    scene = flow.sections.get("scene", {}).get(area.scene)
    polygon = np.asarray(area.points, np.float32)
    ways: list[Any] = []
    numbers: set[int] = set()
    for _, message in memory.recent()[1]:
        if not isinstance(message, Tracks) or message.camera_id not in seen_by or scene is None or not len(message):
            continue
        scale = np.asarray(scene.picture_px, float) / np.asarray(message.picture_px, float)
        speeds = np.hypot(*message.velocity_px_s.T)
        for i in np.flatnonzero(speeds > SLOWEST_PX_S):
            x, y = (message.ground_px[i] * scale).tolist()
            if cv2.pointPolygonTest(polygon, (x, y), False) >= 0:
                ways.append(message.velocity_px_s[i] * scale / np.hypot(*(message.velocity_px_s[i] * scale)))
                numbers.add(int(message.track_id[i]))
    if not ways:
        return {"heading": None, "tracks": 0, "agreement": 0.0}
    mean = np.mean(ways, axis=0)
    length = float(np.hypot(*mean))
    direction = [round(float(value) / max(length, 1e-9), 3) for value in mean]
    return {"heading": direction, "tracks": len(numbers), "agreement": round(length, 2)}


async def _elsewhere(function: Callable[..., T], *arguments: Any) -> T:
    return await asyncio.get_running_loop().run_in_executor(None, partial(function, *arguments))
