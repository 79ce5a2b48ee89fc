"""Characters that come into a YAML file by accident: with a paste from a web page, or from a terminal."""

from __future__ import annotations

import re
import unicodedata

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")
"""What no text file holds; some of them are line breaks to YAML and to no editor."""
INVISIBLE = re.compile(
    "(?P<character>[\u00a0\u00ad\u034f\u061c\u1680\u180e\u2000-\u200f\u202a-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb])"
)
"""Spaces that YAML takes for letters, and characters without any width."""
CURLY_QUOTES = frozenset("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb")
LOOKALIKE = re.compile(f"{INVISIBLE.pattern}|[{''.join(sorted(CURLY_QUOTES))}]")
"""Any of these: looks like a character of YAML's own, and is none."""

_OWN_NAMES = {"\r": "carriage return", "\t": "tab character"}
LONE_RETURN = re.compile("\r(?!\n)")
"""A line break to YAML and to no editor, where the file has others too."""
_HIDDEN = re.compile(f"[^\\S \n]|{INVISIBLE.pattern}|{CONTROL.pattern}")


def visible(text: str) -> str:
    """The text with what can't be seen as escapes: `timer\\u00a0`, `5\\r`."""
    return _HIDDEN.sub(lambda found: _escape(found[0]), text)


def hidden_at_an_end(text: str) -> str:
    """The character that can't be seen and begins or ends a text; empty where there is none."""
    return next((end for end in (text[:1], text[-1:]) if end and _HIDDEN.fullmatch(end)), "")


def _escape(character: str) -> str:
    return {"\r": "\\r", "\t": "\\t"}.get(character, f"\\u{ord(character):04x}")


def named(character: str) -> str:
    """`a no-break space (U+00A0)`."""
    noun = _OWN_NAMES.get(character) or unicodedata.name(character, "invisible character").lower()
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} (U+{ord(character):04X})"
