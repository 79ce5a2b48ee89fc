"""violation.amber_acceleration: a vehicle speeds up at amber, still ahead of the stop line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, NamedTuple

import numpy as np

from flowrt import (
    VEHICLES,
    CameraView,
    CheckView,
    Diagnostic,
    Finding,
    LineName,
    Severity,
    SignalRule,
    SignalSource,
    Tracks,
    scene_in,
    setting,
)
from flowrt.traffic.event_parts import ms
from flowrt.traffic.geometry.camera_view import homography_diagnostics
from flowrt.traffic.rules.signals import AMBER, SignalPhase
from flowrt_nodes.violation._common.approach import Approaches, approach_diagnostics

# Margins: docs/rules.md says what each is for.
WINDOW_S = 0.8
SHOWN = 0.85
BEFORE_S, AFTER_S = 0.9, 0.1
SPEED_SIGMAS = 2.3
EDGE_PX, SLOPE_SIGMAS = 1.3, 2.0
FEWEST, ENOUGH = 3, 5
LONGER, LONGER_BEFORE = 1.5, 2.5
BESIDE = 0.1


class _Onset(NamedTuple):
    """How fast a vehicle was at amber onset: by slope, with its standard deviation. since_s: the onset."""

    since_s: float
    speed_kmh: float
    sigma_kmh: float


class AmberAcceleration(SignalRule, kw_only=True):
    """At amber, still ahead of the stop line, a vehicle is more than `gain` faster than it was at amber onset.

    Needs: the phase of the stop line's signal group, and a `speed` node upstream. Both speeds are averages over a moment, so a
    violation is known half a second late. The gain must also exceed `least_gain_kmh` and the uncertainty of the speeds, which grows
    with what a pixel is on the ground. Once per vehicle and amber phase.

    No violation: a phase that is unknown or stale; accelerating before amber or past the line; vehicles slower than `from_kmh` at
    onset (a queue that starts); a vehicle first seen about onset or later, whose speed then is unknown.
    """

    signal: SignalSource
    lines: Annotated[list[LineName], setting("Stop lines; all with a signal group when empty.")] = []
    gain: Annotated[float, setting("Share by which the speed must have grown.", gt=0, le=2)] = 0.2
    least_gain_kmh: Annotated[float, setting("Least gain of speed.", ge=0, le=50)] = 4.0
    from_kmh: Annotated[float, setting("Least speed at amber onset.", ge=0, le=100)] = 15.0
    within_m: Annotated[float, setting("Length of the approach before the line.", gt=0, le=200)] = 60.0
    severity: Annotated[Severity, setting("How grave.")] = "low"

    requires: ClassVar[frozenset[str]] = frozenset({"speed"})
    violation_type: ClassVar[str] = "amber_acceleration"
    example: ClassVar[str] = """\
at_amber: {type: violation.amber_acceleration, from: speeds, scene: north, signal: signals}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        yield from homography_diagnostics(scene_in(view, self.scene))
        yield from approach_diagnostics(view, self.scene, self.lines, self.signal)

    def history_s(self) -> float:
        return 6.0

    def prepare(self, view: CameraView) -> None:
        self._approaches = Approaches(view, self.lines)
        self._view = view
        lines = (len(self._approaches),)
        self._memory = self.table(dict.fromkeys(_Onset._fields, (np.float64, lines, np.nan)))

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        then_s = tracks.time_s - WINDOW_S / 2  # the moment whose speed the present slope gives
        phases = [self.phase(group, then_s) for group in self._approaches.signals]
        if not len(tracks) or not any(phase is not None and phase.state in AMBER for phase in phases):
            return
        rows = self._memory.rows(tracks)
        past, along = self._approaches.place(tracks)
        velocity = np.asarray(tracks.velocity_m_s, np.float64)
        past_then = past - WINDOW_S / 2 * (velocity @ self._approaches.normals.T)
        near = (past_then < 0) & (past_then > -self.within_m) & (along > -BESIDE) & (along < 1 + BESIDE)
        near &= (tracks.of_class(VEHICLES) & np.isfinite(tracks.speed_kmh))[:, None]
        for line, phase in enumerate(phases):
            if phase is None or phase.state not in AMBER:
                continue
            coming = near[:, line] & (velocity @ self._approaches.normals[line] > 0)
            for row in np.flatnonzero(coming).tolist():
                onset = self._onset(tracks, row, int(rows[row]), line, phase.since_s)
                finding = self._judge(tracks, row, line, phase, onset)
                if finding is not None:
                    yield finding

    def _onset(self, tracks: Tracks, row: int, memory_row: int, line: int, since_s: float) -> _Onset:
        """How fast a vehicle was at amber onset, measured when it is first asked for."""
        memory = self._memory
        if memory["since_s"][memory_row, line] != since_s:
            slope = self._slope_kmh(tracks, row, line, since_s + AFTER_S, BEFORE_S + AFTER_S, LONGER_BEFORE)
            measured = _Onset(since_s, *slope)
            for name, value in measured._asdict().items():
                memory[name][memory_row, line] = value
        return _Onset(*(float(memory[name][memory_row, line]) for name in _Onset._fields))

    def _slope_kmh(
        self, tracks: Tracks, row: int, line: int, end_s: float, window_s: float, longer: float
    ) -> tuple[float, float]:
        """Speed towards a line in the window before a time, and its standard deviation: NaN where too little was seen, infinite where
        the track's box was astray."""
        samples = self._history.of(tracks.camera_id, int(tracks.track_id[row]), end_s - longer * window_s - 1e-6)
        seen = [s for s in samples if s.time_s <= end_s + 1e-6 and s.x_m == s.x_m]
        while len(seen) > ENOUGH and seen[0].time_s < end_s - window_s - 1e-6:
            del seen[0]
        if len(seen) < FEWEST or seen[-1].time_s - seen[0].time_s < window_s / 2:
            return float("nan"), float("nan")
        times, x, y = (np.array([getattr(s, name) for s in seen]) for name in ("time_s", "x_m", "y_m"))
        driven = np.column_stack((x, y)) @ self._approaches.normals[line]
        times = times - times.mean()
        duration2 = float(times @ times)
        edge_m = EDGE_PX * self._pixel_m(float(x.mean()), float(y.mean()), line)
        return float(times @ driven) / duration2 * 3.6, edge_m / duration2**0.5 * 3.6

    def _pixel_m(self, x_m: float, y_m: float, line: int) -> float:
        """How far towards a line one pixel down the picture is, at a place on the ground."""
        viewpoint = self._view.viewpoint
        assert viewpoint is not None  # speeds are known, so there is a homography
        _, slope = viewpoint.ground_and_slope(viewpoint.picture([(x_m, y_m)]).T)
        return abs(float(slope[:, 1, 0] @ self._approaches.normals[line]))

    def _judge(self, tracks: Tracks, row: int, line: int, phase: SignalPhase, onset: _Onset) -> Finding | None:
        filtered_kmh = tracks.speed_kmh[row]
        if not onset.speed_kmh >= self.from_kmh:
            return None
        slope_kmh, sigma_kmh = self._slope_kmh(tracks, row, line, tracks.time_s, WINDOW_S, LONGER)
        unsure_kmh = np.fmax(
            SPEED_SIGMAS * tracks.speed_sigma_kmh[row], SLOPE_SIGMAS * np.hypot(sigma_kmh, onset.sigma_kmh)
        )
        speed_kmh = float(np.fmax(slope_kmh, filtered_kmh))
        gain_kmh = speed_kmh - onset.speed_kmh
        if not gain_kmh > max(SHOWN * self.gain * onset.speed_kmh, self.least_gain_kmh, unsure_kmh):
            return None
        facts = {"speed_at_amber_kmh": round(onset.speed_kmh, 1), "gain": round(speed_kmh / onset.speed_kmh - 1, 3)}
        name = self._approaches.lines[line].name
        return Finding(
            row=row,
            key=f"{name}@{ms(phase.since_s)}",
            roi_id=name,
            facts={**phase.facts(), **facts},
            description=f"from {onset.speed_kmh:.0f} to {speed_kmh:.0f} km/h at amber",
        )
