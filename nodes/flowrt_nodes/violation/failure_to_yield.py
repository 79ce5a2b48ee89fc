"""violation.failure_to_yield: a vehicle enters the conflict area while a pedestrian is on it, or about to step onto it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowrt import (
    PEDESTRIANS,
    VEHICLES,
    CameraView,
    CheckView,
    Diagnostic,
    Finding,
    Severity,
    SignalRule,
    Tracks,
    ZoneName,
    scene_in,
    setting,
)
from flowrt.traffic.event_parts import ms
from flowrt.traffic.geometry.camera_view import heading_vectors, homography_diagnostics
from flowrt.traffic.geometry.footprint import CYCLES
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt.traffic.rules.history import row_by_id
from flowrt.traffic.rules.signals import RED

# Margins: docs/rules.md says what each is for.
CYCLIST_KMH = 5.4
ONWARDS_M, WITHIN_S = 1.5, 2.0
GAP_S, RECENT_S = 0.5, 1.0
CLEARED_S = 1.0
MOVING_M_S = 0.5


class _Entry(NamedTuple):
    """A vehicle drove onto an area with a pedestrian in its way. front_m, heading: (2,), of the vehicle when it entered."""

    time_s: float
    front_m: Array
    heading: Array
    facts: dict[str, Any]

    def drove_on(self, front_m: Array, heading: Array) -> bool:
        """Whether the vehicle has driven on, along its present heading, since most turn: a box that trembles at the border has not."""
        return bool((front_m - self.front_m) @ heading >= ONWARDS_M and heading @ self.heading > 0)


class FailureToYield(SignalRule):
    """A vehicle's front enters the conflict area while a pedestrian is on it, or about to step onto it.

    Needs: zones of kind `conflict` (the half of a crosswalk that one stream of traffic crosses; else the crosswalks), and a
    `speed` node upstream. About to step on: the pedestrian's present velocity leads onto the area within `about_to_s`. Reported once
    the vehicle has driven on, with the moment at which it entered.

    No violation: a pedestrian that steps on when the vehicle is on the area already; one that stands at the kerb; one that leaves
    the area within `leaving_s`; one that walks against Don't Walk, where the area (or the crosswalk around it) has a signal
    group that has been red since before the vehicle came; one whose position `speed` does not know; vehicles slower
    than `faster_than_kmh`, which creep and wait, or that stop at the area's border; bicycles that are not surely faster than a
    pedestrian; vehicles that head against the area's `heading`, where it has one: a long vehicle half hidden in the box behind it seems
    to swing onto it.
    """

    zones: Annotated[list[ZoneName], setting("Conflict areas; all of kind conflict, else crosswalk, when empty.")] = []
    about_to_s: Annotated[
        float, setting("How far ahead a pedestrian's walk is predicted; 0 for not at all.", ge=0, le=5)
    ] = 0.8
    leaving_s: Annotated[float, setting("A pedestrian off the area this soon is no reason to wait.", ge=0, le=5)] = 0.1
    faster_than_kmh: Annotated[float, setting("Slower vehicles are waiting.", ge=0, le=30)] = 5.0
    beyond_m: Annotated[
        float, setting("How far the front must get onto the area: stopping at its border is yielding.", ge=0, le=3)
    ] = 0.6
    severity: Annotated[Severity, setting("How grave.")] = "high"

    requires: ClassVar[frozenset[str]] = frozenset({"speed"})
    violation_type: ClassVar[str] = "failure_to_yield"
    example: ClassVar[str] = """\
yielding: {type: violation.failure_to_yield, from: speeds, scene: north, signal: signals}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        yield from homography_diagnostics(scene)
        if scene is not None and not self.zones and not scene.zones_of("conflict", "crosswalk"):
            hint = "draw one as a zone of `kind: conflict` (or `crosswalk`), or name zones in `zones`"
            yield Diagnostic(("scene",), f"scene '{self.scene}' has no conflict area", hint)

    def prepare(self, view: CameraView) -> None:
        scene = view.scene
        chosen = [scene.zones[name] for name in self.zones]
        areas = chosen or scene.zones_of("conflict") or scene.zones_of("crosswalk")
        self._names = [zone.name for zone in areas] if view.metric else []
        self._polygons = view.ground_polygons(self._names) if view.metric else view.polygons([])
        crosswalks = view.polygons(zone.name for zone in scene.zones_of("crosswalk"))
        groups = [zone.signal for zone in scene.zones_of("crosswalk")]
        self._groups = []
        for zone in areas:
            around = crosswalks.depth(zone.polygon.mean(axis=0, keepdims=True))[0]
            nearest = groups[int(np.argmax(around))] if len(groups) and around.max() > 0 else ""
            self._groups.append(zone.signal or nearest)
        self._lawful = [
            view.heading_m(zone) if view.metric and zone.heading is not None else np.full(2, np.nan) for zone in areas
        ]
        zones = (len(self._names),)
        self._memory = self.table(
            {
                "was_on": (bool, zones, True),
                "depth": (np.float64, zones, np.nan),
                "seen_s": (np.float64, (), np.nan),
                "crossed_s": (np.float64, zones, np.nan),
            }
        )

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        table = self._memory
        if not len(tracks) or not self._names:
            return
        rows = table.rows(tracks)
        places, headings = view.ground_m(tracks), heading_vectors(tracks)
        unknown = np.isnan(headings)
        front = np.where(unknown, places, view.front_m(tracks, np.where(unknown, 0.0, headings)))
        depth = self._polygons.depth(front)
        on = (depth > self.beyond_m) | self._polygons.contains(places)
        crossed_s = self._crossed_s(rows, depth, tracks.time_s)
        entering = on & ~table["was_on"][rows]
        # A vehicle that was hidden has entered once its speed is known.
        known = view.reliable(tracks) & np.isfinite(tracks.speed_kmh)
        table["was_on"][rows] = on & (table["was_on"][rows] | known[:, None])
        riding = ~tracks.of_class(CYCLES) | (tracks.speed_kmh - tracks.speed_sigma_kmh > CYCLIST_KMH)
        moving = tracks.of_class(VEHICLES) & (tracks.speed_kmh >= self.faster_than_kmh) & riding & known
        entering &= moving[:, None]
        if self._undecided:
            yield from self._drove_on(tracks, front, headings)
        if not entering.any():
            return
        pedestrians = np.flatnonzero(tracks.of_class(PEDESTRIANS) & view.reliable(tracks))
        velocity = np.nan_to_num(np.asarray(tracks.velocity_m_s[pedestrians], np.float64))
        for row, zone in np.argwhere(entering).tolist():
            if headings[row] @ self._lawful[zone] < 0:
                continue
            since_s = float(crossed_s[row, zone])
            then = places[pedestrians] - (tracks.time_s - since_s) * velocity
            blocked_by = pedestrians[self._in_the_way(then, velocity)[:, zone]]
            if not len(blocked_by) or self._against_signal(zone, since_s):
                continue
            near = blocked_by[int(np.argmin(np.hypot(*(places[blocked_by] - front[row]).T)))]
            facts = {
                "pedestrian_id": int(tracks.track_id[near]),
                "distance_m": round(float(np.hypot(*(places[near] - front[row]))), 1),
                "pedestrians": len(blocked_by),
            }
            key = tracks.camera_id, int(tracks.track_id[row]), self._names[zone]
            # A vehicle seen to cross the border is metres further on by now.
            surely_kmh = float(tracks.speed_kmh[row] - 2 * np.nan_to_num(tracks.speed_sigma_kmh[row]))
            drove = since_s < tracks.time_s and surely_kmh >= self.faster_than_kmh
            beyond_m = max(float(depth[row, zone]) - self.beyond_m, 0.0) if drove else 0.0
            self._undecided[key] = _Entry(since_s, front[row] - beyond_m * headings[row], headings[row].copy(), facts)

    def _crossed_s(self, rows: NDArray[np.int64], depth: Array, time_s: float) -> Array:
        """(N, Z): when each front, now at these depths (N, Z) in metres on each area, came onto it: interpolated where that was just
        now, else at this picture."""
        table = self._memory
        before, gap_s = table["depth"][rows], (time_s - table["seen_s"][rows])[:, None]
        crossing = (before < 0) & (depth >= 0) & (gap_s <= GAP_S)
        share = depth / np.maximum(depth - before, 1e-6)
        crossed_s = np.where(crossing, time_s - share * gap_s, table["crossed_s"][rows])
        table["depth"][rows], table["seen_s"][rows], table["crossed_s"][rows] = depth, time_s, crossed_s
        return np.where(time_s - crossed_s <= RECENT_S, crossed_s, time_s)

    def _drove_on(self, tracks: Tracks, front: Array, headings: Array) -> Iterator[Finding]:
        """The vehicles that drove on over the area after they had entered it."""
        rows = row_by_id(tracks)
        for key, entry in list(self._undecided.items()):
            camera, track, name = key
            row = rows.get(track) if camera == tracks.camera_id and name in self._names else None
            if row is not None and entry.drove_on(front[row], headings[row]):
                del self._undecided[key]
                yield Finding(
                    row=row,
                    since_s=entry.time_s,
                    key=f"{name}@{ms(entry.time_s)}",
                    roi_id=name,
                    facts=entry.facts,
                    description=f"drove onto {name} although a pedestrian was crossing",
                )
            elif tracks.time_s - entry.time_s > WITHIN_S:
                del self._undecided[key]

    def _in_the_way(self, places: Array, velocities: Array) -> Mask:
        """(P, Z): which pedestrians are on which area, and stay on it for a moment, or are about to step onto it."""
        on = self._polygons.contains(places)
        stays = self._polygons.contains(places + self.leaving_s * velocities)
        soon = self._polygons.contains(places + self.about_to_s * velocities)
        walks = (np.hypot(velocities[:, 0], velocities[:, 1]) > MOVING_M_S)[:, None]
        return np.asarray((on & stays) | (soon & walks & ~on)) if self.about_to_s else np.asarray(on & stays)

    def _against_signal(self, zone: int, time_s: float) -> bool:
        """Whether every pedestrian on the area walks against Don't Walk."""
        phase = self.phase(self._groups[zone], time_s)
        return phase is not None and phase.state in RED and time_s - phase.since_s > CLEARED_S
