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
from flowrt.traffic.geometry.plane import Array
from flowrt.traffic.rules.signals import RED
from flowrt.traffic.rules.track_table import TrackTable
from flowrt_nodes._lib.lanes import Lanes
from flowrt_nodes.violation._common.pedestrians import ROADS, PedestrianAreas


class Jaywalking(SignalRule):
    """A pedestrian is on the carriageway outside every crosswalk, or on one against Don't Walk, for longer than `hold_s`.

    Needs: zones of the road and of crosswalks; for the second part a `signal` feed and the signal group of the crosswalk.

    No violation: standing at the kerb (within `kerb_m` of the road's border); walking within `beside_m` of a crosswalk; finishing a
    crossing that began before Don't Walk (plus `grace_s`); a pedestrian first seen in the middle of a crosswalk; a crosswalk whose
    phase is unknown or stale; a track faster than pedestrians run (`slower_than_kmh`), or that has not walked `walked_m` across the
    road: riders seen from the front or from far away look like pedestrians, but keep to their lane.
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
        self._memory = self.table(self._areas.columns() | {"from_m": (np.float64, (2,), np.nan)})

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
            slow = ~(some.speed_kmh[outside] > self.slower_than_kmh)
            for i in outside[(walked_m >= self.walked_m) & slow].tolist():
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
