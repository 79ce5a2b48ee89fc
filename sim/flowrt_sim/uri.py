"""`sim://` addresses: `sim://four-way?seed=7&camera=north&fps=10&weather=day&scenario=mixed&size=1280x720`.

Every parameter is optional. Unknown names and values out of range are ValueErrors whose message names the parameter, says
what was expected, and suggests the nearest known name.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, fields
from urllib.parse import parse_qsl, urlsplit

from flowrt_sim import CAMERAS
from flowrt_sim.scenarios import SCENARIOS

WORLDS = ("four-way",)
WEATHERS: dict[str, tuple[str, str]] = {
    "day": ("day", "clear"),
    "overcast": ("day", "overcast"),
    "rain": ("day", "rain"),
    "dusk": ("dusk", "clear"),
    "night": ("night", "clear"),
    "night-rain": ("night", "rain"),
}
"""Weather names of an address, each with the light and weather that it means."""


@dataclass(frozen=True)
class SimOptions:
    """A parsed address.

    `size` is (width, height) in pixels; `duration_s` 0 means without end; `start` is the time of the world in seconds at
    the first frame; `rate` scales the traffic; `jpeg` is a quality from 1 to 100 or 0 for none; `shake` and `blur` are
    standard deviations in pixels.
    """

    world: str = "four-way"
    seed: int = 7
    camera: str = "north"
    fps: float = 10.0
    weather: str = "day"
    scenario: str = "mixed"
    size: tuple[int, int] = (1280, 720)
    duration_s: float = 0.0
    start: float = 30.0
    rate: float = 1.0
    jpeg: int = 0
    shake: float = 0.0
    blur: float = 0.6


RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**31 - 1), "fps": (0.1, 120), "duration_s": (0, 1e7), "start": (0, 1e7), "rate": (0.05, 3),
    "jpeg": (0, 100), "shake": (0, 50), "blur": (0, 5),
}  # fmt: skip
"""Least and greatest value of each numeric parameter."""


def parse(uri: str) -> SimOptions:
    """The options of a `sim://` address. Raises ValueError with a message fit for the user."""
    parts = urlsplit(uri)
    if parts.scheme != "sim":
        raise ValueError(f"uri: expected it to begin with sim://, found {uri!r}")
    world = (parts.netloc + parts.path).strip("/") or WORLDS[0]
    _one_of("world", world, WORLDS)
    known = [f.name for f in fields(SimOptions) if f.name != "world"]
    given: dict[str, object] = {"world": world}
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name not in known:
            raise ValueError(f"unknown parameter {name!r}{_nearest(name, known)}; known are {', '.join(known)}")
        if name in given:
            raise ValueError(f"parameter {name}: given twice")
        given[name] = _value(name, value)
    return SimOptions(**given)  # type: ignore[arg-type]  # every value was made for its field by _value


def _value(name: str, text: str) -> object:
    choices = {"camera": CAMERAS, "weather": tuple(WEATHERS), "scenario": tuple(SCENARIOS)}
    if name in choices:
        _one_of(name, text, choices[name])
        return text
    if name == "size":
        return _size(text)
    kind = int if name in ("seed", "jpeg") else float
    try:
        number = kind(text)
    except ValueError:
        wanted = "a whole number" if kind is int else "a number"
        raise ValueError(f"parameter {name}: expected {wanted}, found {text!r}") from None
    low, high = RANGES[name]
    if not low <= number <= high:
        raise ValueError(f"parameter {name}: expected {low:g} to {high:g}, found {text}")
    return number


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise ValueError(f"parameter size: expected WIDTHxHEIGHT such as 1280x720, found {text!r}")
    size = int(width), int(height)
    if not (160 <= size[0] <= 3840 and 120 <= size[1] <= 2160):
        raise ValueError(f"parameter size: expected 160x120 to 3840x2160, found {text}")
    return size


def _one_of(name: str, value: str, known: Iterable[str]) -> None:
    if value not in (names := tuple(known)):
        raise ValueError(f"parameter {name}: unknown {value!r}{_nearest(value, names)}; known are {', '.join(names)}")


def _nearest(value: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(value, list(known), n=1, cutoff=0.4)
    return f", did you mean {near[0]!r}?" if near else ""
