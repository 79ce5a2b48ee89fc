"""The scenes in force, as the page draws them over pictures."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from flowrt.http import Host, Route
from flowrt.traffic.scene import Scene


def routes(host: Host) -> Iterable[Route]:
    """What overlays are drawn from."""

    async def scenes(_: Request) -> Response:
        entries = host.runtime.flow.sections.get("scene", {})
        return host.json({"scenes": {name: drawn(scene) for name, scene in entries.items()}})

    yield Route("/api/page/scenes", scenes)


def drawn(scene: Scene) -> dict[str, Any]:
    """A scene's lines, zones and lamps in pixels of its own picture."""
    return {
        "name": scene.name,
        "picture_px": scene.picture_px,
        "lines": [msgspec.to_builtins(line) for line in scene.lines.values()],
        "zones": [msgspec.to_builtins(zone) for zone in scene.zones.values()],
        "lamps": [msgspec.to_builtins(lamp) | {"name": name} for name, lamp in scene.lamps.items()],
    }
