"""Who may read, off loopback: the token that the operator set, or a cookie that a browser got for it or for a link that works once."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets as random
import threading
import time
from http.cookies import CookieError, SimpleCookie

COOKIE = "flowrt"
LINK_S = 900.0
"""A link is good for so long, and once."""
SESSION_S = 12 * 3600.0
MAX_SESSIONS = 100


class Sessions:
    """Browsers that signed in. Safe to use from any thread. token: of the operator; what is kept of a cookie is its hash."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._lock = threading.Lock()
        self._links: dict[str, float] = {}
        self._known: dict[str, float] = {}

    def new_link(self) -> str:
        """A key for `/sign-in/KEY` that is good once."""
        key = random.token_urlsafe(24)
        with self._lock:
            self._links[_hash(key)] = time.monotonic() + LINK_S
        return key

    def by_key(self, key: str) -> str | None:
        """The cookie of a new session for the key of a link; None where it is used, old or unknown."""
        with self._lock:
            ends = self._links.pop(_hash(key), 0.0)
        return self._new() if time.monotonic() < ends else None

    def by_token(self, token: str) -> str | None:
        """The cookie of a new session for the operator's token; None for another one."""
        return self._new() if self.is_token(token) else None

    def is_token(self, given: str) -> bool:
        """Whether it is the operator's."""
        return bool(self._token) and hmac.compare_digest(given.encode(), self._token.encode())

    def admits(self, authorization: str, cookies: str) -> bool:
        """Whether a request with these headers may read."""
        kind, _, given = authorization.partition(" ")
        if kind.lower() == "basic":  # sent by programs only: no answer asks a browser for a password
            with contextlib.suppress(ValueError):
                given = base64.b64decode(given).decode().partition(":")[2]
        return self.is_token(given) or self._is_session(cookies)

    def end(self, cookies: str) -> None:
        """The session of these cookies is over: who has copied the cookie has nothing."""
        with self._lock:
            self._known.pop(_hash(_value(cookies)), None)

    def _is_session(self, cookies: str) -> bool:
        with self._lock:
            return time.monotonic() < self._known.get(_hash(_value(cookies)), 0.0)

    def _new(self) -> str:
        value = random.token_urlsafe(32)
        with self._lock:
            while len(self._known) >= MAX_SESSIONS:
                del self._known[next(iter(self._known))]
            self._known[_hash(value)] = time.monotonic() + SESSION_S
        return value


def _value(cookies: str) -> str:
    try:
        cookie = SimpleCookie(cookies).get(COOKIE)
    except CookieError:
        return ""
    return cookie.value if cookie is not None else ""


def _hash(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()
