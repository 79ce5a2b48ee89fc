"""Counts of durations by size, for what Prometheus calls a histogram: they only grow, so that any two of them can be subtracted."""

from __future__ import annotations

from bisect import bisect_left

BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets: from a rule on one set of tracks to a service that is slow to answer."""


class Histogram:
    """Durations in seconds. `observe` is called by one thread at a time; it may be read meanwhile."""

    def __init__(self, bounds_s: tuple[float, ...] = BOUNDS_S) -> None:
        self.bounds_s = bounds_s
        self.sum_s = 0.0
        self._counts = [0] * (len(bounds_s) + 1)

    def observe(self, duration_s: float) -> None:
        """Count one."""
        self._counts[bisect_left(self.bounds_s, duration_s)] += 1
        self.sum_s += duration_s

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bound (`+Inf` at last) and how many were at most as long."""
        total = 0
        found = []
        for bound, count in zip([*map(str, self.bounds_s), "+Inf"], self._counts.copy(), strict=True):
            total += count
            found.append((bound, float(total)))
        return found
