"""The contract at load time: a message type that the contract forbids can't be wired to an outbox."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal, get_args

from flowrt.catalog import NodeType
from flowrt.config.cache import LoadCache
from flowrt.config.checks.wiring import Types
from flowrt.config.nodes import NodeConfig
from flowrt.config.report import Report
from flowrt.config.yaml import shorten
from flowrt.contract import Contract
from flowrt.diagnostics import FlowError
from flowrt.flow import Edge
from flowrt.message import Message
from flowrt.system.resources import share

OutboxKind = Literal["topics", "measurements"]


def check_contract(
    configs: Iterable[NodeConfig], arriving: Mapping[Edge, Types], folder: Path, cache: LoadCache, report: Report
) -> tuple[Path, ...]:
    """Report every edge into an outbox on which something travels that its topics or measurements forbid.

    An outbox says in its class variable `contract` which schemas it has to fit: "topics" or "measurements". folder: the flow
    file's, whose `schemas/` may describe more of both. Returns the schema files that were read.
    """
    outboxes = [d for d in configs if d.type and getattr(d.type.cls, "contract", None) in get_args(OutboxKind)]
    if not outboxes:
        return ()
    try:
        contract = _contract(folder, cache)
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
                reasons = cache.incompatibilities((message, kind), partial(contract.incompatibilities, message, kind))
                for reason in reasons:
                    found = (
                        f"the contract forbids {message.port} of '{edge_ref.source}' as {kind}: {shorten(reason, 200)}"
                    )
                    report.add(edge_ref.mark, edge_ref.path, found, "the message type and its schema have to agree")
    return contract.files


class Carried:
    """Whether an outbox's topics or measurements carry a message type; true where it names no contract, or that can't be read."""

    def __init__(self, folder: Path, cache: LoadCache) -> None:
        self._folder = folder
        self._cache = cache

    def __call__(self, kind: NodeType, message: type[Message]) -> bool:
        wanted: OutboxKind | None = getattr(kind.cls, "contract", None)
        contract = self._contract if wanted in get_args(OutboxKind) else None
        if contract is None or wanted is None:
            return True
        found = self._cache.incompatibilities((message, wanted), partial(contract.incompatibilities, message, wanted))
        return not found

    @functools.cached_property
    def _contract(self) -> Contract | None:
        try:
            return _contract(self._folder, self._cache)
        except (FlowError, OSError):
            return None  # `check_contract` reports it


def _contract(folder: Path, cache: LoadCache) -> Contract:
    files = [*_shipped(), *sorted((folder / "schemas").rglob("*.schema.json"))]
    return cache.contract(files, partial(Contract.of_flow, folder))


@functools.cache  # which there are stays as it is while a program runs; what is in them may be edited
def _shipped() -> tuple[Path, ...]:
    return tuple(sorted(share("schemas").rglob("*.schema.json")))
