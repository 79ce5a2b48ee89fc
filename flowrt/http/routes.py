"""Routes: everything that the HTTP server of a run answers, in one list, each with what it demands of a request."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as StarletteRoute
from starlette.websockets import WebSocket

from flowrt.system.resources import entry_points

log = logging.getLogger("flowrt")

GROUP = "flowrt.pages"
"""Installed packages add routes by entry points of this group: a module with `routes(host) -> Iterable[Route]`."""

Access = Literal["probe", "sign_in", "signed", "read", "socket", "control", "edit"]
"""What a request must have. Every one but `probe` needs a known `Host`, and no other site may send what changes anything.

probe: nothing. sign_in: nothing more; it is how a browser gets its cookie. signed: a signed address
of the path, or what `read` needs. read: off loopback, the token or the cookie. socket: the
same, and an `Origin` of this server. control: the same as `read`, for programs and people alike. edit: the same, that `--edit`
allows what it edits, JSON, and the header `Flowrt-Page`, which no other site can send.
"""

Answer = Callable[[Request], Awaitable[Response]]
Talk = Callable[[WebSocket], Awaitable[None]]


class Route(msgspec.Struct, frozen=True):
    """One path. answer: for requests, or for web sockets where `access` is `socket`. edits: a section of the flow file, or
    `FLOW`; empty where no file is edited.
    """

    path: str
    answer: Answer | Talk
    access: Access = "read"
    methods: tuple[str, ...] = ("GET",)
    edits: str = ""

    def mounted(self) -> BaseRoute:
        """The same for Starlette."""
        if self.access == "socket":
            return WebSocketRoute(self.path, self.answer)
        return StarletteRoute(self.path, self.answer, methods=list(self.methods))


def installed_routes(host: Any) -> Iterable[Route]:
    """What installed packages add. host: given to each (`flowrt.http.host.Host`)."""
    for name, module in entry_points(GROUP).items():
        try:
            yield from list(importlib.import_module(module).routes(host))
        except Exception as error:  # a third party's code; the flow runs without its page
            log.error("the page '%s' can't be used: %s: %s: %s", name, module, type(error).__name__, error)
