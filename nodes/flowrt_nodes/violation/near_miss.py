"""violation.near_miss: two road users nearly collided."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from flowrt import CheckView, Complaint, Context, Severity, Tracks, setting
from flowrt_nodes._encounters import Bodies, Ground, near_pairs, times_to_collision
from flowrt_nodes._rule import Finding, Rule
from flowrt_nodes._view import View, homography_complaints


class NearMiss(Rule):
    """Two road users nearly met: TTC at most `ttc_s` with braking too hard to be comfortable, or PET at most `pet_s`.

    TTC is the time to touching at present velocities; as drivers who yield late have a short one as well, the vehicle must
    also need to brake harder than `braking_m_s2` to stop in time. PET is the time between one leaving a piece of ground and the
    other entering it, on paths that cross at more than 30 degrees. Needs a `speed` node upstream. Reported with the vehicle,
    once per pair.

    No violation: following in a queue; waiting; a driver who brakes comfortably for somebody; people on foot among
    themselves; with `between: vehicle_pedestrian`, vehicles among themselves.
    """

    between: Annotated[
        Literal["vehicle_pedestrian", "all"], setting("Whose encounters count; `all` adds vehicles among themselves.")
    ] = "vehicle_pedestrian"
    ttc_s: Annotated[float, setting("Time to collision at most; 0 to leave it out.", ge=0, le=10)] = 1.5
    pet_s: Annotated[float, setting("Post-encroachment time at most; 0 to leave it out.", ge=0, le=10)] = 1.0
    braking_m_s2: Annotated[float, setting("Braking that a driver would still do calmly.", ge=0, le=12)] = 4.0
    faster_than_kmh: Annotated[float, setting("Slower vehicles are no danger.", ge=0, le=60)] = 10.0
    hold_s: Annotated[float, setting("How long a short TTC must last.", ge=0, le=5)] = 0.15
    severity: Annotated[Severity, setting("How grave.")] = "high"

    requires: ClassVar[frozenset[str]] = frozenset({"speed"})
    violation_type: ClassVar[str] = "near_miss"
    example: ClassVar[str] = """\
near_misses: {type: violation.near_miss, from: speeds, scene: north, ttc_s: 1.5, pet_s: 1.0}
"""

    def check(self, view: CheckView) -> Iterable[Complaint]:
        yield from homography_complaints(view.scene(self.scene))
        if self.ttc_s == 0 and self.pet_s == 0:
            yield Complaint(("ttc_s",), "with neither TTC nor PET nothing is ever found", "set one of them above 0")

    def open(self, context: Context) -> None:
        super().open(context)
        self._ground = Ground()

    def find(self, tracks: Tracks, view: View) -> Iterator[Finding]:
        if not view.metric or len(tracks) < 2:
            return
        bodies = Bodies(tracks, view)
        fast = tracks.speed_kmh >= self.faster_than_kmh
        if self.ttc_s:
            yield from self._short_ttc(tracks, bodies, np.asarray(fast))
        if self.pet_s:
            yield from self._short_pet(tracks, bodies, np.asarray(fast))

    def _short_ttc(self, tracks: Tracks, bodies: Bodies, fast: np.ndarray) -> Iterator[Finding]:
        first, second = near_pairs(bodies, self.between == "all", self.ttc_s)
        keep = fast[first]
        first, second = first[keep], second[keep]
        if not len(first):
            return
        ttc_s = times_to_collision(bodies, first, second)
        for k in np.flatnonzero(ttc_s <= self.ttc_s).tolist():
            a, b = int(first[k]), int(second[k])
            closing = float(np.hypot(*(bodies.velocity[a] - bodies.velocity[b])))
            gap_m = max(float(ttc_s[k]) * closing, 0.1)
            braking = float(bodies.pace[a]) ** 2 / (2 * gap_m)
            if braking >= self.braking_m_s2:
                yield self._finding(tracks, a, int(tracks.track_id[b]), {"ttc_s": round(float(ttc_s[k]), 2)}, braking)

    def _short_pet(self, tracks: Tracks, bodies: Bodies, fast: np.ndarray) -> Iterator[Finding]:
        rows = {int(track): row for row, track in enumerate(tracks.track_id)}
        for row, other_id, pet_s in self._ground.step_on(bodies, self.pet_s):
            other = rows.get(other_id)
            vehicle = row if bodies.vehicle[row] else other
            if vehicle is None or not fast[vehicle] or pet_s <= 0:
                continue
            partner = other_id if vehicle == row else int(tracks.track_id[row])
            walker = bodies.pedestrian[row] or (other is not None and bodies.pedestrian[other])
            if not walker and self.between != "all":
                continue
            facts = {"pet_s": round(pet_s, 2)}
            yield self._finding(tracks, vehicle, partner, facts, None, since_s=tracks.time_s - self.hold_s)

    def _finding(
        self,
        tracks: Tracks,
        row: int,
        partner: int,
        facts: dict[str, Any],
        braking: float | None,
        since_s: float | None = None,
    ) -> Finding:
        if braking is not None:
            facts["braking_needed_m_s2"] = round(braking, 1)
        what = ", ".join(
            f"{name.removesuffix('_s').upper()} {value} s"
            for name, value in facts.items()
            if name[:3] in ("ttc", "pet")
        )
        return Finding(
            row=row,
            since_s=since_s,
            key=f"with {partner}",
            facts={"other_id": partner, **facts},
            description=f"nearly hit {partner} ({what})",
        )
