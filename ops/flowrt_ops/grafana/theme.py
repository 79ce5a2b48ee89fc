"""The theme of all dashboards: colours, value mappings, thresholds, units."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from flowrt.catalog import Catalog

GOOD, FAIR, POOR, BAD, QUIET = "#2EB67D", "#F2C037", "#F2803A", "#E0383E", "#6E7F91"
"""Green, yellow, orange, red, grey: told apart in daylight on a wall, and by most colour-blind readers by lightness."""
BLUE, VIOLET, TEAL = "#3B82F6", "#9A6BFF", "#22B8CF"

SEVERITY = {"low": QUIET, "medium": FAIR, "high": POOR, "critical": BAD}
CONGESTION = {"low": GOOD, "medium": FAIR, "high": BAD}
STATES = {
    "healthy": GOOD,
    "online": GOOD,
    "up": GOOD,
    "degraded": FAIR,
    "unknown": QUIET,
    "disabled": QUIET,
    "error": BAD,
    "offline": BAD,
    "down": BAD,
    "critical": BAD,
}
VIEWS = {"ok": GOOD, "blurred": FAIR, "moved": BAD, "other": BAD, "blind": BAD, "frozen": BAD}
_CHOSEN = {
    "red_light": ("Red light", BAD),
    "wrong_way": ("Wrong way", VIOLET),
    "speeding": ("Speeding", POOR),
    "illegal_turn": ("Illegal turn", TEAL),
    "stopped": ("Stopped", "#8A93A0"),
    "stopped_on_crosswalk": ("On the crosswalk", "#A3B84B"),
    "amber_acceleration": ("Amber acceleration", FAIR),
    "jaywalking": ("Jaywalking", BLUE),
    "failure_to_yield": ("Failure to yield", "#EC6EAD"),
    "near_miss": ("Near miss", "#B4632D"),
}
"""Titles and colours of violations that were chosen by hand."""
_MORE = ("#5E8C6A", "#C77DFF", "#D4A373", "#4CC9F0", "#B5838D", "#90BE6D", "#F9844A", "#577590")
"""Colours of the others, in the order of their names."""


def look_of(rules: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Rule to its title and colour, the same on every panel. One that nobody chose has its name as a title, and the next colour."""
    others = sorted(set(rules) - set(_CHOSEN))
    derived = {rule: (rule.replace("_", " ").capitalize(), _MORE[i % len(_MORE)]) for i, rule in enumerate(others)}
    return {**{rule: _CHOSEN[rule] for rule in _CHOSEN if rule in rules}, **derived}


def _built_in() -> set[str]:
    """The rules of the node library; the type `violation.NAME` reports violations of the type NAME."""
    catalog = Catalog()
    own = catalog.origin("violation")
    rules = {name for name in catalog.names() if name.startswith("violation.") and catalog.origin(name) == own}
    return {name.removeprefix("violation.") for name in rules}


RULES = look_of(_built_in())
"""The built-in rules. Rules of other packages show under their own names."""
SAFETY = {
    "crosswalk_entry": ("Steps onto a crosswalk", TEAL),
    "unsafe_crossing": ("Unsafe crossing", POOR),
    "near_miss": ("Near miss", BAD),
}
MOVEMENTS = {"left": ("Left", BLUE), "through": ("Through", GOOD), "right": ("Right", FAIR), "u_turn": ("U-turn", BAD)}


def mappings(colors: dict[str, str]) -> list[dict[str, Any]]:
    """Value mappings that show words in their colours."""
    options = {word: {"color": color, "index": i, "text": word} for i, (word, color) in enumerate(colors.items())}
    return [{"type": "value", "options": options}]


def titles(names: dict[str, tuple[str, str]]) -> list[dict[str, Any]]:
    """Value mappings that show words by their titles, as in a table's column."""
    options = {word: {"index": i, "text": title} for i, (word, (title, _)) in enumerate(names.items())}
    return [{"type": "value", "options": options}]


def rewritten(pattern: str, text: str) -> list[dict[str, Any]]:
    """Value mappings that show words matching a pattern as a whole as `text`, in which $1 is the first group."""
    return [{"type": "regex", "options": {"pattern": pattern, "result": {"index": 0, "text": text}}}]


def thresholds(*steps: tuple[float, str], base: str = GOOD) -> dict[str, Any]:
    """Colours from values on: `thresholds((80, FAIR), (95, BAD))`."""
    first: dict[str, Any] = {"color": base, "value": None}
    return {"mode": "absolute", "steps": [first, *({"color": color, "value": value} for value, color in steps)]}


KMH, PERCENT, SHARE, SECONDS, MILLISECONDS, MEGABYTES, FPS = (
    "velocitykmh", "percent", "percentunit", "s", "ms", "decmbytes", "suffix: fps"
)  # fmt: skip
PLAIN = "short"
PER_HOUR = "suffix: veh/h"
METRES = "lengthm"
