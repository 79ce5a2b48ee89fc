"""violation.jaywalking: a pedestrian is on the road outside every crosswalk, or on one against Don't Walk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar

import numpy as np
from numpy.typing import NDArray

from flowrt import (
    PEDESTRIANS,
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
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt.traffic.rules.signals import RED
from flowrt.traffic.rules.track_table import TrackTable
from flowrt_nodes._lib.lanes import Lanes
from flowrt_nodes.violation._common.pedestrians import ROADS, PedestrianAreas

# Margins: docs/rules.md says what each is for.
AS_SEEN_M_S, OVER_S = 1.9, 1.0
EDGE_PX = 3.0


class Jaywalking(SignalRule):
    """A pedestrian is on the carriageway outside every crosswalk, or on one against Don't Walk, for longer than `hold_s`.

    Needs: zones of the road and of crosswalks; for the second part a `signal` feed and the signal group of the crosswalk.

    No violation: standing at the kerb (within `kerb_m` of the road's border); walking within `beside_m` of a crosswalk; finishing a
    crossing that began before Don't Walk (plus `grace_s`); a pedestrian first seen in the middle of a crosswalk; a crosswalk whose
    phase is unknown or stale; a track faster than pedestrians run (`slower_than_kmh`; without a homography, faster over a second than
    pedestrians walk), or that has not walked `walked_m` across the road, and further than its position is uncertain: riders
    seen from the front or from far away look like pedestrians, but keep to their lane.
    """

    roads: Annotated[
        list[ZoneName], setting("Zones; when empty those of kind carriageway, else lane, box, intersection, conflict.")
    ] = []
    crosswalks: Annotated[list[ZoneName], setting("Zones; all of kind crosswalk when empty.")] = []
    kerb_m: Annotated[float, setting("Nearer to the road's border than this is still the kerb.", ge=0, le=5)] = 0.4
    beside_m: Annotated[float, setting("As near to a crosswalk as this is still on it.", ge=0, le=5)] = 1.0
    grace_s: Annotated[float, setting("Stepping on is forgiven this long after Don't Walk began.", ge=0, le=10)] = 1.0
    hold_s: Annotated[float, setting("How long it must last.", ge=0, le=60)] = 1.2
    walked_m: Annotated[
        float,
        setting(
            "Least distance walked on the road outside crosswalks, across the lane where it has a heading.", ge=0, le=20
        ),
    ] = 1.0
    slower_than_kmh: Annotated[float, setting("A faster track is no pedestrian.", gt=0, le=50)] = 16.0
    severity: Annotated[Severity, setting("How grave.")] = "medium"

    violation_type: ClassVar[str] = "jaywalking"
    example: ClassVar[str] = """\
jaywalking: {type: violation.jaywalking, from: speeds, scene: north, signal: signals}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        if scene is not None and not self.roads and not scene.zones_of(*ROADS):
            hint = "draw the road as a zone of `kind: carriageway`, or name zones in `roads`"
            yield Diagnostic(("scene",), f"scene '{self.scene}' has no road", hint)

    def prepare(self, view: CameraView) -> None:
        self._areas = PedestrianAreas(view, self.roads, self.crosswalks)
        self._lanes = Lanes.of(view, [], with_heading=True) if view.metric else None
        self._memory = self.table(
            self._areas.columns() | {"from_m": (np.float64, (2,), np.nan), "rides": (bool, (), False)}
        )

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        pedestrians = np.flatnonzero(tracks.of_class(PEDESTRIANS))
        if not len(pedestrians):
            return
        table, some = self._memory, tracks[pedestrians]
        rows = table.rows(some)
        places, scale = self._areas.places(some)
        depth = self._areas.crosswalk_depth_m(places, scale)
        stepped_s = self._areas.stepped_onto(table, rows, depth, some, self.kerb_m)
        away = np.flatnonzero(~(depth > -self.beside_m).any(axis=1))
        outside = away[self._areas.on_road(places[away], scale[away], self.kerb_m)] if len(away) else away
        if len(outside):
            way = self._walked(table, rows[outside], places[outside]) / scale[outside, None]
            walked_m = self._across_m(some[outside], way)
            on_foot = ~self._rides(table, rows, some, scale)[outside]
            least_m = np.maximum(self.walked_m, self._uncertain_m(some, view)[outside])
            for i in outside[(walked_m >= least_m) & on_foot].tolist():
                yield Finding(
                    row=int(pedestrians[i]), roi_id="carriageway", description="on the road outside a crosswalk"
                )
        yield from self._against_signal(pedestrians, stepped_s, tracks.time_s)

    @staticmethod
    def _walked(table: TrackTable, rows: NDArray[np.int64], places: Array) -> Array:
        """(N, 2): from where each was first seen outside to where it is now, in units of the places."""
        start = np.where(np.isnan(table["from_m"][rows]), places, table["from_m"][rows])
        table["from_m"][rows] = start
        return places - start

    def _rides(self, table: TrackTable, rows: NDArray[np.int64], some: Tracks, scale: Array) -> Mask:
        """(N,): which are too fast to be on foot: riders whose machine the detector does not see.

        Without metres a movement along the line of sight looks slower than it is, and none looks faster: so the limit is lower, and
        once above it, a track stays a rider's.
        """
        if self._areas.view.metric:
            return np.asarray(some.speed_kmh > self.slower_than_kmh)
        for i, track in enumerate(some.track_id.tolist()):
            samples = self._history.of(some.camera_id, track, some.time_s - OVER_S - 1e-6)
            way_s = some.time_s - samples[0].time_s
            if way_s >= 0.8 * OVER_S:
                way_px = np.hypot(samples[-1].x_px - samples[0].x_px, samples[-1].y_px - samples[0].y_px)
                table["rides"][rows[i]] |= way_px / scale[i] / way_s > AS_SEEN_M_S
        return np.asarray(table["rides"][rows])

    @staticmethod
    def _uncertain_m(some: Tracks, view: CameraView) -> Array:
        """(N,): how far a box's edge that trembles moves each on the ground; 0 without a homography, where distances are rough anyway."""
        if view.viewpoint is None:
            return np.zeros(len(some))
        _, slope = view.viewpoint.ground_and_slope(np.asarray(some.ground_px, np.float64).T)
        return np.asarray(EDGE_PX * np.hypot(slope[0], slope[1]).max(axis=0), np.float64)

    def _across_m(self, some: Tracks, way: Array) -> Array:
        """(N,): how far that is: across the lane in a lane with a heading, else in total."""
        length = np.asarray(np.hypot(way[:, 0], way[:, 1]))
        if self._lanes is None or not len(self._lanes):
            return length
        inside, headings = self._lanes.inside(some), self._lanes.headings_m
        along = headings[inside.argmax(axis=1)]
        across = np.abs(way[:, 0] * along[:, 1] - way[:, 1] * along[:, 0])
        return np.where(inside.any(axis=1), across, length)

    def _against_signal(self, pedestrians: np.ndarray, stepped_s: Array, time_s: float) -> Iterator[Finding]:
        for column, crosswalk in enumerate(self._areas.crosswalks):
            on_it = np.flatnonzero(stepped_s[:, column] > 0)
            if not len(on_it):
                continue
            phase = self.phase(crosswalk.signal, time_s)
            if phase is None or phase.state not in RED:
                continue
            for i in on_it.tolist():
                if stepped_s[i, column] > phase.since_s + self.grace_s:
                    yield Finding(
                        row=int(pedestrians[i]),
                        roi_id=crosswalk.name,
                        facts=phase.facts() | {"stepped_on_s": round(float(stepped_s[i, column]), 3)},
                        description=f"on {crosswalk.name} against Don't Walk",
                    )
