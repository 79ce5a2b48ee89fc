"""The training and validation pictures. The test pictures are in `flowrt_scoring.detector.evaluation`.

The seeds of the three are far apart, and two combinations of light and weather are reserved for the test pictures, half of
which show weather that the network has never seen at that time of day.
"""

from __future__ import annotations

from dataclasses import dataclass

from flowrt_scoring.detector.evaluation import TRAINED_CONDITIONS
from flowrt_sim.dataset import SHARING


@dataclass(frozen=True)
class Split:
    """A range of seeds; light and weather go through those of training in turn, one place at a time."""

    name: str
    first_seed: int

    def condition(self, seed: int) -> tuple[str, str]:
        """Light and weather of a seed."""
        return TRAINED_CONDITIONS[seed // SHARING % len(TRAINED_CONDITIONS)]


TRAIN = Split("train", 1_000_000)
VALIDATION = Split("validation", 5_000_000)
