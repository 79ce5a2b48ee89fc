"""Which way road users head and how fast they turn: a Kalman filter of an angle and its rate, for many tracks at once.

Layout as in `_ground_filter`: headings are unit vectors (2, N), turn rates (N,) in radians per second, and `covariance` (3, N) holds
the variance of the heading, its covariance with the rate, and the variance of the rate. All are changed in place.

Source: Y. Bar-Shalom, X. R. Li, T. Kirubarajan, Estimation with Applications to Tracking and Navigation, section 6.2 (white noise
acceleration, here of the angle) and 11.7 (coordinated turns).
"""

from __future__ import annotations

import numpy as np

from flowrt.traffic.geometry.plane import Array, Mask

TIGHTEST_RADIUS_M = 6.0
"""No vehicle turns tighter: a heading changes by at most the distance driven over this."""
STEERING_NOISE = 0.5
"""How quickly drivers change their turn rate: spectral density in rad²/s³ from `STEERING_M_S` on; a standing vehicle does not turn."""
STEERING_M_S = 3.0
STRAIGHTENS_S = 2.0
"""A turn that is no longer measured ends within about this time."""
SKID_M = 30.0
"""The heading also drifts by the distance driven over this, however well the turn is known."""


def predict_without_rate(covariance: Array, speed: Array, step_s: Array) -> None:
    """Move on in time where no measurement tells the turn rate. speed: (N,) in m/s; step_s: (N,)."""
    covariance[0] += (speed * step_s / TIGHTEST_RADIUS_M) ** 2


def predict(heading: Array, rate: Array, covariance: Array, speed: Array, step_s: Array) -> None:
    """Move on in time: each track goes on turning at its rate."""
    rate_limit = speed / TIGHTEST_RADIUS_M
    rate[:] = np.clip(rate, -rate_limit, rate_limit) * np.exp(-step_s / STRAIGHTENS_S)
    heading[:] = rotated(heading, rate * step_s)
    steering = STEERING_NOISE * np.minimum(1.0, (speed / STEERING_M_S) ** 2)
    skid = (speed * step_s / SKID_M) ** 2
    covariance[0] += step_s * (2 * covariance[1] + step_s * covariance[2]) + steering * step_s**3 / 3 + skid
    covariance[1] += step_s * covariance[2] + steering * step_s**2 / 2
    covariance[2] = np.minimum(covariance[2] + steering * step_s, rate_limit**2 + 1e-4)
    bound = 0.95 * np.sqrt(covariance[0] * covariance[2])  # the rate's limit must leave a valid covariance
    covariance[1] = np.clip(covariance[1], -bound, bound)


def correct(heading: Array, rate: Array, covariance: Array, residual: Array, variance: Array, usable: Mask) -> None:
    """Apply measured headings that lie `residual` (N,) radians further, with their variance, where `usable`."""
    total = covariance[0] + variance
    gain, rate_gain = np.where(usable, covariance[0] / total, 0.0), np.where(usable, covariance[1] / total, 0.0)
    residual = np.where(usable, residual, 0.0)
    heading[:] = rotated(heading, gain * residual)
    rate += rate_gain * residual
    covariance[2] -= rate_gain * covariance[1]
    covariance[1] *= 1 - gain
    covariance[0] *= 1 - gain


def reset(rate: Array, covariance: Array, variance: Array, restarted: Mask) -> None:
    """Forget the turn of the `restarted` tracks: their heading has this variance."""
    rate[restarted] = 0.0
    covariance[0, restarted], covariance[1:, restarted] = variance[restarted], 0.0


def angle_to(heading: Array, other: Array) -> Array:
    """(N,): radians by which vectors (2, N) must turn to point along others (2, N)."""
    sine = heading[0] * other[1] - heading[1] * other[0]
    return np.asarray(np.arctan2(sine, (heading * other).sum(axis=0)), np.float64)


def rotated(vectors: Array, angle: Array) -> Array:
    """(2, N): vectors (2, N) turned by angles (N,) in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack((vectors[0] * cosine - vectors[1] * sine, vectors[0] * sine + vectors[1] * cosine))
