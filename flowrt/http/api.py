"""The run's own routes: health, readiness, metrics, status, graph, snapshots, reload, and how a browser signs in."""

from __future__ import annotations

import html
from collections.abc import Iterable
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, Response

from flowrt.http.host import Host
from flowrt.http.metrics import Metrics
from flowrt.http.routes import Route
from flowrt.http.sessions import COOKIE, SESSION_S, Sessions
from flowrt.runtime import Runtime, SharedCall

RELOAD_WAIT_S = 60.0
"""How long `POST /api/reload` waits; a reload that takes longer goes on."""


def own_routes(host: Host) -> Iterable[Route]:
    """What every run answers."""
    runtime, reloader = host.runtime, host.reloader
    read_status = SharedCall(runtime.status, "http status")
    read_readiness = SharedCall(lambda: _readiness(runtime), "http readiness")
    asked_reload = SharedCall(lambda: reloader.reload("POST /api/reload"), "http reload")
    collected = Metrics(runtime, reloader, lambda: bool(_readiness(runtime)["ready"]))

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_: Request) -> Response:
        facts = await host.bounded(read_readiness)
        return host.json(facts, 200 if facts["ready"] else 503)

    async def metrics(request: Request) -> Response:
        text, content_type = collected.answer(request.headers.get("accept", ""))
        return Response(await host.bounded(text), headers={"Content-Type": content_type})

    async def status(_: Request) -> Response:
        return host.json(await host.bounded(read_status))

    async def reloads(_: Request) -> Response:
        return host.json({"reloads": runtime.reloads, "problems": runtime.diagnostics})

    async def reload(_: Request) -> Response:
        try:
            outcome = await host.bounded(asked_reload, RELOAD_WAIT_S)
        except TimeoutError:
            return host.json({"error": f"the reload goes on after {RELOAD_WAIT_S:g} s: /api/reloads will tell"}, 504)
        return host.json(outcome, 200 if outcome.ok else 409)

    async def graph(_: Request) -> Response:
        edges = [msgspec.to_builtins(edge) for edge in runtime.flow.edges]
        return host.json({"nodes": list(runtime.flow.nodes), "edges": edges})

    async def snapshot(request: Request) -> Response:
        name = request.path_params["name"]  # without slashes
        file = runtime.data / "snapshots" / name
        if not name.endswith(".jpg") or PureWindowsPath(name).name != name or not _is_plain_file(file):
            return host.json({"error": f"there is no snapshot {name}"}, 404)
        return FileResponse(file, media_type="image/jpeg")

    yield Route("/healthz", healthz, "probe")
    yield Route("/readyz", readyz)
    yield Route("/metrics", metrics)
    yield Route("/api/status", status)
    yield Route("/api/reloads", reloads)
    yield Route("/api/graph", graph)
    yield Route("/api/reload", reload, "control", ("POST",))
    yield Route("/snapshots/{name}", snapshot, "signed")


def sign_in_routes(sessions: Sessions) -> Iterable[Route]:
    """How a browser gets its cookie, off loopback. The page that follows is one of this site, so that a strict cookie is sent to it."""

    async def form(_: Request) -> Response:
        return _form("")

    async def by_link(request: Request) -> Response:
        return _signed_in(
            sessions.by_key(request.path_params["key"]), "this link was used or is too old: start the run again, or"
        )

    async def by_token(request: Request) -> Response:
        try:
            form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=4)
        except ValueError:  # more fields than that
            form = {}
        return _signed_in(sessions.by_token(form.get("token", [""])[0]), "this is not the token:")

    async def sign_out(request: Request) -> Response:
        sessions.end(request.headers.get("cookie", ""))
        answer = _form("")
        answer.delete_cookie(COOKIE)
        return answer

    yield Route("/sign-in", form, "sign_in")
    yield Route("/sign-in/{key}", by_link, "sign_in")
    yield Route("/sign-in", by_token, "sign_in", ("POST",))
    yield Route("/sign-out", sign_out, "control", ("POST",))


def _signed_in(cookie: str | None, otherwise: str) -> Response:
    if cookie is None:
        return _form(otherwise)
    page = '<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0;url=/"><title>flowrt</title>'
    answer = HTMLResponse(page)
    answer.set_cookie(COOKIE, cookie, max_age=int(SESSION_S), httponly=True, samesite="strict")
    return answer


def _form(problem: str) -> Response:
    text = f"<p role=alert>{html.escape(problem)} enter the token.</p>" if problem else ""
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>Sign in to flowrt</title><h1>flowrt</h1>{text}"
        "<p>Open the link that <code>flowrt run</code> printed, or enter the token of <code>FLOWRT_HTTP_TOKEN</code>.</p>"
        '<form method="post" action="/sign-in"><label>Token <input type="password" name="token" '
        'autocomplete="current-password" required autofocus></label> <button>Sign in</button></form></html>'
    )
    return HTMLResponse(page, 403 if problem else 200)


def _is_plain_file(file: Path) -> bool:
    """Whether it is a file of its own: a link leads anywhere."""
    try:
        return not file.is_symlink() and file.is_file()
    except OSError:  # a name that is too long, say
        return False


def _readiness(runtime: Runtime) -> dict[str, Any]:
    """Ready: running, no source given up, threads and journal at work. A service that is away makes nothing unready: its messages wait."""
    status = runtime.status(ask_nodes=False)
    nodes = {
        name: {"ready": not row.get("failed", False), "error": row["last_error"] if row.get("failed") else ""}
        for name, row in status["nodes"].items()
    }
    sinks = {
        name: {"state": row.state, "state_s": row.state_s, "error": row.last_error}
        for name, row in status["sinks"].items()
    }
    trouble = status["trouble"]
    ready = status["state"] == "running" and not trouble and all(row["ready"] for row in nodes.values())
    return {"ready": ready, "state": status["state"], "trouble": trouble, "nodes": nodes, "services": sinks}
