"""The guard before every route: whatever a page of another site tries on loopback, and how a browser signs in elsewhere."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from flowrt.http.connections import CONNECTIONS
from flowrt.http.guard import MAX_BODY, Rules
from flowrt.http.host import FLOW, Host
from flowrt.http.routes import Route
from flowrt.http.server import all_routes
from flowrt.http.sessions import Sessions
from flowrt.secrets import Secrets
from tests.run.test_run import Run, run

__all__ = ["run"]

EVERYTHING = frozenset({"scene", FLOW})
JSON = {"Content-Type": "application/json", "Flowrt-Page": "1"}


def every_route() -> list[Route]:
    runtime = SimpleNamespace(flow=SimpleNamespace(site="s"), status=dict, data=Path())
    host = Host(runtime, SimpleNamespace(), Secrets(), EVERYTHING)  # type: ignore[arg-type]  # the list needs no run
    rules = Rules(hosts=frozenset(), edit=EVERYTHING, sessions=Sessions("token"))
    return list(all_routes(host, rules))


def path_of(route: Route) -> str:
    return re.sub(r"\{[^}]*\}", "x", route.path)


def ask(run: Run, path: str, method: str = "GET", body: str = "", **headers: str) -> tuple[int, str, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(run.url).netloc, timeout=10)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with closing(connection):
        connection.request(method, path, body=body, headers=named)
        answer = connection.getresponse()
        return answer.status, answer.read().decode("utf-8", "replace"), {k.lower(): v for k, v in answer.getheaders()}


@pytest.fixture
def local(run: Run) -> Iterator[Run]:
    run.start("--watch", "off", "--edit", "flow")
    yield run
    assert "flowrt/http" not in run.text()  # in a traceback, beside those of the flow's own nodes


def test_the_list_of_routes_is_known() -> None:
    """A new route is put in here by a person who has thought of what it demands."""
    listed = {(route.access, *route.methods, route.path) for route in every_route()}
    assert {row for row in listed if row[0] in ("probe", "sign_in", "control", "edit", "socket")} == {
        ("probe", "GET", "/healthz"),
        ("sign_in", "GET", "/sign-in"),
        ("sign_in", "GET", "/sign-in/{key}"),
        ("sign_in", "POST", "/sign-in"),
        ("control", "POST", "/sign-out"),
        ("control", "POST", "/api/reload"),
        ("socket", "GET", "/api/page/live"),
        ("edit", "POST", "/api/page/review"),
        ("edit", "POST", "/api/page/preview"),
        ("edit", "POST", "/api/page/heading"),
        ("edit", "POST", "/api/page/calibration"),
        ("edit", "POST", "/api/page/calibration/top"),
        ("edit", "POST", "/api/page/scene/check"),
        ("edit", "POST", "/api/page/scene/save"),
        ("edit", "POST", "/api/page/scene/undo"),
    }
    for access, method, _ in (row for row in listed if row[0] == "read"):
        assert (access, method) == ("read", "GET"), "what is read changes nothing"


def test_no_route_is_reached_by_a_foreign_name_or_from_a_foreign_site(local: Run) -> None:
    own = local.url
    for route in every_route():
        if route.access == "probe" or route.path.startswith("/sign-"):
            continue
        if route.access == "socket":
            for origin in (None, "http://evil.example", "null"):
                with pytest.raises(InvalidStatus) as refused:
                    connect(own.replace("http", "ws") + route.path, origin=origin).close()  # type: ignore[arg-type]
                assert refused.value.response.status_code == 403
            connect(own.replace("http", "ws") + route.path, origin=own).close()  # type: ignore[arg-type]
            continue
        method = route.methods[0]
        assert ask(local, path_of(route), method, Host="evil.example")[0] == 403, route
        if method == "POST":
            for headers in (
                {"Origin": "http://evil.example"},
                {"Origin": "null"},
                {"Sec_Fetch_Site": "cross-site"},
                {"Sec_Fetch_Site": "same-site"},
            ):
                assert ask(local, path_of(route), method, "{}", **JSON, **headers)[0] == 403, (route, headers)


def test_every_answer_says_what_a_browser_may_do_with_it(local: Run) -> None:
    for path in ("/", "/page/js/app.js", "/api/status", "/nothing", "/healthz", "/api/page/flow"):
        headers = ask(local, path)[2]
        assert "default-src 'self'" in headers["content-security-policy"], path
        assert "frame-ancestors 'none'" in headers["content-security-policy"], path
        assert headers["x-content-type-options"] == "nosniff", path
    assert "content-security-policy" in ask(local, "/", Host="evil.example")[2]


def test_a_body_has_a_known_and_bounded_length(local: Run) -> None:
    assert ask(local, "/api/reload", "POST", "x" * (MAX_BODY + 1))[0] == 413
    assert ask(local, "/api/reload", "POST", Transfer_Encoding="chunked")[0] in (400, 413)
    deep = f'{{"id": {"[" * 50_000}'
    assert ask(local, "/api/page/review", "POST", deep, **JSON)[0] == 400
    assert ask(local, "/api/page/review", "POST", deep.replace("id", "x"), **JSON)[0] == 400


def test_off_loopback_nothing_is_read_without_token_or_cookie(run: Run) -> None:
    run.start("--watch", "off", http="0.0.0.0:0", environment={"FLOWRT_HTTP_TOKEN": "open-sesame"})
    for route in every_route():
        if route.access == "socket":
            with pytest.raises(InvalidStatus) as refused:
                connect(run.url.replace("http", "ws") + route.path, origin=run.url).close()  # type: ignore[arg-type]
            assert refused.value.response.status_code == 403
        elif route.access not in ("probe", "sign_in"):
            code, _, headers = ask(run, path_of(route), route.methods[0])
            assert code == 401, route
            assert "www-authenticate" not in headers, "a browser would send a password again to whoever asks"
    assert ask(run, "/", Accept="text/html")[1].count("/sign-in") == 1
    link = re.search(r"page at \S+(/sign-in/\S+);", run.text())
    assert link
    code, _, headers = ask(run, link[1])
    assert code == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    value = cookie.partition(";")[0]
    assert ask(run, "/api/status", Cookie=value)[0] == 200
    assert ask(run, "/api/status", Cookie="flowrt=other")[0] == 401
    assert ask(run, link[1])[0] == 403, "a link is good once"
    with connect(
        run.url.replace("http", "ws") + "/api/page/live",
        origin=run.url,  # type: ignore[arg-type]  # a NewType of str
        additional_headers={"Cookie": value},
    ) as socket:
        socket.send('{"do": "watch", "figures": true}')
        assert json.loads(socket.recv(10))["kind"] == "figures"
    assert ask(run, "/sign-in", "POST", "token=wrong")[0] == 403
    code, _, headers = ask(run, "/sign-in", "POST", "token=open-sesame")
    assert code == 200
    assert "set-cookie" in headers
    assert ask(run, "/sign-in", "POST", "token=open-sesame", Origin="http://evil.example")[0] == 403
    assert ask(run, "/sign-out", "POST", Cookie=value)[0] == 200
    assert ask(run, "/api/status", Cookie=value)[0] == 401, "a copy of the cookie is worth nothing"
    assert ask(run, "/api/status", Cookie="flowrt=")[0] == ask(run, "/api/status", Cookie="")[0] == 401


def test_malformed_requests_get_an_answer_and_no_traceback(run: Run) -> None:
    run.start("--watch", "off", http="0.0.0.0:0", environment={"FLOWRT_HTTP_TOKEN": "open-sesame"})
    many = "&".join(["a=1"] * 20)
    known = {"Authorization": "Bearer open-sesame"}
    assert ask(run, f"/snapshots/a.jpg?{many}")[0] == 401
    assert ask(run, "/sign-in", "POST", many)[0] == 403
    assert ask(run, "/sign-in", "POST", "token=open-sesame", Origin="http://[")[0] == 403
    for name in ("a" * 300, "..%5C..%5Ca", "C:a", "%00", "%FF", ".."):
        assert ask(run, f"/snapshots/{name}.jpg", **known)[0] == 404, name
    assert "flowrt/http" not in run.text()


def test_bodies_that_drip_in_keep_nobody_out(run: Run) -> None:
    run.start("--watch", "off", http="0.0.0.0:0", environment={"FLOWRT_HTTP_TOKEN": "open-sesame"})
    address = urlsplit(run.url)
    with ExitStack() as open_ones:
        for _ in range(CONNECTIONS + 4):
            slow = open_ones.enter_context(socket.create_connection((address.hostname, address.port), 10))
            slow.sendall(b"POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\ntoken=")
            assert ask(run, "/healthz")[0] == 200


def test_half_a_character_breaks_neither_answer_nor_socket() -> None:
    assert Host.packed({"status": ["caf\ud83d"]}) == b'{"status":["caf?"]}'


def test_page_off_leaves_the_api_alone(run: Run) -> None:
    run.start("--watch", "off", "--page", "off")
    assert run.get("/api/status")[0] == 200
    assert run.get("/")[0] == run.get("/api/page/flow")[0] == run.get("/page/js/app.js")[0] == 404
    assert "page at" not in run.text()
    with pytest.raises(InvalidStatus):
        connect(run.url.replace("http", "ws") + "/api/page/live", origin=run.url).close()  # type: ignore[arg-type]


def test_a_socket_takes_only_what_it_knows(local: Run) -> None:
    def told(socket: Any, kind: str) -> dict[str, Any]:
        while True:
            message = json.loads(socket.recv(10))
            if message["kind"] == kind:
                return dict(message)

    with connect(local.url.replace("http", "ws") + "/api/page/live", origin=local.url) as socket:  # type: ignore[arg-type]
        deep = "[" * 20_000 + "]" * 20_000
        for nonsense in (
            "",
            "[]",
            '{"do": "format disk"}',
            '{"do": "watch", "cameras": 7}',
            b"{}",
            f'{{"do": "watch", "x": {deep}}}',
        ):
            socket.send(nonsense)
            assert told(socket, "error")
        socket.send('{"do": "tap", "number": 1, "source": "count", "target": "nobody"}')
        assert "no such edge" in told(socket, "tap")["error"]
        socket.send('{"do": "tap", "number": 1, "source": "count", "target": "sum", "wanted": "= message."}')
        assert "CEL" in told(socket, "tap")["error"]
        socket.send('{"do": "tap", "number": 1, "source": "count", "target": "sum"}')
        look = told(socket, "tap")
        while not look["messages"]:
            look = told(socket, "tap")
        assert look["seen"] >= len(look["messages"])
        socket.send('{"do": "untap", "number": 1}')
