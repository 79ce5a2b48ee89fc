"""violation.stopped_on_crosswalk: a vehicle stands on the crosswalk while its approach is red."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import numpy as np

from flowrt import (
    VEHICLES,
    CameraView,
    CheckView,
    Diagnostic,
    Finding,
    LineName,
    SignalRule,
    SignalSource,
    Tracks,
    ZoneName,
    scene_in,
    setting,
)
from flowrt.traffic.event_parts import ms
from flowrt.traffic.geometry.camera_view import heading_vectors
from flowrt.traffic.geometry.footprint import length_known, sizes_m
from flowrt.traffic.geometry.plane import Mask
from flowrt.traffic.rules.signals import RED
from flowrt_nodes.violation._common.approach import Approaches, approach_diagnostics
from flowrt_nodes.violation._common.standstill import STANDSTILL_COLUMNS, standstill_since

# Margins: docs/rules.md says what each is for.
REAR_M = 0.3


class StoppedOnCrosswalk(SignalRule, kw_only=True):
    """A vehicle stands on the crosswalk of its approach while the approach is red.

    Needs: the phase of the approach's stop line, the crosswalk's zone, and a homography (the front reaches further than
    the middle). The approach of a crosswalk is the nearest stop line; the vehicle must have come over it. It begins when the
    vehicle stops, or at red onset if that is later. Once per vehicle and red phase.

    No violation: a phase that is unknown or stale; traffic that leaves the intersection and is held up on the crosswalk (it heads the
    other way); rolling over it; reaching less than `reach_m` onto it, and with a rear 0.3 m more while the vehicle's length is not
    known.
    """

    signal: SignalSource
    crosswalks: Annotated[list[ZoneName], setting("Zones; all of kind crosswalk when empty.")] = []
    lines: Annotated[list[LineName], setting("Stop lines; all with a signal group when empty.")] = []
    hold_s: Annotated[float, setting("Standing this long at red is a violation.", ge=0, le=600)] = 2.0
    reach_m: Annotated[float, setting("How far the vehicle must reach onto the crosswalk.", ge=0, le=5)] = 1.0
    slower_than_kmh: Annotated[float, setting("Slower than this is standing.", gt=0, le=20)] = 1.5
    margin_kmh: Annotated[float, setting("A measured speed may be this much higher: boxes jump.", ge=0, le=20)] = 3.5
    radius_m: Annotated[float, setting("A standing vehicle stays within this radius.", gt=0, le=10)] = 0.8

    violation_type: ClassVar[str] = "stopped_on_crosswalk"
    example: ClassVar[str] = """\
on_crosswalk: {type: violation.stopped_on_crosswalk, from: speeds, scene: north, signal: signals}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        yield from approach_diagnostics(view, self.scene, self.lines, self.signal)
        scene = scene_in(view, self.scene)
        if scene is not None and not self.crosswalks and not scene.zones_of("crosswalk"):
            yield Diagnostic(("scene",), f"scene '{self.scene}' has no crosswalk", "give its zone `kind: crosswalk`")

    def prepare(self, view: CameraView) -> None:
        self._names = self.crosswalks or [zone.name for zone in view.scene.zones_of("crosswalk")]
        self._approaches = Approaches(view, self.lines)
        self._polygons = view.ground_polygons(self._names) if view.metric else view.polygons(self._names)
        flat = view.polygons(self._names)
        middles = np.array([np.mean(line.points, axis=0) for line in self._approaches.lines]).reshape(-1, 2)
        self._line_of = [int(i) for i in flat.depth(middles).argmax(axis=0)] if len(middles) else []
        self._memory = self.table(STANDSTILL_COLUMNS)

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        if not len(tracks) or not len(self._line_of):
            return
        rows = self._memory.rows(tracks)
        since_s = standstill_since(
            self._memory, rows, tracks, view, self.slower_than_kmh + self.margin_kmh, self.radius_m
        )
        standing = ~np.isnan(since_s) & tracks.of_class(VEHICLES)
        if not standing.any():
            return
        for zone, line in enumerate(self._line_of):
            phase = self.phase(self._approaches.signals[line], tracks.time_s)
            if phase is None or phase.state not in RED:
                continue
            on_it = self._on(tracks, view, zone, line, standing)
            for row in np.flatnonzero(on_it).tolist():
                began_s = max(float(since_s[row]), phase.since_s)
                if tracks.time_s - began_s < self.hold_s - 1e-6:
                    continue
                yield Finding(
                    row=row,
                    since_s=began_s,
                    key=f"{self._names[zone]}@{ms(phase.since_s)}",
                    roi_id=self._names[zone],
                    facts=phase.facts() | {"standing_s": round(tracks.time_s - float(since_s[row]), 1)},
                    description=f"stands on {self._names[zone]} at red",
                )

    def _on(self, tracks: Tracks, view: CameraView, zone: int, line: int, standing: Mask) -> Mask:
        """(N,): which stand, are of this approach, and reach onto the crosswalk with front, middle or rear."""
        normal = self._approaches.normals[line]
        past, along = self._approaches.place(tracks)
        came = standing & (past[:, line] > 0) & (along[:, line] > -0.3) & (along[:, line] < 1.3)
        if not view.metric:
            return np.asarray(came & self._polygons.contains(tracks.ground_px)[:, zone])
        headings = heading_vectors(tracks)
        known = ~np.isnan(headings[:, 0])
        came &= np.where(known, headings @ normal > 0.5, True)
        if not np.count_nonzero(came):
            return came
        middle, length = view.ground_m(tracks), sizes_m(tracks)[:, :1]
        extra_m = np.where(length_known(tracks), 0.0, REAR_M)[:, None]
        on_it = np.zeros(len(tracks), bool)
        for share in (0.5, 0.25, 0.0, -0.25, -0.5):
            reach_m = self.reach_m + (extra_m if share < 0 else 0.0)
            point = middle + (share * length - reach_m * np.sign(share)) * normal
            on_it |= self._polygons.contains(point)[:, zone]
        return np.asarray(came & on_it)
