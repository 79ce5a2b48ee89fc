"""The kinds of places, and what a flow for each of them looks for."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A kind of place.

    legs: the approaches, a camera each. signalised: there is a controller. rules: nodes of `flow.py` by name, in their order.
    elements: lines and zones that its scenes need, by name; a name that ends with `_` stands for all that begin with it.
    """

    about: str
    legs: tuple[str, ...]
    signalised: bool
    rules: tuple[str, ...]
    elements: tuple[str, ...]


_CROSSING = ("in_", "out_", "stop_line", "exit_", "crosswalk", "conflict_", "carriageway", "no_stopping", "sidewalk_")
_RULES = (
    "red_light", "wrong_way", "turns", "stopped", "speeding", "on_crosswalk", "on_amber", "jaywalking", "yielding", "near_misses",
)  # fmt: skip

KINDS: dict[str, Place] = {
    "four-leg": Place(
        "a signalised intersection of two roads, with a camera for each of its four approaches",
        ("north", "east", "south", "west"), True, (*_RULES, "lanes"), _CROSSING,
    ),
    "t-junction": Place(
        "a signalised junction where a road ends at another, with a camera for each of its three approaches",
        ("north", "east", "west"), True, (*_RULES, "lanes"), _CROSSING,
    ),
    "crosswalk": Place(
        "a signalised crosswalk: pedestrians at the wrong place or time, vehicles that do not yield, near misses",
        ("north",), True, ("red_light", "on_crosswalk", "jaywalking", "yielding", "near_misses", "pedestrians"),
        ("in_", "out_", "stop_line", "crosswalk", "conflict_", "carriageway", "sidewalk_"),
    ),
    "motorway": Place(
        "a road without crossings: counts and speeds per lane, wrong way, standing vehicles",
        ("north",), False, ("wrong_way", "stopped", "speeding", "lanes"), ("in_", "out_", "no_stopping"),
    ),
    "counting": Place(
        "counts per lane and over a line, without any rule", ("north",), False, ("lanes",), ("in_", "out_", "count"),
    ),
}  # fmt: skip
