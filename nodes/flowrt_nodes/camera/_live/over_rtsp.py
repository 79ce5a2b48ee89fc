"""Asks an RTSP camera whether it is there, and why it gives no pictures. One deadline covers a whole conversation."""

from __future__ import annotations

import re
import socket
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from flowrt_nodes.camera._address import PORTS
from flowrt_nodes.camera._live.protocol import Login, NoAnswer, refusal, unreachable, unverified_tls

DECODED = frozenset(
    [
        "H264",
        "H265",
        "JPEG",
        "MP4V-ES",
        "MPV",
        "H261",
        "H263",
        "H263-1998",
        "H263-2000",
        "VP8",
        "VP9",
        "AV1",
        "THEORA",
        "RAW",
        "MP2T",
    ]
)
"""Names of video codecs in a session description that FFmpeg takes from RTP and decodes."""
STATIC_TYPES = {"26": "JPEG", "31": "H261", "32": "MPV", "33": "MP2T", "34": "H263"}
"""RTP payload types that need no name (RFC 3551)."""
BYTES_MAX = 65_536


def greet(url: str, timeout_s: float) -> None:
    """Ask the server for any sign of life; behind TLS the handshake must do. Raises NoAnswer."""
    parts = urlsplit(url)
    with _Conversation(url, timeout_s) as line:
        if parts.scheme.lower() == "rtsp":
            line.send(f"OPTIONS rtsp://{parts.hostname or ''}/ RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            line.receive()


def why_no_stream(url: str, transport: str, timeout_s: float) -> str:
    """Why FFmpeg could not open the stream: as the server describes it."""
    try:
        with _Conversation(url, timeout_s) as line:
            answer = _described(line, url)
    except NoAnswer as no_answer:
        return str(no_answer)
    if answer.status != 200:
        return refusal(answer.status, Login.of(url).given)
    codec = video_codec(answer.body)
    if codec is None:
        return "no pictures: the camera's stream has no video"
    if codec.upper() not in DECODED:
        return f"no pictures: the camera's video codec, {codec}, can't be decoded"
    return f"no pictures: the camera offers {codec} video, but none of it came over {transport.upper()}"


def video_codec(sdp: str) -> str | None:
    """Of the first video in a session description (RFC 8866); None where there is none."""
    video = re.search(r"(?m)^m=video \S+ \S+ (\d+)", sdp)
    if video is None:
        return None
    name = re.search(rf"(?m)^a=rtpmap:{video[1]} ([A-Za-z0-9._-]{{1,40}})", sdp[video.end() :])
    return name[1] if name else STATIC_TYPES.get(video[1], f"RTP type {video[1]}")


class _Answer(NamedTuple):
    """An answer of an RTSP server. challenges: its `WWW-Authenticate` headers."""

    status: int
    challenges: list[str]
    body: str


def _described(line: _Conversation, url: str) -> _Answer:
    """The answer to DESCRIBE, asked again with user and password where the server asks for them."""
    parts, login = urlsplit(url), Login.of(url)
    host = (parts.hostname or "") + (f":{parts.port}" if parts.port else "")
    target = f"{parts.scheme}://{host}{parts.path}" + (f"?{parts.query}" if parts.query else "")
    head = f"DESCRIBE {target} RTSP/1.0\r\nCSeq: %d\r\nAccept: application/sdp\r\n"
    line.send(head % 1 + "\r\n")
    answer = line.answer()
    if answer.status != 401 or not login.given:
        return answer
    replies = (login.answer(challenge, "DESCRIBE", target) for challenge in answer.challenges)
    reply = next(filter(None, replies), None)
    if reply is None:
        return answer
    line.send(head % 2 + f"Authorization: {reply}\r\n\r\n")
    return line.answer()


class _Conversation:
    """A connection to a camera. Each method raises NoAnswer."""

    def __init__(self, url: str, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._ends_s = time.monotonic() + timeout_s
        self._read = b""
        parts = urlsplit(url)
        scheme = parts.scheme.lower()
        try:
            place = (parts.hostname or "", parts.port or PORTS[scheme])
            self._socket: socket.socket = socket.create_connection(place, timeout_s)
            if scheme == "rtsps":
                self._socket = unverified_tls().wrap_socket(self._socket, server_hostname=parts.hostname)
        except (OSError, ValueError) as error:  # ValueError: a host or port that can't be one
            raise unreachable(error, timeout_s) from None

    def __enter__(self) -> _Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, text: str) -> None:
        """A whole request."""
        try:
            self._socket.sendall(text.encode())
        except OSError as error:
            raise unreachable(error, self._timeout_s) from None

    def receive(self) -> None:
        """Wait for more bytes."""
        left_s = self._ends_s - time.monotonic()
        if left_s <= 0:
            raise unreachable(TimeoutError(), self._timeout_s)
        try:
            self._socket.settimeout(left_s)
            some = self._socket.recv(8192)
        except OSError as error:
            raise unreachable(error, self._timeout_s) from None
        if not some:
            raise NoAnswer("no answer: the server hung up")
        self._read += some

    def answer(self) -> _Answer:
        """The next answer, whole."""
        while b"\r\n\r\n" not in self._read and b"RTSP/".startswith(self._read[:5]) and len(self._read) < BYTES_MAX:
            self.receive()
        head, _, body = self._read.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = re.match(r"RTSP/\d\.\d (\d{3})\b", first)
        if status is None:
            raise NoAnswer("no answer of a camera: the server does not speak RTSP")
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (each.partition(":") for each in lines)]
        length = next((value for name, value in headers if name == "content-length" and value.isdigit()), "0")
        promised = min(int(length), BYTES_MAX)
        self._read = body
        while len(self._read) < promised:
            self.receive()
        body, self._read = self._read[:promised], self._read[promised:]
        challenges = [value for name, value in headers if name == "www-authenticate"]
        return _Answer(int(status[1]), challenges, body.decode("utf-8", "replace"))
