"""violation.wrong_way: a vehicle drives against a lane's direction for a time and a distance."""

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
    Rule,
    Severity,
    Tracks,
    ZoneName,
    scene_in,
    setting,
)
from flowrt_nodes._lib.lanes import Lanes, lanes_of


class WrongWay(Rule):
    """A vehicle's heading opposes its lane's direction by more than `angle_deg`, for `hold_s` and over `distance_m`.

    Needs: lanes with a `heading`. Metres come from a `speed` node upstream, else from box heights.

    No violation: reversing for less than `distance_m` and `margin_m`, as when parking, or a track that far away went from one vehicle of a queue to
    those behind it; a vehicle that is also in a lane that leads its way, where lanes overlap; standing; pedestrians; the inside of
    the intersection, which has no lanes; a place that `speed` does not know well.
    """

    lanes: Annotated[list[ZoneName], setting("Lanes; all with a heading when empty.")] = []
    angle_deg: Annotated[float, setting("Least angle between movement and lane.", ge=90, le=180)] = 120.0
    distance_m: Annotated[float, setting("Least way driven against the direction.", ge=0, le=100)] = 5.0
    margin_m: Annotated[float, setting("Way beyond that before it counts: boxes jump.", ge=0, le=100)] = 13.0
    slower_m_s: Annotated[float, setting("Slower movement has no direction.", ge=0, le=10)] = 1.5
    hold_s: Annotated[float, setting("Least time driven against the direction.", ge=0, le=60)] = 1.0
    severity: Annotated[Severity, setting("How grave.")] = "critical"

    violation_type: ClassVar[str] = "wrong_way"
    example: ClassVar[str] = """\
wrong_way: {type: violation.wrong_way, from: speeds, scene: north}
"""

    def check(self, view: CheckView) -> Iterable[Diagnostic]:
        scene = scene_in(view, self.scene)
        if scene is None:
            return
        for i, name in enumerate(self.lanes):
            if name in scene.zones and scene.zones[name].heading is None:
                hint = "add `heading: [dx, dy]`, its lawful direction in the picture, to it in the scene"
                yield Diagnostic(("lanes", i), f"lane '{name}' has no heading", hint)
        if not self.lanes and not lanes_of(scene, [], with_heading=True):
            hint = "add `heading: [dx, dy]` to its lanes, or name zones that have one in `lanes`"
            yield Diagnostic(("scene",), f"scene '{self.scene}' has no lane with a heading", hint)

    def prepare(self, view: CameraView) -> None:
        self._lanes = Lanes.of(view, self.lanes, with_heading=True)
        self._cosine = float(np.cos(np.radians(self.angle_deg)))
        self._memory = self.table(
            {
                "begin_s": (np.float64, (), np.nan),
                "last_s": (np.float64, (), -np.inf),
                "way_m": (np.float64, (), 0.0),
            },
            forget_after_s=max(10.0, 2 * self.end_after_s),
        )

    def find(self, tracks: Tracks, view: CameraView) -> Iterator[Finding]:
        table = self._memory
        if not len(tracks) or not len(self._lanes):
            return
        inside = self._lanes.inside(tracks)
        along, speed = self._lanes.along_m_s(tracks), view.speed_m_s(tracks)
        opposing = inside & (along < (speed * self._cosine)[:, None])
        if not np.count_nonzero(opposing):
            return
        lawful = (inside & (along > 0)).any(axis=1)
        # A less certain speed is mostly a box that grew or shrank, as that of a vehicle coming out from behind a truck.
        moves = view.reliable(tracks) & (speed > self.slower_m_s + np.fmax(tracks.speed_sigma_kmh, 0.0) / 3.6)
        wrong = opposing.any(axis=1) & np.logical_not(lawful) & moves & tracks.of_class(VEHICLES)
        if not np.count_nonzero(wrong):
            return
        rows = table.rows(tracks)
        last_s, begin_s = table["last_s"][rows], table["begin_s"][rows]
        goes_on = tracks.time_s - last_s <= self.end_after_s
        begin_s = np.where(goes_on & ~np.isnan(begin_s), begin_s, tracks.time_s)
        step_m = speed * np.where(goes_on, tracks.time_s - last_s, 0.0)
        way_m = np.where(goes_on, table["way_m"][rows] + step_m, 0.0)
        offenders = rows[wrong]
        table["begin_s"][offenders], table["last_s"][offenders] = begin_s[wrong], tracks.time_s
        table["way_m"][offenders] = way_m[wrong]
        for row in np.flatnonzero(wrong & (way_m >= self.distance_m + self.margin_m)).tolist():
            lane = self._lanes.names[int(np.argmax(opposing[row]))]
            cosine = along[row, int(np.argmax(opposing[row]))] / speed[row]
            angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
            yield Finding(
                row=row,
                since_s=float(begin_s[row]),
                roi_id=lane,
                lane_id=lane,
                facts={"angle_deg": round(angle, 1), "distance_m": round(float(way_m[row]), 1)},
                description=f"drove {way_m[row]:.0f} m against the direction of {lane}",
            )
