"""Cameras over HTTP: what an address gives, why it gives no pictures, and pictures that are fetched one by one."""

from __future__ import annotations

import threading
import time
from typing import Literal, NamedTuple
from urllib.parse import urljoin, urlsplit

import numpy as np

from flowrt import Image
from flowrt.system.http_client import Answer, HttpClient, HttpError
from flowrt_nodes._lib.cv import cv2
from flowrt_nodes.camera._live.protocol import Login, NoAnswer, Trust, refusal, unreachable

WEB_PAGES = ("text/html", "application/xhtml+xml")
PICTURE_BYTES_MAX = 64_000_000
VERIFIED = Trust()
REDIRECTS, REDIRECTS_MAX = (301, 302, 303, 307, 308), 3


class Offer(NamedTuple):
    """What an address gives: one picture a request, or a stream; url: where redirects led. multipart: pictures one behind the other
    (MJPEG), without times; FFmpeg invents some."""

    kind: Literal["picture", "stream"]
    url: str
    multipart: bool = False


def offered(url: str, timeout_s: float, trust: Trust = VERIFIED, redirects: int = REDIRECTS_MAX) -> Offer:
    """Ask the address. Raises NoAnswer where it gives neither pictures nor what may be a stream."""
    fetch = _Fetch(url, timeout_s, trust)
    try:
        answer = fetch.get(0)
        if answer.status in REDIRECTS:
            target = urljoin(url, answer.headers.get("Location") or "")
            if not redirects or not target.lower().startswith(("http://", "https://")):
                raise NoAnswer("no pictures: the address leads on and on, or to no camera over HTTP")
            return offered(target, timeout_s, trust, redirects - 1)
        if answer.status != 200:
            raise NoAnswer(refusal(answer.status, fetch.login.given))
        kind = content_type(answer)
        start = b"" if kind else fetch.get(256).body.lstrip().lower()
    finally:
        fetch.close()
    if kind in WEB_PAGES or start.startswith((b"<!doctype html", b"<html")):
        raise NoAnswer("no pictures: the address gives a web page")
    single = kind.startswith("image/") or start.startswith(b"\xff\xd8\xff")
    return Offer("picture" if single else "stream", url, kind.startswith("multipart/"))


def why_no_stream(url: str, timeout_s: float, trust: Trust = VERIFIED) -> str:
    """Why FFmpeg could not open what the address gives."""
    try:
        fetch = _Fetch(url, timeout_s, trust)
        try:
            kind = content_type(fetch.get(0))
        finally:
            fetch.close()
    except NoAnswer as no_answer:
        return str(no_answer)
    return "no pictures: what the address gives can't be decoded" + (
        f" (it is {kind[:60]})" if kind.isprintable() and kind else ""
    )


def content_type(answer: Answer) -> str:
    """Without its parameters; empty where the server names none."""
    return (answer.headers.get("Content-Type") or "").partition(";")[0].strip().lower()


class PictureAddress:
    """An address that gives one picture a request, asked again and again; used as an OpenCV capture is."""

    def __init__(
        self, url: str, timeout_s: float, every_s: float, stopping: threading.Event, trust: Trust = VERIFIED
    ) -> None:
        """stopping: ends the wait between two pictures."""
        self._fetch = _Fetch(url, timeout_s, trust)
        self._every_s = every_s
        self._stopping = stopping
        self._due_s = time.monotonic()
        self._image: Image | None = None

    def grab(self) -> bool:
        """Wait until the next picture is due, and fetch it. Raises NoAnswer."""
        if self._stopping.wait(max(self._due_s - time.monotonic(), 0.0)):
            return False
        self._due_s = max(self._due_s + self._every_s, time.monotonic())
        answer = self._fetch.get(PICTURE_BYTES_MAX)
        content = answer.body
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
    """GET requests to one address over a connection that is kept, with user and password where the server asks for them.

    Raises NoAnswer.
    """

    def __init__(self, url: str, timeout_s: float, trust: Trust) -> None:
        parts = urlsplit(url)
        self.login = Login.of(url)
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_s = timeout_s
        self._challenge = ""
        self._used = False
        try:
            server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            self._client = HttpClient(server, timeout_s=timeout_s, ca_file=trust.ca_file, verify=trust.verify)
        except ValueError as error:
            raise unreachable(error, timeout_s) from None

    def get(self, most_bytes: int) -> Answer:
        """The answer, and so much of its body."""
        answer = self._asked(most_bytes)
        if answer.status == 401 and self.login.given:
            for challenge in answer.headers.getlist("WWW-Authenticate"):
                if (reply := self.login.answer(challenge, "GET", self._target)) is not None:
                    self._challenge = challenge
                    return self._asked(most_bytes, reply)
        return answer

    def _asked(self, most_bytes: int, authorization: str = "") -> Answer:
        if not authorization and self._challenge:
            authorization = self.login.answer(self._challenge, "GET", self._target) or ""
        headers = {"Accept": "*/*"} | ({"Authorization": authorization} if authorization else {})
        used, self._used = self._used, True
        try:
            try:
                return self._client.request("GET", self._target, headers=headers, most_bytes=most_bytes)
            except HttpError as error:
                if not used or not isinstance(error.cause, ConnectionError):
                    raise
                # the server ended the connection after its last answer
                return self._client.request("GET", self._target, headers=headers, most_bytes=most_bytes)
        except (OSError, ValueError) as error:
            raise unreachable(error, self._timeout_s) from None

    def close(self) -> None:
        self._client.close()
