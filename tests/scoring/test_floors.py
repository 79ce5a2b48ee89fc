"""What docs/scores.md says of the rules' accuracy is kept true: short runs of the same measurement, with floors.

The whole table takes hours; these runs are the beginning of a seed that the rules were tuned with, and a minute of red-light
runners before the bundled detector.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from harness import PROJECT

from flowrt.config import load
from flowrt_scoring.score import Score, add_run, world_of
from flowrt_scoring.simulated import Boxes, Faults

FLOWS = PROJECT / "flows"
SEED = 402


def measured(flow_file: str, *, boxes: Boxes, duration_s: float, seed: int = SEED, scenario: str = "mixed", faults: Faults | None = None,
             overrides: dict[str, Any] | None = None) -> dict[str, Any]:  # fmt: skip
    """The facts of one run."""
    flow = load(FLOWS / flow_file, overrides=overrides or {})
    score = Score()
    world = replace(world_of(flow, seed=seed, duration_s=duration_s), scenario=scenario)
    add_run(score, flow, world, boxes=boxes, faults=faults or Faults())
    return score.facts()


@pytest.mark.slow
def test_with_true_boxes_the_four_cameras_make_no_mistake() -> None:
    facts = measured("four-cameras.yaml", boxes="truth", duration_s=75)
    found = {rule: numbers["f1"] for rule, numbers in facts["rules"].items() if numbers["truth"] or numbers["found"]}
    assert len(found) >= 3, "the run is there to find something"
    assert {rule: f1 for rule, f1 in found.items() if f1 < 0.99} == {}
    assert facts["speed_mae_kmh"] < 2.0
    assert facts["count_error"] < 0.1  # of few vehicles; those at the edges of the run are seen by half


@pytest.mark.slow
def test_the_bundled_detector_accuses_nobody_falsely_of_a_red_light() -> None:
    facts = measured(
        "intersection.yaml",
        boxes="model",
        duration_s=60,
        seed=2,
        scenario="red_light",
        overrides={"north.uri": "sim://four-way?camera=north&fps=5"},
    )
    red_light = facts["rules"]["red_light"]
    assert red_light["truth"] >= 1
    assert red_light["false_positives"] == 0
