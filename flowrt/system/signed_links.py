"""Addresses that open one file without a password, for a time: for pictures that a dashboard shows.

An address says until when it holds, and is signed with a key that only this data folder has (HMAC-SHA256, RFC 2104). Whoever has the
address has the file: it is a capability, not a secret that is masked. Without the key file, which may be removed to revoke all of
them, a new key is made.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import threading
from pathlib import Path
from urllib.parse import parse_qs, quote

from flowrt.system.private_files import make_private_folder, open_private

KEY_FILE = "links.key"
KEY_BYTES = 32
VALID_S = 30 * 86400.0
"""How long an address holds: as long as a violation stays on the dashboards by default."""


class SignedLinks:
    """Makes such addresses and checks them. base: what they begin with, `https://north.example:8480`; empty where nothing is served."""

    def __init__(self, folder: Path) -> None:
        self.base = ""
        self._file = folder / KEY_FILE
        self._key: bytes | None = None
        self._lock = threading.Lock()

    def address(self, path: str, now_s: float) -> str:
        """An address of a path such as `snapshots/a.jpg`, for VALID_S from now; empty where nothing is served. Raises OSError."""
        if not self.base:
            return ""
        until = str(int(now_s + VALID_S))
        return f"{self.base}/{quote(path)}?until={until}&by={self._signature(path, until)}"

    def permits(self, path: str, query: str, now_s: float) -> bool:
        """Whether a request for a path brings an address that still holds. Raises OSError."""
        try:
            values = parse_qs(query, max_num_fields=8)
        except ValueError:  # more fields than that
            return False
        until, by = values.get("until", [""])[0], values.get("by", [""])[0]
        if not (until.isascii() and until.isdigit() and len(until) <= 12 and by.isascii()):
            return False
        return now_s <= int(until) and hmac.compare_digest(by, self._signature(path, until))

    def _signature(self, path: str, until: str) -> str:
        with self._lock:
            if self._key is None:
                self._key = _key_in(self._file)
            key = self._key
        return hmac.new(key, f"{path}\n{until}".encode(), hashlib.sha256).hexdigest()


def _key_in(file: Path) -> bytes:
    make_private_folder(file.parent)
    with os.fdopen(open_private(file), "r+b") as opened:
        key = opened.read()
        if len(key) != KEY_BYTES:
            key = secrets.token_bytes(KEY_BYTES)
            opened.seek(0)
            opened.truncate()
            opened.write(key)
    return key
