"""The signal plan is safe and answers look-ups consistently."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from flowrt_sim.street.signals import AMBER, CROSSWALK_GROUPS, GREEN, GROUPS, RED, VEHICLE_GROUPS, SignalPlan


@pytest.fixture(params=[0.0, 13.7, 44.2])
def plan(request: pytest.FixtureRequest) -> SignalPlan:
    return SignalPlan(offset_s=request.param)


def test_never_two_conflicting_groups_have_right_of_way(plan: SignalPlan) -> None:
    for time_s in np.arange(0, 2 * plan.cycle_s, 0.05):
        state = {group: plan.state(group, float(time_s))[0] for group in GROUPS}
        assert RED in (state["phase_2"], state["phase_4"])
        assert state["ped_2"] == RED or state["phase_2"] == GREEN
        assert state["ped_4"] == RED or state["phase_4"] == GREEN


def test_every_change_of_direction_passes_amber_and_all_red(plan: SignalPlan) -> None:
    order = [plan.state("phase_2", t)[0] for t in np.arange(0, 2 * plan.cycle_s, 0.05)]
    changes = [(a, b) for a, b in itertools.pairwise(order) if a != b]
    assert set(changes) == {(GREEN, AMBER), (AMBER, RED), (RED, GREEN)}
    both_red = [
        t for t in np.arange(0, plan.cycle_s, 0.05) if {plan.state(g, t)[0] for g in ("phase_2", "phase_4")} == {RED}
    ]
    assert len(both_red) * 0.05 == pytest.approx(2 * plan.all_red_s, abs=0.2)


def test_since_and_next_change_enclose_now(plan: SignalPlan) -> None:
    for group in GROUPS:
        for time_s in np.arange(0, plan.cycle_s, 1.3):
            state, since = plan.state(group, float(time_s))
            change = plan.next_change_s(group, float(time_s))
            assert since <= time_s < change
            assert plan.state(group, since + 1e-6)[0] == state == plan.state(group, change - 1e-6)[0]
            assert plan.state(group, since - 1e-3)[0] != state != plan.state(group, change + 1e-3)[0]


def test_walkers_cross_while_the_traffic_across_their_leg_has_red(plan: SignalPlan) -> None:
    for leg, group in CROSSWALK_GROUPS.items():
        for time_s in np.arange(0, plan.cycle_s, 0.5):
            if plan.state(group, float(time_s))[0] != RED:
                assert plan.state(VEHICLE_GROUPS[leg], float(time_s))[0] == RED


def test_clearance_that_does_not_fit_into_green_is_refused() -> None:
    with pytest.raises(ValueError, match="walk_clearance_s"):
        SignalPlan(green_s=15.0)
