"""Cameras over HTTP: what an address gives, why it gives no pictures, and pictures that are fetched one by one."""

from __future__ import annotations

import http.client
import threading
import time
from typing import Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

import numpy as np

from flowrt import Image
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera._live.protocol import Login, NoAnswer, refusal, unreachable, unverified_tls

WEB_PAGES = ("text/html", "application/xhtml+xml")
PICTURE_BYTES_MAX = 64_000_000
REDIRECTS, REDIRECTS_MAX = (301, 302, 303, 307, 308), 3


class Offer(NamedTuple):
    """What an address gives: one picture a request, or a stream; url: where redirects led. multipart: pictures one behind the other
    (MJPEG), without times; FFmpeg invents some."""

    kind: Literal["picture", "stream"]
    url: str
    multipart: bool = False


def offered(url: str, timeout_s: float, redirects: int = REDIRECTS_MAX) -> Offer:
    """Ask the address. Raises NoAnswer where it gives neither pictures nor what may be a stream."""
    fetch = _Fetch(url, timeout_s)
    try:
        answer = fetch.get()
        if answer.status in REDIRECTS:
            target = urljoin(url, answer.headers.get("Location") or "")
            if not redirects or not target.lower().startswith(("http://", "https://")):
                raise NoAnswer("no pictures: the address leads on and on, or to no camera over HTTP")
            return offered(target, timeout_s, redirects - 1)
        if answer.status != 200:
            raise NoAnswer(refusal(answer.status, fetch.login.given))
        kind = content_type(answer)
        start = b"" if kind else answer.read1(256).lstrip().lower()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise unreachable(error, timeout_s) from None
    finally:
        fetch.close()
    if kind in WEB_PAGES or start.startswith((b"<!doctype html", b"<html")):
        raise NoAnswer("no pictures: the address gives a web page")
    single = kind.startswith("image/") or start.startswith(b"\xff\xd8\xff")
    return Offer("picture" if single else "stream", url, kind.startswith("multipart/"))


def why_no_stream(url: str, timeout_s: float) -> str:
    """Why FFmpeg could not open what the address gives."""
    fetch = _Fetch(url, timeout_s)
    try:
        kind = content_type(fetch.get())
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(unreachable(error, timeout_s))
    finally:
        fetch.close()
    return "no pictures: what the address gives can't be decoded" + (
        f" (it is {kind[:60]})" if kind.isprintable() and kind else ""
    )


def content_type(answer: http.client.HTTPResponse) -> str:
    """Without its parameters; empty where the server names none."""
    return (answer.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


class PictureAddress:
    """An address that gives one picture a request, asked again and again; used as an OpenCV capture is."""

    def __init__(self, url: str, timeout_s: float, every_s: float, stopping: threading.Event) -> None:
        """stopping: ends the wait between two pictures."""
        self._fetch = _Fetch(url, timeout_s)
        self._timeout_s = timeout_s
        self._every_s = every_s
        self._stopping = stopping
        self._due_s = time.monotonic()
        self._image: Image | None = None

    def grab(self) -> bool:
        """Wait until the next picture is due, and fetch it. Raises NoAnswer."""
        if self._stopping.wait(max(self._due_s - time.monotonic(), 0.0)):
            return False
        self._due_s = max(self._due_s + self._every_s, time.monotonic())
        try:
            answer = self._fetch.get()
            content = answer.read(PICTURE_BYTES_MAX)
        except (OSError, http.client.HTTPException, ValueError) as error:
            self._fetch.close()
            raise unreachable(error, self._timeout_s) from None
        if answer.status != 200:
            raise NoAnswer(refusal(answer.status, self._fetch.login.given))
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
        if image is None:
            raise NoAnswer("no pictures: what the address gives is no picture that can be read")
        self._image = np.asarray(image, np.uint8)
        return True

    def retrieve(self) -> tuple[bool, Image | None]:
        """The picture that `grab` fetched."""
        return self._image is not None, self._image

    def release(self) -> None:
        """Close the connection."""
        self._fetch.close()


class _Fetch:
    """GET requests to one address over a connection that is kept, with user and password where the server asks for them."""

    def __init__(self, url: str, timeout_s: float) -> None:
        parts = urlsplit(url)
        self.login = Login.of(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._authorization = ""
        self._challenge = ""
        try:
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise unreachable(error, timeout_s) from None
        self._connection: http.client.HTTPConnection
        if parts.scheme.lower() == "https":
            self._connection = http.client.HTTPSConnection(host, port, timeout=timeout_s, context=unverified_tls())
        else:
            self._connection = http.client.HTTPConnection(host, port, timeout=timeout_s)

    def get(self) -> http.client.HTTPResponse:
        """The answer, its body unread."""
        kept = self._connection.sock is not None
        try:
            answer = self._asked()
        except (http.client.RemoteDisconnected, ConnectionError):
            if not kept:
                raise
            self.close()  # the server ended the connection after its last answer
            answer = self._asked()
        if answer.status == 401 and self.login.given:
            for challenge in answer.headers.get_all("WWW-Authenticate") or ():
                if (reply := self.login.answer(challenge, "GET", self._target)) is not None:
                    self._challenge = challenge
                    self.close()
                    return self._asked(reply)
        return answer

    def _asked(self, authorization: str = "") -> http.client.HTTPResponse:
        if not authorization and self._challenge:
            authorization = self.login.answer(self._challenge, "GET", self._target) or ""
        headers = {"User-Agent": "flowrt", "Accept": "*/*", "Accept-Encoding": "identity"}
        if authorization:
            headers["Authorization"] = authorization
        self._connection.request("GET", self._target, headers=headers)
        return self._connection.getresponse()

    def close(self) -> None:
        self._connection.close()
