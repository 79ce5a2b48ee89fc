"""A rule is judged fairly only by the definition that it works with: the numbers of both are the same."""

from __future__ import annotations

import pytest
from harness import PROJECT

from flowrt.flow import Flow
from flowrt.load import load
from flowrt_sim.referee.conflicts import LEAST_CLOSING_MS
from flowrt_sim.referee.referee import Definitions

REFEREE = Definitions()


@pytest.fixture(scope="module")
def flow() -> Flow:
    return load(PROJECT / "flows" / "four-cameras.yaml")


@pytest.mark.parametrize(
    ("node", "setting", "defined"),
    [
        ("red_light", "grace_s", REFEREE.red_grace_s),
        ("wrong_way", "angle_deg", REFEREE.wrong_way_angle_deg),
        ("speeding", "tolerance_kmh", REFEREE.speeding_tolerance_kmh),
        ("stopped", "hold_s", REFEREE.stopped_s),
        ("stopped", "slower_than_kmh", REFEREE.stopped_below_kmh),
        ("on_crosswalk", "hold_s", REFEREE.crosswalk_s),
        ("on_crosswalk", "reach_m", REFEREE.crosswalk_overlap_m),
        ("on_amber", "gain", REFEREE.amber_factor - 1),
        ("on_amber", "from_kmh", REFEREE.amber_least_kmh),
        ("on_amber", "within_m", REFEREE.amber_within_m),
        ("jaywalking", "kerb_m", REFEREE.kerb_m),
        ("jaywalking", "beside_m", REFEREE.crosswalk_margin_m),
        ("near_misses", "ttc_s", REFEREE.ttc_s),
        ("near_misses", "pet_s", REFEREE.pet_s),
        ("near_misses", "closing_m_s", LEAST_CLOSING_MS),
    ],
)
def test_the_shipped_rules_use_the_referees_numbers(flow: Flow, node: str, setting: str, defined: float) -> None:
    for camera in "nesw":
        assert getattr(flow.nodes[f"{camera}_{node}"].settings, setting) == pytest.approx(defined)
