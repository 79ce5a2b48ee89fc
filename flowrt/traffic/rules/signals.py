"""Signal phases, looked up by the capture time of a picture.

States are SAE J2735 MovementPhaseState names. Invariant: a state is given only with its age, and a group that was never reported,
or that reported `unavailable` or `dark`, has no phase: rules that need one report nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from flowrt.capture_time import set_back
from flowrt.traffic.states import SignalState

STATES = (
    "unavailable",
    "dark",
    "stop-then-proceed",
    "stop-and-remain",
    "pre-movement",
    "permissive-movement-allowed",
    "protected-movement-allowed",
    "permissive-clearance",
    "protected-clearance",
    "caution-conflicting-traffic",
)
"""In the order of their numbers, 0 to 9."""
RED = frozenset({"stop-and-remain"})
AMBER = frozenset({"permissive-clearance", "protected-clearance"})
GREEN = frozenset({"permissive-movement-allowed", "protected-movement-allowed"})
UNKNOWN = frozenset({"unavailable", "dark"})

ALIASES = {
    "red": "stop-and-remain",
    "flashing-red": "stop-then-proceed",
    "red-amber": "pre-movement",
    "green": "permissive-movement-allowed",
    "green-arrow": "protected-movement-allowed",
    "amber": "permissive-clearance",
    "yellow": "permissive-clearance",
    "flashing-amber": "caution-conflicting-traffic",
    "flashing-yellow": "caution-conflicting-traffic",
    "walk": "permissive-movement-allowed",
    "dont-walk": "stop-and-remain",
    "don't-walk": "stop-and-remain",
    "flashing-dont-walk": "permissive-clearance",
    "off": "dark",
    "unknown": "unavailable",
}


def normalised(word: object) -> str:
    """The J2735 name of a state given as name, everyday word or number; `unavailable` where it is none of them."""
    if isinstance(word, int) and not isinstance(word, bool):
        return STATES[word] if 0 <= word < len(STATES) else "unavailable"
    text = str(word).strip().lower().replace("_", "-").replace(" ", "-")
    if text.isdecimal() and len(text) < 3:
        return normalised(int(text))
    return text if text in STATES else ALIASES.get(text, "unavailable")


class SignalPhase(NamedTuple):
    """What a group shows at some time. age_s: how long ago that was last reported, 0 where a later report confirms it."""

    group: str
    state: str
    since_s: float
    age_s: float

    def facts(self) -> dict[str, object]:
        """For the evidence of a violation."""
        return {
            "signal": self.group,
            "state": self.state,
            "state_since_s": round(self.since_s, 3),
            "state_age_s": round(self.age_s, 3),
        }


class _Span:
    """A state and the reports that named it."""

    __slots__ = ("last_s", "since_s", "state")

    def __init__(self, state: str, since_s: float, last_s: float) -> None:
        self.state, self.since_s, self.last_s = state, since_s, last_s


class SignalTimeline:
    """The recent phases of every group; bounded to `keep_s` seconds and 200 changes of each."""

    def __init__(self, keep_s: float = 300.0, silence_s: float = 5.0) -> None:
        """silence_s: after a longer pause between reports without `since_s`, the same state counts as a new phase."""
        self._keep_s, self._silence_s = keep_s, silence_s
        self._spans: dict[str, list[_Span]] = {}

    def report(self, signal: SignalState) -> None:
        """Take in a report. Reports may come late, but those of one group come in order."""
        for group, state in signal.states.items():
            spans = self._spans.setdefault(group, [])
            reported_since_s = signal.since_s.get(group)
            if spans and set_back(spans[-1].last_s, signal.time_s):
                spans.clear()  # the clock was set back
            last = spans[-1] if spans else None
            if last is not None and last.state == state and self._goes_on(last, signal.time_s, reported_since_s):
                last.last_s = max(last.last_s, signal.time_s)
                continue
            since_s = signal.time_s if reported_since_s is None else min(reported_since_s, signal.time_s)
            spans.append(_Span(state, since_s, signal.time_s))
            while len(spans) > 200 or spans[0].last_s < signal.time_s - self._keep_s:
                spans.pop(0)

    def _goes_on(self, span: _Span, time_s: float, reported_since_s: float | None) -> bool:
        if reported_since_s is None:
            return time_s - span.last_s <= self._silence_s
        return abs(reported_since_s - span.since_s) < 0.5 or span.last_s >= reported_since_s

    def at(self, group: str, time_s: float, max_age_s: float) -> SignalPhase | None:
        """The phase at a capture time; None where it is unknown or its last report is older than `max_age_s`."""
        for span in reversed(self._spans.get(group, ())):
            if span.since_s <= time_s:
                age_s = max(time_s - span.last_s, 0.0)
                if age_s > max_age_s or span.state in UNKNOWN:
                    return None
                return SignalPhase(group, span.state, span.since_s, age_s)
        return None

    def states(self) -> Mapping[str, str]:
        """The last reported state of each group."""
        return {group: spans[-1].state for group, spans in self._spans.items() if spans}
