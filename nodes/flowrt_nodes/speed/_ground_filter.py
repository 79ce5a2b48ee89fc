"""A Kalman filter with constant velocity on the ground plane, for many tracks at once.

State: x, y in metres and their velocities. Layout: components first, tracks last ((4, N) states, (4, 4, N) covariances), so that
one numpy call handles a component of every track: with ten to fifty tracks it is the number of calls that costs.

Source: Y. Bar-Shalom, X. R. Li, T. Kirubarajan, Estimation with Applications to Tracking and Navigation, section 6.2:
continuous white noise acceleration.
"""

from __future__ import annotations

import numpy as np

from flowrt.traffic.geometry.plane import Array, Mask

OUTLIER = 9.0
"""Squared Mahalanobis distance (2 degrees of freedom, about 1 in 90) from which a measurement counts less."""
REJECTED, REJECTED_M = 25.0, 1.5
"""The squared distance from which a measurement does not count if it is also this many metres off: it shows another object, or
a box around two. One that is less far off shows a vehicle that brakes hard. Right after a rejected measurement, OUTLIER is enough."""
_IDENTITY = np.eye(2)[:, :, None]


def predict(state: Array, covariance: Array, dt_s: Array, process_noise: Array) -> None:
    """Move states (4, N) and covariances (4, 4, N) on by dt_s (N,), in place. process_noise: (N,) spectral density in m²/s³."""
    state[:2] += dt_s * state[2:]
    covariance[:2] += dt_s * covariance[2:]
    covariance[:, :2] += dt_s * covariance[:, 2:]
    velocity_noise = process_noise * dt_s
    cross_noise = velocity_noise * dt_s / 2
    entries = covariance.reshape(16, -1)
    entries[0:6:5] += cross_noise * dt_s * (2 / 3)  # positions: process_noise dt³ / 3
    entries[2:8:5] += cross_noise
    entries[8:14:5] += cross_noise
    entries[10::5] += velocity_noise


def correct(state: Array, covariance: Array, measured_m: Array, noise: Array, usable: Mask, was_rejected: Mask) -> Mask:
    """Apply measured positions (2, N) with covariances (2, 2, N), in place, where `usable` (N,). Returns where they were applied.

    A measurement far from the predicted position counts less, as if its noise were so much larger that it just fits; one that is
    beyond `REJECTED` does not count. was_rejected: (N,), whether the track's last measurement did not count.
    """
    residual = measured_m - state[:2]
    if np.count_nonzero(usable) < len(usable):
        residual = np.where(usable, residual, 0.0)
        noise = np.where(usable, noise, _IDENTITY)
    inverse = _inverse(covariance[:2, :2] + noise)
    distance2 = (residual * (inverse[0] * residual[0] + inverse[1] * residual[1])).sum(axis=0)
    if distance2.max(initial=0.0) > OUTLIER:
        inverse = _inverse(covariance[:2, :2] + noise * np.maximum(distance2 / OUTLIER, 1.0))
        near = (distance2 <= np.where(was_rejected, OUTLIER, REJECTED)) | (
            np.hypot(residual[0], residual[1]) < REJECTED_M
        )
        usable = usable & near
    inverse *= usable
    prior = covariance[:2].copy()  # (2, 4, N): H P, whose transpose is P Hᵀ, as P is symmetric
    gain = inverse[:, 0][:, None] * prior[0] + inverse[:, 1][:, None] * prior[1]
    state += (gain * residual[:, None]).sum(axis=0)  # (S⁻¹ H P)ᵀ residual
    covariance -= prior[0][:, None] * gain[0] + prior[1][:, None] * gain[1]
    return usable


def fused(first: Array, first_noise: Array, second: Array, second_noise: Array) -> tuple[Array, Array]:
    """Two measurements (2, N) of the same position, with covariances (2, 2, N), in one, weighted by the inverse covariances.

    Their errors are taken to be independent (Bar-Shalom, Li, Kirubarajan, section 8.2).
    """
    first_weight, second_weight = _inverse(first_noise), _inverse(second_noise)
    noise = _inverse(first_weight + second_weight)
    sums = (
        first_weight[:, 0] * first[0]
        + first_weight[:, 1] * first[1]
        + second_weight[:, 0] * second[0]
        + second_weight[:, 1] * second[1]
    )
    return noise[:, 0] * sums[0] + noise[:, 1] * sums[1], noise


def _inverse(matrices: Array) -> Array:
    """Of symmetric (2, 2, N)."""
    a, b, c = matrices[0, 0], matrices[0, 1], matrices[1, 1]
    inverse = np.empty_like(matrices)
    inverse[0, 0], inverse[1, 1] = c, a
    inverse[0, 1] = inverse[1, 0] = -b
    inverse /= a * c - b * b
    return inverse


def velocity_variance(direction: Array, covariance: Array) -> Array:
    """(N,): variance of the velocity in the direction (2, N)."""
    rows = covariance[2:, 2] * direction[0] + covariance[2:, 3] * direction[1]
    return np.asarray((rows * direction).sum(axis=0), np.float64)
