"""Every route of the page; `flowrt.http` puts its guard before them."""

from __future__ import annotations

from collections.abc import Iterable

from flowrt.http import Host, Route
from flowrt_web import calibration_routes, event_routes, flow_routes, scene_routes, service_routes, static_files
from flowrt_web.live.socket import LiveSocket
from flowrt_web.preview import routes as preview_routes
from flowrt_web.preview.memory import Memory


def routes(host: Host) -> Iterable[Route]:
    """What the entry point `flowrt.pages` asks for."""
    yield from static_files.routes()
    yield from flow_routes.routes(host)
    yield from scene_routes.routes(host)
    yield from calibration_routes.routes(host)
    yield from event_routes.routes(host)
    yield from service_routes.routes(host)
    memory = Memory(host)
    yield from preview_routes.routes(host, memory)
    yield Route("/api/page/live", LiveSocket(host, memory).serve, "socket")
