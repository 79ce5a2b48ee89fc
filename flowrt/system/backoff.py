"""The waits between attempts at something that fails: doubling, capped, random."""

from __future__ import annotations

import math
import random


class Backoff:
    """Doubling waits from `first_s` to `most_s`, each multiplied by a random 0.5 to 1. Not for several threads at once.

    The randomness keeps a fleet of machines from returning to a recovered service in the same instant. randomness: a seeded
    generator makes the waits repeatable.
    """

    def __init__(self, first_s: float = 0.2, most_s: float = 30.0, *, randomness: random.Random | None = None) -> None:
        self._first_s, self._most_s = min(first_s, most_s), most_s
        self._random = randomness or random.Random()
        self._next_s = self._first_s

    def reset(self) -> None:
        """It worked: begin with `first_s` again."""
        self._next_s = self._first_s

    def wait_s(self, after_s: float | None = None) -> float:
        """How long to wait now: what the other side asked for and up to a tenth more, else the next step."""
        if after_s is not None and math.isfinite(after_s):
            return max(after_s, 0.0) * self._random.uniform(1.0, 1.1)
        wait_s = self._next_s * self._random.uniform(0.5, 1.0)
        self._next_s = min(self._next_s * 2, self._most_s)
        return wait_s
