"""One leaf against one type: whether it fits, and its value."""

from __future__ import annotations

import math
import re
from typing import Any

from msgspec import inspect as kinds

from flowrt.config.yaml import Mapping, Scalar, Sequence, Yaml, core_value


class _Invalid:
    """What a value becomes that was reported."""

    def __repr__(self) -> str:
        return "invalid"


INVALID = _Invalid()


def shape_fits(node: Yaml, kind: kinds.Type) -> bool:
    """Whether a member of a union is worth trying; scalars fit by their own type, so that the message can name its bounds."""
    if isinstance(kind, kinds.AnyType):
        return True
    if isinstance(node, Mapping):
        return isinstance(kind, kinds.StructType | kinds.DictType)
    if isinstance(node, Sequence):
        return isinstance(
            kind, kinds.ListType | kinds.TupleType | kinds.VarTupleType | kinds.SetType | kinds.FrozenSetType
        )
    if isinstance(kind, kinds.LiteralType | kinds.EnumType):
        return node.value is not None
    if node.substituted:
        return isinstance(kind, kinds.StrType | kinds.IntType | kinds.FloatType | kinds.BoolType) or (
            isinstance(kind, kinds.NoneType) and node.value == ""
        )
    if isinstance(kind, kinds.NoneType):
        return node.value is None
    if isinstance(kind, kinds.BoolType):
        return isinstance(node.value, bool)
    if isinstance(kind, kinds.StrType):
        return isinstance(node.value, str)
    return isinstance(kind, kinds.IntType | kinds.FloatType) and is_number(node.value, kind)


def scalar_value(node: Scalar, kind: kinds.Type) -> Any:
    """The leaf's value where it fits the type and its bounds, else INVALID."""
    value = node.value
    if node.substituted and isinstance(value, str) and not isinstance(kind, kinds.StrType | kinds.AnyType):
        value = _read_as(value, kind)
    if isinstance(kind, kinds.AnyType):
        return value
    if isinstance(kind, kinds.NoneType):
        return None if value is None or (node.substituted and value == "") else INVALID
    if isinstance(kind, kinds.BoolType):
        return value if isinstance(value, bool) else INVALID
    if isinstance(kind, kinds.IntType | kinds.FloatType):
        return _number(value, kind)
    if isinstance(kind, kinds.StrType):
        return value if isinstance(value, str) and _text_fits(value, kind) else INVALID
    if isinstance(kind, kinds.LiteralType):
        return next((known for known in kind.values if known == value and type(known) is type(value)), INVALID)
    if isinstance(kind, kinds.EnumType):
        return value if any(member.value == value for member in kind.cls) else INVALID
    return value  # dates and the like: msgspec has the last word


def _read_as(text: str, kind: kinds.Type) -> Any:
    if isinstance(kind, kinds.LiteralType):
        return next((known for known in kind.values if str(known) == text), text)
    return core_value(text) if len(text) < 100 else text


def is_number(value: Any, kind: kinds.Type) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(kind, kinds.FloatType):
        return isinstance(value, int | float)
    return isinstance(kind, kinds.IntType) and isinstance(value, int)


def _number(value: Any, kind: kinds.IntType | kinds.FloatType) -> Any:
    if not is_number(value, kind) or abs(value) > 2**63 - 1 or not math.isfinite(value):
        return INVALID
    if (kind.ge is not None and value < kind.ge) or (kind.gt is not None and value <= kind.gt):
        return INVALID
    if (kind.le is not None and value > kind.le) or (kind.lt is not None and value >= kind.lt):
        return INVALID
    if kind.multiple_of is not None and value % kind.multiple_of:
        return INVALID
    return float(value) if isinstance(kind, kinds.FloatType) else value


def _text_fits(text: str, kind: kinds.StrType) -> bool:
    if kind.min_length is not None and len(text) < kind.min_length:
        return False
    if kind.max_length is not None and len(text) > kind.max_length:
        return False
    return kind.pattern is None or re.search(kind.pattern, text) is not None
