"""Which pictures are for learning and which for choosing. Those of the final examination are in `flowrt_scoring.detector.evaluation`.

The seeds of the three are far apart, and two combinations of light and weather are kept for the examination alone, so half of
it shows weather that the network has never seen at that time of day.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowrt_scoring.detector.evaluation import TRAINED_CONDITIONS
from flowrt_sim.dataset import SHARING


@dataclass(frozen=True)
class Split:
    """A range of seeds; light and weather go round among those of training, one place at a time."""

    name: str
    first_seed: int

    def condition(self, seed: int) -> tuple[str, str]:
        """Light and weather of a seed."""
        return TRAINED_CONDITIONS[seed // SHARING % len(TRAINED_CONDITIONS)]


LEARN = Split("learn", 1_000_000)
CHOOSE = Split("choose", 5_000_000)
