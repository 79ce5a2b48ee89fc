"""What Grafana's field options make of a value: its text with unit, and its colour. And the ticks of axes."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from flowrt_ops.drawing.canvas import TEXT, mixed

PALETTE = (
    "#73BF69", "#F2CC0C", "#8AB8FF", "#FF780A", "#F2495C", "#5794F2", "#B877D9", "#705DA0", "#37872D", "#FADE2A",
    "#447EBC", "#C15C17", "#890F02", "#0A437C", "#6D1F62", "#584477",
)  # fmt: skip
"""The colours of series that have none of their own, as Grafana's dark theme gives them."""
_SCALES = {"continuous-BlPu": ("#5794F2", "#B877D9"), "continuous-YlRd": ("#FFF899", "#C4162A")}
_SUFFIX = {
    "velocitykmh": " km/h", "percent": " %", "s": " s", "ms": " ms", "decmbytes": " MB", "lengthm": " m",
}  # fmt: skip


class PlotSeries(msgspec.Struct, frozen=True, kw_only=True):
    """One series to draw. times_ms and values have equal length; None is a gap. field: its options, overrides applied."""

    name: str
    times_ms: list[float]
    values: list[Any]
    field: dict[str, Any]

    @property
    def numbers(self) -> list[float]:
        """Values that are numbers."""
        return [value for value in self.values if isinstance(value, int | float)]


def field_of(panel: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The field options of a series or column, its overrides applied."""
    config = panel["fieldConfig"]
    field = dict(config["defaults"])
    for override in config["overrides"]:
        if override["matcher"]["options"] == name:
            for item in override["properties"]:
                field[item["id"]] = item["value"]
    return field


def text_of(value: Any, field: Mapping[str, Any]) -> str:
    """A value as Grafana writes it."""
    if value is None:
        return ""
    if isinstance(value, str) and (word := mapped(value, field)):
        return str(word.get("text", value))
    if not isinstance(value, int | float):
        return str(value)
    unit = str(field.get("unit", "short"))
    decimals = field.get("decimals")
    if unit == "percentunit":
        return f"{100.0 * value:.{0 if decimals is None else decimals}f} %"
    if unit == "s" and value >= 90:
        return f"{value / 60.0:.1f} min"
    if unit == "ms" and value >= 1000:
        return f"{value / 1000.0:.2f} s"
    suffix = " " + unit.removeprefix("suffix:").strip() if unit.startswith("suffix:") else _SUFFIX.get(unit, "")
    if unit == "short" and abs(value) >= 10_000:
        return f"{value / 1000.0:.1f} K"
    return f"{plain(value, decimals)}{suffix}"


def mapped(word: str, field: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the field's value mappings make of a word: `text`, `color`; empty where they do not know it."""
    found: Mapping[str, Any]
    for mapping in field.get("mappings", ()):
        options = mapping["options"]
        if mapping["type"] == "regex":
            match = re.fullmatch(options["pattern"], word)
            result = options["result"]
            found = {**result, "text": match.expand(result["text"].replace("$", "\\"))} if match else {}
        else:
            found = options.get(word, {})
        if found:
            return found
    return {}


def plain(value: float, decimals: int | None = None) -> str:
    """A number with as many decimals as its size deserves."""
    if decimals is None:
        decimals = 0 if value == round(value) or abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text and decimals > 1 else text


def color_of(value: Any, field: Mapping[str, Any], position: int = 0, top: float = 1.0) -> str:
    """A value's colour. position: of its series, for the palette; top: the largest value, for scales."""
    if isinstance(value, str) and "color" in (word := mapped(value, field)):
        return str(word["color"])
    mode = field.get("color", {})
    kind = mode.get("mode", "palette-classic")
    if kind == "fixed":
        return str(mode["fixedColor"])
    if kind in _SCALES and isinstance(value, int | float):
        return scaled(_SCALES[kind], value / top if top else 0.0)
    if kind == "thresholds":
        return threshold_color(value, field)
    return PALETTE[position % len(PALETTE)]


def scaled(stops: tuple[str, ...], share: float) -> str:
    """A colour on a scale, share 0 to 1."""
    place = min(max(share, 0.0), 1.0) * (len(stops) - 1)
    at = min(int(place), len(stops) - 2)
    return mixed(stops[at], stops[at + 1], place - at)


def threshold_color(value: Any, field: Mapping[str, Any]) -> str:
    """The colour of the highest threshold that a number reaches."""
    color = TEXT
    for step in field.get("thresholds", {}).get("steps", ()):
        if step["value"] is None or (isinstance(value, int | float) and value >= step["value"]):
            color = str(step["color"])
    return color


def ticks(low: float, high: float, wanted: int) -> list[float]:
    """Round numbers from low to high."""
    span = high - low
    if span <= 0:
        return [low]
    raw = span / max(wanted, 1)
    size = 10.0 ** math.floor(math.log10(raw))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= raw)
    first = math.ceil(low / step - 1e-9)
    return [step * i for i in range(first, math.floor(high / step + 1e-9) + 1)]


def whole_ticks(high: float, wanted: int) -> list[float]:
    """Round whole numbers from 0 to high, for what is counted."""
    return [level for level in ticks(0.0, high, wanted) if level == round(level)]


def time_ticks(from_ms: float, to_ms: float, wanted: int) -> list[tuple[float, str]]:
    """Times at round steps, with their labels (UTC)."""
    raw_s = (to_ms - from_ms) / 1000.0 / max(wanted, 1)
    steps_s = (15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800)
    step_ms = 1000.0 * next((step for step in steps_s if step >= raw_s), 604800)
    first = math.ceil(from_ms / step_ms)
    marks = [step_ms * i for i in range(first, math.floor(to_ms / step_ms) + 1)]
    days, seconds = to_ms - from_ms > 86_400_000, step_ms < 60_000
    return [(mark, _moment(mark, days=days, seconds=seconds)) for mark in marks]


def _moment(time_ms: float, *, days: bool, seconds: bool) -> str:
    moment = datetime.fromtimestamp(time_ms / 1000.0, UTC)
    if days and moment.hour == moment.minute == 0:
        return moment.strftime("%d %b")
    return moment.strftime("%H:%M:%S" if seconds else "%H:%M")
