"""Characters that come into a YAML file by accident: with a paste from a web page, or from a terminal."""

from __future__ import annotations

import re
import unicodedata

CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x85\u2028\u2029]")
"""What no text file holds; some of them are line breaks to YAML and to no editor."""
INVISIBLE = re.compile(
    "[\u00a0\u00ad\u034f\u061c\u1680\u180e\u2000-\u200f\u202a-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb]"
)
"""Spaces that YAML takes for letters, and characters without any width."""
CURLY_QUOTES = frozenset("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\u00ab\u00bb")
LOOKALIKE = re.compile(f"{INVISIBLE.pattern}|[{''.join(sorted(CURLY_QUOTES))}]")
"""Any of these: looks like a character of YAML's own, and is none."""


def named(character: str) -> str:
    """`a no-break space (U+00A0)`."""
    noun = unicodedata.name(character, "invisible character").lower()
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun} (U+{ord(character):04X})"
