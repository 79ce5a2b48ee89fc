"""The contract at load time: a message type that the contract forbids can't be wired to an outbox."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, get_args

from flowrt.document import shorten
from flowrt.flow import Edge
from flowrt.load.drafts import Draft
from flowrt.load.report import Report
from flowrt.load.wiring import Types
from flowrt.problem import FlowError

OutboxKind = Literal["topics", "measurements"]


def prove(drafts: Iterable[Draft], arriving: Mapping[Edge, Types], folder: Path, report: Report) -> None:
    """Report every edge into an outbox on which something travels that its topics or measurements forbid.

    An outbox says in its class variable `contract` which schemas it has to fit: "topics" or "measurements". folder: the flow file's,
    whose `schemas/` may describe more of both.
    """
    outboxes = [d for d in drafts if d.type and getattr(d.type.cls, "contract", None) in get_args(OutboxKind)]
    if not outboxes:
        return
    from flowrt.contract import Contract  # only flows with such an outbox pay for reading the schemas

    try:
        contract = Contract.of_flow(folder)
    except (FlowError, FileNotFoundError) as error:
        for draft in outboxes:
            report.add(draft.mark, draft.path, f"the contract can't be read: {shorten(str(error), 200)}")
        return
    for draft in outboxes:
        assert draft.type is not None
        kind: OutboxKind = draft.type.cls.contract  # type: ignore[attr-defined]
        for wire in draft.wires:
            edge = Edge(source=wire.source, target=draft.name, field=wire.field, port=wire.port)
            for message in arriving.get(edge, ()):
                for reason in contract.prove(message, kind):
                    found = f"the contract forbids {message.port} of '{wire.source}' as {kind}: {shorten(reason, 200)}"
                    report.add(wire.mark, wire.path, found, "the message type and its schema have to agree")
