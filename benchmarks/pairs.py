"""Measuring in pairs, so that a machine that is slower now than a minute ago is slower for both."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import msgspec


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the table.

    value: the median over the pairs, in `unit`; low, high: the least and the most. target: what it must reach, in words.
    met: whether it did; None where there is no target. detail: whatever explains the figure.
    """

    benchmark: str
    what: str
    value: float
    unit: str
    low: float
    high: float
    target: str = ""
    met: bool | None = None
    detail: dict[str, Any] = {}


def ratios(
    ours: Callable[[], float], baseline: Callable[[], float], pairs: int
) -> tuple[list[float], list[float], list[float]]:
    """Measure both in turn, the first pair being a warm-up. Returns our figures, the baseline's, and their ratios."""
    mine, theirs = [], []
    for i in range(pairs + 1):
        if i % 2:
            a, b = ours(), baseline()
        else:
            b, a = baseline(), ours()
        if i:
            mine.append(a)
            theirs.append(b)
    return mine, theirs, [a / b for a, b in zip(mine, theirs, strict=True)]


def row(benchmark: str, what: str, values: list[float], unit: str, **facts: Any) -> Row:
    """A row from the values of all pairs. `at_least` or `at_most` set the target."""
    median = statistics.median(values)
    at_least, at_most = facts.pop("at_least", None), facts.pop("at_most", None)
    target, met = "", None
    if at_least is not None:
        target, met = f"≥ {at_least:g}", median >= at_least
    elif at_most is not None:
        target, met = f"≤ {at_most:g}", median <= at_most
    return Row(
        benchmark=benchmark, what=what, value=median, unit=unit, low=min(values), high=max(values),
        target=target, met=met, detail=facts,
    )  # fmt: skip
