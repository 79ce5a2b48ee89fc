"""The filter of headings: it keeps up with turns, and does not turn a standing vehicle."""

from __future__ import annotations

import numpy as np
import pytest

from flowrt_nodes.speed._heading_filter import correct, predict, reset

STEP_S = np.array([0.2])


def vector(angle: float) -> np.ndarray:
    return np.array([[np.cos(angle)], [np.sin(angle)]])


def followed(truth: np.ndarray, pace: float, noise: float = 0.0, seed: int = 1) -> np.ndarray:
    """Errors in radians, picture by picture, of headings measured with so much noise."""
    rng = np.random.default_rng(seed)
    heading, rate, covariance = vector(truth[0]), np.zeros(1), np.array([[0.02], [0.0], [0.0]])
    errors = []
    for angle in truth[1:]:
        predict(heading, rate, covariance, np.array([pace]), STEP_S)
        seen = vector(angle + noise * rng.standard_normal())
        off = np.arctan2(heading[0] * seen[1] - heading[1] * seen[0], (heading * seen).sum(axis=0))
        correct(heading, rate, covariance, off, np.array([max(noise, 0.02) ** 2]), np.array([True]))
        assert (covariance[[0, 2]] >= 0).all()
        assert covariance[1] ** 2 <= covariance[0] * covariance[2] + 1e-12
        errors.append(float((np.arctan2(heading[1], heading[0])[0] - angle + np.pi) % (2 * np.pi) - np.pi))
    return np.array(errors)


def test_it_keeps_up_with_a_turn() -> None:
    """Half a radian a second at 5 m/s, as at a corner: after a second it is not late any more."""
    turn = np.concatenate((np.zeros(5), np.arange(1, 20) * 0.1))
    assert np.abs(followed(turn, pace=5.0))[9:].max() < 0.02


def test_noise_is_smoothed_on_a_straight_way() -> None:
    errors = np.concatenate([followed(np.zeros(60), 10.0, noise=0.15, seed=seed)[10:] for seed in range(20)])
    assert errors.std() < 0.75 * 0.15
    assert abs(errors.mean()) < 0.02


def test_nobody_turns_tighter_than_vehicles_do() -> None:
    """A measurement that jumps by a radian, at 1 m/s."""
    heading, rate, covariance = vector(0.0), np.array([3.0]), np.array([[0.01], [0.0], [0.01]])
    for _ in range(5):
        predict(heading, rate, covariance, np.array([1.0]), STEP_S)
    assert np.arctan2(heading[1], heading[0])[0] < 1.0 / 6.0 * 1.0 + 0.01


def test_a_standing_vehicle_does_not_turn() -> None:
    heading, rate, covariance = vector(0.3), np.array([0.5]), np.array([[0.01], [0.0], [0.05]])
    for _ in range(20):
        predict(heading, rate, covariance, np.zeros(1), STEP_S)
    assert np.arctan2(heading[1], heading[0])[0] == pytest.approx(0.3)
    assert covariance[0, 0] < 0.03


def test_a_restarted_track_does_not_go_on_turning() -> None:
    rate, covariance = np.array([0.4, 0.4]), np.full((3, 2), 0.02)
    reset(rate, covariance, np.array([0.1, 0.1]), np.array([True, False]))
    assert rate.tolist() == [0.0, 0.4]
    assert covariance[:, 0].tolist() == [0.1, 0.0, 0.0]
    assert covariance[:, 1].tolist() == [0.02, 0.02, 0.02]
