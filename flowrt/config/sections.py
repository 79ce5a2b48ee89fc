"""Sections of the flow file: named blocks beside `nodes` whose entries nodes refer to by name, such as `scene`.

An installed package adds a section by an entry point of the group `flowrt.sections`: its value is a module with a `SECTION`. The name
of the entry point is the key in the file. flowrt's own `scene` is registered the same way.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple

import msgspec

from flowrt.config.report import Report
from flowrt.config.values import INVALID, SettingsReader
from flowrt.config.yaml import Yaml
from flowrt.diagnostics import Diagnostic, FlowError, Mark
from flowrt.message import Message
from flowrt.node import Node
from flowrt.system.resources import entry_points
from flowrt.system.threads import from_keyboard

GROUP = "flowrt.sections"


class Use(NamedTuple):
    """A published name that the text of an entry uses, and where it stands."""

    kind: str
    name: str
    path: str
    mark: Mark


class FlowParts(NamedTuple):
    """A flow's nodes while it is checked.

    nodes: by name, the settings of those that could be read. feeds: by name, the nodes whose messages a node gets.
    """

    nodes: Mapping[str, Node]
    feeds: Mapping[str, frozenset[str]]


class Section:
    """One section. Its entries may be given in included files.

    key: the word in the file. A node with a setting of that name, marked `reference(key)`, names an entry; the flow's only entry
        need not be named.
    description, struct: for editors: what it is, and the form of an entry.
    parts: kinds of names that are looked up within the entry that a node names, with their descriptions (`zone`: "A zone of …").
    published: kinds of names that nodes publish (`Node.published`) and entries or settings use, with the message type that carries
        them and a description.
    An entry's class may have a text `what` that says in a word what an edit of it changes ("the geometry of north").
    """

    key: ClassVar[str]
    description: ClassVar[str]
    struct: ClassVar[type[msgspec.Struct]]
    parts: ClassVar[Mapping[str, str]] = {}
    published: ClassVar[Mapping[str, tuple[type[Message], str]]] = {}

    def read(self, name: str, node: Yaml, path: str, report: Report) -> Any | None:
        """An entry, None where its values could not be read; what is wrong with it is added to the report.

        Without a method of its own, a section's entries are its `struct`s.
        """
        entry = SettingsReader(report).struct(node, self.struct, path, f"{self.key} '{name}'", node.mark)
        return None if entry is INVALID else entry

    def names(self, entry: Any, part: str) -> Collection[str]:
        """The names of a part that an entry has."""
        return ()

    def notes(self, entry: Any) -> Iterable[str]:
        """What `flowrt check` tells of an entry with nothing wrong in it, line by line."""
        return ()

    def check(self, entries: Mapping[str, Any], flow: FlowParts) -> Iterable[tuple[str, Diagnostic]]:
        """What is wrong with nodes of the flow together, each with the node to report it at; keys are below that node's entry."""
        return ()

    def uses(self, entry: Any, node: Yaml, path: str) -> Iterable[Use]:
        """The published names that an entry uses."""
        return ()


@functools.cache  # what is installed stays as it is while a program runs
def sections() -> Mapping[str, Section]:
    """Every section by its key."""
    found: dict[str, Section] = {}
    for name, module in entry_points(GROUP).items():
        try:
            section: Section = importlib.import_module(module).SECTION
        except BaseException as error:  # a third party's code
            if from_keyboard(error):
                raise
            message = f"the section '{name}' can't be used: {module}: {type(error).__name__}: {error}"
            hint = "update or uninstall the package that brings it"
            raise FlowError([Diagnostic(message=message, hint=hint, file="flowrt")]) from error
        found[name] = section
    if not found:  # a checkout that was updated over an older installation
        message = "flowrt was installed before its files were updated: it knows no section of the flow file"
        raise FlowError([Diagnostic(message=message, hint="install it again: pip install --editable .", file="flowrt")])
    return found
