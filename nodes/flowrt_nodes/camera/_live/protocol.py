"""What cameras over HTTP and RTSP have in common: user and password, and why there is no answer.

User and password become an `Authorization` header, Basic (RFC 7617) or Digest (RFC 7616, RFC 2326). A reason is one line for
people, without user, password or words of the server.
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import secrets
import ssl
from typing import NamedTuple
from urllib.parse import unquote, urlsplit
from urllib.request import parse_http_list, parse_keqv_list

from flowrt.system.http_client import HttpError

_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}


class Trust(NamedTuple):
    """What an https camera must show. verify: a certificate that the CA file, or the system, vouches for."""

    verify: bool = True
    ca_file: str = ""


class NoAnswer(Exception):
    """The camera gives no pictures; the text says why."""


def unreachable(error: Exception, timeout_s: float) -> NoAnswer:
    """For what a socket, a resolver, TLS or HTTP's reader raised."""
    if isinstance(error, HttpError):
        error = error.cause
    if isinstance(error, TimeoutError):
        return NoAnswer(f"no answer within {timeout_s:g} s")
    if isinstance(error, http.client.RemoteDisconnected):
        return NoAnswer("no answer: the server hung up")
    if isinstance(error, http.client.HTTPException):
        return NoAnswer("no answer of a camera: the server does not speak HTTP")
    if isinstance(error, ssl.SSLCertVerificationError):
        why = str(error.verify_message or "it can't be verified").rstrip(".")
        return NoAnswer(
            f"the camera's certificate is not trusted ({why}): name the one that vouches for it in `ca_file`, or take any with `certificate: any`"
        )
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
    """For rtsps: cameras sign their certificates themselves, and FFmpeg, which fetches the pictures, does not verify them either."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Login(NamedTuple):
    """User and password of an address; both empty where it has none."""

    user: str
    password: str

    @classmethod
    def of(cls, url: str) -> Login:
        """As the address names them, percent-decoded."""
        parts = urlsplit(url)
        return cls(unquote(parts.username or ""), unquote(parts.password or ""))

    @property
    def given(self) -> bool:
        """Whether there is a user or a password."""
        return bool(self.user or self.password)

    def basic(self) -> str:
        """The header of RFC 7617."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()

    def answer(self, challenge: str, method: str, uri: str) -> str | None:
        """The header that answers a `WWW-Authenticate` header; None where its scheme or algorithm is not known."""
        scheme, _, text = challenge.strip().partition(" ")
        if scheme.lower() == "basic":
            return self.basic()
        if scheme.lower() != "digest":
            return None
        asked = parse_keqv_list(parse_http_list(text))
        algorithm = asked.get("algorithm", "MD5")
        new_hash = _HASHES.get(algorithm.upper())
        if new_hash is None or "nonce" not in asked:
            return None

        def hashed(*parts: str) -> str:
            return new_hash(":".join(parts).encode()).hexdigest()

        realm, nonce = asked.get("realm", ""), asked["nonce"]
        account, request = hashed(self.user, realm, self.password), hashed(method, uri)
        fields = {"username": self.user, "realm": realm, "nonce": nonce, "uri": uri}
        if "auth" in [each.strip() for each in asked.get("qop", "").split(",")]:
            count, own = "00000001", secrets.token_hex(8)
            fields["response"] = hashed(account, nonce, count, own, "auth", request)
            more = f', qop=auth, nc={count}, cnonce="{own}"'
        else:
            fields["response"] = hashed(account, nonce, request)
            more = ""
        if "opaque" in asked:
            fields["opaque"] = asked["opaque"]
        if "algorithm" in asked:
            more += f", algorithm={algorithm}"
        return "Digest " + ", ".join(f'{name}="{value}"' for name, value in fields.items()) + more
