"""What a detector does on real pictures, as numbers: misses, edges, confidences, classes, split and false boxes.

Sizes are those of a box in the model's input, sqrt(width x height) in its pixels: what a detector misses depends on them, whatever the
camera's resolution. Probabilities are from one picture to the next at `rate_hz`.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec

PROFILES = Path(__file__).parent / "profiles"
SIZES_PX = (6.0, 9.0, 13.0, 18.0, 25.0, 35.0, 50.0)
"""Upper ends of the classes of size; the last class has none."""
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


class ProfileError(ValueError):
    """A profile that can't be used; one line for people."""


class SizeClass(msgspec.Struct, frozen=True, kw_only=True):
    """Objects of one kind and size.

    to_px: upper end of the class, 0 for none. boxes: how many were measured. never: share of objects that are never seen. lost, found:
    that one which is seen is not in the next picture, and the other way round. edges: standard deviation of an edge, as a share of
    the box's width or height. confidence: its QUANTILES.
    """

    to_px: float
    boxes: int
    never: float
    lost: float
    found: float
    edges: float
    confidence: tuple[float, ...]


class Flips(msgspec.Struct, frozen=True, kw_only=True):
    """begin, stay: that a right class is wrong in the next picture, and that a wrong one still is. to: share of each wrong class."""

    begin: float
    stay: float
    to: dict[str, float]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """Vehicles, two-wheelers or pedestrians.

    edges_hold, confidence_hold: correlation with the next picture. split: share of seen boxes with a second one inside, and where that lay, as
    shares of the box (x1, y1, x2, y2, confidence). flips: by true class.
    """

    sizes: tuple[SizeClass, ...]
    edges_hold: float
    confidence_hold: float
    split: float
    split_boxes: tuple[tuple[float, float, float, float, float], ...]
    flips: dict[str, Flips]

    def of_size(self, px: float) -> SizeClass:
        """The class that a size belongs to; of those that were measured, the nearest."""
        return next((each for each in self.sizes if not each.to_px or px < each.to_px), self.sizes[-1])


class FalseBox(msgspec.Struct, frozen=True, kw_only=True):
    """One that was seen where nothing is: as shares of the picture's width and height."""

    label: str
    confidence: float
    box: tuple[float, float, float, float]


class FalseBoxes(msgspec.Struct, frozen=True, kw_only=True):
    """per_s: how many begin in a second. stay: that one is there in the next picture too."""

    per_s: float
    stay: float
    seen: tuple[FalseBox, ...]


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The noise of one detector. model_sha256, reference, clips, seconds, boxes: how it was measured, for people."""

    detector: str
    model_sha256: str
    input_px: tuple[int, int]
    min_confidence: float
    rate_hz: float
    reference: str
    clips: tuple[str, ...]
    seconds: float
    boxes: int
    kinds: dict[str, Kind]
    false: FalseBoxes


def read_profile(name: str) -> Profile:
    """A shipped profile by its name, or a file. Raises ProfileError."""
    shipped = PROFILES / f"{name}.yaml"
    file = shipped if shipped.is_file() else Path(name)
    if not file.is_file():
        known = ", ".join(sorted(each.stem for each in PROFILES.glob("*.yaml")))
        raise ProfileError(f"there is no noise profile '{name}': expected a file, or one of {known}")
    try:
        return msgspec.yaml.decode(file.read_bytes(), type=Profile)
    except msgspec.MsgspecError as error:
        raise ProfileError(f"{file} is no noise profile: {error}") from error


def write_profile(profile: Profile, file: Path) -> None:
    """As YAML that people can read."""
    import yaml

    facts = msgspec.json.decode(msgspec.json.encode(profile))
    file.write_text(
        "# Measured by `flowrt noise`; docs/scores.md says how, and what it does not tell.\n"
        + yaml.dump(_rounded(facts), sort_keys=False, default_flow_style=None, width=150),
        "utf-8",
    )


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else 0.0
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
