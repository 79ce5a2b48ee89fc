"""Values as YAML in one line, so that every reader takes them for what they are."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from flowrt.config.yaml import core_value

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NO_TEXT = frozenset({"y", "n", "yes", "no", "on", "off"})
"""Truth values to YAML 1.1, which other tools read."""


def written(value: Any) -> str:
    """A value in flow style. Raises TypeError for what is no plain data, ValueError for a number that is none."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return number(value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{text(str(key))}: {written(each)}" for key, each in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(written, value)) + "]"
    raise TypeError(f"{type(value).__name__} has no form in YAML")


def number(value: float) -> str:
    """Whole numbers without a point; others as short as they are exact."""
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    if isinstance(value, int) or (value == int(value) and abs(value) < 1e15):
        return str(int(value))
    shown = repr(value)
    return shown if "e" not in shown else shown.replace("e", ".0e") if "." not in shown else shown


def text(value: str) -> str:
    """Plain where nothing else can be meant, else in double quotes."""
    if _PLAIN.fullmatch(value) and value.lower() not in _NO_TEXT and isinstance(core_value(value), str):
        return value
    return '"' + "".join(map(_character, value)) + '"'


def _character(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
