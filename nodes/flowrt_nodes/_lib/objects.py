"""Tracks as variables of CEL expressions, one object at a time, with only the fields that the expressions read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from flowrt import Tracks
from flowrt.traffic.geometry.footprint import sizes_m
from flowrt_nodes._lib.expression import Expression

UNKNOWN = -1.0
"""A number that is not known (no homography, no `speed` node): CEL has no NaN that compares as an author expects."""

FIELDS: dict[str, Callable[[Tracks, int], Any]] = {
    "id": lambda tracks, row: int(tracks.track_id[row]),
    "label": lambda tracks, row: tracks.labels[tracks.class_id[row]],
    "confidence": lambda tracks, row: float(tracks.confidence[row]),
    "age_s": lambda tracks, row: float(tracks.age_s[row]),
    "speed_kmh": lambda tracks, row: _number(tracks.speed_kmh[row]),
    "speed_sigma_kmh": lambda tracks, row: _number(tracks.speed_sigma_kmh[row]),
    "heading_deg": lambda tracks, row: _number(tracks.heading_deg[row], -999.0),
    "length_m": lambda tracks, row: float(sizes_m(tracks)[row, 0]),
    "x_m": lambda tracks, row: _number(tracks.ground_m[row, 0], 0.0),
    "y_m": lambda tracks, row: _number(tracks.ground_m[row, 1], 0.0),
    "x_px": lambda tracks, row: float(tracks.boxes_px[row, 0] + tracks.boxes_px[row, 2]) / 2,
    "y_px": lambda tracks, row: float(tracks.boxes_px[row, 3]),
}
"""What `track` offers."""

SAMPLE: dict[str, Any] = {
    "track": dict.fromkeys(FIELDS, 0.0) | {"id": 1, "label": "car"},
    "zone": "",
    "zones": [""],
    "dwell_s": 0.0,
    "time": 0.0,
    "camera": "",
}
"""The variables for an object, with values of the right types. `zone`: the first zone it is in; `dwell_s`: since when."""


def _number(value: Any, unknown: float = UNKNOWN) -> float:
    number = float(value)
    return number if math.isfinite(number) else unknown


class ObjectVariables:
    """Makes the variables that a set of expressions needs."""

    def __init__(self, expressions: Iterable[Expression]) -> None:
        used = list(expressions)
        self._names = frozenset().union(*(expression.variables for expression in used))
        fields = {field for expression in used for field in expression.fields("track")}
        plain = all("track[" not in expression.text for expression in used)
        self._fields = [(name, FIELDS[name]) for name in (sorted(fields & set(FIELDS)) if plain and fields else FIELDS)]

    def of(self, tracks: Tracks) -> Iterator[dict[str, Any]]:
        """Variables of each object, in order."""
        names = self._names
        shared = {"time": tracks.time_s, "camera": tracks.camera_id}
        common = {name: value for name, value in shared.items() if name in names}
        for row in range(len(tracks)):
            values = dict(common)
            if "track" in names:
                values["track"] = {name: field(tracks, row) for name, field in self._fields}
            if names & {"zone", "zones", "dwell_s"}:
                inside = [i for i in range(len(tracks.zones)) if tracks.in_zone[row, i]]
                values["zones"] = [tracks.zones[i] for i in inside]
                values["zone"] = tracks.zones[inside[0]] if inside else ""
                values["dwell_s"] = float(tracks.time_s - tracks.zone_since_s[row, inside[0]]) if inside else 0.0
            yield values
