"""Which way road users head and how fast they turn: a Kalman filter of an angle and its rate, for many tracks at once.

Layout as in `_ground_filter`: headings are unit vectors (2, N), rates (N,) in radians per second, and `doubt` (3, N) holds the variance
of the heading, its covariance with the rate, and the variance of the rate. All are changed in place.

Source: Y. Bar-Shalom, X. R. Li, T. Kirubarajan, Estimation with Applications to Tracking and Navigation, section 6.2 (white noise
acceleration, here of the angle) and 11.7 (coordinated turns).
"""

from __future__ import annotations

import numpy as np

from flowrt_nodes._lib.geometry import Array, Mask

TIGHTEST_M = 6.0
"""Nobody turns tighter: a heading changes by at most the way driven over this."""
STEERING = 0.5
"""How quickly drivers change their rate of turning: spectral density in rad²/s³, from `STEERING_M_S` on; who stands does not turn."""
STEERING_M_S = 3.0
STRAIGHTENS_S = 2.0
"""A turn that is not seen any more ends within about this time."""
SKID_M = 30.0
"""And a heading drifts by the way driven over this, however well the turn is known."""


def drift(doubt: Array, pace: Array, step_s: Array) -> None:
    """Let time pass where nothing tells how fast somebody turns. pace: (N,) in m/s; step_s: (N,)."""
    doubt[0] += (pace * step_s / TIGHTEST_M) ** 2


def swing(heading: Array, rate: Array, doubt: Array, pace: Array, step_s: Array) -> None:
    """Let time pass: everybody goes on turning."""
    most = pace / TIGHTEST_M
    rate[:] = np.clip(rate, -most, most) * np.exp(-step_s / STRAIGHTENS_S)
    heading[:] = turned(heading, rate * step_s)
    steering = STEERING * np.minimum(1.0, (pace / STEERING_M_S) ** 2)
    skid = (pace * step_s / SKID_M) ** 2
    doubt[0] += step_s * (2 * doubt[1] + step_s * doubt[2]) + steering * step_s**3 / 3 + skid
    doubt[1] += step_s * doubt[2] + steering * step_s**2 / 2
    doubt[2] = np.minimum(doubt[2] + steering * step_s, most**2 + 1e-4)
    bound = 0.95 * np.sqrt(doubt[0] * doubt[2])  # the rate's limit must not leave a covariance that no variances have
    doubt[1] = np.clip(doubt[1], -bound, bound)


def take(heading: Array, rate: Array, doubt: Array, off: Array, variance: Array, usable: Mask) -> None:
    """Take in measured headings that lie `off` (N,) radians further, with their variance, where `usable`."""
    total = doubt[0] + variance
    gain, rate_gain = np.where(usable, doubt[0] / total, 0.0), np.where(usable, doubt[1] / total, 0.0)
    off = np.where(usable, off, 0.0)
    heading[:] = turned(heading, gain * off)
    rate += rate_gain * off
    doubt[2] -= rate_gain * doubt[1]
    doubt[1] *= 1 - gain
    doubt[0] *= 1 - gain


def begin(rate: Array, doubt: Array, variance: Array, new: Mask) -> None:
    """Forget the turn of those who are `new`: their heading has this variance."""
    rate[new] = 0.0
    doubt[0, new], doubt[1:, new] = variance[new], 0.0


def turned(vectors: Array, angle: Array) -> Array:
    """(2, N): vectors (2, N) turned by angles (N,) in radians."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.stack((vectors[0] * cosine - vectors[1] * sine, vectors[0] * sine + vectors[1] * cosine))
