"""`pedestrian_safety`: what rules and zones report, seen from the pedestrian's side, for the topic `safety/pedestrian`.

| from | becomes |
|---|---|
| entry of a pedestrian into a crosswalk (`roi`) | `crosswalk_entry`, risk low |
| `violation.jaywalking` | `unsafe_crossing`, risk medium |
| `violation.failure_to_yield` | `unsafe_crossing`, risk high |
| `violation.near_miss` with a pedestrian | `near_miss`, risk high; critical from TTC 0.8 s or PET 1 s down |

Tracks say which ids are pedestrians. Each violation is reported once, when it begins; the event's id follows from its id.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from flowrt import (
    PEDESTRIANS,
    Context,
    PedestrianEvent,
    Severity,
    Tracks,
    Transform,
    Violation,
    ZoneEvent,
    event_id,
    setting,
)

_FORGET_S = 30.0


class PedestrianSafety(Transform):
    """Pedestrian safety events: steps onto a crosswalk, unsafe crossings, near misses."""

    example = """
pedestrians:
  type: pedestrian_safety
  from: [zones, jaywalking, yielding, near_misses]
"""

    critical_ttc_s: Annotated[float, setting("A near miss with a smaller time to collision is critical.", ge=0)] = 0.8
    critical_pet_s: Annotated[
        float, setting("A near miss with a smaller post-encroachment time is critical.", ge=0)
    ] = 1.0

    def open(self, context: Context) -> None:
        self._on_foot: dict[tuple[str, int], float] = {}

    def process(self, message: Tracks | ZoneEvent | Violation) -> Iterator[PedestrianEvent]:
        if isinstance(message, Tracks):
            self._remember(message)
        elif isinstance(message, ZoneEvent):
            if (
                message.event_type == "entry"
                and message.roi_type == "crosswalk"
                and message.object.label in PEDESTRIANS
            ):
                yield self._event(message, "crosswalk_entry", message.object.track_id, "low")
        elif message.phase == "new":
            yield from self._of_violation(message)

    def _remember(self, tracks: Tracks) -> None:
        for track in tracks.track_id[tracks.of_class(PEDESTRIANS)].tolist():
            self._on_foot[tracks.camera_id, track] = tracks.time_s
        if len(self._on_foot) > 500:
            oldest_s = tracks.time_s - _FORGET_S
            self._on_foot = {key: seen_s for key, seen_s in self._on_foot.items() if seen_s >= oldest_s}

    def _of_violation(self, violation: Violation) -> Iterator[PedestrianEvent]:
        facts, offender = violation.evidence, violation.object.track_id
        if violation.violation_type.startswith("jaywalking"):
            yield self._event(violation, "unsafe_crossing", offender, "medium")
        elif violation.violation_type == "failure_to_yield" and "pedestrian_id" in facts:
            yield self._event(violation, "unsafe_crossing", int(facts["pedestrian_id"]), "high", vehicle_id=offender)
        elif violation.violation_type == "near_miss" and "other_id" in facts:
            pair = offender, int(facts["other_id"])
            on_foot = [track for track in pair if (violation.camera_id, track) in self._on_foot]
            if on_foot:
                vehicle = next((track for track in pair if track not in on_foot), None)
                yield self._event(violation, "near_miss", on_foot[0], self._risk(facts), vehicle_id=vehicle)

    def _risk(self, facts: dict[str, Any]) -> Severity:
        near = (
            facts.get("ttc_s", float("inf")) < self.critical_ttc_s
            or facts.get("pet_s", float("inf")) < self.critical_pet_s
        )
        return "critical" if near else "high"

    def _event(
        self,
        cause: ZoneEvent | Violation,
        what: Any,
        pedestrian_id: int,
        risk: Severity,
        *,
        vehicle_id: int | None = None,
    ) -> PedestrianEvent:
        facts = cause.evidence if isinstance(cause, Violation) else {}
        return PedestrianEvent(
            id=event_id(cause.id, what),
            time_s=cause.time_s,
            camera_id=cause.camera_id,
            event_type=what,
            pedestrian_id=pedestrian_id,
            risk_level=risk,
            location=cause.location,
            roi_id=cause.roi_id,
            ttc_s=facts.get("ttc_s"),
            pet_s=facts.get("pet_s"),
            vehicle_id=vehicle_id,
        )
