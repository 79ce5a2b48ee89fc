"""Queries executed as Grafana would: the time range filled in, the step chosen, the data source looked up."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from flowrt_ops.alerts import Rule
from flowrt_ops.checks.queries import PlacedQuery, interpolated
from flowrt_ops.influx_reader import DATABASES, Reader, Series

_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STEPS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
_POINTS = 240  # about as many steps as fit into a panel half a screen wide


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """A time range in seconds since the epoch."""

    from_s: float
    to_s: float


def seconds(text: str) -> float:
    """Seconds of `15m`, `6h`, `7d`. Raises ValueError."""
    found = re.fullmatch(r"(\d+)([smhd])", text)
    if not found:
        raise ValueError(f"'{text}' is not a duration; write it as 15m, 6h or 7d")
    return float(int(found.group(1)) * _UNITS_S[found.group(2)])


def range_of(dashboard: Mapping[str, Any], to_s: float, span: str = "") -> Range:
    """What a dashboard shows when its range ends at `to_s`; span: of another length than its own."""
    return Range(from_s=to_s - seconds(span or str(dashboard["time"]["from"]).removeprefix("now-")), to_s=to_s)


def step_of(shown: Range, panel: Mapping[str, Any] | None = None) -> str:
    """`$__interval`: the range over the number of steps that fit, not below the panel's shortest step."""
    wanted_s = (shown.to_s - shown.from_s) / _POINTS
    wanted_s = max(wanted_s, seconds((panel or {}).get("interval") or "1s"))
    step_s = next((step for step in _STEPS_S if step >= wanted_s), _STEPS_S[-1])
    return f"{step_s}s"


def ask(
    reader: Reader, query: PlacedQuery, shown: Range, step: str, chosen: Mapping[str, str] | None = None
) -> list[Series]:
    """Execute a query. Raises flowrt_ops.influx_reader.Refused."""
    text = interpolated(
        query.text, from_ms=int(shown.from_s * 1000), to_ms=int(shown.to_s * 1000), step=step, chosen=chosen
    )
    return reader.query(text, DATABASES[query.source])


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The result of an alert rule for one series."""

    tags: dict[str, str]
    value: float
    fires: bool


def judge(reader: Reader, rule: Rule, now_s: float) -> list[Verdict]:
    """Evaluate an alert rule at a time, as Grafana's server-side expressions do: query, reduce without gaps, threshold.

    An empty list means no data; `without_data` of the rule says what follows.
    """
    shown = Range(from_s=now_s - rule.range_s, to_s=now_s)
    series = ask(reader, rule.placed_query, shown, "60s")
    verdicts = []
    for one in series:
        numbers = [value for row in one.values for value in row[1:] if isinstance(value, int | float)]
        if numbers:
            value = _REDUCE[rule.reducer](numbers)
            verdicts.append(Verdict(tags=one.tags, value=value, fires=_beyond(rule, value)))
    return verdicts


def fires(reader: Reader, rule: Rule, now_s: float) -> bool:
    """Whether the rule's condition holds for any series, or for none where it watches for signs of life."""
    verdicts = judge(reader, rule, now_s)
    return any(verdict.fires for verdict in verdicts) if verdicts else rule.without_data == "Alerting"


def _mean(numbers: Sequence[float]) -> float:
    return math.fsum(numbers) / len(numbers)


_REDUCE: dict[str, Callable[[Sequence[float]], float]] = {
    "last": lambda numbers: numbers[-1],
    "sum": math.fsum,
    "min": min,
    "max": max,
    "mean": _mean,
}


def _beyond(rule: Rule, value: float) -> bool:
    if rule.test == "gt":
        return value > rule.limits[0]
    if rule.test == "lt":
        return value < rule.limits[0]
    return rule.limits[0] < value < rule.limits[1]


__all__ = ["Range", "Verdict", "ask", "fires", "judge", "range_of", "seconds", "step_of"]
