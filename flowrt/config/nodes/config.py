"""What is known of a node while its flow is read.

A config keeps its places in the file, so that every later problem is reported where its cause is written.
"""

from __future__ import annotations

import re
from collections.abc import Mapping as ReadOnly

import msgspec

from flowrt.catalog import NodeType
from flowrt.config.values import Reference
from flowrt.config.yaml import Yaml
from flowrt.diagnostics import Mark
from flowrt.flow import FROM, Restart
from flowrt.node import Node

NAME = re.compile(r"[a-z][a-z0-9_]*")
LISTED = "`flowrt nodes` lists them"
RENAMED_FROM = "renamed_from"
FORMERLY = {"was": RENAMED_FROM}
"""Old keys of nodes, which still work, and what they are now."""
COMMON = frozenset({"type", FROM, RENAMED_FROM, "restart", *FORMERLY})


class EdgeReference(msgspec.Struct, frozen=True, kw_only=True):
    """One name after `from`, or in a side-input setting, and where it stands."""

    source: str
    port: str
    field: str
    mark: Mark
    path: str


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """`from: all`, or `{types: [violations]}`: message types by their ports, each with its place; None for all."""

    ports: tuple[tuple[str, Mark, str], ...] | None
    mark: Mark
    path: str


class NodeConfig(msgspec.Struct, kw_only=True):
    """A node as far as it could be read. settings is None where something in it is wrong; references: names it uses.

    scope: what names mean within the repeated block that it comes from.
    """

    name: str
    mark: Mark
    path: str
    node: Yaml
    type: NodeType | None = None
    settings: Node | None = None
    scope: ReadOnly[str, str] = {}
    edge_refs: list[EdgeReference] = []
    selections: list[Selection] = []
    references: list[Reference] = []
    renamed_from: str = ""
    restart: Restart = Restart()
