"""A Kalman filter with constant velocity on the ground plane, for many tracks at once.

State: x, y in metres and their velocities. Layout: components first, tracks last ((4, N) states, (4, 4, N) covariances), so that
one numpy call handles a component of every track: with ten to fifty tracks it is the number of calls that costs.

Source: Y. Bar-Shalom, X. R. Li, T. Kirubarajan, Estimation with Applications to Tracking and Navigation, section 6.2:
continuous white noise acceleration.
"""

from __future__ import annotations

import numpy as np

from flowrt_nodes._lib.geometry import Array, Mask

OUTLIER = 9.0
"""Squared Mahalanobis distance (2 degrees of freedom, about 1 in 90) from which a measurement counts less."""
ELSEWHERE, ELSEWHERE_M = 25.0, 1.5
"""The same, from which it does not count, if it is this far off as well: that is somebody else, or a box around two. Less far off
is somebody who brakes hard. Right after such a one, OUTLIER is enough."""
_UNKNOWN = np.eye(2)[:, :, None]


def predict(state: Array, spread: Array, dt_s: Array, agility: Array) -> None:
    """Move states (4, N) and covariances (4, 4, N) on by dt_s (N,), in place. agility: (N,) spectral density in m²/s³."""
    state[:2] += dt_s * state[2:]
    spread[:2] += dt_s * spread[2:]
    spread[:, :2] += dt_s * spread[:, 2:]
    faster = agility * dt_s
    both = faster * dt_s / 2
    entries = spread.reshape(16, -1)
    entries[0:6:5] += both * dt_s * (2 / 3)  # places: agility dt³ / 3
    entries[2:8:5] += both
    entries[8:14:5] += both
    entries[10::5] += faster


def correct(state: Array, spread: Array, seen: Array, noise: Array, usable: Mask, doubted: Mask) -> Mask:
    """Take in measured places (2, N) with covariances (2, 2, N), in place, where `usable` (N,). Returns where they were taken.

    A measurement far off what is expected counts less, as if its noise were so much larger that it just fits; one that is
    `ELSEWHERE` does not count. doubted: (N,), whose last measurement did not count.
    """
    off = seen - state[:2]
    if np.count_nonzero(usable) < len(usable):
        off = np.where(usable, off, 0.0)
        noise = np.where(usable, noise, _UNKNOWN)
    inverse = _inverse(spread[:2, :2] + noise)
    far = (off * (inverse[0] * off[0] + inverse[1] * off[1])).sum(axis=0)
    if far.max(initial=0.0) > OUTLIER:
        inverse = _inverse(spread[:2, :2] + noise * np.maximum(far / OUTLIER, 1.0))
        there = (far <= np.where(doubted, OUTLIER, ELSEWHERE)) | (np.hypot(off[0], off[1]) < ELSEWHERE_M)
        usable = usable & there
    inverse *= usable
    known = spread[:2].copy()  # (2, 4, N): H P, whose transpose is P Hᵀ, as P is symmetric
    share = inverse[:, 0][:, None] * known[0] + inverse[:, 1][:, None] * known[1]
    state += (share * off[:, None]).sum(axis=0)  # (S⁻¹ H P)ᵀ off
    spread -= known[0][:, None] * share[0] + known[1][:, None] * share[1]
    return usable


def combined(first: Array, noise: Array, second: Array, its_noise: Array) -> tuple[Array, Array]:
    """Two measurements (2, N) of the same, with covariances (2, 2, N), in one: each counts as it is sure. Errors of their own are
    assumed (Bar-Shalom, Li, Kirubarajan, section 8.2: fusion with the inverses of the covariances)."""
    sure, its_sure = _inverse(noise), _inverse(its_noise)
    doubt = _inverse(sure + its_sure)
    pull = sure[:, 0] * first[0] + sure[:, 1] * first[1] + its_sure[:, 0] * second[0] + its_sure[:, 1] * second[1]
    return doubt[:, 0] * pull[0] + doubt[:, 1] * pull[1], doubt


def _inverse(matrices: Array) -> Array:
    """Of symmetric (2, 2, N)."""
    a, b, c = matrices[0, 0], matrices[0, 1], matrices[1, 1]
    found = np.empty_like(matrices)
    found[0, 0], found[1, 1] = c, a
    found[0, 1] = found[1, 0] = -b
    found /= a * c - b * b
    return found


def along(direction: Array, spread: Array) -> Array:
    """(N,): variance of the velocity in the direction (2, N)."""
    rows = spread[2:, 2] * direction[0] + spread[2:, 3] * direction[1]
    return np.asarray((rows * direction).sum(axis=0), np.float64)
