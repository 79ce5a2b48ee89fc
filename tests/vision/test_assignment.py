"""The solver of assignments: SciPy's own answers, without the rest of SciPy."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.optimize

from flowrt_nodes.track import _assignment


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (20, 12), (0, 4)])
def test_answers_are_those_of_scipy(shape: tuple[int, int]) -> None:
    alike = np.random.default_rng(1).random(shape)
    for ours, theirs in zip(
        _assignment.linear_sum_assignment(alike, maximize=True),
        scipy.optimize.linear_sum_assignment(alike, maximize=True),
        strict=True,
    ):
        assert np.array_equal(ours, theirs)


def test_the_tracker_brings_no_more_of_scipy_than_the_solver() -> None:
    code = "import sys, flowrt_nodes.track._byte_track; print('scipy' in sys.modules, 'scipy.optimize' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.split() == ["True", "False"]


def test_a_scipy_that_is_laid_out_in_another_way_still_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scipy, "__path__", ["/nowhere"])
    assert _assignment._solver() is scipy.optimize.linear_sum_assignment
