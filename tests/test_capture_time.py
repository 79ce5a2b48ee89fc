"""Capture times from presentation times and arrival: jitter, drift, wraps, jumps, resets, reconnects, and clocks that are set."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from flowrt.capture_time import CaptureClock, Stamp

BEGAN_S = 1_790_000_000.0
EVERY_S = 0.1


def delays(sigma_s: float, rng: random.Random, correlation: float = 0.8) -> Iterator[float]:
    """Delays of a queue in the network: correlated over about half a second, never less than 30 ms."""
    state = rng.gauss(0, sigma_s)
    while True:
        yield 0.03 + abs(state)
        state = correlation * state + (1 - correlation**2) ** 0.5 * rng.gauss(0, sigma_s)


def play(
    clock: CaptureClock,
    count: int,
    *,
    sigma_s: float = 0.05,
    pts: Callable[[int], float | None] = lambda number: 5.0 + number * EVERY_S,
    wall: Callable[[float], float] = lambda taken_s: BEGAN_S + taken_s,
    camera: Callable[[int], float | None] = lambda number: None,
    first: int = 0,
) -> list[tuple[float, float, Stamp]]:
    """(true capture time, arrival, stamp) of each picture; the first two on the monotonic clock, which begins at 0."""
    late = delays(sigma_s, random.Random(7))
    arrival_s, made = -1.0, []
    for number in range(first, first + count):
        taken_s = number * EVERY_S
        arrival_s = max(taken_s + next(late), arrival_s + 1e-4)
        made.append((taken_s, arrival_s, clock.stamp(wall(arrival_s), arrival_s, pts(number), camera(number))))
    return made


def interval_errors(made: list[tuple[float, float, Stamp]]) -> list[float]:
    return [abs(b[2].time_s - a[2].time_s - (b[0] - a[0])) for a, b in pairwise(made)]


def assert_honest(
    made: list[tuple[float, float, Stamp]], wall: Callable[[float], float] = lambda s: BEGAN_S + s
) -> None:
    """No capture time is in the future, none goes back."""
    assert all(stamp.time_s <= wall(arrival_s) + 1e-5 for _, arrival_s, stamp in made)
    times = [stamp.time_s for *_, stamp in made]
    assert times == sorted(times)


@pytest.mark.parametrize("sigma_ms", [0, 20, 50, 100])
def test_intervals_are_those_of_the_camera(sigma_ms):
    clock = CaptureClock()
    made = play(clock, 3000, sigma_s=sigma_ms / 1e3)
    assert_honest(made)
    assert max(interval_errors(made[20:])) < 0.002
    assert clock.name == "pts"
    assert clock.jitter_ms == pytest.approx(sigma_ms * 0.6, rel=0.5, abs=0.01)
    late_s = [arrival_s - stamp.time_s + BEGAN_S for _, arrival_s, stamp in made[-100:]]
    assert min(late_s) < 0.06


def test_a_crystal_that_is_off_is_followed():
    """50 ppm are 4.3 s a day; twice that over two hours would be 0.7 s."""
    for ppm in (100, -100):
        clock = CaptureClock()
        made = play(clock, 72_000, sigma_s=0.02, pts=lambda number, ppm=ppm: number * EVERY_S * (1 + ppm * 1e-6))
        assert_honest(made)
        assert max(interval_errors(made[20:])) < 0.002
        taken_s, _, stamp = made[-1]
        assert stamp.time_s == pytest.approx(BEGAN_S + taken_s, abs=0.05)


def test_the_cameras_own_clock_tells_the_delay_where_it_agrees():
    clock = CaptureClock()
    made = play(clock, 6000, sigma_s=0.02, camera=lambda n: None if n < 50 else BEGAN_S + n * EVERY_S)
    assert_honest(made)
    assert clock.name == "camera"
    taken_s, _, stamp = made[-1]
    assert stamp.time_s == pytest.approx(BEGAN_S + taken_s, abs=0.005)
    for off_s in (-60.0, 60.0):
        clock = CaptureClock()
        made = play(clock, 600, camera=lambda n, off_s=off_s: BEGAN_S + n * EVERY_S + off_s)
        assert_honest(made)
        assert clock.name == "pts"


def test_pts_that_wrap_jump_or_begin_anew():
    wrap_s = 2**32 / 90_000
    for pts in (
        lambda n: (wrap_s - 30.0 + n * EVERY_S) % wrap_s,  # wraps after 30 s
        lambda n: n * EVERY_S + (1000.0 if n >= 300 else 0.0),  # jumps ahead
        lambda n: (n if n < 300 else n - 300) * EVERY_S,  # the camera starts its counter anew
        lambda n: (n if n < 300 else n - 50) * EVERY_S,  # stands for 5 s while pictures go on coming
    ):
        clock = CaptureClock()
        made = play(clock, 900, pts=pts)
        assert_honest(made)
        errors = interval_errors(made[20:])
        assert sum(error > 0.002 for error in errors) <= 5
        taken_s, _, stamp = made[-1]
        assert stamp.time_s == pytest.approx(BEGAN_S + taken_s, abs=0.3)


def test_pts_that_go_back_for_a_picture_cost_that_picture_only():
    clock = CaptureClock()
    made = play(clock, 300, pts=lambda n: 5.0 + (n - 3 if n % 50 == 40 else n) * EVERY_S)
    assert_honest(made)
    assert all(b[2].time_s > a[2].time_s for a, b in pairwise(made))
    assert sum(error > 0.002 for error in interval_errors(made[20:])) <= 2 * 6


def test_pictures_that_the_network_held_up_keep_their_times():
    """Nothing for three seconds, then all at once: the pictures were taken evenly all the same."""
    clock = CaptureClock()
    play(clock, 100, sigma_s=0.0)
    made = []
    for number in range(100, 160):
        arrival_s = max(number * EVERY_S, 13.0 + (number - 100) * 1e-3) + 0.03
        made.append((number * EVERY_S, arrival_s, clock.stamp(BEGAN_S + arrival_s, arrival_s, 5.0 + number * EVERY_S)))
    assert_honest(made)
    assert max(interval_errors(made)) < 0.002


def test_what_a_server_had_stored_is_told_from_what_is_new():
    clock = CaptureClock()
    backlog = []
    for number in range(50):  # the first second comes at once
        arrival_s = max(1.0, number * EVERY_S) + 0.03 + number * 1e-4
        backlog.append(clock.stamp(BEGAN_S + arrival_s, arrival_s, number * EVERY_S).backlog)
    assert backlog[1:10] == [True] * 9
    assert not any(backlog[11:])


def test_a_stream_without_pts_has_the_time_of_arrival():
    for pts in (lambda n: None, lambda n: 0.0):
        clock = CaptureClock()
        made = play(clock, 100, pts=pts)
        assert_honest(made)
        assert clock.name == "arrival"
        _, arrival_s, stamp = made[-1]
        assert stamp.time_s == pytest.approx(BEGAN_S + arrival_s, abs=1e-6)


def test_another_connection_goes_on_after_the_last_one():
    first = play(CaptureClock(), 100)
    clock = CaptureClock(first[-1][2].time_s)
    second = play(clock, 100, first=100, pts=lambda n: (n - 100) * EVERY_S)
    assert_honest(first + second)
    at_once = clock.stamp(BEGAN_S + second[-1][1] + 0.01, second[-1][1] + 0.01, 9000.0)
    assert at_once.time_s > second[-1][2].time_s


@pytest.mark.parametrize("by_s", [-3600.0, -60.0, 60.0, 3600.0])
def test_a_clock_that_is_set_is_followed_at_once(by_s):
    clock = CaptureClock()

    def wall(arrival_s: float) -> float:
        return BEGAN_S + arrival_s + (by_s if arrival_s > 30.0 else 0.0)

    made = play(clock, 600, wall=wall)
    before = [each for each in made if each[1] <= 30.0]
    after = [each for each in made if each[1] > 30.0]
    assert_honest(before)
    assert_honest(after, wall)
    assert after[0][2].time_s - before[-1][2].time_s == pytest.approx(EVERY_S + by_s, abs=0.002)
    assert max(interval_errors(before[20:]) + interval_errors(after)) < 0.002


def test_a_clock_that_is_set_back_a_little_makes_no_time_go_back():
    clock = CaptureClock()
    made = play(clock, 600, wall=lambda s: BEGAN_S + s - (0.4 if s > 30.0 else 0.0))
    times = [stamp.time_s for *_, stamp in made]
    assert times == sorted(set(times))
