"""Scores as tables, and the misses and false alarms by time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flowrt_scoring.score import Score

HEAD = ("rule", "truth", "found", "hits", "false", "missed", "precision", "recall", "F1")


def table(score: Score) -> str:
    """The score as a table."""
    facts = score.facts()
    rows = [HEAD, *(_row(rule, numbers) for rule, numbers in facts["rules"].items())]
    widths = [max(len(row[i]) for row in rows) for i in range(len(HEAD))]
    lines = [
        "  ".join(
            cell.ljust(w) if not i else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    lines += ["", f"{facts['minutes']:g} camera minutes"]
    if facts["speed_mae_kmh"] is not None:
        lines.append(f"speed: mean absolute error {facts['speed_mae_kmh']:.2f} km/h")
    if facts["count_error"] is not None:
        lines.append(f"counts: {facts['count_error']:.1%} off")
    return "\n".join(lines)


def _row(rule: str, numbers: dict[str, Any]) -> tuple[str, ...]:
    counted = ("truth", "found", "true_positives", "false_positives", "false_negatives")
    shares = ("precision", "recall", "f1")
    return (rule, *(str(numbers[name]) for name in counted), *(_share(numbers[name]) for name in shares))


def _share(number: float | None) -> str:
    return "-" if number is None else f"{number:.3f}"


def mistakes(score: Score) -> Iterator[str]:
    """One line per miss and false alarm, by rule, seed and time since the first picture."""
    for rule, judged in score.rules.items():
        lines = []
        for seed, truth in judged.misses:
            mistake = f"missed {truth.kind} {truth.actor}" + (f" with {truth.other}" if truth.other >= 0 else "")
            where = f"{truth.leg} {truth.lane or 'box'} at ({truth.ground_m[0]:.1f}, {truth.ground_m[1]:.1f})"
            lines.append((seed, truth.time_s, f"{mistake}, {where}, {truth.detail} {truth.value:.2f}".rstrip()))
        for seed, each in judged.false_alarms:
            report = each.report
            place = report.location
            where = f"{each.leg} {report.roi_id} at ({place.x_m}, {place.y_m})"
            lines.append((seed, report.time_s, f"false  {report.object.label}, {where}, {report.description}"))
        yield from (f"{rule}  seed {seed}  {time_s:7.1f} s  {line}" for seed, time_s, line in sorted(lines))
