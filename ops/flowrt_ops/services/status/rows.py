"""One row of `flowrt services status`."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from flowrt.services.checks import Target, check

Verdict = Literal["ok", "warning", "down"]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table. todo: what to do, empty where all is well."""

    service: str
    address: str
    verdict: Verdict
    version: str = ""
    latency_ms: float | None = None
    wrong: str = ""
    todo: str = ""


def row_of(name: str, target: Target, timeout_s: float) -> Row:
    """The row of a service by its check."""
    result = check(target, timeout_s)
    wrong, _, todo = result.error.partition(": ")
    return Row(
        service=name,
        address=target.url,
        verdict="ok" if result.up else "down",
        version=result.version,
        latency_ms=result.latency_ms,
        wrong=wrong,
        todo=todo,
    )


def changed(row: Row, **fields: Any) -> Row:
    """The row with other fields."""
    return msgspec.structs.replace(row, **fields)
