"""YAML nodes to values of a struct's fields, with every mismatch reported at its own place.

`msgspec.convert` stops at the first mismatch and knows no lines. So each field is walked here by what `msgspec.inspect`
says of its type, and `msgspec.convert` is only the last word on what passed.
"""

from __future__ import annotations

from collections.abc import Mapping as ReadOnly
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect as kinds

from flowrt.addresses import control_character
from flowrt.catalog import struct_fields
from flowrt.config.report import Report, plain
from flowrt.config.values.scalars import INVALID, is_number, scalar_value, shape_fits
from flowrt.config.values.units import other_unit, unit_in_value
from flowrt.config.values.words import Description, example, expected, hint_of, unwrap
from flowrt.config.yaml import UNKNOWN, Mapping, Scalar, Sequence, Yaml, core_value, describe, join, shorten
from flowrt.diagnostics import Mark

_NOTHING: ReadOnly[str, str] = {}


class Reference(NamedTuple):
    """A value that names something else in the file: `kind` is what the marked types of `flowrt.node` say."""

    kind: str
    name: str
    mark: Mark
    path: str
    field: str


class SettingsReader:
    """Reads settings from YAML nodes, and collects the references in them; secrets go to the report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.references: list[Reference] = []

    def struct(self, node: Yaml, cls: type, path: str, owner: str, name: Mark) -> Any:
        """An instance of `cls`, or INVALID.

        owner: what the struct is called in messages. name: where missing settings are reported.
        """
        given = self.fields(node, cls, path, owner, name)
        if given is INVALID:
            return INVALID
        try:
            return msgspec.convert(given, cls)
        except (msgspec.ValidationError, ValueError, TypeError) as error:
            self.report.add(name, path, f"{owner}: {shorten(str(error), 200)}")
            return INVALID

    def fields(
        self,
        node: Yaml,
        cls: type,
        path: str,
        owner: str,
        name: Mark,
        skip: frozenset[str] = frozenset(),
        hints: ReadOnly[str, str] = _NOTHING,
    ) -> Any:
        """The given fields as a dict, or INVALID. Every unknown, missing and mistyped one is reported. skip: keys of others."""
        if not isinstance(node, Mapping):
            if not (isinstance(node, Scalar) and node.value is UNKNOWN):
                self.report.add(node.mark, path, f"expected a mapping, found {describe(node)}", example(cls))
            return INVALID
        fields = {field.encode_name: field for field in struct_fields(cls)}
        good = True
        given: dict[str, Any] = {}
        former = {old: key for key, field in fields.items() if (old := unwrap(field.type)[1].get("renamed_from"))}
        for written, item in node.items.items():
            if written in skip:
                continue
            key = former.get(written, written) if written not in fields else written
            if key != written:
                good = self._renamed(node, written, key, path) and good
            if key not in fields:
                hint = other_unit(key, item, fields) or self.report.suggest(key, [*fields, *skip])
                self.report.add(node.key(key), join(path, key), f"unknown setting '{shorten(key)}' of {owner}", hint)
                good = False
                continue
            value = self.value(item, fields[key].type, join(path, written), key)
            good = good and value is not INVALID
            given[key] = value
        for key, field in fields.items():
            if field.required and key not in node.items and key not in given:
                _, _, about = unwrap(field.type)
                hint = hints.get(key) or about.get("description") or f"add `{key}: …`"
                self.report.add(name, path, f"{owner} needs the setting '{key}'", hint)
                good = False
        return given if good else INVALID

    def _renamed(self, node: Mapping, written: str, key: str, path: str) -> bool:
        """Report a setting under its former name; False where the new one is there as well."""
        place = node.key(written), join(path, written)
        if key in node.items:
            self.report.add(
                *place, f"`{written}` is the former name of `{key}`, and both are given", f"remove `{written}`"
            )
            return False
        self.report.add(*place, f"`{written}` is now called `{key}`", f"write `{key}: …`", severity="warning")
        return True

    def value(self, node: Yaml, kind: kinds.Type, path: str, field: str) -> Any:
        """The value of one node, or INVALID."""
        kind, extra, about = unwrap(kind)
        if isinstance(node, Scalar) and node.value is UNKNOWN:
            return INVALID
        if isinstance(kind, kinds.UnionType):
            return self._union(node, kind, path, field, extra)
        if isinstance(kind, kinds.StructType):
            return self._nested(node, kind, path)
        if isinstance(kind, kinds.DictType):
            return self._dict(node, kind, path, field, about)
        if isinstance(kind, kinds.TupleType):
            return self._tuple(node, kind, path, field, about)
        if isinstance(kind, kinds.ListType | kinds.VarTupleType | kinds.SetType | kinds.FrozenSetType):
            return self._list(node, kind, path, field, about)
        if not isinstance(node, Scalar):
            if isinstance(kind, kinds.AnyType):
                return plain(node)
            self.report.add(node.mark, path, f"expected {expected(kind)}, found {describe(node)}", hint_of(about))
            return INVALID
        value = scalar_value(node, kind)
        if extra.get("secret") and node.value not in (None, ""):
            self.report.secrets |= {str(node.value)}
        if value is INVALID:
            self._mismatch(node, kind, path, field, about)
            return INVALID
        if extra.get("secret") and isinstance(value, str):
            return self._secret(node, value, path)
        if extra.get("kind") and isinstance(value, str) and value:
            self.references.append(Reference(extra["kind"], value, node.mark, path, field))
        return value

    def _mismatch(self, node: Scalar, kind: kinds.Type, path: str, field: str, about: Description) -> None:
        found = describe(node)
        hint = hint_of(about)
        if isinstance(kind, kinds.LiteralType) and isinstance(node.value, str):
            hint = self.report.suggest(node.value, [str(value) for value in kind.values])
        elif isinstance(kind, kinds.EnumType) and isinstance(node.value, str):
            hint = self.report.suggest(node.value, [str(member.value) for member in kind.cls])
        elif isinstance(node.value, str) and not node.substituted and is_number(core_value(node.value), kind):
            hint = "write it without quotes"
        elif isinstance(node.value, str) and isinstance(kind, kinds.IntType | kinds.FloatType):
            hint = unit_in_value(field, node.value) or hint
        elif isinstance(kind, kinds.StrType) and node.value is not None and not isinstance(node.value, str):
            hint = "write it in quotes"
        elif isinstance(kind, kinds.BoolType) and isinstance(node.value, str):
            hint = "write true or false"
        self.report.add(node.mark, path, f"expected {expected(kind)}, found {found}", hint)

    def _secret(self, node: Scalar, value: str, path: str) -> Any:
        if control := control_character(value):
            origin = node.origin or "the secret"
            self.report.add(node.mark, path, f"{origin} has {control} in its text", "write the value again without it")
            return INVALID
        if value and (not node.sources or "default" in node.sources):
            hint = "use ${env:NAME} or ${file:PATH}, so that the file can be shown to others"
            self.report.add(node.mark, path, "a secret written in the flow file", hint, secret=True)
            return INVALID
        return value

    def _nested(self, node: Yaml, kind: kinds.StructType, path: str) -> Any:
        return self.fields(node, kind.cls, path, f"'{path.rpartition('.')[2]}'", node.mark)

    def _dict(self, node: Yaml, kind: kinds.DictType, path: str, field: str, about: Description) -> Any:
        if not isinstance(node, Mapping):
            self.report.add(node.mark, path, f"expected a mapping, found {describe(node)}", "write `name: value` lines")
            return INVALID
        result: dict[Any, Any] = {}
        good = True
        for key, item in node.items.items():
            leaf = Scalar(key, node.key(key))
            leaf.substituted = True  # keys are text in YAML; a numeric key type may read a number from it
            name = self.value(leaf, kind.key_type, join(path, key), field)
            value = self.value(item, kind.value_type, join(path, key), field)
            good = good and name is not INVALID and value is not INVALID
            if good:
                result[name] = value
        return result if good and self._length(node, len(node.items), kind, path, "entries", about) else INVALID

    def _list(self, node: Yaml, kind: Any, path: str, field: str, about: Description) -> Any:
        if not isinstance(node, Sequence):
            hint = (
                f"write [{shorten(str(node.value))}]"
                if isinstance(node, Scalar) and node.value is not None
                else hint_of(about)
            )
            self.report.add(node.mark, path, f"expected {expected(kind)}, found {describe(node)}", hint)
            return INVALID
        items = [self.value(item, kind.item_type, join(path, i), field) for i, item in enumerate(node.items)]
        good = self._length(node, len(items), kind, path, "items", about)
        return items if good and INVALID not in items else INVALID

    def _tuple(self, node: Yaml, kind: kinds.TupleType, path: str, field: str, about: Description) -> Any:
        wanted = len(kind.item_types)
        if not isinstance(node, Sequence) or len(node.items) != wanted:
            found = f"{len(node.items)} of them" if isinstance(node, Sequence) else describe(node)
            self.report.add(node.mark, path, f"expected {expected(kind)}, found {found}", hint_of(about))
            return INVALID
        pairs = zip(node.items, kind.item_types, strict=True)
        items = [self.value(item, each, join(path, i), field) for i, (item, each) in enumerate(pairs)]
        return INVALID if INVALID in items else items

    def _length(self, node: Yaml, length: int, kind: Any, path: str, what: str, about: Description) -> bool:
        if kind.min_length is not None and length < kind.min_length:
            self.report.add(
                node.mark, path, f"expected at least {kind.min_length} {what}, found {length}", hint_of(about)
            )
            return False
        if kind.max_length is not None and length > kind.max_length:
            self.report.add(
                node.mark, path, f"expected at most {kind.max_length} {what}, found {length}", hint_of(about)
            )
            return False
        return True

    def _union(self, node: Yaml, kind: kinds.UnionType, path: str, field: str, extra: dict[str, Any]) -> Any:
        fitting = [each for each in kind.types if shape_fits(node, unwrap(each)[0])]
        if isinstance(node, Scalar) and len(fitting) > 1:
            # text from outside: a number is a number where one is wanted, and text only otherwise
            fitting = [each for each in fitting if scalar_value(node, unwrap(each)[0]) is not INVALID] or fitting[:1]
            fitting.sort(key=lambda each: isinstance(unwrap(each)[0], kinds.StrType) and node.substituted)
        if not fitting:
            numeric = any(isinstance(unwrap(each)[0], kinds.IntType | kinds.FloatType) for each in kind.types)
            text = node.value if isinstance(node, Scalar) and numeric else None
            hint = unit_in_value(field, text) if isinstance(text, str) else ""
            self.report.add(node.mark, path, f"expected {expected(kind)}, found {describe(node)}", hint)
            return INVALID
        choice = fitting[0]
        return self.value(node, kinds.Metadata(choice, None, extra) if extra else choice, path, field)
