"""violation.red_light: the front of a vehicle crosses the stop line after red onset plus a grace time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np

from flowrt import (
    CameraView,
    CheckView,
    Diagnostic,
    Finding,
    LineName,
    Severity,
    SignalRule,
    SignalSource,
    Tracks,
    ZoneName,
    setting,
)
from flowrt.traffic.calibration import jacobians
from flowrt.traffic.event_parts import known, ms
from flowrt.traffic.geometry.camera_view import heading_vectors
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt.traffic.rules.continuation import handed_over
from flowrt.traffic.rules.history import row_by_id
from flowrt.traffic.rules.signals import RED, SignalPhase
from flowrt_nodes.violation._common.approach import Approaches, approach_diagnostics
from flowrt_nodes.violation._common.front_crossing import FrontCrossing, FrontCrossings

# Margins: docs/rules.md says what each is for.
CREEPING_KMH = 12.0
STOP_NEAR_M, STOP_AGO_S, MOVING_OFF_S = 7.0, 6.0, 0.5
TURNED_DEG, TURNING_M, STRAIGHT_ON_M, RETREAT_M = 25.0, 3.0, 14.0, 2.5
UNDECIDED_S = 60.0
LANE_MARGIN_PX = 25.0
BEFORE_S = 1.0


class _Undecided(NamedTuple):
    """A vehicle crossed at red after a full stop: lawful if it turns to the permitted side."""

    crossing: FrontCrossing
    line: str
    phase: SignalPhase
    heading: tuple[float, float]
    speed_kmh: float


class RedLight(SignalRule, kw_only=True):
    """A vehicle's front crosses the stop line after red onset plus a grace time; fast, or creeping.

    Needs: the phase of the stop line's signal group, and tracks; with a `speed` node upstream the front is known best.
    The crossing counts once the front has stayed `beyond_m` past the line for a moment while it is still red, longer where it creeps,
    and is dated back to the moment on the line. Reported once per vehicle and red phase.

    No violation: a phase that is unknown or older than `max_age_s`; a front already past the line at red onset (plus `grace_s`); a
    vehicle first seen past the line, or moving across the approach; stopping on the line or less than `beyond_m` past it; starting
    at green; a vehicle that has stood for three seconds, or a truck or bus that brakes hard, whose box reaches over the line; a front
    that was well past the line a few seconds before; with `turn_on_red`, a turn to that side after a full stop at red before the line
    (reported if the vehicle drives on without turning, or still stands past the line when the red ends); pictures in which `speed`
    does not know where the vehicle is.
    """

    signal: SignalSource
    lines: Annotated[list[LineName], setting("Stop lines; all with a signal group when empty.")] = []
    grace_s: Annotated[float, setting("After red onset, crossing is still forgiven for this long.", ge=0, le=5)] = 0.3
    beyond_m: Annotated[
        float,
        setting("How far the front must get past the line; a creeping truck's or bus's 0.5 m further.", gt=0, le=10),
    ] = 0.5
    turn_on_red: Annotated[
        Literal["never", "right", "left"], setting("The side to which a turn on red after a full stop is lawful.")
    ] = "never"
    turn_lanes: Annotated[list[ZoneName], setting("Lanes from which that turn is lawful; all when empty.")] = []
    full_stop_s: Annotated[float, setting("A full stop lasts at least this long.", gt=0, le=10)] = 0.4
    severity: Annotated[Severity, setting("How grave; creeping is one step less.")] = "high"

    violation_type: ClassVar[str] = "red_light"
    example: ClassVar[str] = """\
red_light: {type: violation.red_light, from: speeds, scene: north, signal: signals, grace_s: 0.3}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        return approach_diagnostics(view, self.scene, self.lines, self.signal)

    def prepare(self, view: CameraView) -> None:
        self._approaches = Approaches(view, self.lines)
        self._crossings = FrontCrossings(self._approaches, self.beyond_m)
        self._line_number = {line.name: number for number, line in enumerate(self._approaches.lines)}
        self._turn_polygons = view.polygons(self.turn_lanes)
        self._memory = self.table({**self._crossings.columns(), "stopped_s": (np.float64, (), -np.inf)})
        # A turn to the right is clockwise in the picture; whether also on the ground depends on how its axes were laid.
        middles = np.array([np.mean(line.points, axis=0) for line in self._approaches.lines]).reshape(-1, 2)
        self._mirrored = np.zeros(len(middles), bool)
        if view.viewpoint is not None:
            self._mirrored = np.linalg.det(jacobians(view.viewpoint.to_ground, middles)) <= 0

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        if not len(tracks) or not len(self._approaches):
            return
        memory = self._memory
        rows = memory.rows(tracks)
        standing_s = self._crossings.standing_s(memory, rows, tracks, view)
        crossings = self._crossings.update(memory, rows, tracks, view, standing_s)
        past, _ = self._approaches.place(tracks)
        if self.turn_on_red != "never":
            near = (past > -STOP_NEAR_M) & (past < self.beyond_m) & self._red_for_a_stop(tracks.time_s)
            stopped = near.any(axis=1) & (standing_s >= self.full_stop_s)
            memory["stopped_s"][rows[stopped & self._may_turn(tracks)]] = tracks.time_s
        for crossing in crossings:
            finding = self._crossed(tracks, crossing, float(memory["stopped_s"][rows[crossing.row]]))
            if finding is not None:
                samples = self._history.of(
                    tracks.camera_id, int(tracks.track_id[crossing.row]), crossing.time_s - BEFORE_S
                )
                finding.own = not handed_over(samples)
                yield finding
        if self._undecided:
            yield from self._decide(tracks, past, view.reliable(tracks))

    def _red_for_a_stop(self, time_s: float) -> Mask:
        """(L,): where it has been red for long enough that who stands has made a full stop at red, and not at the amber before."""
        phases = [self.phase(group, time_s) for group in self._approaches.signals]
        least_s = self.full_stop_s + MOVING_OFF_S
        return np.array([p is not None and p.state in RED and time_s - p.since_s >= least_s for p in phases], bool)

    def _may_turn(self, tracks: Tracks) -> Mask:
        """(N,): which are in a lane from which a turn on red is lawful."""
        if not self.turn_lanes:
            return np.ones(len(tracks), bool)
        depth = self._turn_polygons.depth(self._approaches.view.position_px(tracks))
        return np.asarray((depth > -LANE_MARGIN_PX).any(axis=1))

    def _crossed(self, tracks: Tracks, crossing: FrontCrossing, stopped_s: float) -> Finding | None:
        row, group = crossing.row, self._approaches.signals[crossing.line]
        phase, now = self.phase(group, crossing.time_s), self.phase(group, tracks.time_s)
        if phase is None or phase.state not in RED or crossing.time_s <= phase.since_s + self.grace_s:
            return None
        if now is None or now.state not in RED or abs(now.since_s - phase.since_s) > 0.5:
            return None
        line = self._approaches.lines[crossing.line].name
        heading = heading_vectors(tracks)[row].tolist()
        one = _Undecided(crossing, line, phase, (heading[0], heading[1]), float(tracks.speed_kmh[row]))
        key = (tracks.camera_id, int(tracks.track_id[row]))
        before = self._undecided.get(key)
        if before is not None and (before.line, before.phase.since_s) == (line, phase.since_s):
            return None  # its box jumped back and forth; that it is beyond the line is known
        may_turn = self.turn_on_red != "never" and crossing.time_s - stopped_s < STOP_AGO_S
        if may_turn and not np.isnan(heading[0]):
            self._undecided[key] = one
            return None
        return self._finding(row, one)

    def _decide(self, tracks: Tracks, past: Array, reliable: Mask) -> Iterator[Finding]:
        """The vehicles that crossed after a full stop and turn out not to turn to the permitted side."""
        rows, headings = row_by_id(tracks), heading_vectors(tracks)
        for key, one in list(self._undecided.items()):
            row, line = rows.get(key[1]) if key[0] == tracks.camera_id else None, self._line_number.get(one.line)
            if row is None or line is None:
                if tracks.time_s - one.crossing.time_s > UNDECIDED_S:
                    del self._undecided[key]
                continue
            front_m = past[row, line]
            if not reliable[row]:
                continue
            if front_m < -RETREAT_M:
                del self._undecided[key]
            elif front_m < TURNING_M:  # it lets pedestrians pass, or stands: its heading says nothing yet
                now = self.phase(self._approaches.signals[line], tracks.time_s)
                if front_m > self.beyond_m and now is not None and now.state not in RED:
                    del self._undecided[key]
                    yield self._finding(row, one)
            else:
                turned_deg = self._turned_deg(one.heading, headings[row], line)
                if turned_deg > TURNED_DEG:
                    del self._undecided[key]
                elif turned_deg < -TURNED_DEG or front_m > STRAIGHT_ON_M:
                    del self._undecided[key]
                    yield self._finding(row, one)

    def _turned_deg(self, before: tuple[float, float], now: Array, line: int) -> float:
        """How far a vehicle has turned to the permitted side."""
        cross, dot = before[0] * now[1] - before[1] * now[0], before[0] * now[0] + before[1] * now[1]
        to_right = float(np.degrees(np.arctan2(cross, dot))) * (-1 if self._mirrored[line] else 1)
        return to_right if self.turn_on_red == "right" else -to_right

    def _finding(self, row: int, one: _Undecided) -> Finding:
        crossed_s, phase = one.crossing.time_s, one.phase
        red_for_s, creeping = crossed_s - phase.since_s, one.speed_kmh < CREEPING_KMH
        facts: dict[str, Any] = {**phase.facts(), "red_for_s": round(red_for_s, 2), "crossed_s": round(crossed_s, 3)}
        if (speed := known(one.speed_kmh, 1)) is not None:
            facts["speed_at_line_kmh"] = speed
        return Finding(
            row=row,
            since_s=crossed_s,
            key=f"{one.line}@{ms(phase.since_s)}",
            roi_id=one.line,
            facts=facts,
            severity="medium" if creeping and self.severity == "high" else self.severity,
            description=f"{'crept' if creeping else 'drove'} over {one.line} {red_for_s:.1f} s after red",
        )
