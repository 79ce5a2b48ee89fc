"""The HTTP server of a run, on a thread of its own. Loopback unless told otherwise.

Bound to another address, every request but `/healthz` needs `Authorization: Bearer $FLOWRT_HTTP_TOKEN`, or the cookie that a browser
gets for that token or for a link that works once. What reaches it is decided by `guard`.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from flowrt.config.sections import sections
from flowrt.http.api import own_routes, sign_in_routes
from flowrt.http.connections import Connection
from flowrt.http.guard import Guard, Rules, is_loopback
from flowrt.http.host import WAIT_S, Host
from flowrt.http.routes import Route, installed_routes
from flowrt.http.sessions import Sessions
from flowrt.runtime import Runtime
from flowrt.secrets import Secrets
from flowrt.services.environment import Environment, UnreadableSecret
from flowrt.watch import Reloader

MAX_SOCKET_MESSAGE = 64_000


DEFAULT = "127.0.0.1:8480"
FURTHER_PORTS = 20
"""Where the default port is taken, by another flow say, so many after it are tried, then any."""


class BadAddress(Exception):
    """The address can't be served on; the message says why and what to do."""


class HttpServer:
    """Serves one runtime. address: without one, DEFAULT or the next free port, which `notice` says. page: with what installed packages add. edit: what pages may change (`Host.edit`); by default every section
    on loopback, else nothing.
    """

    def __init__(
        self,
        runtime: Runtime,
        reloader: Reloader,
        address: str | None,
        secrets: Secrets,
        *,
        page: bool = True,
        edit: frozenset[str] | None = None,
    ) -> None:
        host, port = _parse(address or DEFAULT)
        try:
            token = Environment().get("FLOWRT_HTTP_TOKEN", "")
        except UnreadableSecret as error:
            raise BadAddress(str(error)) from error
        local = is_loopback(host)
        if not local and not token:
            raise BadAddress(
                f"--http {address} is reachable from other machines: set FLOWRT_HTTP_TOKEN, or bind to 127.0.0.1"
            )
        sessions = None if local else Sessions(token)
        rules = Rules(
            hosts=frozenset({host, *named_hosts()}),
            edit=edit if edit is not None else frozenset(sections() if local else ()),
            sessions=sessions,
            signed=lambda path, query: (
                runtime.links is not None and runtime.links.permits(path, query, runtime.clock.now_s())
            ),
        )
        self._socket = _bind(host, port) if address else _bind_free(host, port)
        used = self._socket.getsockname()[1]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{used}"
        self.notice = (
            "" if address or used == port else f"port {port} is taken, perhaps by another flow: this one uses {used}"
        )
        self.page_url = ""
        if page:
            self.page_url = f"{self.url}/" if sessions is None else f"{self.url}/sign-in/{sessions.new_link()}"
        config = uvicorn.Config(
            application(Host(runtime, reloader, secrets, rules.edit), rules, page=page),
            http=Connection,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="websockets-sansio" if page else "none",
            ws_max_size=MAX_SOCKET_MESSAGE,
            ws_per_message_deflate=False,  # pictures are compressed already
        )
        self._server = uvicorn.Server(config)
        self._thread = runtime.supervisor.thread("http", self._serve)

    def start(self) -> None:
        """Serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving."""
        self._server.should_exit = True
        self._thread.stop()
        self._thread.join(2)
        self._socket.close()

    def _serve(self) -> None:
        self._server.run([self._socket])
        if not self._server.should_exit:
            raise RuntimeError("the HTTP server ended by itself")


def application(host: Host, rules: Rules, *, page: bool = True) -> ASGIApp:
    """The guarded application of a run."""
    routes = list(all_routes(host, rules, page=page))

    async def too_slow(_: Request, __: Exception) -> Response:
        return host.json({"ready": False, "error": f"the status did not come within {WAIT_S:g} s"}, 503)

    async def as_json(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException), "registered for these"
        return host.json({"error": error.detail}, error.status_code)

    async def too_deep(_: Request, error: Exception) -> Response:
        return host.json({"error": str(error)}, 400)

    app = Starlette(
        routes=[route.mounted() for route in routes],
        exception_handlers={TimeoutError: too_slow, HTTPException: as_json, RecursionError: too_deep},
    )
    return Guard(app, routes, rules)


def all_routes(host: Host, rules: Rules, *, page: bool = True) -> Iterable[Route]:
    """Every route of a run; a test goes through them."""
    yield from own_routes(host)
    if rules.sessions is not None:
        yield from sign_in_routes(rules.sessions)
    if page:
        yield from installed_routes(host)


def named_hosts() -> frozenset[str]:
    """Further names by which the server may be asked, from FLOWRT_HTTP_HOSTS. Raises BadAddress."""
    names = [name.strip().rstrip(".") for name in Environment().get("FLOWRT_HTTP_HOSTS", "").lower().split(",")]
    for name in names:
        if any(char in name for char in " /:@"):
            raise BadAddress(
                f"FLOWRT_HTTP_HOSTS: '{name}' is no host name; write names without ports, with commas between"
            )
    return frozenset(filter(None, names))


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise BadAddress(f"--http {address}: expected HOST:PORT, for example 127.0.0.1:8480, or off")
    return host.strip("[]"), int(port)


def _bind_free(host: str, port: int) -> socket.socket:
    for further in (*range(port, port + FURTHER_PORTS), 0):
        try:
            return _bind(host, further)
        except BadAddress as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
                raise
            taken = error
    raise taken


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if os.name != "nt":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # from here on, a request waits until the server answers
    except OSError as error:
        listening.close()
        raise BadAddress(
            f"--http {host}:{port}: {error.strerror or error}; choose another port, 0 for any, or off"
        ) from error
    return listening
