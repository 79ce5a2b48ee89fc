"""The contract at load time: a message type that the contract forbids can't be wired to an outbox."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from flowrt.config.nodes import NodeConfig
from flowrt.config.report import Report
from flowrt.config.wiring import Types
from flowrt.config.yaml import shorten
from flowrt.diagnostics import FlowError
from flowrt.flow import Edge
from flowrt.message import Message
from flowrt.resources import share

if TYPE_CHECKING:
    from flowrt.contract import Contract

OutboxKind = Literal["topics", "measurements"]


def check_contract(
    configs: Iterable[NodeConfig], arriving: Mapping[Edge, Types], folder: Path, report: Report
) -> tuple[Path, ...]:
    """Report every edge into an outbox on which something travels that its topics or measurements forbid.

    An outbox says in its class variable `contract` which schemas it has to fit: "topics" or "measurements". folder: the flow
    file's, whose `schemas/` may describe more of both. Returns the schema files that were read.
    """
    outboxes = [d for d in configs if d.type and getattr(d.type.cls, "contract", None) in get_args(OutboxKind)]
    if not outboxes:
        return ()
    try:
        files = [*_shipped(), *sorted((folder / "schemas").rglob("*.schema.json"))]
        contract = _contract(folder, tuple((file, file.stat().st_mtime_ns) for file in files))
    except FlowError as error:
        report.diagnostics.extend(error.diagnostics)
        return ()
    except OSError as error:
        for config in outboxes:
            report.add(config.mark, config.path, f"the contract can't be read: {shorten(str(error), 200)}")
        return ()
    for config in outboxes:
        assert config.type is not None
        kind: OutboxKind = config.type.cls.contract  # type: ignore[attr-defined]
        for edge_ref in config.edge_refs:
            edge = Edge(source=edge_ref.source, target=config.name, field=edge_ref.field, port=edge_ref.port)
            for message in arriving.get(edge, ()):
                for reason in _incompatibilities(contract, message, kind):
                    found = (
                        f"the contract forbids {message.port} of '{edge_ref.source}' as {kind}: {shorten(reason, 200)}"
                    )
                    report.add(edge_ref.mark, edge_ref.path, found, "the message type and its schema have to agree")
    return contract.files


@functools.cache  # which there are stays as it is while a program runs; what is in them may be edited
def _shipped() -> tuple[Path, ...]:
    return tuple(sorted(share("schemas").rglob("*.schema.json")))


@functools.lru_cache(maxsize=2)  # a reload reads the schemas again only when one was edited
def _contract(folder: Path, stamp: tuple[tuple[Path, int], ...]) -> Contract:
    """The contract; `stamp` says which files and how new."""
    from flowrt.contract import Contract  # only flows with such an outbox wait for it

    return Contract.of_flow(folder)


@functools.lru_cache(maxsize=1000)
def _incompatibilities(contract: Contract, message: type[Message], kind: OutboxKind) -> tuple[str, ...]:
    return tuple(contract.incompatibilities(message, kind))
