"""The guard: every request passes it before any route sees it, and every answer leaves through it.

On loopback too, since a web page of another site reaches it there: by a name that points to 127.0.0.1 (DNS rebinding, so `Host` must
be known), or by a form or script that sends without asking (so what changes anything must come from here).
docs/security.md has the promises.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flowrt.http.routes import Route
from flowrt.http.sessions import Sessions

MAX_BODY = 256_000
PAGE_HEADER = "flowrt-page"
SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
TO_SIGN_IN = (
    '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/sign-in"><title>flowrt</title>'
)


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the guard goes by. sessions: None on loopback, where no token is needed. hosts: names besides those of loopback.
    signed: whether path and query are an address that was given away and still holds.
    """

    hosts: frozenset[str]
    edit: frozenset[str]
    sessions: Sessions | None
    signed: Callable[[str, str], bool] = lambda path, query: False


class Guard:
    """An ASGI application around another."""

    def __init__(self, app: ASGIApp, routes: Iterable[Route], rules: Rules) -> None:
        self._app, self._rules = app, rules
        self._routes = [(compile_path(route.path)[0], route) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] not in ("http", "websocket"):
            return
        signed = self._is_signed(scope)
        refusal = None if signed else self._refusal(scope, Headers(scope=scope))
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await receive()  # the handshake
                await send({"type": "websocket.close", "code": 1008})
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = _SHARED if signed else _ENCODED
                message = {**message, "headers": [*message.get("headers", []), *headers]}
            await send(message)

        if refusal is None:
            await self._app(scope, receive, send_safely)
        else:
            await refusal(scope, receive, send_safely)

    def _route(self, scope: MutableMapping[str, Any]) -> Route | None:
        """The route of a request; a path that there is not demands as much as one that may be read."""
        for pattern, route in self._routes:
            fits = scope.get("method", "") in (*route.methods, "HEAD")
            if scope["type"] == "websocket":
                fits = route.access == "socket"
            if fits and pattern.match(scope["path"]):
                return route
        return None

    def _is_signed(self, scope: MutableMapping[str, Any]) -> bool:
        """Whether a request has a signed address, which needs nothing else: another site may show the picture."""
        route = self._route(scope)
        query = scope.get("query_string", b"").decode("ascii", "replace")
        return route is not None and route.access == "signed" and self._rules.signed(scope["path"].lstrip("/"), query)

    def _refusal(self, scope: MutableMapping[str, Any], headers: Headers) -> Response | None:
        """Why a request is not answered; None where it is."""
        route = self._route(scope)
        access = route.access if route is not None else "socket" if scope["type"] == "websocket" else "read"
        if access == "probe":
            return None
        host = headers.get("host", "")
        sessions = self._rules.sessions
        if sessions is None and not self._known(host):
            return _refused(f"unknown Host {host[:100]!r}; name it in FLOWRT_HTTP_HOSTS")
        known = (headers.get("authorization", ""), headers.get("cookie", ""))
        if access != "sign_in" and sessions is not None and not sessions.admits(*known):
            if scope["type"] == "http" and "text/html" in headers.get("accept", ""):
                return HTMLResponse(TO_SIGN_IN, 401)
            return _refused("a bearer token is needed, or sign in at /sign-in", 401)
        origin = headers.get("origin")
        if access == "socket":
            if origin is None or _site(origin) != host:
                return _refused(f"a socket of another site: Origin {(origin or 'none')[:100]!r}")
            return None
        if scope["method"] in ("GET", "HEAD"):
            return None
        foreign = origin is not None and _site(origin) != host
        if foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            return _refused(f"a request of another site: Origin {(origin or 'none')[:100]!r}")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit() or int(length) > MAX_BODY:
            return _refused(f"a body of more than {MAX_BODY} bytes, or of no known length", 413)
        return self._edit_refused(route.edits, headers) if route is not None and access == "edit" else None

    def _edit_refused(self, edits: str, headers: Headers) -> Response | None:
        if edits and edits not in self._rules.edit:
            return _refused(f"this run may not edit that: start it with --edit {edits}")
        if headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _refused("expected JSON", 415)
        if PAGE_HEADER not in headers:
            return _refused("the header Flowrt-Page is missing")
        return None

    def _known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return is_loopback(name) or name in self._rules.hosts


_ENCODED = [(name.lower().encode(), value.encode()) for name, value in SECURITY_HEADERS.items()]
_SHARED = [*_ENCODED[:-1], (b"cross-origin-resource-policy", b"cross-origin")]


def _refused(error: str, status: int = 403) -> Response:
    return JSONResponse({"error": error}, status)


def _site(origin: str) -> str | None:
    """Host and port of an `Origin`; None where it is no address."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return None


def is_loopback(host: str) -> bool:
    """Whether a name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
