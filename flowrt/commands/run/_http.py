"""The HTTP side of a run: health, readiness, metrics, status, reload. Loopback unless told otherwise.

Bound to another address, every request but `/healthz` needs `Authorization: Bearer $FLOWRT_HTTP_TOKEN`, or the token as a
browser's password. Bound to loopback, the `Host` must be a loopback name or one of $FLOWRT_HTTP_HOSTS, so that no web page reaches it
by a name of its own; what changes anything refuses requests of other sites by their `Origin`. docs/security.md has the promises.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hmac
import ipaddress
import os
import socket
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from flowrt.commands import UsageError
from flowrt.commands.run._connections import Connection
from flowrt.commands.run._metrics import Metrics
from flowrt.runtime import Runtime, SharedCall
from flowrt.secrets import Secrets
from flowrt.services.environment import Environment, UnreadableSecret
from flowrt.watch import Reloader


class BadAddress(UsageError):
    """The address can't be served on; the message says why and what to do."""


class HttpServer:
    """Serves one runtime on a thread of its own."""

    def __init__(self, runtime: Runtime, reloader: Reloader, address: str, secrets: Secrets) -> None:
        host, port = _parse(address)
        try:
            self._token = Environment().get("FLOWRT_HTTP_TOKEN", "")
        except UnreadableSecret as error:
            raise BadAddress(str(error)) from error
        self._open = not _loopback(host)
        if self._open and not self._token:
            raise BadAddress(
                f"--http {address} is reachable from other machines: set FLOWRT_HTTP_TOKEN, or bind to 127.0.0.1"
            )
        self._hosts = {host, *filter(None, Environment().get("FLOWRT_HTTP_HOSTS", "").lower().split(","))}
        self._socket = _bind(host, port)
        self.url = f"http://{host}:{self._socket.getsockname()[1]}"
        config = uvicorn.Config(
            _application(runtime, reloader, self._refusal, secrets),
            http=Connection,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
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

    def _refusal(self, request: Request) -> Response | None:
        """Why a request is not answered; None where it is."""
        if request.url.path == "/healthz":
            return None
        if self._open and not self._has_token(request):
            ask = {"WWW-Authenticate": 'Basic realm="flowrt, any user, the token as password"'}
            return JSONResponse({"error": "a bearer token is needed"}, 401, ask)
        host = request.headers.get("host", "")
        if not self._open and not self._known(host):
            return JSONResponse({"error": f"unknown Host {host[:100]!r}; name it in FLOWRT_HTTP_HOSTS"}, 403)
        origin = request.headers.get("origin")
        foreign = origin is not None and urlsplit(origin).netloc != host
        if request.method not in ("GET", "HEAD") and (foreign or request.headers.get("sec-fetch-site") == "cross-site"):
            return JSONResponse({"error": f"a request of another site: Origin {(origin or 'none')[:100]!r}"}, 403)
        return None

    def _known(self, host: str) -> bool:
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        return _loopback(name) or name in self._hosts

    def _has_token(self, request: Request) -> bool:
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        if (
            kind.lower() == "basic"
        ):  # a browser that follows a dashboard's link to a picture asks its user for a password
            with contextlib.suppress(ValueError):
                given = base64.b64decode(given).decode().partition(":")[2]
        return hmac.compare_digest(given.encode(), self._token.encode())


def _parse(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise BadAddress(f"--http {address}: expected HOST:PORT, for example 127.0.0.1:8480, or off")
    return host.strip("[]"), int(port)


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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


WAIT_S = 2.0
"""How long a request waits for the status; what hangs must not make the answer hang."""
RELOAD_WAIT_S = 60.0
"""How long `POST /api/reload` waits; a reload that takes longer goes on."""


def _application(
    runtime: Runtime, reloader: Reloader, refusal: Callable[[Request], Response | None], secrets: Secrets
) -> Starlette:
    read_status = SharedCall(runtime.status, "http status")
    read_readiness = SharedCall(lambda: _readiness(runtime), "http readiness")
    asked_reload = SharedCall(lambda: reloader.reload("POST /api/reload"), "http reload")
    collected = Metrics(runtime, reloader, lambda: bool(_readiness(runtime)["ready"]))

    def json(content: Any, status: int = 200) -> Response:
        body = msgspec.json.encode(secrets.data(msgspec.to_builtins(content, str_keys=True)))
        return Response(body, status, media_type="application/json")

    def guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def guard(request: Request) -> Response:
            try:
                return refusal(request) or await answer(request)
            except TimeoutError:
                return json({"ready": False, "error": f"the status did not come within {WAIT_S:g} s"}, 503)

        return guard

    async def bounded(call: SharedCall[Any], wait_s: float = WAIT_S) -> Any:
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(call.future())), wait_s)

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        facts = await bounded(read_readiness)
        return json(facts, 200 if facts["ready"] else 503)

    async def metrics(request: Request) -> Response:
        text, content_type = collected.answer(request.headers.get("accept", ""))
        return Response(await bounded(text), headers={"Content-Type": content_type})

    async def status(_: Request) -> Response:
        return json(await bounded(read_status))

    async def reloads(_: Request) -> Response:
        return json({"reloads": runtime.reloads, "problems": runtime.diagnostics})

    async def reload(_: Request) -> Response:
        try:
            outcome = await bounded(asked_reload, RELOAD_WAIT_S)
        except TimeoutError:
            return json({"error": f"the reload goes on after {RELOAD_WAIT_S:g} s: /api/reloads will tell"}, 504)
        return json(outcome, 200 if outcome.ok else 409)

    async def graph(_: Request) -> Response:
        edges = [msgspec.to_builtins(edge) for edge in runtime.flow.edges]
        return json({"nodes": list(runtime.flow.nodes), "edges": edges})

    async def snapshot(request: Request) -> Response:
        name = request.path_params["name"]  # one word without slashes: nothing outside of the folder can be named
        file = runtime.data / "snapshots" / name
        if not name.endswith(".jpg") or file.is_symlink() or not file.is_file():  # a link leads anywhere
            return json({"error": f"there is no snapshot {name}"}, 404)
        return FileResponse(file, media_type="image/jpeg")

    pages = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/api/status": status,
             "/api/reloads": reloads, "/api/graph": graph}  # fmt: skip
    routes = [Route(path, guarded(answer)) for path, answer in pages.items()]
    routes.append(Route("/api/reload", guarded(reload), methods=["POST"]))
    routes.append(Route("/snapshots/{name}", guarded(snapshot)))
    return Starlette(routes=routes)


def _readiness(runtime: Runtime) -> dict[str, Any]:
    """Ready: running, no source given up, threads and journal at work. A service that is away makes nothing unready: its messages wait."""
    status = runtime.status(ask_nodes=False)
    nodes = {
        name: {"ready": not row.get("failed", False), "error": row["last_error"] if row.get("failed") else ""}
        for name, row in status["nodes"].items()
    }
    sinks = {name: {"state": row.state, "error": row.last_error} for name, row in status["sinks"].items()}
    trouble = status["trouble"]
    ready = status["state"] == "running" and not trouble and all(row["ready"] for row in nodes.values())
    return {"ready": ready, "state": status["state"], "trouble": trouble, "nodes": nodes, "services": sinks}
