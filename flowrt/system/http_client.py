"""HTTP requests with bounds, for everything here that asks a server.

- One deadline covers connecting, TLS, sending, headers and body: a server that drips ends like one that hangs.
- A body is read up to a limit; the rest is not fetched.
- Redirects are not followed, since credentials would go along; `download`, which sends none, follows a few.
- What a server says is shortened for people, and credentials that it echoes are masked.

urllib3 is imported with this module, so callers that must start quickly import it where it is first needed.
"""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import msgspec
import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from flowrt.secrets import mask

MOST_BYTES = 65_536
_MOST_REDIRECTS = 5
_MOST_TEXT = 300
_BLOCK = 65_536
_SLOWEST_BYTES_PER_S = 20_000
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


class HttpError(OSError):
    """There is no answer. Its text says why, for people; cause: the socket's, the resolver's or TLS's own error."""

    def __init__(self, text: str, cause: Exception) -> None:
        super().__init__(text)
        self.cause = cause


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a server answered. body: as far as it was read; text: what it says, as one short line without credentials."""

    status: int
    headers: urllib3.HTTPHeaderDict
    body: bytes
    text: str

    def json(self) -> Any:
        """The body as JSON. Raises ValueError."""
        return json.loads(self.body)


class HttpClient:
    """Requests to one server, over one connection that is kept. Each request has `timeout_s` from its begin to its last byte, and a second
    more for each 20 kB that it sends: a slow line must not keep a batch from ever arriving.

    Not for several threads at once. authorization: the header's value, sent with each request. verify: whether the server's certificate must be
    one that the CA file, or the system, vouches for. Raises ValueError where header, address or CA file can't be used.
    """

    def __init__(
        self, url: str, *, timeout_s: float, ca_file: str = "", authorization: str = "", verify: bool = True
    ) -> None:
        self._timeout_s = timeout_s
        host, port, tls = _place(url)
        self.address = f"{host}:{port}" if port else host
        self._prefix = urlsplit(url).path.rstrip("/")
        self._secrets = _secrets_of(authorization)
        self._headers = {"Accept-Encoding": "identity", "User-Agent": "flowrt"}
        if authorization:
            self._headers["Authorization"] = _header(authorization)
        self._connection: _HttpConnection | _HttpsConnection
        if tls:
            self._connection = _HttpsConnection(host, port, ssl_context=_tls(ca_file, verify))
        else:
            self._connection = _HttpConnection(host, port)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        most_bytes: int = MOST_BYTES,
    ) -> Answer:
        """Send a request and read its answer, whatever its status. Raises HttpError where there is none in time.

        most_bytes: 0 where only the head of the answer matters; nothing is read of a body that may never end.
        """
        target = self._prefix + path + (f"?{urlencode(query, quote_via=quote)}" if query else "")
        connection = self._connection
        connection.timeout = timeout_s = self._timeout_s + len(body or b"") / _SLOWEST_BYTES_PER_S
        connection.deadline = deadline = _Deadline(timeout_s)
        whole = False
        try:
            if not connection.is_closed and not connection.is_connected:
                connection.close()  # the server ended it meanwhile
            sent = {**self._headers, **(headers or {})}
            connection.request(method, target, body, sent, preload_content=False, decode_content=False)
            response = connection.getresponse()
            read = response.read(most_bytes) if most_bytes else b""
            whole = bool(most_bytes) and not response.read(1)
        except (urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
            failure = _http_error(error)
            if deadline.over or isinstance(failure.cause, TimeoutError):
                raise _too_late(timeout_s) from error
            raise failure from error
        finally:
            deadline.end()
            connection.deadline = None
            if not whole:
                connection.close()
        if deadline.over:  # cut in the last moment: what was read may be half
            raise _too_late(timeout_s)
        said = mask(
            _said(read) or str(response.reason or "no reason given"), self._secrets
        )  # before anything is cut off
        return Answer(status=response.status, headers=response.headers, body=read, text=short(said))

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        self._connection.close()

    def __enter__(self) -> HttpClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def basic(user: str, password: str) -> str:
    """The value of an `Authorization` header for user and password."""
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


class Body(NamedTuple):
    """What is downloaded. start: at which of its bytes it begins."""

    start: int
    blocks: Iterator[bytes]


def download(url: str, *, timeout_s: float, start: int = 0) -> Body:
    """The body at an address, block by block; follows redirects, and uses the proxy of the environment.

    timeout_s bounds the wait for each block: how long a file takes is not known. start: ask for what comes after so many bytes, which not
    every server can do. Raises HttpError, here or from the blocks, also for a status that is no success.
    """
    for _ in range(_MOST_REDIRECTS + 1):
        host, _, tls = _place(url)
        proxy = "" if proxy_bypass(host) else getproxies().get("https" if tls else "http", "")
        manager = urllib3.ProxyManager(proxy) if proxy else urllib3.PoolManager()
        headers = {"User-Agent": "flowrt", "Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        try:
            response = manager.request(
                "GET", url, headers=headers, timeout=timeout_s, redirect=False, retries=False, preload_content=False
            )
        except urllib3.exceptions.HTTPError as error:
            manager.clear()
            raise _http_error(error) from error
        if response.status in (301, 302, 303, 307, 308) and (place := response.headers.get("Location")):
            response.close()
            manager.clear()
            new = urljoin(url, place)
            if tls and urlsplit(new).scheme != "https":
                text = "a redirect from https:// to an address without"
                raise HttpError(text, ConnectionError(text))
            url = new
            continue
        begins = start if response.status == 206 and _begin(response.headers.get("Content-Range")) == start else 0
        if response.status == 200 or begins:
            return Body(begins, _blocks(response, manager))
        text = f"{response.status} {response.reason}"
        response.close()
        manager.clear()
        raise HttpError(text, ConnectionError(text))
    text = f"more than {_MOST_REDIRECTS} redirects"
    raise HttpError(text, ConnectionError(text))


def _begin(content_range: str | None) -> int:
    """The first byte that a `Content-Range` names; -1 where it names none."""
    found = re.match(r"bytes (\d+)-", content_range or "")
    return int(found[1]) if found else -1


def _blocks(response: urllib3.BaseHTTPResponse, manager: urllib3.PoolManager) -> Iterator[bytes]:
    try:
        yield from response.stream(_BLOCK)
    except urllib3.exceptions.HTTPError as error:
        raise _http_error(error) from error
    finally:
        response.close()
        manager.clear()


def short(text: str) -> str:
    """One line without control characters, of a length that people read."""
    line = " ".join(_FORBIDDEN.sub(" ", text[: 4 * _MOST_TEXT]).split())
    return line if len(line) <= _MOST_TEXT else f"{line[:_MOST_TEXT]} …"


def _said(body: bytes) -> str:
    """What an answer says: the message of a JSON object, or the body itself."""
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return body.decode("utf-8", "replace")
    if isinstance(content, dict):
        content = content.get("message") or content.get("error") or content
    return str(content)


def _place(url: str) -> tuple[str, int | None, bool]:
    """Host, port and whether TLS is spoken. The error shows no user and password of an address."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"an address with http:// or https:// and a host was expected, not {parts.scheme or 'none'}://"
        )
    return parts.hostname, parts.port, parts.scheme == "https"


def _tls(ca_file: str, verify: bool) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"ca_file {ca_file} can't be used: {error}") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _too_late(timeout_s: float) -> HttpError:
    return HttpError(f"no whole answer within {timeout_s:.1f} s", TimeoutError())


def _http_error(error: Exception) -> HttpError:
    """The innermost reason, in words without the names of objects."""
    cause: BaseException = error
    while True:
        inner = getattr(cause, "reason", None)
        if not isinstance(inner, BaseException):
            inner = next((one for one in cause.args if isinstance(one, BaseException)), None)
        if inner is None and isinstance(cause, urllib3.exceptions.HTTPError):
            inner = cause.__cause__
        if inner is None:
            break
        cause = inner
    text = short(str(cause)) or type(cause).__name__
    return HttpError(text, cause if isinstance(cause, Exception) else error)


def _header(authorization: str) -> str:
    """The header's value. Its text must not show: the errors of http.client do."""
    if _FORBIDDEN.search(authorization) or not authorization.isascii():
        raise ValueError(
            "the token or password holds a line break, another control character or one that is not ASCII: "
            "write it again without that"
        )
    return authorization


def _secrets_of(authorization: str) -> tuple[str, ...]:
    """What must not be shown of a header: the credentials, and user and password apart."""
    kind, _, credentials = authorization.partition(" ")
    if kind.lower() != "basic":
        return (credentials,) if credentials else ()
    with suppress(ValueError):
        return credentials, base64.b64decode(credentials).decode().partition(":")[2]
    return (credentials,)


# -- one deadline for a whole request ----------------------------------------------------------------------------------


class _Deadline:
    """Cuts a connection when its time is over. Waits inside the socket are per call, so a drip would renew them."""

    def __init__(self, timeout_s: float) -> None:
        self.ends = time.monotonic() + timeout_s
        self.over = False
        self._lock = threading.Lock()
        self._handle: socket.socket | None = None
        self._timer = threading.Timer(timeout_s, self._cut)
        self._timer.daemon = True
        self._timer.start()

    def watch(self, sock: socket.socket) -> None:
        """Cut this one. A handle of our own, since TLS takes the socket over in the middle of connecting."""
        with self._lock:
            self._close()
            self._handle = socket.fromfd(sock.fileno(), sock.family, sock.type)
        if self.over:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.over = True
            if self._handle is not None:
                with suppress(OSError):  # closed meanwhile
                    self._handle.shutdown(socket.SHUT_RDWR)

    def end(self) -> None:
        """The request is done."""
        self._timer.cancel()
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._handle is not None:
            self._handle.close()
            self._handle = None


class _Watched:
    """Part of a connection: tells the deadline of the current request each socket that it gets."""

    deadline: _Deadline | None = None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in ("sock", "deadline") and self.deadline is not None:
            sock = getattr(self, "sock", None)
            if sock is not None and sock.fileno() >= 0:
                self.deadline.watch(sock)


class _HttpConnection(_Watched, HTTPConnection):
    """Without TLS."""


class _HttpsConnection(_Watched, HTTPSConnection):
    """With TLS."""
