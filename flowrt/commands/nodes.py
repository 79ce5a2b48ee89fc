"""List the node types, or describe one.

With TYPE: what it accepts and outputs, its settings with unit, bounds and default, what it drops or guarantees, an example.
"""

from __future__ import annotations

import argparse
import inspect
import textwrap
from pathlib import Path
from typing import Any

import msgspec
from msgspec import inspect as kinds

from flowrt.catalog import Catalog, NodeType, NodeTypeError, Ports, struct_fields
from flowrt.commands import DONE, FAILED, UsageError
from flowrt.config.values import expected, unit_of, unwrap
from flowrt.diagnostics import did_you_mean

ROLES = (
    ("source", "Sources"),
    ("inference", "Inference"),
    ("transform", "Transforms"),
    ("sink", "Sinks, which lose nothing"),
)


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("type", nargs="?", metavar="TYPE", help="a node type")
    parser.add_argument("--flow", type=Path, metavar="FLOW", help="with the node types beside this flow file")


def run(args: argparse.Namespace) -> int:
    """Print the list or the description."""
    catalog = Catalog(args.flow.parent if args.flow else None)
    if args.type is None:
        print(listing(catalog))
        return DONE
    if args.type not in catalog:
        raise UsageError(f"there is no node type '{args.type}'; {did_you_mean(args.type, catalog.names())}")
    try:
        print(description(catalog.get(args.type)))
    except NodeTypeError as error:
        print(f"{args.type} can't be used: {error}")
        return FAILED
    return DONE


def listing(catalog: Catalog) -> str:
    """Every type with a line, by role; those that can't be imported at the end."""
    usable: list[NodeType] = []
    broken: list[str] = []
    for name in catalog.names():
        try:
            usable.append(catalog.get(name))
        except NodeTypeError as error:
            broken.append(f"  {name}: {error}")
    width = max((len(kind.name) for kind in usable), default=0)
    parts = []
    for role, title in ROLES:
        lines = [f"  {kind.name:<{width}}  {kind.summary}" for kind in usable if kind.role == role]
        if lines:
            parts.append("\n".join([title, *lines]))
    if broken:
        parts.append("\n".join(["Can't be used", *broken]))
    return "\n\n".join(parts)


def description(kind: NodeType) -> str:
    """All about one type."""
    origin = "" if kind.origin == "builtin" else f", from {kind.origin}"
    parts = [f"{kind.name} ({kind.role}{origin})", textwrap.indent(inspect.getdoc(kind.cls) or "", "  ")]
    parts.append("\n".join(["Messages", *_ports(kind.ports)]))
    if kind.cls.requires or kind.cls.provides:
        facts = [f"  needs {fact} from upstream" for fact in sorted(kind.cls.requires)]
        parts.append("\n".join(["Columns", *facts, *(f"  fills in {fact}" for fact in sorted(kind.cls.provides))]))
    settings = [line for field in struct_fields(kind.cls) for line in _setting(field)]
    parts.append("\n".join(["Settings", *(settings or ["  none"])]))
    if kind.cls.guarantee:
        title = "What may be dropped" if kind.role == "source" else "Guarantee"
        parts.append(f"{title}\n{textwrap.indent(kind.cls.guarantee.strip(), '  ')}")
    if kind.cls.example:
        parts.append(f"Example\n{textwrap.indent(kind.cls.example.strip(), '  ')}")
    return "\n\n".join(parts)


def _ports(ports: Ports) -> list[str]:
    lines = [f"  accepts {each.port} ({each.__name__})" for each in ports.inputs]
    for setting, types in ports.side_inputs.items():
        lines += [f"  accepts {each.port} ({each.__name__}) from the node that `{setting}` names" for each in types]
    lines += [f"  outputs {each.port} ({each.__name__})" for each in ports.outputs]
    if ports.passes:
        lines.append("  outputs what it accepts")
    return lines


def _setting(field: kinds.Field) -> list[str]:
    _, _, about = unwrap(field.type)
    default = "required" if field.required else f"default {_default(field)}"
    unit = unit_of(field.encode_name)
    facts = [expected(field.type) + (f", {unit}" if unit else ""), default]
    extra = _extras(field.type)
    if extra.get("inherited"):
        facts.append("where it is not given, as upstream, or the only one of the flow")
    if extra.get("restart"):
        facts.append("a change makes a new node")
    if extra.get("secret"):
        facts.append("secret: from ${env:…} or ${file:…}")
    lines = [f"  {field.encode_name}: {'; '.join(facts)}"]
    if "description" in about:
        lines += textwrap.wrap(about["description"], 110, initial_indent="      ", subsequent_indent="      ")
    if about.get("examples"):
        lines.append(f"      for example {', '.join(str(example) for example in about['examples'])}")
    return lines


def _extras(kind: kinds.Type) -> dict[str, Any]:
    inner, extra, _ = unwrap(kind)
    for member in inner.types if isinstance(inner, kinds.UnionType) else ():
        extra = {**unwrap(member)[1], **extra}
    return extra


def _default(field: kinds.Field) -> str:
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return msgspec.json.encode(value).decode()
