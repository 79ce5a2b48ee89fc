"""Numbers as events carry them."""

from __future__ import annotations

import math


def ms(time_s: float) -> int:
    """Whole milliseconds, which survive the way through JSON and back."""
    return round(time_s * 1000)


def known(value: float, digits: int = 2) -> float | None:
    """A rounded number, or None for NaN: JSON has no NaN."""
    return round(float(value), digits) if math.isfinite(value) else None
