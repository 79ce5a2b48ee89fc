"""Counters that cost little: a logarithmic histogram of durations."""

from __future__ import annotations

from collections.abc import Iterable


class Histogram:
    """Durations in nanoseconds, in buckets a quarter of an octave wide (at most 19 % error), in constant memory."""

    __slots__ = ("_counts", "count")

    def __init__(self) -> None:
        self._counts = [0] * 256
        self.count = 0

    def add(self, duration_ns: int) -> None:
        """Count one duration."""
        top = duration_ns.bit_length()
        quarter = (duration_ns >> (top - 3)) & 3 if top > 2 else 0
        self._counts[min((top << 2) | quarter, 255)] += 1
        self.count += 1

    def quantile_ms(self, q: float) -> float | None:
        """The q-quantile in milliseconds; None before the first duration."""
        if not self.count:
            return None
        rank = q * self.count
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= rank and count:
                top, quarter = bucket >> 2, bucket & 3
                low = (4 + quarter) << (top - 3) if top > 2 else bucket
                return low * 1.09 / 1e6
        return None

    def merged(self, others: Iterable[Histogram]) -> Histogram:
        """A new histogram with everyone's durations."""
        total = Histogram()
        for histogram in (self, *others):
            total.count += histogram.count
            for bucket, count in enumerate(histogram._counts):
                total._counts[bucket] += count
        return total

    def summary(self) -> dict[str, float | None]:
        """p50 and p99 in milliseconds, rounded to microseconds."""
        p50, p99 = self.quantile_ms(0.5), self.quantile_ms(0.99)
        return {"p50": None if p50 is None else round(p50, 3), "p99": None if p99 is None else round(p99, 3)}
