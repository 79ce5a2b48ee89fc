"""violation.amber_acceleration: speeding up at amber instead of stopping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import numpy as np

from flowrt import VEHICLES, CheckView, Complaint, Feed, LineName, Severity, Tracks, setting
from flowrt_nodes._lib.camera_view import CameraView, homography_complaints
from flowrt_nodes._lib.events import ms
from flowrt_nodes._lib.footprint import HEAVY_VEHICLES
from flowrt_nodes._lib.signals import AMBER, SignalPhase
from flowrt_nodes.violation._common.approach import Approaches, approach_complaints
from flowrt_nodes.violation._common.rule import Finding, SignalRule

WINDOW_S = 0.8
"""A speed is the slope of the way driven over this time: the speed that `speed` gives lags behind a sudden push by about as much."""
SHOWN = 0.85
"""The part of a push that such a slope shows: a push ends at the line, or sooner, and the mean around its end lies below its peak."""
BEFORE_S, AFTER_S = 0.9, 0.1
"""The same around amber onset, mostly before it, when nobody has reacted yet."""
SURE = 2.3
"""The gain must be so many times the speed's standard deviation: far away, boxes that tremble look like a push."""
EDGE_PX, HEAVY_EDGE_PX, TREMBLE = 1.3, 2.0, 2.0
"""The standard deviation of a box's edge, of a truck's or bus's, and how many of them, as two slopes through such boxes, the gain
must exceed."""
ASTRAY_KMH = 15.0
"""A speed as doubtful as this is that of a track whose box lay elsewhere: while it jumps between two cars of a queue, nothing is judged."""
MOST_M_S2 = 6.0
"""Nobody speeds up more quickly: that is a box which jumps."""
FEWEST, ENOUGH = 3, 5
"""A slope through fewer pictures says little; half a window must lie between the first and the last of them."""
LONGER, LONGER_BEFORE = 1.5, 2.5
"""Where pictures were lost, a window reaches so many times as far back, until it holds enough of them; and the one at onset."""


class AmberAcceleration(SignalRule, kw_only=True):
    """At amber, still ahead of the stop line, a vehicle is more than `gain` faster than it was at amber onset.

    Needs: the phase of the stop line's signal group, and a `speed` node upstream. Both speeds are those of the way driven over a
    moment, so it is known half a second late. The gain must also exceed `least_gain_kmh` and the doubt about speeds, which grows
    with what a pixel is on the ground, and at least half of it must show in the speed that `speed` gives, which lags but trembles
    less. Once per vehicle and amber phase.

    No violation: a phase that is unknown or stale; speeding up before amber or past the line; vehicles that were slower than
    `from_kmh` at onset (a queue that starts); somebody first seen about onset or later, whose speed then is not known.
    """

    signal: Feed
    lines: Annotated[list[LineName], setting("Stop lines; all with a signal group when empty.")] = []
    gain: Annotated[float, setting("Part by which the speed must have grown.", gt=0, le=2)] = 0.2
    least_gain_kmh: Annotated[float, setting("Growth of speed that is needed in any case.", ge=0, le=50)] = 4.0
    from_kmh: Annotated[float, setting("Speed at amber onset that is needed.", ge=0, le=100)] = 15.0
    within_m: Annotated[float, setting("How far ahead of the line is still its approach.", gt=0, le=200)] = 60.0
    severity: Annotated[Severity, setting("How grave.")] = "low"

    requires: ClassVar[frozenset[str]] = frozenset({"speed"})
    violation_type: ClassVar[str] = "amber_acceleration"
    example: ClassVar[str] = """\
at_amber: {type: violation.amber_acceleration, from: speeds, scene: north, signal: signals}
"""

    def check(self, view: CheckView) -> Iterable[Complaint]:
        yield from homography_complaints(view.scene(self.scene))
        yield from approach_complaints(view, self.scene, self.lines, self.signal)

    def history_s(self) -> float:
        return 6.0

    def prepare(self, view: CameraView) -> None:
        self._approaches = Approaches(view, self.lines)
        count = (len(self._approaches),)
        unknown = (np.float64, count, np.nan)
        self._view = view
        self.table({"onset_s": unknown, "onset_kmh": unknown, "onset_sigma_kmh": unknown, "filtered_kmh": unknown})

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        table = self._table
        assert table is not None
        then_s = tracks.time_s - WINDOW_S / 2  # the moment of which the present slope tells the speed
        phases = [self.phase(group, then_s) for group in self._approaches.signals]
        if not len(tracks) or not any(phase is not None and phase.state in AMBER for phase in phases):
            return
        rows, _ = table.rows(tracks)
        past, along = self._approaches.place(tracks)
        movement = np.asarray(tracks.velocity_m_s, np.float64)
        before = past - WINDOW_S / 2 * (movement @ self._approaches.normals.T)
        near = (before < 0) & (before > -self.within_m) & (along > -0.1) & (along < 1.1)
        near &= (tracks.of_class(VEHICLES) & np.isfinite(tracks.speed_kmh))[:, None]
        for line, phase in enumerate(phases):
            if phase is None or phase.state not in AMBER:
                continue
            coming = near[:, line] & (movement @ self._approaches.normals[line] > 0)
            for row in np.flatnonzero(coming).tolist():
                if table["onset_s"][rows[row], line] != phase.since_s:
                    table["onset_s"][rows[row], line] = phase.since_s
                    onset, sigma = self._slope_kmh(
                        tracks, row, line, phase.since_s + AFTER_S, BEFORE_S + AFTER_S, LONGER_BEFORE
                    )
                    table["onset_kmh"][rows[row], line], table["onset_sigma_kmh"][rows[row], line] = onset, sigma
                    table["filtered_kmh"][rows[row], line] = self._filtered_kmh(tracks, row, phase.since_s)
                then = [
                    float(table[name][rows[row], line]) for name in ("onset_kmh", "onset_sigma_kmh", "filtered_kmh")
                ]
                finding = self._judge(tracks, row, line, phase, *then)
                if finding is not None:
                    yield finding

    def _slope_kmh(
        self, tracks: Tracks, row: int, line: int, end_s: float, window_s: float, longer: float
    ) -> tuple[float, float]:
        """Speed towards a line in the time before another, and its standard deviation: NaN where too little of it was seen, and without
        end where the track's box lay elsewhere."""
        samples = self._history.of(tracks.camera_id, int(tracks.track_id[row]), end_s - longer * window_s - 1e-6)
        seen = [s for s in samples if s.time_s <= end_s + 1e-6 and s.x_m == s.x_m]
        while len(seen) > ENOUGH and seen[0].time_s < end_s - window_s - 1e-6:
            del seen[0]
        if any(s.speed_sigma_kmh > ASTRAY_KMH for s in seen):
            return float("nan"), float("inf")
        if len(seen) < FEWEST or seen[-1].time_s - seen[0].time_s < window_s / 2:
            return float("nan"), float("nan")
        times, x, y = (np.array([getattr(s, name) for s in seen]) for name in ("time_s", "x_m", "y_m"))
        way = np.column_stack((x, y)) @ self._approaches.normals[line]
        times = times - times.mean()
        duration2 = float(times @ times)
        heavy = tracks.of_class(HEAVY_VEHICLES)[row]
        edge_m = (HEAVY_EDGE_PX if heavy else EDGE_PX) * self._pixel_m(float(x.mean()), float(y.mean()), line)
        return float(times @ way) / duration2 * 3.6, edge_m / duration2**0.5 * 3.6

    def _pixel_m(self, x_m: float, y_m: float, line: int) -> float:
        """How far towards a line a pixel down the picture is, at a place on the ground."""
        assert self._view.viewpoint is not None
        there = self._view.viewpoint.picture([(x_m, y_m)])
        _, slope = self._view.viewpoint.ground_and_slope(there.T)
        return abs(float(slope[:, 1, 0] @ self._approaches.normals[line]))

    def _filtered_kmh(self, tracks: Tracks, row: int, time_s: float) -> float:
        """The speed that `speed` gave last before a time."""
        samples = self._history.of(tracks.camera_id, int(tracks.track_id[row]), time_s - BEFORE_S)
        before = [sample for sample in samples if sample.time_s <= time_s + AFTER_S + 1e-6]
        return before[-1].speed_kmh if before else float("nan")

    def _judge(
        self,
        tracks: Tracks,
        row: int,
        line: int,
        phase: SignalPhase,
        onset_kmh: float,
        onset_sigma_kmh: float,
        filtered_kmh: float,
    ) -> Finding | None:
        if not onset_kmh >= self.from_kmh or tracks.speed_kmh[row] < (1 + self.gain / 2) * filtered_kmh:
            return None
        speed, sigma = self._slope_kmh(tracks, row, line, tracks.time_s, WINDOW_S, LONGER)
        doubt = np.fmax(SURE * tracks.speed_sigma_kmh[row], TREMBLE * np.hypot(sigma, onset_sigma_kmh))
        speed = float(np.fmax(speed, tracks.speed_kmh[row]))
        if not speed - onset_kmh > max(SHOWN * self.gain * onset_kmh, self.least_gain_kmh, doubt):
            return None
        since_s = tracks.time_s - WINDOW_S / 2 - (phase.since_s - (BEFORE_S - AFTER_S) / 2)
        if (speed - onset_kmh - doubt) / 3.6 > MOST_M_S2 * since_s:
            return None
        name = self._approaches.lines[line].name
        return Finding(
            row=row,
            key=f"{name}@{ms(phase.since_s)}",
            roi_id=name,
            facts={**phase.facts(), "speed_at_amber_kmh": round(onset_kmh, 1), "gain": round(speed / onset_kmh - 1, 3)},
            description=f"from {onset_kmh:.0f} to {speed:.0f} km/h at amber",
        )
