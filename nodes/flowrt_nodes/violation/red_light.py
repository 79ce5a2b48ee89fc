"""violation.red_light: driving over the stop line at red, fast or creeping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt import VEHICLES, CheckView, Complaint, Feed, LineName, Severity, Tracks, ZoneName, setting
from flowrt_nodes._lib.camera_view import CameraView, heading_vectors
from flowrt_nodes._lib.events import known, ms
from flowrt_nodes._lib.footprint import HEAVY_VEHICLES, length_known
from flowrt_nodes._lib.geometry import Array, Mask, jacobian
from flowrt_nodes._lib.signals import RED, SignalPhase
from flowrt_nodes.violation._common.approach import Approaches, approach_complaints
from flowrt_nodes.violation._common.rule import Finding, SignalRule
from flowrt_nodes.violation._common.standstill import STANDSTILL_COLUMNS, standstill_since

TURNED_DEG = 25.0
TURNING_M = 3.0
"""Nobody has turned before his front is this far past the line."""
RETREAT_M = 2.5
"""Whose front is this far before the line again never crossed it."""
STRAIGHT_ON_M = 14.0
BACK_M, BACK_S = 1.0, 4.0
"""Whose front was so far past the line this short a time ago did not cross it again: nobody drives back, his box was taken along
by somebody else's."""
LASTING_S = 0.25
"""A front beyond the line must be so for this long: boxes jump."""
CREEPING_KMH, CREEPING_S = 10.0, 0.9
"""Who is slower than this must be beyond for longer: the box of somebody at the line jumps when people walk past in front."""
TREMBLES_S = 3.0
"""Who has been at rest for this long goes over no line: his box trembles."""
HEAVY_M, HEAVY_S = 0.5, 1.5
"""A creeping truck or bus must be further beyond by so much where its length is not known, and for this long: its front swings
over the line and back when it brakes hard."""
BRAKING_M_S2, BRAKES_FROM_M_S, SETTLED_S = 2.5, 3.0, 2.0
"""One that brakes harder, and does not creep, is judged when it has not done so for this long: until then it swings by metres."""
SWINGS_M = 6.0
"""But not by more than this: one further past the line has driven over it, however its pace trembles."""
FORWARD, SIDEWAYS_M_S = 0.7, 0.8
"""A movement is over the line when so much of it is along the approach; slower ones tell no direction."""
STOP_NEAR_M = 7.0
"""A full stop for a turn on red is made within this distance of the stop line."""


class _Undecided(NamedTuple):
    """Somebody crossed at red after a full stop: a lawful turn if it turns."""

    line: str
    crossed_s: float
    phase: SignalPhase
    heading: tuple[float, float]
    speed_kmh: float


class RedLight(SignalRule, kw_only=True):
    """A vehicle's front crosses the stop line after red onset plus a grace time; fast, or creeping.

    Needs: the phase of the stop line's signal group, and tracks; with a `speed` node upstream the front is known best.
    The crossing counts once the front is `beyond_m` past the line while it is still red, and is dated back to the moment on
    the line, interpolated between pictures. The front must stay beyond for a moment, longer where it creeps. Reported once per
    vehicle and red phase.

    No violation: a phase that is unknown or older than `max_age_s`; a front already past the line at red onset (plus
    `grace_s`); somebody first seen past the line, or who moves across the approach and not along it; stopping on or just past the
    line (less than `beyond_m`), also where the box of somebody who has been at rest for three seconds trembles over it, or that of a
    truck or bus swings over it while it brakes hard; starting at green; a front that was well past the line a few seconds ago and seems
    to have gone back (boxes are taken along by others); with `turn_on_red`, a turn to that side after a full stop before the line
    (whether it was one is known, and reported if not, when the vehicle turns or drives on, or still stands past the line when the red
    ends); pictures in which `speed` does not know where a vehicle is: what was seen before it begins anew is void.
    """

    signal: Feed
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

    def check(self, view: CheckView) -> Iterable[Complaint]:
        return approach_complaints(view, self.scene, self.lines, self.signal)

    def prepare(self, view: CameraView) -> None:
        self._approaches = Approaches(view, self.lines)
        self._line_number = {line.name: number for number, line in enumerate(self._approaches.lines)}
        self._turn_polygons = view.polygons(self.turn_lanes)
        count = (len(self._approaches),)
        self.table(
            {
                "past_m": (np.float64, count, np.nan),
                "seen_s": (np.float64, (), np.nan),
                "speed_m_s": (np.float64, (), np.nan),
                "braked_s": (np.float64, (), -np.inf),
                "crossed_s": (np.float64, count, np.nan),
                "beyond_s": (np.float64, count, np.nan),
                "was_before": (bool, count, False),
                "through_s": (np.float64, count, -np.inf),
                "stopped_s": (np.float64, (), -np.inf),
                **STANDSTILL_COLUMNS,
            }
        )

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        table = self._table
        assert table is not None
        if not len(tracks) or not len(self._approaches):
            return
        time_s = tracks.time_s
        rows, _ = table.rows(tracks)
        past, along = self._approaches.place(tracks)
        lost = view.restarted(tracks)
        if np.count_nonzero(lost):
            for column in ("past_m", "crossed_s", "beyond_s"):
                table[column][rows[lost]] = np.nan
            table["was_before"][rows[lost]] = False
        sure = view.reliable(tracks)
        before, before_s = table["past_m"].take(rows, axis=0), table["seen_s"].take(rows)
        with np.errstate(divide="ignore", invalid="ignore"):
            share = np.minimum(np.maximum(-before / (past - before), 0.0), 1.0)
            on_line_s = before_s[:, None] + share * (time_s - before_s[:, None])
        known = sure[:, None]
        through_s = table["through_s"].take(rows, axis=0)
        stepped_over = known & (before <= 0) & (past > 0) & (time_s - through_s > BACK_S)
        table["through_s"][rows] = np.where(known & (past > BACK_M), time_s, through_s)
        was_before = table["was_before"].take(rows, axis=0) | (known & (past < 0))
        crossed_s = np.where(stepped_over, on_line_s, table["crossed_s"].take(rows, axis=0))
        vehicles = tracks.of_class(VEHICLES)[:, None]
        slow = tracks.speed_kmh < CREEPING_KMH
        heavy = tracks.of_class(HEAVY_VEHICLES)
        beyond = past > self.beyond_m + np.where(slow & heavy & ~length_known(tracks), HEAVY_M, 0.0)[:, None]
        beyond_s = np.where(beyond, np.fmin(table["beyond_s"].take(rows, axis=0), time_s), np.nan)
        needed_s = np.where(slow, np.where(heavy, HEAVY_S, CREEPING_S), LASTING_S)[:, None]
        braked = heavy & (time_s - self._braked_s(tracks, view, rows, before_s) < SETTLED_S)
        swings = braked[:, None] & (past < SWINGS_M)
        lasting = known & beyond & (time_s - beyond_s >= needed_s - 1e-6) & self._forward(tracks) & ~swings
        done = was_before & lasting & ~np.isnan(crossed_s)
        rest_s = time_s - standstill_since(table, rows, tracks, view, 4.0, 0.5)
        hits = done & vehicles & self._approaches.beside(along) & ~(rest_s >= TREMBLES_S)[:, None]
        told = rows[sure]
        table["past_m"][told], table["seen_s"][told], table["beyond_s"][told] = past[sure], time_s, beyond_s[sure]
        table["crossed_s"][rows] = np.where(done, np.nan, crossed_s)
        table["was_before"][rows] = was_before & ~done
        if self.turn_on_red != "never":
            stopped = ((past > -STOP_NEAR_M) & (past < self.beyond_m)).any(axis=1) & (rest_s >= self.full_stop_s)
            if stopped.any():
                table["stopped_s"][rows[stopped & self._may_turn(tracks)]] = time_s
        for row, line in np.argwhere(hits).tolist():
            finding = self._crossed(
                tracks, row, line, float(crossed_s[row, line]), float(table["stopped_s"][rows[row]])
            )
            if finding is not None:
                yield finding
        if self._unproven:
            yield from self._decide(tracks, past, view)

    def _braked_s(self, tracks: Tracks, view: CameraView, rows: NDArray[np.int64], before_s: Array) -> Array:
        """(N,): when each braked hard last; -inf where it never did. before_s: (N,), when each was seen before."""
        table = self._table
        assert table is not None
        before, pace = table["speed_m_s"][rows], view.speed_m_s(tracks)
        with np.errstate(divide="ignore", invalid="ignore"):
            hard = (before - pace) / (tracks.time_s - before_s) > BRAKING_M_S2
        brakes = hard & (before > BRAKES_FROM_M_S)
        table["speed_m_s"][rows] = pace
        table["braked_s"][rows] = np.where(brakes, tracks.time_s, table["braked_s"][rows])
        return table["braked_s"].take(rows)

    def _forward(self, tracks: Tracks) -> Mask:
        """(N, L): who does not surely move another way than over the line, as people do who walk past in front of it."""
        if not self._approaches.view.metric:
            return np.ones((len(tracks), len(self._approaches)), bool)
        velocity = np.asarray(tracks.velocity_m_s, np.float64)
        pace = np.hypot(velocity[:, 0], velocity[:, 1])[:, None]
        sideways = velocity @ self._approaches.normals.T < FORWARD * pace
        return np.asarray(~(sideways & (pace > SIDEWAYS_M_S)))

    def _crossed(self, tracks: Tracks, row: int, line: int, crossed_s: float, stopped_s: float) -> Finding | None:
        group = self._approaches.signals[line]
        phase, now = self.phase(group, crossed_s), self.phase(group, tracks.time_s)
        if phase is None or phase.state not in RED or crossed_s <= phase.since_s + self.grace_s:
            return None
        if now is None or now.state not in RED or abs(now.since_s - phase.since_s) > 0.5:
            return None
        speed = float(tracks.speed_kmh[row])
        key = (tracks.camera_id, int(tracks.track_id[row]))
        name = self._approaches.lines[line].name
        undecided = self._unproven.get(key)
        if undecided is not None and (undecided.line, undecided.phase.since_s) == (name, phase.since_s):
            return None  # its box jumped back and forth; that it stands beyond the line is known
        if self.turn_on_red != "never" and crossed_s - stopped_s < 6.0:
            heading = heading_vectors(tracks)[row].tolist()
            if not np.isnan(heading[0]):
                self._unproven[key] = _Undecided(name, crossed_s, phase, (heading[0], heading[1]), speed)
                return None
        return self._finding(row, line, crossed_s, phase, speed)

    def _may_turn(self, tracks: Tracks) -> Mask:
        """(N,): who is in a lane from which a turn on red is lawful."""
        if not self.turn_lanes:
            return np.ones(len(tracks), bool)
        points = self._approaches.view.position_px(tracks)
        return np.asarray((self._turn_polygons.depth(points) > -25).any(axis=1))

    def _finding(self, row: int, line: int, crossed_s: float, phase: SignalPhase, speed_kmh: float) -> Finding:
        red_for_s = crossed_s - phase.since_s
        creeping = speed_kmh < 12.0
        facts: dict[str, Any] = {**phase.facts(), "red_for_s": round(red_for_s, 2), "crossed_s": round(crossed_s, 3)}
        if (speed := known(speed_kmh, 1)) is not None:
            facts["speed_at_line_kmh"] = speed
        name = self._approaches.lines[line].name
        return Finding(
            row=row,
            since_s=crossed_s,
            key=f"{name}@{ms(phase.since_s)}",
            roi_id=name,
            facts=facts,
            severity="medium" if creeping and self.severity == "high" else self.severity,
            description=f"{'crept' if creeping else 'drove'} over {name} {red_for_s:.1f} s after red",
        )

    def _decide(self, tracks: Tracks, past: Any, view: CameraView) -> Iterator[Finding]:
        """Those who may be turning lawfully: whoever goes straight on, or to the other side, did not."""
        assert view.viewpoint is not None
        headings, sure = heading_vectors(tracks), view.reliable(tracks)
        # A turn to the right is clockwise in the picture; whether also on the ground depends on how its axes were laid.
        middles = np.array([np.mean(line.points, axis=0) for line in self._approaches.lines])
        mirrored = np.linalg.det(jacobian(view.viewpoint.to_ground, middles))
        present = {(tracks.camera_id, int(track)): row for row, track in enumerate(tracks.track_id)}
        for key, one in list(self._unproven.items()):
            row, line = present.get(key), self._line_number.get(one.line)
            if row is None or line is None:
                if tracks.time_s - one.crossed_s > 60.0:
                    del self._unproven[key]  # lost; it gets the benefit of the doubt
                continue
            front_m = past[row, line]
            if not sure[row]:
                continue
            if front_m < -RETREAT_M:  # it was only the box that crossed
                del self._unproven[key]
                continue
            if front_m < TURNING_M:  # it lets people pass before it turns, and the heading of one who stands trembles
                now = self.phase(self._approaches.signals[line], tracks.time_s)
                if front_m > self.beyond_m and now is not None and now.state not in RED:
                    del self._unproven[key]
                    yield self._finding(row, line, one.crossed_s, one.phase, one.speed_kmh)
                continue
            x, y = headings[row]
            turn = np.degrees(
                np.arctan2(one.heading[0] * y - one.heading[1] * x, one.heading[0] * x + one.heading[1] * y)
            )
            to_right = float(turn) * (1 if mirrored[line] > 0 else -1)
            lawful = to_right if self.turn_on_red == "right" else -to_right
            if lawful > TURNED_DEG:
                del self._unproven[key]
            elif lawful < -TURNED_DEG or front_m > STRAIGHT_ON_M:
                del self._unproven[key]
                yield self._finding(row, line, one.crossed_s, one.phase, one.speed_kmh)
