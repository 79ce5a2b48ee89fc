"""violation.amber_acceleration: speeding up at amber instead of stopping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import numpy as np

from flowrt import VEHICLES, CheckView, Complaint, Feed, LineName, Severity, Tracks, setting
from flowrt_nodes._approach import Approaches, approach_complaints
from flowrt_nodes._events import ms
from flowrt_nodes._rule import Finding, SignalRule
from flowrt_nodes._signals import AMBER, SignalPhase
from flowrt_nodes._view import View, homography_complaints

LATE_S = 0.6
"""Who is first seen on the approach later than this after amber onset was not on it then."""


class AmberAcceleration(SignalRule, kw_only=True):
    """At amber, still ahead of the stop line, a vehicle is more than `gain` faster than it was at amber onset.

    Needs: the phase of the stop line's signal group, and a `speed` node upstream. The gain must also exceed `least_gain_kmh`
    and twice the speed's standard deviation, and last for `hold_s`. Once per vehicle and amber phase.

    No violation: a phase that is unknown or stale; speeding up before amber or past the line; vehicles that were slower than
    `from_kmh` at onset (a queue that starts); somebody first seen after onset, whose speed then is not known.
    """

    signal: Feed
    lines: Annotated[list[LineName], setting("Stop lines; all with a signal group when empty.")] = []
    gain: Annotated[float, setting("Part by which the speed must have grown.", gt=0, le=2)] = 0.2
    least_gain_kmh: Annotated[float, setting("Growth of speed that is needed in any case.", ge=0, le=50)] = 4.0
    from_kmh: Annotated[float, setting("Speed at amber onset that is needed.", ge=0, le=100)] = 12.0
    within_m: Annotated[float, setting("How far ahead of the line is still its approach.", gt=0, le=200)] = 60.0
    hold_s: Annotated[float, setting("How long it must last.", ge=0, le=5)] = 0.3
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

    def prepare(self, view: View) -> None:
        self._approaches = Approaches(view, self.lines)
        count = (len(self._approaches),)
        self.table({"onset_s": (np.float64, count, np.nan), "onset_kmh": (np.float64, count, np.nan)})

    def find(self, tracks: Tracks, view: View) -> Iterator[Finding]:
        table = self._table
        assert table is not None
        if not len(tracks):
            return
        phases = [self.phase(group, tracks.time_s) for group in self._approaches.signals]
        if not any(phase is not None and phase.state in AMBER for phase in phases):
            return
        rows, _ = table.rows(tracks)
        past, along = self._approaches.place(tracks)
        ahead = (past < 0) & (past > -self.within_m) & (along > -0.1) & (along < 1.1)
        ahead &= (tracks.of_class(VEHICLES) & np.isfinite(tracks.speed_kmh))[:, None]
        movement = np.asarray(tracks.velocity_m_s, np.float64)
        for line, phase in enumerate(phases):
            if phase is None or phase.state not in AMBER:
                continue
            coming = ahead[:, line] & (movement @ self._approaches.normals[line] > 0)
            for row in np.flatnonzero(coming).tolist():
                if table["onset_s"][rows[row], line] != phase.since_s:
                    table["onset_s"][rows[row], line] = phase.since_s
                    late = tracks.time_s - phase.since_s > LATE_S
                    onset_kmh = float("nan") if late else self._speed_at(tracks, row, phase.since_s)
                    table["onset_kmh"][rows[row], line] = onset_kmh
                finding = self._judge(tracks, row, line, phase, float(table["onset_kmh"][rows[row], line]))
                if finding is not None:
                    yield finding

    def _speed_at(self, tracks: Tracks, row: int, time_s: float) -> float:
        """Speed at amber onset, in between two readings at most a second apart; NaN where it is not known."""
        samples = self._history.of(tracks.camera_id, int(tracks.track_id[row]), time_s - 1.0)
        known = [(s.time_s, s.speed_kmh) for s in samples if s.speed_kmh == s.speed_kmh]
        if not known or known[0][0] > time_s + 0.15:
            return float("nan")
        times, speeds = zip(*known, strict=True)
        return float(np.interp(time_s, times, speeds))

    def _judge(self, tracks: Tracks, row: int, line: int, phase: SignalPhase, onset_kmh: float) -> Finding | None:
        speed = float(tracks.speed_kmh[row])
        least = max(self.gain * onset_kmh, self.least_gain_kmh, 2.0 * float(tracks.speed_sigma_kmh[row]))
        if not onset_kmh >= self.from_kmh or speed - onset_kmh <= least:
            return None
        name = self._approaches.lines[line].name
        return Finding(
            row=row,
            key=f"{name}@{ms(phase.since_s)}",
            roi_id=name,
            facts={**phase.facts(), "speed_at_amber_kmh": round(onset_kmh, 1), "gain": round(speed / onset_kmh - 1, 2)},
            description=f"from {onset_kmh:.0f} to {speed:.0f} km/h at amber",
        )
