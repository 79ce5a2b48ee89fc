"""violation.near_miss: two road users nearly collided, by time to collision or post-encroachment time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal

import numpy as np

from flowrt import CameraView, CheckView, Context, Diagnostic, Finding, Rule, Severity, Tracks, scene_in, setting
from flowrt.traffic.geometry.camera_view import homography_diagnostics
from flowrt.traffic.rules.history import row_by_id
from flowrt_nodes.violation._common.post_encroachment import PostEncroachments
from flowrt_nodes.violation._common.time_to_collision import Bodies, gaps_m, near_pairs, times_to_collision

# Margins: docs/rules.md says what each is for.
LEAST_S = 0.2
DRIVEN_S, SINCE_S = 0.35, 0.6
WITHIN_M = 1.0
OVER_AFTER_S = 1.0
STILL_M_S, WALKING_M_S = 0.4, 0.5


class Conflict:
    """A pair predicted to collide: from when to when, the shortest TTC and when, and how near the two really came."""

    __slots__ = ("at_s", "first_s", "last_s", "nearest_m", "ttc_s")

    def __init__(self, time_s: float) -> None:
        self.first_s = self.last_s = self.at_s = time_s
        self.ttc_s = self.nearest_m = np.inf

    def predicted(self, time_s: float, ttc_s: float) -> None:
        """Another picture predicts a collision."""
        self.last_s = time_s
        if ttc_s < self.ttc_s:
            self.ttc_s, self.at_s = ttc_s, time_s


class NearMiss(Rule):
    """Two road users nearly met: TTC at most `ttc_s` and then passing within `passing_m`, or PET at most `pet_s`.

    TTC is the time to touching at present velocities, PET the time between one leaving a piece of ground and the other
    reaching it on a path that crosses at more than 30 degrees: the shortest of the encounter. A driver that brakes or swerves in
    good time has a short TTC as well, so the pair must really have come near; it is reported when they have passed.
    Needs a `speed` node upstream. Reported with the vehicle, once per pair; a PET at once, and updates tell where it became
    shorter. With it comes the shortest TTC that was predicted before, where there was one.

    No violation: closing slower than `closing_m_s` (queues, parking), and a vehicle slower than that; pedestrians among themselves, or
    standing; two bodies that seem to overlap by a metre: one of them, half hidden, is elsewhere; paths that follow each other; with
    `between: vehicle_pedestrian`, vehicles among themselves.
    """

    between: Annotated[
        Literal["vehicle_pedestrian", "all"], setting("Whose encounters count; `all` adds vehicles among themselves.")
    ] = "vehicle_pedestrian"
    ttc_s: Annotated[float, setting("Time to collision at most; 0 to leave it out.", ge=0, le=10)] = 1.5
    pet_s: Annotated[float, setting("Post-encroachment time at most; 0 to leave it out.", ge=0, le=10)] = 1.0
    passing_m: Annotated[float, setting("How near the two must come, with a short TTC.", ge=0, le=10)] = 1.5
    closing_m_s: Annotated[float, setting("Least closing speed, and least speed of the vehicle.", ge=0, le=30)] = 3.0
    severity: Annotated[Severity, setting("How grave.")] = "high"

    requires: ClassVar[frozenset[str]] = frozenset({"speed"})
    violation_type: ClassVar[str] = "near_miss"
    memory: ClassVar[tuple[str, ...]] = (*Rule.memory, "_encroachments")
    example: ClassVar[str] = """\
near_misses: {type: violation.near_miss, from: speeds, scene: north, ttc_s: 1.5, pet_s: 1.0}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        yield from homography_diagnostics(scene_in(view, self.scene))
        if self.ttc_s == 0 and self.pet_s == 0:
            yield Diagnostic(("ttc_s",), "without TTC and PET nothing is ever found", "set one of them above 0")

    def prepare(self, view: CameraView) -> None:
        self._memory = self.table({"driving_s": (np.float64, (), np.nan), "drove_s": (np.float64, (), -np.inf)})

    def open(self, context: Context) -> None:
        super().open(context)
        self._encroachments: defaultdict[str, PostEncroachments] = defaultdict(PostEncroachments)

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
        """Narrow `driving` to vehicles that are fast enough, and two-wheelers that were surely driving for a moment just now."""
        rows = self._memory.rows(tracks)
        since_s = np.where(bodies.driving, np.fmin(self._memory["driving_s"][rows], tracks.time_s), np.nan)
        self._memory["driving_s"][rows] = since_s
        drove_s = np.where(tracks.time_s - since_s >= DRIVEN_S - 1e-6, tracks.time_s, self._memory["drove_s"][rows])
        self._memory["drove_s"][rows] = drove_s
        bodies.driving = np.where(bodies.riding, tracks.time_s - drove_s <= SINCE_S + 1e-6, bodies.driving)
        bodies.driving &= bodies.speed > self.closing_m_s

    def _predict(self, tracks: Tracks, bodies: Bodies) -> None:
        first, second = near_pairs(bodies, self.between == "all", self.ttc_s)
        keep = (second > first) | bodies.pedestrian[second] | (bodies.speed[second] <= STILL_M_S)
        keep &= ~bodies.pedestrian[second] | ((bodies.speed[second] > WALKING_M_S) & bodies.driving[first])
        closing = bodies.velocity[first] - bodies.velocity[second]
        keep &= np.hypot(closing[:, 0], closing[:, 1]) > self.closing_m_s
        first, second = first[keep], second[keep]
        if not len(first):
            return
        ids, time_s = tracks.track_id, tracks.time_s
        ttc_s = times_to_collision(bodies, first, second)
        for k in np.flatnonzero((ttc_s <= self.ttc_s) & (ttc_s > 0)).tolist():
            pair = (tracks.camera_id, int(ids[first[k]]), int(ids[second[k]]))
            self._undecided.setdefault(pair, Conflict(time_s)).predicted(time_s, float(ttc_s[k]))

    def _passed(self, tracks: Tracks, bodies: Bodies, rows: dict[int, int]) -> Iterator[Finding]:
        """The pairs that were predicted to collide and have now passed near each other."""
        time_s = tracks.time_s
        for pair, conflict in list(self._undecided.items()):
            camera, one, other = pair
            if camera != tracks.camera_id:
                continue
            a, b = rows.get(one), rows.get(other)
            if a is not None and b is not None and not (bodies.unknown[a] or bodies.unknown[b]):
                gap_m = float(gaps_m(bodies, np.array([a]), np.array([b]))[0])
                conflict.nearest_m = min(conflict.nearest_m, gap_m)
            if time_s - conflict.last_s < OVER_AFTER_S:
                continue
            del self._undecided[pair]
            if conflict.last_s - conflict.first_s < LEAST_S - 1e-6 or a is None:
                continue
            if not -WITHIN_M <= conflict.nearest_m <= self.passing_m:
                continue
            facts = {"ttc_s": round(conflict.ttc_s, 2), "nearest_m": round(max(conflict.nearest_m, 0.0), 2)}
            yield self._finding(a, other, conflict.at_s, facts, f"TTC {conflict.ttc_s:.1f} s")

    def _encroached(self, tracks: Tracks, bodies: Bodies, rows: dict[int, int]) -> Iterator[Finding]:
        for row, other_id, pet_s in self._encroachments[tracks.camera_id].update(
            bodies, self.pet_s, self.between == "all"
        ):
            other = rows.get(other_id)
            vehicle = row if bodies.vehicle[row] else other
            if vehicle is None:
                continue
            on_foot = bodies.pedestrian[row] or (other is not None and bodies.pedestrian[other])
            if not on_foot and self.between != "all":
                continue
            partner = other_id if vehicle == row else int(tracks.track_id[row])
            pair = (tracks.camera_id, int(tracks.track_id[vehicle]), partner)
            facts = {"pet_s": round(pet_s, 2)}
            if (conflict := self._undecided.get(pair)) is not None:
                facts["ttc_s"] = round(conflict.ttc_s, 2)
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
