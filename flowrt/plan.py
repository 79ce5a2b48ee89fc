"""Plans: what a reload will keep, rewire, reconfigure, replace, add and remove, before anything is touched.

`Plan.between(old, new)` is pure. Comments, order and formatting of the file never reach it, since it compares flows.

- kept: nothing about the node changes.
- rewired: the same node, fed by other nodes. Nothing restarts.
- reconfigured: settings, or the section entries that they name, change in place; the node keeps its memory.
- replaced: a new node takes the old one's place, because its type, its code or a setting that can't change in place did.
- added, removed: as they say. A node that names its former self with `renamed_from:` is not removed and added but carried over.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from flowrt.addresses import without_passwords
from flowrt.catalog import services_of, setting_extras
from flowrt.flow import Flow, NodeSpec
from flowrt.node import Inference, Node, Outbox, Source
from flowrt.secrets import mask

Kind = Literal["kept", "rewired", "reconfigured", "replaced", "added", "removed"]
NAMED = 5
"""So many of the nodes that change alike are named in their line."""
KINDS: tuple[Kind, ...] = ("kept", "rewired", "reconfigured", "replaced", "added", "removed")


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one node.

    was: its name in the old flow. changed: settings (or section entries that they name, or `site`) that differ. why: in words. forgets: what memory is lost.
    queue: what becomes of the messages waiting in front of it.
    """

    name: str
    kind: Kind
    was: str = ""
    changed: tuple[str, ...] = ()
    why: str = ""
    forgets: str = ""
    queue: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The difference between two flows, node by node, in the new flow's order, removed nodes last."""

    old: Flow
    new: Flow
    changes: tuple[Change, ...]

    @classmethod
    def between(cls, old: Flow, new: Flow) -> Plan:
        """Compare two flows. Both must have been loaded without problems."""
        origin = _origins(old, new)
        changes = [_change(old, new, origin, spec) for spec in new.nodes.values()]
        survivors = set(origin.values())
        changes += [
            Change(name=name, kind="removed", was=name, forgets=_memory(spec), queue=_parting(spec))
            for name, spec in old.nodes.items()
            if name not in survivors
        ]
        return cls(old=old, new=new, changes=tuple(changes))

    def of(self, kind: Kind) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.changes if change.kind == kind]

    @property
    def empty(self) -> bool:
        """Whether nothing changes at all."""
        return all(change.kind == "kept" and change.was == change.name for change in self.changes)

    def names(self) -> dict[str, list[str]]:
        """The JSON form: kind to node names."""
        return {kind: [change.name for change in self.of(kind)] for kind in KINDS}

    def lines(self, *, fold: bool = True) -> list[str]:
        """The plan in words, one line a node that is not simply kept.

        fold: nodes that change alike share a line, which names the first of them.
        """
        sign = {"added": "+", "removed": "-", "replaced": "±", "reconfigured": "~", "rewired": "→", "kept": "="}
        alike: dict[tuple[str, ...], list[str]] = {}
        for change in self.changes:
            if change.kind == "kept" and change.was == change.name:
                continue
            renamed = change.was if change.was != change.name else ""
            parts = [change.kind, renamed and f"was {renamed}", change.why]
            parts += [change.forgets and f"forgets {change.forgets}", change.queue]
            what = "; ".join(part for part in parts if part)
            key = (sign[change.kind], what, *(() if fold else (change.name,)))
            alike.setdefault(key, []).append(change.name)
        lines = [f"{mark} {_listed(names)}: {what}" for (mark, what, *_), names in alike.items()]
        kept = sum(change.kind == "kept" for change in self.changes)
        if kept:
            lines.append(f"= {kept} kept")
        return lines


def _listed(names: list[str]) -> str:
    """`a, b, c and 13 more`."""
    if len(names) <= NAMED + 1:
        return ", ".join(names)
    return f"{', '.join(names[:NAMED])} and {len(names) - NAMED} more"


def _origins(old: Flow, new: Flow) -> dict[str, str]:
    """New name to old name, for every node that has a former self."""
    origin = {
        name: spec.renamed_from
        for name, spec in new.nodes.items()
        if spec.renamed_from in old.nodes and spec.renamed_from not in new.nodes
    }
    taken = set(origin.values())
    origin |= {name: name for name in new.nodes if name in old.nodes and name not in origin and name not in taken}
    return origin


def _change(old: Flow, new: Flow, origin: dict[str, str], spec: NodeSpec) -> Change:
    was = origin.get(spec.name, "")
    if not was:
        return Change(name=spec.name, kind="added")
    before = old.nodes[was]
    memory = _memory(before)
    replaced = _why_replaced(old, new, before, spec)
    if replaced:
        why, changed = replaced
        carried = before.type.name == spec.type.name
        return Change(
            name=spec.name,
            kind="replaced",
            was=was,
            why=why,
            changed=changed,
            forgets="" if carried and type(before.settings).export_state is not Node.export_state else memory,
            queue=_handover(before),
        )
    changed = tuple(
        field
        for field in spec.settings.__struct_fields__
        if getattr(before.settings, field) != getattr(spec.settings, field)
    )
    entries_before, entries = old.entries_of(was), new.entries_of(spec.name)
    changed += tuple(field for field in entries if field not in changed and entries_before.get(field) != entries[field])
    if old.site != new.site:
        changed += ("site",)
    if changed:
        why = ", ".join(_difference(before, spec, field, old, new) for field in changed)
        return Change(name=spec.name, kind="reconfigured", was=was, changed=changed, why=why)
    renamed = {(origin.get(edge.source, edge.source), edge.field, edge.port) for edge in spec.edges}
    if renamed != {(edge.source, edge.field, edge.port) for edge in before.edges}:
        sources = ", ".join(edge.source for edge in spec.edges) or "nothing"
        return Change(name=spec.name, kind="rewired", was=was, why=f"now fed by {sources}")
    return Change(name=spec.name, kind="kept", was=was)


def _why_replaced(old: Flow, new: Flow, before: NodeSpec, spec: NodeSpec) -> tuple[str, tuple[str, ...]] | None:
    if before.type.name != spec.type.name:
        return f"its type is now {spec.type.name}", ("type",)
    if before.type.code != spec.type.code:
        return "its code changed", ("code",)
    fields = tuple(
        sorted(
            field
            for field in spec.type.restart_fields()
            if getattr(before.settings, field) != getattr(spec.settings, field)
        )
    )
    if fields:
        values = ", ".join(
            f"{field} {_shown(before, field, old.secrets)} → {_shown(spec, field, new.secrets)}" for field in fields
        )
        return f"{values} can't change in place", fields
    if [*before.reads.values()] != [*spec.reads.values()]:
        names = [file.name for file, content in spec.reads.items() if before.reads.get(file) != content]
        return f"{', '.join(names) or 'a file'} changed", ("files",)
    for service in sorted(services_of(spec.settings)):
        if old.services.get(service) != new.services.get(service):
            return f"the service {service} changed", ("services",)
    return None


def _difference(before: NodeSpec, spec: NodeSpec, field: str, old: Flow, new: Flow) -> str:
    """One change in words."""
    if field == "site":
        return f"site → {new.site}"
    if field in spec.entries and before.entries.get(field) == spec.entries[field]:
        section, entry = spec.entries[field]
        return f"the {getattr(new.sections[section][entry], 'what', section)} of {entry}"
    return f"{field} {_shown(before, field, old.secrets)} → {_shown(spec, field, new.secrets)}"


def _shown(spec: NodeSpec, field: str, secrets: frozenset[str]) -> str:
    if setting_extras(type(spec.settings)).get(field, {}).get("secret"):
        return "***"
    text = mask(without_passwords(repr(getattr(spec.settings, field))), secrets)
    return text if len(text) <= 40 else text[:37] + "…"


def _memory(spec: NodeSpec) -> str:
    if isinstance(spec.settings, Source):
        return "its connection and position"
    if isinstance(spec.settings, Inference):
        return "its compiled model"
    if isinstance(spec.settings, Outbox):
        return "its connection"
    return "its memory" if type(spec.settings).export_state is not Node.export_state else ""


def _handover(spec: NodeSpec) -> str:
    if isinstance(spec.settings, Outbox):
        return "its journal goes on with the new node"
    if isinstance(spec.settings, Inference):
        return "what is in flight is finished first"
    if isinstance(spec.settings, Source):
        return "what it has read is carried through first"
    return ""


def _parting(spec: NodeSpec) -> str:
    if isinstance(spec.settings, Outbox):
        return "its journal is delivered, the rest parked"
    return _handover(spec)
