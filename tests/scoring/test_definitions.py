"""One definition: each number that both the referee and a shipped rule have is the same; a rule's margins are settings of their own."""

from __future__ import annotations

from dataclasses import asdict

import pytest
from harness import PROJECT

from flowrt.config import load
from flowrt.flow import Flow
from flowrt_nodes.violation import red_light
from flowrt_nodes.violation._common import post_encroachment
from flowrt_sim.referee.definitions import Definitions
from flowrt_sim.street.layout import Layout

REFEREE = Definitions()
SETTINGS: dict[str, tuple[str, str]] = {
    "red_grace_s": ("red_light", "grace_s"),
    "full_stop_s": ("red_light", "full_stop_s"),
    "rest_below_kmh": ("on_crosswalk", "slower_than_kmh"),
    "wrong_way_angle_deg": ("wrong_way", "angle_deg"),
    "wrong_way_s": ("wrong_way", "hold_s"),
    "wrong_way_m": ("wrong_way", "distance_m"),
    "speeding_tolerance_kmh": ("speeding", "tolerance_kmh"),
    "speeding_section_m": ("speeding", "section_m"),
    "stopped_below_kmh": ("stopped", "slower_than_kmh"),
    "stopped_s": ("stopped", "hold_s"),
    "crosswalk_s": ("on_crosswalk", "hold_s"),
    "crosswalk_overlap_m": ("on_crosswalk", "reach_m"),
    "amber_least_kmh": ("on_amber", "from_kmh"),
    "amber_within_m": ("on_amber", "within_m"),
    "jaywalking_s": ("jaywalking", "hold_s"),
    "kerb_m": ("jaywalking", "kerb_m"),
    "crosswalk_margin_m": ("jaywalking", "beside_m"),
    "yield_about_to_s": ("yielding", "about_to_s"),
    "yield_least_kmh": ("yielding", "faster_than_kmh"),
    "ttc_s": ("near_misses", "ttc_s"),
    "passing_m": ("near_misses", "passing_m"),
    "pet_s": ("near_misses", "pet_s"),
    "least_closing_ms": ("near_misses", "closing_m_s"),
}
"""A number of the referee to the node (behind the camera's name) and the setting that mean the same."""
CONSTANTS: dict[str, float] = {
    "full_stop_within_m": red_light.STOP_NEAR_M,
    "crossing_deg": post_encroachment.CROSSING_DEG,
}
"""Numbers of the referee that a rule has as a constant."""
REFEREE_ONLY = {
    "amber_factor",  # the rule's `gain` is the same less 1, see below
    "speeding_s",  # the referee's speeds are exact; the rule asks for `sigmas` times the uncertainty of the median instead
}


@pytest.fixture(scope="module")
def flow() -> Flow:
    return load(PROJECT / "flows" / "four-cameras.yaml")


def test_every_number_of_the_referee_has_its_counterpart() -> None:
    assert SETTINGS.keys() | CONSTANTS.keys() | REFEREE_ONLY == asdict(REFEREE).keys()


@pytest.mark.parametrize("name", SETTINGS)
def test_the_shipped_rules_use_the_referees_numbers(flow: Flow, name: str) -> None:
    node, setting = SETTINGS[name]
    for camera in ("north", "east", "south", "west"):
        settings = flow.nodes[f"{camera}_{node}"].settings
        assert getattr(settings, setting) == pytest.approx(getattr(REFEREE, name))


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_rules_constants_are_the_referees_numbers(name: str) -> None:
    assert CONSTANTS[name] == pytest.approx(getattr(REFEREE, name))


def test_amber_acceleration_is_a_factor_here_and_a_gain_there(flow: Flow) -> None:
    for camera in ("north", "east", "south", "west"):
        assert flow.nodes[f"{camera}_on_amber"].settings.gain == pytest.approx(REFEREE.amber_factor - 1)


def test_the_scene_has_the_referees_limit(flow: Flow) -> None:
    for scene in flow.sections["scene"].values():
        limits = {zone.limit_kmh for zone in scene.zones.values() if zone.kind == "lane"}
        assert limits == {Layout().limit_kmh}
