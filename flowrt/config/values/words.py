"""Types in words, for `expected …` and for hints."""

from __future__ import annotations

from typing import Any

from msgspec import inspect as kinds

from flowrt.catalog import struct_fields

Description = dict[str, Any]


def unwrap(kind: kinds.Type) -> tuple[kinds.Type, dict[str, Any], dict[str, Any]]:
    """A type without its metadata, what `setting(...)` and marked types declare (extra), and its description and examples."""
    extra: dict[str, Any] = {}
    about: Description = {}
    while isinstance(kind, kinds.Metadata):
        extra |= kind.extra or {}
        about |= kind.extra_json_schema or {}
        kind = kind.type
    if isinstance(kind, kinds.UnionType) and not about:  # `Annotated[float, setting(…)] | None`
        about = next((each[2] for each in map(unwrap, kind.types) if each[2]), about)
    return kind, extra, about


def expected(kind: kinds.Type) -> str:
    """A type in words, with its bounds: `a number above 0 and at most 1`."""
    kind, extra, _ = unwrap(kind)
    if isinstance(kind, kinds.UnionType):
        return " or ".join(dict.fromkeys(expected(each) for each in kind.types))
    if isinstance(kind, kinds.LiteralType):
        words = ", ".join(str(value) for value in kind.values if value != "")
        empty = ", or empty" if "" in kind.values else ""
        return f"one of {words}{empty}" if len(kind.values) > 1 else words
    if isinstance(kind, kinds.EnumType):
        return "one of " + ", ".join(str(member.value) for member in kind.cls)
    if isinstance(kind, kinds.IntType | kinds.FloatType):
        return ("a whole number" if isinstance(kind, kinds.IntType) else "a number") + bounds(kind)
    if isinstance(kind, kinds.StrType):
        return _expected_text(kind, extra)
    if isinstance(kind, kinds.TupleType):
        items = [expected(each) for each in kind.item_types]
        each = f"each {items[0]}" if len(set(items)) == 1 else ", ".join(items)
        return f"a list of {len(kind.item_types)} ({each})"
    if isinstance(kind, kinds.ListType | kinds.VarTupleType | kinds.SetType | kinds.FrozenSetType):
        return f"a list (each {expected(kind.item_type)})"
    simple = {kinds.NoneType: "nothing", kinds.BoolType: "true or false", kinds.AnyType: "anything"}
    return simple.get(type(kind), "a mapping")


def bounds(kind: kinds.IntType | kinds.FloatType) -> str:
    """The bounds of a number in words, with a leading space."""
    limits = [
        f"{word} {limit:g}"
        for word, limit in (("at least", kind.ge), ("above", kind.gt), ("at most", kind.le), ("below", kind.lt))
        if limit is not None
    ]
    return " " + " and ".join(limits) if limits else ""


def _expected_text(kind: kinds.StrType, extra: dict[str, Any]) -> str:
    named = {"file": "a file", "side_input": "the name of a node", "node": "the name of a node"}.get(
        extra.get("kind", "")
    )
    if named or extra.get("kind"):
        return named or f"the name of a {extra['kind']}"
    if kind.pattern is not None:
        return "a string of the right form"
    return "a string that is not empty" if kind.min_length else "a string"


def hint_of(about: Description) -> str:
    if about.get("examples"):
        return "for example " + " or ".join(str(example) for example in about["examples"][:2])
    return str(about.get("description", ""))


def example(cls: type) -> str:
    keys = [field.encode_name for field in struct_fields(cls) if field.required] or [
        field.encode_name for field in struct_fields(cls)[:1]
    ]
    return f"write {{{', '.join(f'{key}: …' for key in keys)}}}" if keys else ""
