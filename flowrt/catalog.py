"""The catalogue of node types: where they come from, and what their annotations say about ports.

A node type is a module with one `Node` subclass in it; the module's path below its package is the type's name in YAML
(`flowrt_nodes/violation/red_light.py` is `violation.red_light`, `camera/__init__.py` is `camera`). A module whose name begins
with that of its folder and `_` is a type by its own name (`mqtt/mqtt_out.py` is `mqtt_out`). Modules and folders whose name
begins with `_` are helpers, and so is an `__init__.py` that defines no class; tests (`test_NAME.py`, `conftest.py`, a folder `tests`) are no types.
Packages come from the entry-point group `flowrt.nodes`; a `nodes/` folder beside a flow file adds its own. A name that is there twice
can't be used: nothing takes the place of another type without a word. Listing names imports
nothing; a type's module is imported when it is used.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.util
import inspect
import re
import sys
import types
import typing
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from flowrt.message import Message
from flowrt.node import Inference, Node, Outbox, Source, Transform
from flowrt.system.resources import all_entry_points
from flowrt.system.threads import from_keyboard

GROUP = "flowrt.nodes"
LOCAL = "flowrt_local_"
"""Begins the module names of a `nodes/` folder's files."""


class NodeTypeError(Exception):
    """A node type that can't be used: its module fails to import, or its class breaks the rules. `line` where known."""

    def __init__(self, message: str, file: str = "", line: int = 0) -> None:
        super().__init__(message)
        self.file = file
        self.line = line


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """Message types by direction.

    inputs: accepted by `from`; empty for sources. outputs: what the node makes. passes: what arrives goes out again.
    side_inputs: setting name to the message types of `on_<setting>`.
    """

    inputs: tuple[type[Message], ...] = ()
    outputs: tuple[type[Message], ...] = ()
    passes: bool = False
    side_inputs: dict[str, tuple[type[Message], ...]] = {}


class NodeType(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the catalogue. code: a fingerprint of the module's source; a new one means a new node."""

    name: str
    cls: type[Node]
    ports: Ports
    origin: str
    file: str
    code: str

    @property
    def summary(self) -> str:
        """The first line of the class's docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]

    @property
    def role(self) -> str:
        """source, inference, sink or transform."""
        for base, role in ((Source, "source"), (Inference, "inference"), (Outbox, "sink")):
            if issubclass(self.cls, base):
                return role
        return "transform"

    def restart_fields(self) -> frozenset[str]:
        """Settings whose change needs a new node."""
        return frozenset(name for name, extra in setting_extras(self.cls).items() if extra.get("restart"))


class Catalog:
    """Node types by name, imported when first asked for."""

    def __init__(self, folder: Path | None = None) -> None:
        """folder: the flow file's folder, whose `nodes/` is looked at as well."""
        self._where = dict(_installed())  # type name -> (origin, module name or file)
        self._twice: dict[str, tuple[str, str]] = dict(_taken_twice())  # type name -> where one is, where the other
        self._types: dict[str, NodeType] = {}
        self.folder = folder / "nodes" if folder else None
        if self.folder and self.folder.is_dir():
            for name, file in _types_in(self.folder):
                if name in self._where:
                    self._twice[name] = self._where[name][1], str(file)
                self._where[name] = ("folder", str(file))

    def names(self) -> list[str]:
        """Every type name, sorted."""
        return sorted(self._where)

    def origin(self, name: str) -> str:
        """The entry point that a type comes from, or `folder`; nothing is imported. Raises KeyError."""
        return self._where[name][0]

    def files(self) -> list[Path]:
        """The files of the `nodes/` folder, which a watcher looks at."""
        return [Path(where) for origin, where in self._where.values() if origin == "folder"]

    def __contains__(self, name: str) -> bool:
        return name in self._where

    def get(self, name: str) -> NodeType:
        """The type of that name. Raises KeyError, or NodeTypeError where its module is no good."""
        known = self._types.get(name)
        if name in self._twice:
            one, other = self._twice[name]
            raise NodeTypeError(f"it is there twice, as {one} and as {other}: rename one of them")
        if known is None:
            origin, where = self._where[name]
            module = _import_file(Path(where)) if origin == "folder" else _import(where)
            try:
                known = self._types[name] = _describe(name, origin, module)
            except NodeTypeError:
                raise
            except Exception as error:  # annotations that msgspec can't make sense of
                raise _import_error(module.__file__ or where, error) from error
        return known

    def __iter__(self) -> Iterator[NodeType]:
        return map(self.get, self.names())


@functools.cache  # what is installed stays as it is while a program runs; a reload need not look again
def _installed() -> Mapping[str, tuple[str, str]]:
    """The types of the installed packages; of a name that several have, one of them."""
    return {name: found[0] for name, found in _offered().items()}


@functools.cache
def _taken_twice() -> Mapping[str, tuple[str, str]]:
    """The types that two installed packages have, and both modules."""
    return {name: (found[0][1], found[1][1]) for name, found in _offered().items() if len(found) > 1}


@functools.cache
def _offered() -> Mapping[str, list[tuple[str, str]]]:
    """For each type every (entry point, module) that has it."""
    offered: dict[str, list[tuple[str, str]]] = {}
    for origin, package in all_entry_points(GROUP):
        for name, module in _modules(package):
            offered.setdefault(name, []).append((origin, module))
    return offered


def _types_in(folder: Path) -> Iterator[tuple[str, Path]]:
    """(type name, file) for every module below a folder that is a type, by the rules at the top."""
    for file in filter(Path.is_file, sorted(folder.rglob("*.py"))):  # a pipe of that name would be waited for
        parts = list(file.relative_to(folder).with_suffix("").parts)
        if parts[-1] == "__init__" and _defines_node(file):
            parts.pop()
        if not parts or any(part.startswith("_") for part in parts) or _is_test(parts):
            continue
        if len(parts) > 1 and parts[-1].startswith(f"{parts[-2]}_"):
            del parts[-2]
        yield ".".join(parts), file


def _is_test(parts: list[str]) -> bool:
    """Whether a module belongs to the nodes' tests: `test_NAME.py`, `conftest.py`, or below a folder `tests`."""
    return parts[-1].startswith("test_") or parts[-1] == "conftest" or "tests" in parts[:-1]


def _modules(package: str) -> Iterator[tuple[str, str]]:
    """(type name, module name) for every module of a package, without importing them."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        return
    if spec.submodule_search_locations is None:
        yield package.rpartition(".")[2], package
        return
    for place in spec.submodule_search_locations:
        for name, file in _types_in(Path(place)):
            module = [package, *file.relative_to(place).with_suffix("").parts]
            yield name, ".".join(module).removesuffix(".__init__")


def _defines_node(file: Path) -> bool:
    """Whether an `__init__.py` is a node itself, and no mere package: it has a public class."""
    return re.search(r"^class [A-Z]\w*\(", file.read_text("utf-8"), re.MULTILINE) is not None


def _import(module: str) -> types.ModuleType:
    try:
        return importlib.import_module(module)
    except BaseException as error:
        if from_keyboard(error):
            raise
        raise _import_error(module, error) from error


def _import_file(file: Path) -> types.ModuleType:
    """Import a file of a `nodes/` folder under a name made from its content, so that an edit gives a new module."""
    try:
        source = file.read_bytes()
        name = f"{LOCAL}{hashlib.sha256(str(file).encode() + source).hexdigest()[:16]}"
        if name in sys.modules:
            return sys.modules[name]
        module = types.ModuleType(name)
        module.__file__ = str(file)
        code = compile(source, str(file), "exec")
        sys.modules[name] = module
        try:
            exec(code, module.__dict__)
        except BaseException:
            del sys.modules[name]
            raise
        return module
    except BaseException as error:
        if from_keyboard(error):
            raise
        raise _import_error(str(file), error) from error


def _import_error(where: str, error: BaseException) -> NodeTypeError:
    file, line = "", 0
    if isinstance(error, SyntaxError):
        file, line = error.filename or "", error.lineno or 0
    else:
        trace = error.__traceback__
        while trace is not None:
            file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
            trace = trace.tb_next
    return NodeTypeError(f"{where} can't be imported: {type(error).__name__}: {error}", file, line)


def _describe(name: str, origin: str, module: types.ModuleType) -> NodeType:
    file = module.__file__ or ""
    found = [
        item
        for item in vars(module).values()
        if isinstance(item, type)
        and issubclass(item, Node)
        and item.__module__ == module.__name__
        and not item.__name__.startswith("_")
    ]
    if len(found) != 1:
        raise NodeTypeError(f"{file}: a node module has one public node class, found {len(found)}", file)
    cls = found[0]
    if not inspect.getdoc(cls):
        raise NodeTypeError(f"{file}: {cls.__name__} has no docstring; its first line is the type's summary", file)
    code = hashlib.sha256(Path(file).read_bytes()).hexdigest()[:16] if origin == "folder" else ""
    return NodeType(name=name, cls=cls, ports=ports_of(cls), origin=origin, file=file, code=code)


@functools.cache  # msgspec evaluates every annotation anew at each question, a millisecond or two for a node
def struct_fields(cls: type) -> tuple[msgspec.inspect.Field, ...]:
    """The fields of a struct and what is known of their types."""
    info = msgspec.inspect.type_info(cls)
    assert isinstance(info, msgspec.inspect.StructType)
    return info.fields


@functools.cache
def setting_extras(cls: type[Node]) -> dict[str, dict[str, Any]]:
    """Setting name to what `setting(...)` and the marked types declare (restart, secret, kind)."""
    return {field.name: _extra(field.type) for field in struct_fields(cls)}


def services_of(settings: Node) -> frozenset[str]:
    """Names of the services that a node connects to: those its type names, and those its settings do."""
    fields = [name for name, extra in setting_extras(type(settings)).items() if extra.get("kind") == "service"]
    named = [getattr(settings, field) for field in fields]
    flat = [name for each in named for name in ([each] if isinstance(each, str) else each or ())]
    return type(settings).uses | frozenset(flat)


def _extra(kind: msgspec.inspect.Type) -> dict[str, Any]:
    extra: dict[str, Any] = {}
    while isinstance(kind, msgspec.inspect.Metadata):
        extra |= kind.extra or {}
        kind = kind.type
    if isinstance(kind, msgspec.inspect.ListType):
        extra = {**_extra(kind.item_type), **extra}
    elif isinstance(kind, msgspec.inspect.UnionType):  # `Annotated[float, setting(…)] | None`
        for member in kind.types:
            extra = {**_extra(member), **extra}
    return extra


@functools.cache
def ports_of(cls: type[Node]) -> Ports:
    """Read the ports from the annotations. Raises NodeTypeError where they are missing or no message types."""
    if issubclass(cls, Source):
        return Ports(outputs=_messages(cls, "produce", "return"), side_inputs=_side_inputs(cls))
    if issubclass(cls, Inference):
        return Ports(
            inputs=_messages(cls, "submit", ""),
            outputs=_messages(cls, "collect", "return"),
            side_inputs=_side_inputs(cls),
        )
    if issubclass(cls, Outbox):
        return Ports(inputs=_messages(cls, "encode", ""), side_inputs=_side_inputs(cls))
    hints = _hints(cls, "process")
    generic = any(isinstance(hint, TypeVar) for hint in _flat(hints.get("return")))
    return Ports(
        inputs=_messages(cls, "process", ""),
        outputs=_messages(cls, "process", "return"),
        passes=generic,
        side_inputs=_side_inputs(cls),
    )


def _side_inputs(cls: type[Node]) -> dict[str, tuple[type[Message], ...]]:
    side_inputs = (name for name, extra in setting_extras(cls).items() if extra.get("kind") == "side_input")
    return {name: _messages(cls, f"on_{name}", "") for name in side_inputs}


def _hints(cls: type[Node], method: str) -> dict[str, Any]:
    function = getattr(cls, method, None)
    if not callable(function):
        raise NodeTypeError(f"{cls.__name__} has no method {method}", inspect.getfile(cls))
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise NodeTypeError(f"{cls.__name__}.{method}: annotation {error}", inspect.getfile(cls)) from error
    names = [name for name in inspect.signature(function).parameters if name != "self"]
    first = hints.get(names[0]) if names else None
    if names and first is None:
        raise NodeTypeError(
            f"{cls.__name__}.{method}: the parameter '{names[0]}' needs a message type, which is its port",
            inspect.getfile(cls),
        )
    return {"": first, "return": hints.get("return")}


def _messages(cls: type[Node], method: str, which: str) -> tuple[type[Message], ...]:
    found = []
    for hint in _flat(_hints(cls, method)[which]):
        if isinstance(hint, TypeVar):
            if which == "":
                found.append(hint.__bound__ or Message)
        elif isinstance(hint, type) and issubclass(hint, Message):
            found.append(hint)
        elif hint is not type(None) and which == "":
            raise NodeTypeError(f"{cls.__name__}.{method}: {hint!r} is no message type", inspect.getfile(cls))
    return tuple(dict.fromkeys(found))


def _flat(hint: Any) -> Iterable[Any]:
    """The members of unions, and of iterables of unions."""
    origin = typing.get_origin(hint)
    if origin is None:
        return [] if hint is None else [hint]
    arguments = typing.get_args(hint)
    if origin not in (typing.Union, types.UnionType):
        arguments = arguments[:1]
    return [leaf for argument in arguments for leaf in _flat(argument)]


__all__ = ["Catalog", "NodeType", "NodeTypeError", "Ports", "Transform", "ports_of", "setting_extras", "struct_fields"]
