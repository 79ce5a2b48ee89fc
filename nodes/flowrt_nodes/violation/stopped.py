"""violation.stopped: a vehicle stands for longer than allowed where stopping is forbidden, and in no queue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from flowrt import VEHICLES, CameraView, CheckView, Diagnostic, Finding, SignalRule, Tracks, ZoneName, scene_in, setting
from flowrt.traffic.geometry.camera_view import heading_vectors
from flowrt.traffic.geometry.footprint import sizes_m
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt.traffic.rules.signals import GREEN
from flowrt_nodes.violation._common.standstill import STANDSTILL_COLUMNS, away_m, metres, places_of, standstill_since

# Margins: docs/rules.md says what each is for.
HIDDEN_S, YOUNG_S = 15.0, 3.0
SLOW_M_S, BRAKING_M_S2 = 4.0, 1.5


class Stopped(SignalRule):
    """A vehicle stands in a zone for longer than `hold_s`, and not in a queue.

    Needs: zones; metres from a `speed` node upstream or from box heights. For zones with a signal group, also the phase.
    A vehicle that was lost for up to 15 s and stands where it stood, or where it was about to stop, has stood there meanwhile: no other
    was seen to come.

    No violation: in a zone with a signal group, time at a signal that is not green, or unknown, and the `clearing_s` after it became
    green; standing in a queue (gaps up to `queue_gap_m`) whose head stands outside of the zones (spill-back); classes that `ignore`
    names; pedestrians.
    """

    zones: Annotated[list[ZoneName], setting("Zones; all of kind no_stopping when empty.")] = []
    hold_s: Annotated[float, setting("Standing this long is a violation.", gt=0, le=3600)] = 10.0
    slower_than_kmh: Annotated[float, setting("Slower than this is standing.", gt=0, le=20)] = 5.0
    radius_m: Annotated[float, setting("A standing vehicle stays within this radius.", gt=0, le=10)] = 1.2
    clearing_s: Annotated[float, setting("After green began, a queue needs this long to clear.", ge=0, le=120)] = 10.0
    queue_gap_m: Annotated[
        float, setting("Largest gap to a vehicle that stands ahead; 0 to ignore queues.", ge=0, le=50)
    ] = 8.0
    ignore: Annotated[list[str], setting("Classes that may stop.")] = []

    violation_type: ClassVar[str] = "stopped"
    example: ClassVar[str] = """\
stopped: {type: violation.stopped, from: speeds, scene: north, zones: [bay], hold_s: 10}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        if scene is not None and not self.zones and not scene.zones_of("no_stopping"):
            hint = "give a zone `kind: no_stopping`, or name zones in `zones`"
            yield Diagnostic(("scene",), f"scene '{self.scene}' has no zone where stopping is forbidden", hint)

    def prepare(self, view: CameraView) -> None:
        scene = view.scene
        self._names = self.zones or [zone.name for zone in scene.zones_of("no_stopping")]
        self._polygons = view.polygons(self._names)
        self._groups = [scene.zones[name].signal for name in self._names]
        self._memory = self.table(
            {
                **STANDSTILL_COLUMNS,
                "counted_s": (np.float64, (), 0.0),
                "began_s": (np.float64, (), np.nan),
                "seen_s": (np.float64, (), np.nan),
                "last_at": (np.float64, (2,), np.nan),
                "last_velocity": (np.float64, (2,), np.nan),
            },
            forget_after_s=HIDDEN_S + YOUNG_S,
        )

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        table = self._memory
        if not len(tracks):
            return
        rows = table.rows(tracks)
        since_s = standstill_since(table, rows, tracks, view, self.slower_than_kmh, self.radius_m)
        elapsed_s = tracks.time_s - table["seen_s"][rows]
        elapsed_s[np.isnan(elapsed_s)] = 0.0
        table["seen_s"][rows] = tracks.time_s
        table["last_at"][rows], table["last_velocity"][rows] = places_of(tracks, view), _velocity(tracks, view)
        standing = ~np.isnan(since_s) & tracks.of_class(VEHICLES)
        if self.ignore:
            standing &= ~tracks.of_class(frozenset(self.ignore))
        table["counted_s"][rows[~standing]] = 0.0
        if not standing.any():
            return
        inside = view.in_zones(tracks, self._names, self._polygons)
        if not np.count_nonzero(standing & inside.any(axis=1)):
            table["counted_s"][rows] = 0.0
            return
        excused = self._at_red(tracks)
        self._find_again(tracks, view, rows, standing)
        counts = standing & (inside & ~excused[None, :]).any(axis=1) & ~self._in_queue(tracks, view, standing, inside)
        before_s = table["counted_s"][rows]
        fresh = counts & (before_s == 0)
        began_s = np.where(fresh, np.maximum(since_s, tracks.time_s - elapsed_s), table["began_s"][rows])
        began_s = np.where(fresh & (tracks.time_s - since_s < 2.0), since_s, began_s)
        counted_s = np.where(counts, before_s + np.where(fresh, tracks.time_s - began_s, elapsed_s), before_s)
        outside = standing & ~inside.any(axis=1)
        counted_s[outside] = 0.0
        table["counted_s"][rows], table["began_s"][rows] = np.where(standing, counted_s, 0.0), began_s
        for row in np.flatnonzero(counts & (counted_s >= self.hold_s - 1e-6)).tolist():
            zone = self._names[int(np.argmax(inside[row] & ~excused))]
            yield Finding(
                row=row,
                since_s=min(float(began_s[row]), tracks.time_s - self.hold_s),
                roi_id=zone,
                facts={"standing_s": round(float(counted_s[row]), 1)},
                description=f"stands in {zone}",
            )

    def _find_again(self, tracks: Tracks, view: CameraView, rows: NDArray[np.int64], standing: Mask) -> None:
        """A new track that stands where a vehicle was lost a moment ago is that vehicle: traffic hides what stands, and detectors lose it."""
        table, time_s = self._memory, tracks.time_s
        fresh = standing & (table["counted_s"][rows] == 0) & (tracks.age_s < YOUNG_S)
        if not fresh.any():
            return
        first_s = time_s - tracks.age_s.astype(np.float64)
        for _, row, seen_s in table.last_seen(tracks.camera_id):
            if row in rows or time_s - seen_s > HIDDEN_S + YOUNG_S:
                continue
            stood = table["counted_s"][row] > 0
            braking_s = self._braking_s(tracks, view, table["last_at"][row], table["last_velocity"][row])
            there = np.isfinite(braking_s)
            if stood:
                there |= away_m(tracks, view, table["stopped_at"][row]) <= self.radius_m
                braking_s = np.zeros(len(tracks))
            there, since_s = there & fresh, seen_s + braking_s
            there &= (first_s >= since_s) & (first_s - seen_s <= HIDDEN_S)
            if there.any():
                i = int(np.argmax(there))
                same, since = rows[i], float(since_s[i])
                table["counted_s"][same] = table["counted_s"][row] + time_s - since
                table["began_s"][same] = table["began_s"][row] if stood else since
                table["counted_s"][row], table["last_velocity"][row] = 0.0, np.nan

    def _braking_s(self, tracks: Tracks, view: CameraView, last_at: Array, velocity: Array) -> Array:
        """(N,): how long a slow vehicle last seen at a place needs to come to a stop where each stands; NaN where it would not."""
        speed = float(np.hypot(*velocity))
        if not speed > 0:
            return np.full(len(tracks), np.nan)
        ahead, aside = velocity / speed, np.array([-velocity[1], velocity[0]]) / speed
        off, metre = places_of(tracks, view) - last_at, metres(tracks, view)
        along_m, speed_m_s = off @ ahead * metre, speed * metre
        stops = (speed_m_s <= SLOW_M_S) & (along_m <= speed_m_s**2 / (2 * BRAKING_M_S2) + self.radius_m)
        stops &= (along_m >= -self.radius_m) & (np.abs(off @ aside) * metre <= self.radius_m)
        return np.where(stops, 2 * np.maximum(along_m, 0.0) / np.maximum(speed_m_s, 0.1), np.nan)

    def _at_red(self, tracks: Tracks) -> Mask:
        """(Z,): zones in which standing is excused by the signal."""
        excused = np.zeros(len(self._names), bool)
        for i, group in enumerate(self._groups):
            if group:
                phase = self.phase(group, tracks.time_s)
                flowing = phase is not None and phase.state in GREEN and tracks.time_s - phase.since_s > self.clearing_s
                excused[i] = not flowing
        return excused

    def _in_queue(self, tracks: Tracks, view: CameraView, standing: Mask, inside: Mask) -> Mask:
        """(N,): which stand in a queue whose head stands outside of the zones."""
        queued = np.zeros(len(tracks), bool)
        if not self.queue_gap_m or not view.metric or standing.sum() < 2:
            return queued
        places, headings = view.ground_m(tracks), heading_vectors(tracks)
        length, width = sizes_m(tracks)[:, 0], sizes_m(tracks)[:, 1]
        some = np.flatnonzero(standing)
        offset: Array = places[some][None, :, :] - places[some][:, None, :]
        ahead = np.einsum("ijk,ik->ij", offset, headings[some])
        beside = np.abs(offset[..., 0] * headings[some][:, None, 1] - offset[..., 1] * headings[some][:, None, 0])
        gap = ahead - (length[some][:, None] + length[some][None, :]) / 2
        behind = (ahead > 0) & (gap < self.queue_gap_m) & (beside < width[some][:, None] * 0.7)
        in_zone = np.asarray(inside[some].any(axis=1))
        waiting: Mask = ~in_zone
        for _ in range(len(some)):  # from the head of each queue backwards
            grown = waiting | (behind & waiting[None, :]).any(axis=1)
            if (grown == waiting).all():
                break
            waiting = grown
        queued[some] = waiting & in_zone
        return queued


def _velocity(tracks: Tracks, view: CameraView) -> Array:
    """(N, 2): in the units of `places_of` a second."""
    return view.velocity_m_s(tracks) if view.metric else np.asarray(tracks.velocity_px_s, np.float64)
