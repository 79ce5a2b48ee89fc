"""The secrets of a run, masked wherever text or data leaves the program.

Data (a status, a report) is masked before it is encoded: `Secrets.data` changes texts in values and never a key, a number or the
syntax around them. `Secrets.text` is for what is text already: log lines, answers of servers, messages of errors. There a secret is
looked for in every form that it may have been given: as it is, percent-encoded, with spaces folded, and escaped as in JSON, Python or HTML.
"""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
SHORT = 6
"""A secret of fewer characters is masked only where it stands alone: "1" must not take the digits out of a text."""


class Secrets:
    """Masks the secrets that it knows. Safe to use from any thread."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._secrets: frozenset[str] = frozenset()
        self._names: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None
        self.learn(secrets)

    def learn(self, secrets: Iterable[str], names: Iterable[str] = ()) -> None:
        """Add secrets. What was known before stays: an old token may still be in an answer that comes late.

        names: words such as names of nodes, which data shows also where a secret happens to be the same.
        """
        with self._lock:
            self._names |= set(names)
            known = self._secrets | {secret for secret in secrets if secret.strip()}
            if known != self._secrets:
                self._secrets = frozenset(known)
                self._pattern = _pattern(known)

    def text(self, text: str) -> str:
        """The text with *** in place of each secret."""
        pattern = self._pattern
        return text if pattern is None else pattern.sub(MASK, text)

    def data(self, data: Any) -> Any:
        """Builtin data (`msgspec.to_builtins`) with the texts in its values masked; keys, numbers and truth values stay."""
        if self._pattern is None:
            return data
        if isinstance(data, str):
            return data if data in self._names else self.text(data)
        if isinstance(data, Mapping):
            return {key: self.data(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.data(item) for item in data]
        return data


def mask(text: str, secrets: Iterable[str]) -> str:
    """The text with *** in place of each secret, in any of its forms."""
    return Secrets(secrets).text(text)


def _pattern(secrets: Iterable[str]) -> re.Pattern[str]:
    """Matches every form of every secret, longer ones first, so that no part of one is left."""
    forms = {form for secret in secrets for form in _forms(secret)}
    parts = [
        rf"(?<![\w.]){re.escape(form)}(?!\w|\.\w)" if len(form) < SHORT else re.escape(form)
        for form in sorted(forms, key=lambda form: (-len(form), form))
    ]
    return re.compile("|".join(parts))


def _forms(secret: str) -> set[str]:
    texts = {secret, secret.strip(), unquote(secret), " ".join(secret.split())}
    texts |= {quoted for text in texts for quoted in (quote(text, safe=""), quote(text), quote_plus(text))}
    texts |= {text.replace("%", "%%") for text in texts if "%" in text}
    escaped = {json.dumps(text, ensure_ascii=ascii_)[1:-1] for text in texts for ascii_ in (True, False)}
    escaped |= {repr(text)[1:-1] for text in texts}
    escaped |= {html.escape(text, quotes) for text in texts for quotes in (True, False)}
    escaped |= {html.escape(text, False).replace('"', "&quot;") for text in texts}
    return {form for form in texts | escaped if form.strip()}
