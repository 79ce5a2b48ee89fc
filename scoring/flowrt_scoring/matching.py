"""Which reported violations are true, which were missed, and which never happened.

A report matches a violation of the same rule by the same road user: the one at the reported place at that time. Their time
spans, from the beginning to when it was last seen, may lie at most TIME_S apart. Each violation takes one report, each report
one violation.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from flowrt import Violation as Report
from flowrt_scoring.reference import Reference
from flowrt_sim.referee.definitions import Violation

TIME_S = 1.5
NEAR_M = 2.5
"""How far a reported position may be from the middle of the road user; for long vehicles half their length, if that is more."""
EDGE_S = 5.0
"""Violations this near to the beginning or end of a run are not judged: they are not seen in full."""
SEEN_IN_FULL = frozenset({"illegal_turn"})
"""Nor are these if they began before the run: where the vehicle came from was not seen."""


@dataclass(frozen=True)
class Reported:
    """One violation as it was reported: its first message, and when it was last seen."""

    report: Report
    leg: str
    last_s: float


@dataclass
class Judged:
    """One rule's outcome over any number of runs."""

    hits: list[tuple[int, Violation, Reported]] = field(default_factory=list)
    misses: list[tuple[int, Violation]] = field(default_factory=list)
    false_alarms: list[tuple[int, Reported]] = field(default_factory=list)


def reported(messages: Iterable[Report], legs: dict[str, str]) -> list[Reported]:
    """Reports by id, in order of their first message. legs: camera node to the leg that it watches."""
    first: dict[str, Report] = {}
    last_s: dict[str, float] = {}
    for message in messages:
        first.setdefault(message.id, message)
        last_s[message.id] = max(message.time_s, last_s.get(message.id, message.time_s))
    return [Reported(report, legs.get(report.camera_id, ""), last_s[key]) for key, report in first.items()]


def judge(reference: Reference, all_reports: list[Reported], rule: str, legs: frozenset[str], into: Judged) -> None:
    """Match one rule's reports of one run. legs: those whose cameras the flow has."""
    seed, end_s = reference.options.seed, reference.options.duration_s
    truths = [truth for truth in reference.violations if truth.rule == rule]
    reports = [each for each in all_reports if each.report.violation_type == rule]
    pairs = sorted(
        (gap_s + (0.0 if truth.leg == each.leg else 10.0), i, j)
        for i, truth in enumerate(truths)
        for j, each in enumerate(reports)
        if (gap_s := _gap_s(truth, each)) <= TIME_S and _same_actor(reference, truth, each)
    )
    taken: dict[int, int] = {}
    elsewhere: set[int] = set()
    done: set[int] = set()
    for _, i, j in pairs:
        if j in done:
            continue
        if truths[i].leg != reports[j].leg:
            elsewhere.add(j)  # true, but another camera's to report
        elif i not in taken:
            taken[i] = j
            done.add(j)
    for i, truth in enumerate(truths):
        if truth.leg not in legs or not EDGE_S <= truth.time_s <= end_s - EDGE_S:
            continue
        if truth.start_s < 0 and rule in SEEN_IN_FULL:
            continue
        if i in taken:
            into.hits.append((seed, truth, reports[taken[i]]))
        else:
            into.misses.append((seed, truth))
    for j, each in enumerate(reports):
        if j not in done and j not in elsewhere and EDGE_S <= each.report.time_s <= end_s - EDGE_S:
            into.false_alarms.append((seed, each))


def _gap_s(truth: Violation, each: Reported) -> float:
    """Time between the two spans, 0 where they overlap."""
    began_s = min(each.report.started_s, each.report.time_s)
    return max(began_s - max(truth.end_s, truth.time_s), truth.start_s - max(each.last_s, each.report.time_s), 0.0)


def _same_actor(reference: Reference, truth: Violation, each: Reported) -> bool:
    place = each.report.location
    if place.x_m is None or place.y_m is None:
        return False
    pair = (truth.actor, truth.other) if truth.rule == "near_miss" else (truth.actor,)
    for actor in pair:
        stands = reference.place(actor, each.report.time_s)
        if stands is None:
            continue
        away_m = float(np.hypot(stands.x_m - place.x_m, stands.y_m - place.y_m))
        if away_m <= max(NEAR_M, stands.length_m / 2):
            return True
    return False
