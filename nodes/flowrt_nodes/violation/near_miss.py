"""violation.near_miss: two road users nearly collided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from flowrt import CheckView, Complaint, Context, Severity, Tracks, setting
from flowrt_nodes._lib.camera_view import CameraView, homography_complaints
from flowrt_nodes.violation._common.encounters import Approach, Bodies, Ground, gaps_m, near_pairs, times_to_collision
from flowrt_nodes.violation._common.history import row_by_id
from flowrt_nodes.violation._common.rule import Finding, Rule

LEAST_S = 0.2
"""A collision must be predicted over this time: one picture may err."""
DRIVEN_S = 0.35
"""A two-wheeler counts once it has surely driven for this long: when somebody walks past in front of one that stands, its box
goes along for a picture or two."""
SINCE_S = 0.6
"""And for as long after: its speed is not equally sure in every picture."""
WITHIN_M = 1.0
"""Whose body lies within another's by so much is elsewhere: somebody half hidden, a few metres off."""
OVER_AFTER_S = 1.0
"""An encounter is over when no collision was predicted for this long."""


class NearMiss(Rule):
    """Two road users nearly met: TTC at most `ttc_s` and then passing within `passing_m`, or PET at most `pet_s`.

    TTC is the time to touching at present velocities, PET the time between one leaving a piece of ground and the other
    reaching it on a path that crosses at more than 30 degrees: the shortest of the encounter. Whoever brakes or swerves in
    good time has a short TTC as well, so the pair must really have come near; it is known, and reported, when they have passed.
    Needs a `speed` node upstream. Reported with the vehicle, once per pair; a PET at once, and updates tell where it became
    shorter. With it comes the shortest TTC that was predicted before, where there was one.

    No violation: closing slower than `closing_m_s` (queues, parking), and a vehicle slower than that (it rolls behind somebody, or
    lets him pass); people on foot among themselves, or standing; two of whom one seems to be a metre within the other: one of
    them, half hidden, is elsewhere; paths that follow each other; with `between: vehicle_pedestrian`, vehicles among themselves.
    """

    between: Annotated[
        Literal["vehicle_pedestrian", "all"], setting("Whose encounters count; `all` adds vehicles among themselves.")
    ] = "vehicle_pedestrian"
    ttc_s: Annotated[float, setting("Time to collision at most; 0 to leave it out.", ge=0, le=10)] = 1.5
    pet_s: Annotated[float, setting("Post-encroachment time at most; 0 to leave it out.", ge=0, le=10)] = 1.0
    passing_m: Annotated[float, setting("How near they must come, with a short TTC.", ge=0, le=10)] = 1.5
    closing_m_s: Annotated[float, setting("Least closing speed, and least speed of the vehicle.", ge=0, le=30)] = 3.0
    severity: Annotated[Severity, setting("How grave.")] = "high"

    requires: ClassVar[frozenset[str]] = frozenset({"speed"})
    violation_type: ClassVar[str] = "near_miss"
    memory: ClassVar[tuple[str, ...]] = (*Rule.memory, "_grounds")
    example: ClassVar[str] = """\
near_misses: {type: violation.near_miss, from: speeds, scene: north, ttc_s: 1.5, pet_s: 1.0}
"""

    def check(self, view: CheckView) -> Iterable[Complaint]:
        yield from homography_complaints(view.scene(self.scene))
        if self.ttc_s == 0 and self.pet_s == 0:
            yield Complaint(("ttc_s",), "with neither TTC nor PET nothing is ever found", "set one of them above 0")

    def prepare(self, view: CameraView) -> None:
        self.table({"driving_s": (np.float64, (), np.nan), "drove_s": (np.float64, (), -np.inf)})

    def open(self, context: Context) -> None:
        super().open(context)
        self._grounds: defaultdict[str, Ground] = defaultdict(Ground)

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        if not view.metric:
            return
        bodies = Bodies(tracks, view)
        self._driven(tracks, bodies)
        rows = row_by_id(tracks)
        if self.ttc_s:
            self._predict(tracks, bodies)
            yield from self._passed(tracks, bodies, rows)
        if self.pet_s:
            yield from self._encroached(tracks, bodies, rows)

    def _driven(self, tracks: Tracks, bodies: Bodies) -> None:
        """Leaves those `driving` that are fast enough, and of two-wheelers those that were surely driving for a moment just now."""
        assert self._table is not None
        rows, _ = self._table.rows(tracks)
        since_s = np.where(bodies.driving, np.fmin(self._table["driving_s"][rows], tracks.time_s), np.nan)
        self._table["driving_s"][rows] = since_s
        drove_s = np.where(tracks.time_s - since_s >= DRIVEN_S - 1e-6, tracks.time_s, self._table["drove_s"][rows])
        self._table["drove_s"][rows] = drove_s
        bodies.driving = np.where(bodies.riding, tracks.time_s - drove_s <= SINCE_S + 1e-6, bodies.driving)
        bodies.driving &= bodies.pace > self.closing_m_s

    def _predict(self, tracks: Tracks, bodies: Bodies) -> None:
        first, second = near_pairs(bodies, self.between == "all", self.ttc_s)
        keep = (second > first) | bodies.pedestrian[second] | (bodies.pace[second] <= 0.4)
        keep &= ~bodies.pedestrian[second] | ((bodies.pace[second] > 0.5) & bodies.driving[first])
        closing = bodies.velocity[first] - bodies.velocity[second]
        keep &= np.hypot(closing[:, 0], closing[:, 1]) > self.closing_m_s
        first, second = first[keep], second[keep]
        if not len(first):
            return
        ids, time_s = tracks.track_id, tracks.time_s
        ttc_s = times_to_collision(bodies, first, second)
        for k in np.flatnonzero((ttc_s <= self.ttc_s) & (ttc_s > 0)).tolist():
            pair = (tracks.camera_id, int(ids[first[k]]), int(ids[second[k]]))
            self._undecided.setdefault(pair, Approach(time_s)).predicted(time_s, float(ttc_s[k]))

    def _passed(self, tracks: Tracks, bodies: Bodies, rows: dict[int, int]) -> Iterator[Finding]:
        """Follow the pairs under watch, and report those that have passed."""
        time_s = tracks.time_s
        for pair, approach in list(self._undecided.items()):
            camera, one, other = pair
            if camera != tracks.camera_id:
                continue
            a, b = rows.get(one), rows.get(other)
            if a is not None and b is not None and not (bodies.unknown[a] or bodies.unknown[b]):
                gap_m = float(gaps_m(bodies, np.array([a]), np.array([b]))[0])
                approach.nearest_m = min(approach.nearest_m, gap_m)
            if time_s - approach.last_s < OVER_AFTER_S:
                continue
            del self._undecided[pair]
            if approach.last_s - approach.first_s < LEAST_S - 1e-6 or a is None:
                continue
            if not -WITHIN_M <= approach.nearest_m <= self.passing_m:
                continue
            facts = {"ttc_s": round(approach.ttc_s, 2), "nearest_m": round(max(approach.nearest_m, 0.0), 2)}
            yield self._finding(a, other, approach.at_s, facts, f"TTC {approach.ttc_s:.1f} s")

    def _encroached(self, tracks: Tracks, bodies: Bodies, rows: dict[int, int]) -> Iterator[Finding]:
        for row, other_id, pet_s in self._grounds[tracks.camera_id].come_onto(
            bodies, self.pet_s, self.between == "all"
        ):
            other = rows.get(other_id)
            vehicle = row if bodies.vehicle[row] else other
            if vehicle is None:
                continue
            walker = bodies.pedestrian[row] or (other is not None and bodies.pedestrian[other])
            if not walker and self.between != "all":
                continue
            partner = other_id if vehicle == row else int(tracks.track_id[row])
            pair = (tracks.camera_id, int(tracks.track_id[vehicle]), partner)
            facts = {"pet_s": round(pet_s, 2)}
            if (approach := self._undecided.get(pair)) is not None:
                facts["ttc_s"] = round(approach.ttc_s, 2)
            yield self._finding(vehicle, partner, tracks.time_s, facts, f"PET {pet_s:.1f} s")

    @staticmethod
    def _finding(row: int, partner: int, since_s: float, facts: dict[str, Any], measure: str) -> Finding:
        return Finding(
            row=row,
            since_s=since_s,
            key=f"with {partner}",
            facts={"other_id": partner, **facts},
            description=f"nearly hit {partner} ({measure})",
        )
