"""Waits between attempts: they double up to a limit, whatever is asked for."""

from __future__ import annotations

import math
import random

import pytest

from flowrt.system.backoff import Backoff


def test_the_waits_double_up_to_the_limit() -> None:
    backoff = Backoff(0.2, 30.0, randomness=random.Random(1))
    waits = [backoff.wait_s() for _ in range(2000)]
    assert 0.1 <= waits[0] <= 0.2
    assert 0.2 <= waits[1] <= 0.4
    assert max(waits) <= 30.0
    assert min(waits[10:]) >= 15.0
    assert len(set(waits)) > 1900, "not all machines come back at once"


def test_the_same_seed_gives_the_same_waits() -> None:
    one, other = (Backoff(randomness=random.Random(7)) for _ in range(2))
    assert [one.wait_s() for _ in range(9)] == [other.wait_s() for _ in range(9)]


def test_after_success_it_begins_again() -> None:
    backoff = Backoff(0.2, 30.0)
    for _ in range(9):
        backoff.wait_s()
    backoff.reset()
    assert backoff.wait_s() <= 0.2


def test_what_the_other_side_asks_for_is_kept() -> None:
    assert 7.0 <= Backoff().wait_s(7.0) <= 7.7


@pytest.mark.parametrize("nonsense", [math.nan, math.inf, -math.inf])
def test_fault_17_nonsense_is_not_waited_for(nonsense: float) -> None:
    assert 0.1 <= Backoff().wait_s(nonsense) <= 0.2
