"""The score of a flow: precision, recall and F1 per rule, speed and count errors, over any number of simulated runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flowrt import LaneInterval, Message
from flowrt import Violation as Report
from flowrt.flow import Flow
from flowrt.testing.replay import rehearse, tapped
from flowrt_scoring.detection_cache import cached_detections
from flowrt_scoring.matching import Judged, judge, reported
from flowrt_scoring.measures import Counts, SpeedErrors
from flowrt_scoring.reference import Reference, Witness
from flowrt_scoring.simulated import Boxes, Faults, cameras, on_simulation, speed_nodes
from flowrt_sim.referee.definitions import RULES, Violation
from flowrt_sim.traffic.motion import Motion
from flowrt_sim.uri import SimOptions


@dataclass
class Score:
    """The outcome of all runs so far. rules: those that the flow has nodes for, in the referee's order."""

    rules: dict[str, Judged] = field(default_factory=dict)
    minutes: float = 0.0
    speed_errors_kmh: list[float] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)

    def facts(self) -> dict[str, Any]:
        """The score as a JSON object; numbers that could not be measured are null."""
        errors = self.speed_errors_kmh
        return {
            "minutes": self.minutes,
            "rules": {rule: _facts(judged) for rule, judged in self.rules.items()},
            "speed_mae_kmh": round(sum(errors) / len(errors), 3) if errors else None,
            "count_error": None if self.counts.error is None else round(self.counts.error, 4),
        }


def _facts(judged: Judged) -> dict[str, Any]:
    hits, misses, alarms = len(judged.hits), len(judged.misses), len(judged.false_alarms)
    precision = hits / (hits + alarms) if hits + alarms else None
    recall = hits / (hits + misses) if hits + misses else None
    f1 = 2 * hits / (2 * hits + misses + alarms) if hits + misses + alarms else None
    return {
        "truth": hits + misses,
        "found": hits + alarms,
        "true_positives": hits,
        "false_positives": alarms,
        "false_negatives": misses,
        "precision": _rounded(precision),
        "recall": _rounded(recall),
        "f1": _rounded(f1),
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)


def add_run(
    score: Score,
    flow: Flow,
    world: SimOptions,
    *,
    boxes: Boxes,
    faults: Faults,
    truth: Iterable[Violation] | None = None,
    cache: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> Reference:
    """Run the flow in one world and add the outcome; returns the truth. truth: given violations instead of the world's own.

    cache: a folder for the detections, see `detection_cache`. report: takes a line about the run.
    """
    witness = Witness(world)
    reference, motion = witness.reference, Motion(witness.simulation, witness.watch)
    legs = {name: options.camera for name, options in cameras(flow).items()}
    errors = SpeedErrors(reference)
    running = on_simulation(flow, world, motion, boxes=boxes, faults=faults)
    with (
        cached_detections(flow, running, world, faults, motion, cache)
        if cache and boxes == "model"
        else nullcontext(running) as running
    ):
        running = tapped(running, speed_nodes(running), errors.observe)
        arrived = rehearse(running, until_s=world.duration_s, kind=(Report, LaneInterval))
    messages = unique(message for _, message in arrived)
    motion.run_until(witness.end_s)
    witness.finish()
    if truth is not None:
        reference.violations = list(truth)
    reports = reported((m for m in messages if isinstance(m, Report)), legs)
    reference.violations = [v for v in reference.violations if _counts(flow, reference, v)]
    for rule in rules_of(flow):
        judge(reference, reports, rule, frozenset(legs.values()), score.rules.setdefault(rule, Judged()))
    score.speed_errors_kmh.extend(errors.errors_kmh)
    score.counts.add(reference, (m for m in messages if isinstance(m, LaneInterval)), legs)
    score.minutes += world.duration_s / 60 * len(legs)
    report(f"seed {world.seed}: {len(reports)} violations reported")
    return reference


def rules_of(flow: Flow) -> list[str]:
    """The rules that the flow has nodes for, in the referee's order."""
    present = {getattr(spec.type.cls, "violation_type", "") for spec in flow.nodes.values()}
    return [rule for rule in RULES if rule in present]


def _counts(flow: Flow, reference: Reference, violation: Violation) -> bool:
    """Near misses of two vehicles count only for a flow that reports them."""
    if violation.rule != "near_miss":
        return True
    pair = [reference.place(actor, violation.time_s) for actor in (violation.actor, violation.other)]
    with_pedestrian = any(place is not None and not place.vehicle for place in pair)
    return with_pedestrian or any(getattr(spec.settings, "between", "") == "all" for spec in flow.nodes.values())


def unique(messages: Iterable[Message]) -> list[Message]:
    """Each message once, however many outboxes it reached."""
    return list({id(message): message for message in messages}.values())


def world_of(flow: Flow, *, seed: int, duration_s: float) -> SimOptions:
    """The world that the flow's first simulated camera films, with another seed and duration."""
    return replace(next(iter(cameras(flow).values())), seed=seed, duration_s=duration_s)
