"""The look that all dashboards share: colours, value mappings, thresholds, units."""

from __future__ import annotations

from typing import Any

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


def mappings(colors: dict[str, str]) -> list[dict[str, Any]]:
    """Words shown in their colours."""
    options = {word: {"color": color, "index": i, "text": word} for i, (word, color) in enumerate(colors.items())}
    return [{"type": "value", "options": options}]


def thresholds(*steps: tuple[float, str], base: str = GOOD) -> dict[str, Any]:
    """Colours from values on: `thresholds((80, FAIR), (95, BAD))`."""
    first: dict[str, Any] = {"color": base, "value": None}
    return {"mode": "absolute", "steps": [first, *({"color": color, "value": value} for value, color in steps)]}


KMH, PERCENT, SHARE, SECONDS, MILLISECONDS, MEGABYTES, FPS = (
    "velocitykmh", "percent", "percentunit", "s", "ms", "decmbytes", "fps"
)  # fmt: skip
PLAIN = "short"
PER_HOUR = "suffix: veh/h"
METRES = "lengthm"
