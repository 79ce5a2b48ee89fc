"""`from: all` and `from: {types: [violations]}`: a node is fed by whatever makes such messages, so that a new rule reaches every sink.

A message type is taken from the nodes that make it, not from those that only pass it on or fill it in, and never from nodes behind the
one that selects. `all` is every type that it takes and can deliver, but for pictures, and for what another node makes into a closer
message of the same kind (detections that become tracks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from collections.abc import Mapping as ReadOnly

from flowrt.catalog import NodeType
from flowrt.config.nodes.config import EdgeReference, NodeConfig, Selection
from flowrt.config.report import Report
from flowrt.flow import FROM, accepted_outputs
from flowrt.message import Event, Fault, Message

Types = tuple[type[Message], ...]
Delivers = Callable[[NodeType, type[Message]], bool]


def select(configs: ReadOnly[str, NodeConfig], delivers: Delivers, report: Report) -> None:
    """Add the edges that selections stand for. delivers: whether a sink can do anything with a message type."""
    if not any(config.selections for config in configs.values()):
        return
    makers = {name: config.type for name, config in configs.items() if config.type is not None}
    targets: dict[str, list[str]] = {name: [] for name in configs}
    for config in configs.values():
        for source in {edge_ref.source for edge_ref in config.edge_refs} & targets.keys():
            targets[source].append(config.name)
    superseded = _superseded(configs)
    # those that hear of faults come last: they hear of all that does not stand behind them
    for config in sorted(configs.values(), key=lambda each: each.type is not None and _of_faults(each.type)):
        if config.type is None or not config.selections:
            continue
        behind = _behind(config.name, targets)
        before = {name: maker for name, maker in makers.items() if name not in behind}
        for selection in config.selections:
            taken = _taken(config, config.type, selection, before, superseded, delivers)
            config.edge_refs += taken
            for edge_ref in taken:
                targets[edge_ref.source].append(config.name)
            _check(config, config.type, selection, taken, makers, report)


def _of_faults(kind: NodeType) -> bool:
    """Whether a node takes nothing but faults, which every node may make."""
    return bool(kind.ports.inputs) and all(issubclass(each, Fault) for each in kind.ports.inputs)


def made(kind: NodeType) -> Types:
    """The message types that a node makes itself, and does not only pass on or fill in."""
    filled_in = tuple(each for each in kind.ports.inputs if each not in (Message, Fault))
    return tuple(out for out in kind.ports.outputs if not issubclass(out, filled_in))


def _taken(
    config: NodeConfig,
    kind: NodeType,
    selection: Selection,
    makers: ReadOnly[str, NodeType],
    superseded: ReadOnly[str, Types],
    delivers: Delivers,
) -> list[EdgeReference]:
    named = None if selection.ports is None else {port for port, _, _ in selection.ports}
    taken: list[EdgeReference] = []
    for name, maker in makers.items():
        if not _free(config, name):
            continue
        if named is None and _of_faults(kind):
            ports = [""]
        else:
            fits = accepted_outputs(made(maker), kind.ports.inputs)
            if named is None:
                wanted = [each for each in fits if not each.replaceable and each not in superseded.get(name, ())]
                wanted = [each for each in wanted if delivers(kind, each)]
            else:
                wanted = [each for each in fits if each.port in named]
            every = set(accepted_outputs(maker.ports.outputs, kind.ports.inputs)) == set(wanted)
            ports = [""] if every and wanted else list(dict.fromkeys(each.port for each in wanted))
        for port in ports:
            if _free(config, name, port):
                taken.append(
                    EdgeReference(source=name, port=port, field=FROM, mark=selection.mark, path=selection.path)
                )
    return taken


def _behind(name: str, targets: ReadOnly[str, list[str]]) -> set[str]:
    """A node and all that it feeds, which can't feed it."""
    behind, waiting = {name}, [name]
    while waiting:
        fed = [each for each in targets[waiting.pop()] if each not in behind]
        behind.update(fed)
        waiting += fed
    return behind


def _free(config: NodeConfig, source: str, port: str | None = None) -> bool:
    """Whether `from` does not name the node already (and its port)."""
    named = {each.port for each in config.edge_refs if each.source == source and each.field == FROM}
    return "" not in named and (port is None or not port or port not in named)


def _superseded(configs: ReadOnly[str, NodeConfig]) -> dict[str, Types]:
    """By node, the message types of which another node makes closer ones."""
    found: dict[str, Types] = {}
    for config in configs.values():
        for edge_ref in config.edge_refs:
            source = configs.get(edge_ref.source)
            if config.type is None or source is None or source.type is None or edge_ref.field != FROM:
                continue
            bases = {base for closer in made(config.type) for base in _kinds(closer)}
            read = accepted_outputs(made(source.type), config.type.ports.inputs, edge_ref.port)
            found[source.name] = found.get(source.name, ()) + tuple(each for each in read if bases & set(_kinds(each)))
    return found


def _kinds(message: type[Message]) -> Iterator[type]:
    """What a message type is more specially than a message or an event."""
    return (base for base in message.__mro__ if issubclass(base, Message) and base not in (Message, Event))


def _check(
    config: NodeConfig,
    kind: NodeType,
    selection: Selection,
    taken: list[EdgeReference],
    makers: ReadOnly[str, NodeType],
    report: Report,
) -> None:
    """Report types that nothing makes, or that the node does not take."""
    types = [each for maker in makers.values() for each in made(maker)]
    fits = accepted_outputs(types, kind.ports.inputs)
    if selection.ports is None:
        if not taken and not config.edge_refs:
            message = f"no node makes anything that '{kind.name}' takes"
            report.add(selection.mark, selection.path, message, "add a node before it, or name the nodes")
        return
    for port, mark, path in selection.ports:
        if any(each.port == port for each in fits):
            continue
        if any(each.port == port for each in types):
            known = sorted({each.port for each in fits})
            report.add(
                mark, path, f"'{kind.name}' does not take {port}", f"here it takes {', '.join(known) or 'nothing'}"
            )
            continue
        hint = report.suggest(port, sorted({each.port for each in fits}))
        report.add(mark, path, f"no node makes messages of the type '{port}'", hint)
