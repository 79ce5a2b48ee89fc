"""The HTTP client: every wait and every body has a bound, and no credential is shown or handed on."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from flowrt.system.http_client import Answer, HttpClient, HttpError, basic, download, mask
from tests.raw_server import OK, Serve, answering, dripping, serving, silent
from tests.servers import certificates, free_port


@pytest.mark.parametrize(
    "serve",
    [
        pytest.param(silent, id="silent"),
        pytest.param(dripping(b"HTTP/1.1 200"), id="status"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nX-Drip: "), id="header"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"), id="body"),
        pytest.param(dripping(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf000\r\n"), id="chunk"),
    ],
)
def test_fault_17_a_drip_does_not_evade_the_timeout(serve: Serve) -> None:
    with serving(serve) as url, HttpClient(url, timeout_s=0.5) as client:
        begun_s = time.monotonic()
        with pytest.raises(HttpError, match=r"no whole answer within 0\.5 s"):
            client.request("GET", "/")
        assert time.monotonic() - begun_s < 2.0


def test_fault_17_nor_does_a_drip_within_the_tls_handshake() -> None:
    record = b"\x16\x03\x03\x40\x00"  # a handshake record of 16 KB, a byte at a time
    with serving(dripping(record)) as url, HttpClient(url.replace("http:", "https:"), timeout_s=0.5) as client:
        begun_s = time.monotonic()
        with pytest.raises(HttpError, match=r"no whole answer within 0\.5 s"):
            client.request("GET", "/")
        assert time.monotonic() - begun_s < 2.0


def test_a_large_body_over_a_slow_line_has_more_time() -> None:
    def slowly(connection: socket.socket) -> None:
        taken = b""
        while b"\r\n\r\n" not in taken:
            taken += connection.recv(1000)
        left = 2_000_000 - len(taken.partition(b"\r\n\r\n")[2])
        while left > 0:
            left -= len(connection.recv(50_000))
            time.sleep(0.02)
        connection.sendall(OK)

    with serving(slowly) as url, HttpClient(url, timeout_s=0.3) as client:
        begun_s = time.monotonic()
        assert client.request("POST", "/", body=b"x" * 2_000_000).status == 200
        assert time.monotonic() - begun_s > 0.5


@pytest.mark.parametrize("length", [b"Content-Length: 300000000\r\n", b"", b"Transfer-Encoding: chunked\r\n"])
def test_fault_17_a_body_without_end_is_read_up_to_a_limit(length: bytes) -> None:
    sent = [0]

    def endless(connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 500 Error\r\n" + length + b"\r\n")
        block = b"10000\r\n" + b"e" * 65536 + b"\r\n" if b"chunked" in length else b"e" * 65536
        for _ in range(4600):
            connection.sendall(block)
            sent[0] += len(block)

    with serving(endless) as url, HttpClient(url, timeout_s=10.0) as client:
        answer = client.request("GET", "/")
    assert (answer.status, len(answer.body)) == (500, 65536)
    assert len(answer.text) < 310
    assert sent[0] < 30_000_000, "the rest stays where it is, but for what the sockets hold"


def test_redirects_are_not_followed() -> None:
    seen: list[bytes] = []
    with (
        serving(answering(OK, seen=seen)) as other,
        serving(answering(f"HTTP/1.1 302 Found\r\nLocation: {other}\r\nContent-Length: 0\r\n\r\n".encode())) as url,
        HttpClient(url, timeout_s=5.0, authorization="Token planted") as client,
    ):
        assert client.request("GET", "/").status == 302
    assert seen == []


def test_a_connection_is_kept_and_made_again_where_the_server_ended_it() -> None:
    connections: list[list[bytes]] = []
    ended = threading.Event()

    def serve(connection: socket.socket) -> None:
        connections.append([])
        answering(OK, OK, seen=connections[-1])(connection)
        connection.close()
        ended.set()

    with serving(serve) as url, HttpClient(url + "/below", timeout_s=5.0) as client:
        for number in range(3):
            if number == 2:
                assert ended.wait(5.0)
            assert client.request("POST", "/x", query={"q": "a b&c"}, body=b"1").text == "hi"
    assert [len(requests) for requests in connections] == [2, 1]
    assert all(
        one.startswith(b"POST /below/x?q=a%20b%26c HTTP/1.1\r\n") for requests in connections for one in requests
    )


@pytest.mark.parametrize("secret", ["planted-token", 'quo"ted\\one', "a b", "1", "token"])
def test_fault_14_what_a_server_echoes_is_masked(secret: str) -> None:
    authorization = f"Token {secret}"

    def echo(connection: socket.socket) -> None:
        request = connection.recv(65536).decode()
        sent = next(line for line in request.split("\r\n") if line.startswith("Authorization"))
        body = ('{"message": "no ' + sent.replace("\\", "\\\\").replace('"', '\\"') + '"}').encode()
        connection.sendall(f"HTTP/1.1 401 No\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    with serving(echo) as url, HttpClient(url, timeout_s=5.0, authorization=authorization) as client:
        assert client.request("GET", "/").text == "no Authorization: Token ***"


def test_fault_14_the_password_of_a_basic_login_is_masked() -> None:
    header = basic("user", "planted:word")
    body = f"wrong: {header}, planted:word".encode()
    answer = b"HTTP/1.1 401 No\r\nContent-Length: " + str(len(body)).encode() + b"\r\n\r\n" + body
    with serving(answering(answer)) as url, HttpClient(url, timeout_s=5.0, authorization=header) as client:
        assert client.request("GET", "/").text == "wrong: Basic ***, ***"


@pytest.mark.parametrize("token", ["planted\n", "plan\rted", "planted\0", "plantéd"])
def test_fault_14_a_token_that_no_header_can_carry_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match="line break") as refused:
        HttpClient("http://localhost", timeout_s=1.0, authorization=f"Token {token}")
    assert "plant" not in str(refused.value)


def test_a_mask_leaves_other_digits_alone() -> None:
    assert mask("401: token 1 of 17", ["1"]) == "401: token *** of 17"


def test_what_fails_says_why_in_a_word() -> None:
    with HttpClient(f"http://127.0.0.1:{free_port()}", timeout_s=5.0) as client:
        with pytest.raises(HttpError, match=r"^\[Errno \d+\] Connection refused$") as refused:
            client.request("GET", "/")
        assert isinstance(refused.value.cause, ConnectionRefusedError)
    with HttpClient("http://nowhere.invalid", timeout_s=5.0) as client:
        with pytest.raises(HttpError) as unknown:
            client.request("GET", "/")
        assert isinstance(unknown.value.cause, socket.gaierror)
    with (
        serving(answering(b"220 smtp.example ESMTP\r\n")) as url,
        HttpClient(url, timeout_s=5.0) as client,
        pytest.raises(HttpError, match="220 smtp"),
    ):
        client.request("GET", "/")
    with pytest.raises(ValueError, match=r"ca_file nowhere\.crt can't be used"):
        HttpClient("https://localhost", timeout_s=5.0, ca_file="nowhere.crt")
    for address in ("ftp://user:planted@host", "http://", "localhost:8086"):
        with pytest.raises(ValueError, match="http:// or https://") as no_address:
            HttpClient(address, timeout_s=1.0)
        assert "planted" not in str(no_address.value)


def test_tls_by_an_own_authority(tmp_path: Path) -> None:
    files, strangers = certificates(tmp_path / "ca"), certificates(tmp_path / "other")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(files["cert_file"], files["key_file"])

    def serve(connection: socket.socket) -> None:
        with tls.wrap_socket(connection, server_side=True) as secured:
            answering(OK, OK)(secured)

    def ask(url: str, ca_file: Path) -> Answer:
        with HttpClient(
            url.replace("http://127.0.0.1", "https://localhost"), timeout_s=5.0, ca_file=str(ca_file)
        ) as client:
            client.request("GET", "/")
            return client.request("GET", "/")

    with serving(serve) as url:
        assert ask(url, files["ca_file"]).body == b"hi"
        with pytest.raises(HttpError, match="certificate verify failed") as refused:
            ask(url, strangers["ca_file"])
        assert isinstance(refused.value.cause, ssl.SSLError)


def test_a_download_follows_redirects_and_says_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with (
        serving(answering(OK)) as there,
        serving(answering(f"HTTP/1.1 302 Found\r\nLocation: {there}/x\r\nContent-Length: 0\r\n\r\n".encode())) as url,
    ):
        assert b"".join(download(url, timeout_s=5.0).blocks) == b"hi"
    with (
        serving(answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as url,
        pytest.raises(HttpError, match="404 Not Found"),
    ):
        b"".join(download(url, timeout_s=5.0).blocks)
    with (
        serving(
            answering(b"HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        ) as url,
        pytest.raises(HttpError, match="redirects"),
    ):
        b"".join(download(url, timeout_s=5.0).blocks)


@pytest.mark.parametrize(
    ("token", "echo"),
    [
        pytest.param('Ses&me<26>"AlphaBeta', "x" * 290 + 'Ses&me<26>"AlphaBeta', id="where it is cut"),
        pytest.param("Sesame  of  Alpha", "refused Sesame of Alpha", id="spaces folded"),
        pytest.param('Ses&me<26>"Alpha', "refused Ses&amp;me&lt;26&gt;&quot;Alpha", id="HTML"),
    ],
)
def test_fault_14_an_echoed_token_is_masked_in_every_form(token: str, echo: str) -> None:
    body = echo.encode()
    answer = b"HTTP/1.1 500 No\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    with serving(answering(answer)) as url, HttpClient(url, timeout_s=2, authorization=f"Token {token}") as client:
        text = client.request("GET", "/").text
    assert "Ses" not in text
    assert "lpha" not in text
