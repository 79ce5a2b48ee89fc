"""Why a network camera gives no pictures, in one line for people: never with user, password or words of the server."""

from __future__ import annotations

import http.client
import ssl

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""The schemes of network cameras, each with its usual port."""


class NoAnswer(Exception):
    """The camera gives no pictures; the text says why."""


def unreachable(error: Exception, timeout_s: float) -> NoAnswer:
    """For what a socket, a resolver, TLS or HTTP's reader raised."""
    if isinstance(error, TimeoutError):
        return NoAnswer(f"no answer within {timeout_s:g} s")
    if isinstance(error, http.client.RemoteDisconnected):
        return NoAnswer("no answer: the server hung up")
    if isinstance(error, http.client.HTTPException):
        return NoAnswer("no answer of a camera: the server does not speak HTTP")
    if isinstance(error, ssl.SSLError):
        return NoAnswer(f"no answer: TLS failed ({error.reason or 'no handshake'})")
    return NoAnswer(f"no answer: {getattr(error, 'strerror', None) or error}")


def refusal(status: int, login: bool) -> str:
    """For a status of HTTP or RTSP. login: whether user and password were sent."""
    if status == 401:
        return "the camera refuses user and password (401)" if login else "the camera asks for user and password (401)"
    if status == 403:
        return "the camera denies access (403)"
    if status == 404:
        return "the camera has no such path (404)"
    return f"the camera refuses: {status} {http.client.responses.get(status, '')}".rstrip()


def unverified_tls() -> ssl.SSLContext:
    """Cameras sign their certificates themselves, and FFmpeg, which fetches the pictures, does not verify them either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
