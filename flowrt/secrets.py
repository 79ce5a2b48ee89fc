"""The secrets of a run, masked wherever text or data leaves the program.

Data (a status, a report) is masked before it is encoded: `Secrets.data` changes texts in values and never a key, a number or the
syntax around them. `Secrets.text` is for what is text already: log lines, answers of servers, messages of errors. There a secret is
looked for in every form that it may have been given: as it is, percent-encoded, with spaces folded, escaped as in JSON, Python or HTML, broken over lines, and cut at the end of a long text.
"""

from __future__ import annotations

import html
import json
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote, quote_plus, unquote

MASK = "***"
FOLDED = 8
"""A secret of so many characters is looked for also across line breaks and spaces."""
CUT = 100
"""Texts of so many characters may have been cut, and may end amid a secret."""
_BREAK = re.compile(r"(?:\s|\\r|\\n|\\t)+")
"""What may stand where a line was broken, escaped as in JSON as well."""
SHORT = 6
"""A secret of fewer characters is masked only where it stands alone: "1" must not take the digits out of a text."""


class Secrets:
    """Masks the secrets that it knows. Safe to use from any thread."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._secrets: frozenset[str] = frozenset()
        self._names: frozenset[str] = frozenset()
        self._known: _Forms | None = None
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
                self._known = _Forms(known)

    def text(self, text: str) -> str:
        """The text with *** in place of each secret."""
        forms = self._known
        if forms is None:
            return text
        return forms.without_end(forms.without_folded(forms.whole.sub(MASK, text)))

    def data(self, data: Any) -> Any:
        """Builtin data (`msgspec.to_builtins`) with the texts in its values masked; keys, numbers and truth values stay."""
        if self._known is None:
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


class _Forms:
    """Every form of some secrets, and what finds them."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = sorted({form for secret in secrets for form in _forms(secret)}, key=lambda form: (-len(form), form))
        parts = [rf"(?<![\w.]){re.escape(form)}(?!\w|\.\w)" if len(form) < SHORT else re.escape(form) for form in forms]
        self.whole = re.compile("|".join(parts))
        """Longer ones first, so that no part of one is left."""
        long = sorted({"".join(form.split()) for form in forms if len("".join(form.split())) >= FOLDED}, key=len)
        self._long = tuple(reversed(long))

    def without_folded(self, text: str) -> str:
        """A server may break the line amid a secret that it echoes, and what shows its answer in one line makes a space of that."""
        if not self._long or not _BREAK.search(text):
            return text
        pieces = _BREAK.split(text)
        joined = "".join(pieces)
        if not any(form in joined for form in self._long):
            return text
        places = [i for piece in _kept(text) for i in piece]  # of each character of `joined`
        masked: list[tuple[int, int]] = []
        for form in self._long:
            at = joined.find(form)
            while at >= 0:
                masked.append((places[at], places[at + len(form) - 1] + 1))
                at = joined.find(form, at + 1)
        return _with_masks(text, masked)

    def without_end(self, text: str) -> str:
        """What is cut may end amid a secret."""
        end = text.rstrip(" .\u2026")
        if len(text) < CUT and not text.endswith(("\u2026", "...")):
            return text
        for form in self._long:
            at = end.rfind(form[:SHORT])
            if at >= 0 and form.startswith(end[at:]):
                return text[:at] + MASK + text[len(end) :]
        return text


def _kept(text: str) -> Iterator[range]:
    """Where the pieces between breaks are."""
    begin = 0
    for gap in _BREAK.finditer(text):
        yield range(begin, gap.start())
        begin = gap.end()
    yield range(begin, len(text))


def _with_masks(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with *** in place of each span; spans that meet are one."""
    parts, done = [], 0
    for begin, end in sorted(spans):
        if end <= done:
            continue
        if begin >= done:
            parts += [text[done:begin], MASK]
        done = end
    return "".join([*parts, text[done:]])


def _forms(secret: str) -> set[str]:
    texts = {secret, secret.strip(), unquote(secret), " ".join(secret.split())}
    texts |= {quoted for text in texts for quoted in (quote(text, safe=""), quote(text), quote_plus(text))}
    texts |= {text.replace("%", "%%") for text in texts if "%" in text}
    escaped = {json.dumps(text, ensure_ascii=ascii_)[1:-1] for text in texts for ascii_ in (True, False)}
    escaped |= {repr(text)[1:-1] for text in texts}
    escaped |= {html.escape(text, quotes) for text in texts for quotes in (True, False)}
    escaped |= {html.escape(text, False).replace('"', "&quot;") for text in texts}
    return {form for form in texts | escaped if form.strip()}
