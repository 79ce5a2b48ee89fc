"""Signal phases from JSON: a plain form, and SAE J2735 SPaT as its JSON encodings write it.

Plain: `{"time": "2026-05-04T10:00:00Z", "states": {"phase_2": "red"}, "since": {"phase_2": 1777888790.0}}`; a state is a J2735 name, its
number, or an everyday word. SPaT: `{"intersections": [{"moy": …, "timeStamp": …, "states": [{"signalGroup": 2,
"state-time-speed": [{"eventState": "stop-And-Remain"}]}]}]}`, also below a `value` or `spat` key; group 2 is called `2`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flowrt import SignalState
from flowrt.traffic.rules.signals import normalised
from flowrt_nodes._lib.payload import moment_s


class SpatError(ValueError):
    """A payload that says nothing about signals."""


def parse(data: Any, arrived_s: float, groups: Mapping[str, str] | None = None, *, dated: bool = False) -> SignalState:
    """The signal state of a decoded payload. Raises SpatError.

    arrived_s: its time where the payload has none. groups: name in the payload to name in the flow; others are left as they are.
    dated: whether a payload must have a time of its own.
    """
    if not isinstance(data, dict):
        raise SpatError(f"a JSON object was expected, found {type(data).__name__}")
    for wrapper in ("value", "spat", "SPAT", "payload"):
        if isinstance(data.get(wrapper), dict):
            data = data[wrapper]
    states, since_s = _plain(data) if isinstance(data.get("states"), dict) else _spat(data)
    if not states:
        raise SpatError("it names no signal group: neither `states: {group: state}` nor `intersections`")
    time_s = _own_time_s(data, arrived_s)
    if time_s is None and dated:
        raise SpatError("it was retained and has no time of its own, so its age is unknown")
    names = groups or {}
    return SignalState(
        time_s=arrived_s if time_s is None else time_s,
        states={names.get(group, group): normalised(state) for group, state in states.items()},
        since_s={names.get(group, group): moment for group, moment in since_s.items()},
    )


def _plain(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    since: Any = data.get("since") or data.get("since_s") or {}
    moments = {str(group): moment_s(moment) for group, moment in since.items()} if isinstance(since, dict) else {}
    return {str(group): state for group, state in data["states"].items()}, {
        g: m for g, m in moments.items() if m is not None
    }


def _spat(data: dict[str, Any]) -> tuple[dict[str, Any], dict[str, float]]:
    found: dict[str, Any] = {}
    intersections = data.get("intersections")
    for intersection in intersections if isinstance(intersections, list) else [data]:
        movements = intersection.get("states") if isinstance(intersection, dict) else None
        for movement in movements if isinstance(movements, list) else []:
            if not isinstance(movement, dict) or "signalGroup" not in movement:
                continue
            events = movement.get("state-time-speed") or movement.get("stateTimeSpeed") or []
            if isinstance(events, dict):
                events = [events]
            first = events[0] if isinstance(events, list) and events and isinstance(events[0], dict) else {}
            found[str(movement["signalGroup"])] = first.get("eventState", "unavailable")
    return found, {}


def _own_time_s(data: dict[str, Any], arrived_s: float) -> float | None:
    """When it was sent, as it says itself; SPaT leaves out the year, which is that of its arrival."""
    for name in ("time", "timestamp", "time_s"):
        said_s = moment_s(data.get(name))
        if said_s is not None:
            return said_s
    intersections = data.get("intersections")
    first = intersections[0] if isinstance(intersections, list) and intersections else data
    minute = first.get("moy") if isinstance(first, dict) else None
    milliseconds = first.get("timeStamp") if isinstance(first, dict) else None
    if isinstance(minute, int) and isinstance(milliseconds, int) and 0 <= minute <= 527_040 and milliseconds < 60_000:
        # J2735: the minute of the year, and the millisecond of that minute
        year = datetime.fromtimestamp(arrived_s, UTC).year
        return datetime(year, 1, 1, tzinfo=UTC).timestamp() + minute * 60 + milliseconds / 1000
    return None
