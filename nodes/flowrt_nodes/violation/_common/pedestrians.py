"""Where pedestrians may walk: whether each is on the road, or on a crosswalk and since when."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flowrt import CameraView, Tracks
from flowrt.traffic.geometry.footprint import sizes_m
from flowrt.traffic.geometry.plane import Array, Mask, PolygonSet
from flowrt.traffic.rules.track_table import Column, TrackTable

# Margins: docs/rules.md says what each is for.
OFF_S = 1.0
MIDDLE_M = 1.0
ROADS = ("carriageway", "lane", "box", "intersection", "conflict")


class PedestrianAreas:
    """The roads and crosswalks of a scene, in metres, or in pixels where there is no homography.

    Without one, the height of a pedestrian's box is the scale.
    """

    def __init__(self, view: CameraView, roads: Sequence[str], crosswalks: Sequence[str]) -> None:
        """roads, crosswalks: zone names; when empty, those of kind carriageway, else of the other kinds of road; and crosswalks."""
        scene = view.scene
        self.view = view
        self.crosswalks = [scene.zones[name] for name in crosswalks] or scene.zones_of("crosswalk")
        drawn = scene.zones_of("carriageway") or scene.zones_of(*ROADS)
        roads = list(roads) or [zone.name for zone in drawn]
        self._roads, self._crosswalks = self._polygons(roads), self._polygons([zone.name for zone in self.crosswalks])

    def _polygons(self, names: Sequence[str]) -> PolygonSet:
        return self.view.ground_polygons(names) if self.view.metric else self.view.polygons(names)

    def columns(self) -> dict[str, Column]:
        """What is remembered of each track: when it stepped onto each crosswalk, and when it was last seen on it."""
        count = (len(self.crosswalks),)
        return {
            "stepped_s": (np.float64, count, np.nan),
            "on_s": (np.float64, count, np.nan),
            "known": (bool, (), False),
        }

    def places(self, tracks: Tracks) -> tuple[Array, Array]:
        """(N, 2) positions, and (N,) how many units of that plane a metre is there."""
        if self.view.metric:
            return self.view.ground_m(tracks), np.ones(len(tracks))
        height = np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0)
        return np.asarray(tracks.ground_px, np.float64), height / sizes_m(tracks)[:, 2]

    def on_road(self, places: Array, scale: Array, margin_m: float) -> Mask:
        """(N,): which are on the union of the roads, at least `margin_m` away from its border."""
        reach = (margin_m * scale)[:, None]
        steps = [(0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)] if margin_m else [(0, 0)]
        around = np.concatenate([places + reach * np.array(step) for step in steps])
        return np.asarray(self._roads.contains(around).any(axis=1).reshape(len(steps), -1).all(axis=0))

    def crosswalk_depth_m(self, places: Array, scale: Array) -> Array:
        """(N, C): how far inside each crosswalk, negative outside."""
        return self._crosswalks.depth(places) / scale[:, None]

    def stepped_onto(
        self, table: TrackTable, rows: NDArray[np.int64], depth_m: Array, tracks: Tracks, kerb_m: float
    ) -> Array:
        """(N, C): since when each is on each crosswalk; NaN outside; -inf for those first seen in the middle of it.

        A pedestrian hidden on it, or at its border, has not left it; one that stands has not stepped onto it, since boxes tremble.
        kerb_m: as near to the crosswalk's border as this is neither on it yet nor off it again.
        """
        time_s = tracks.time_s
        on = depth_m > kerb_m
        near = depth_m > -kerb_m
        first = ~table["known"][rows]
        table["known"][rows] = True
        stepped, last = table["stepped_s"][rows], table["on_s"][rows]
        stepped = np.where(~on & ~(time_s - last < OFF_S), np.nan, stepped)  # off it again
        stands = (tracks.speed_kmh < tracks.speed_sigma_kmh)[:, None]
        fresh = np.where(stands, np.nan, time_s)
        fresh = np.where((first[:, None] | stands) & (depth_m > MIDDLE_M), -np.inf, fresh)
        stepped = np.where(on & np.isnan(stepped), fresh, stepped)
        table["stepped_s"][rows] = stepped
        table["on_s"][rows] = np.where(on | (near & (time_s - last < OFF_S)), time_s, last)
        return np.where(on, stepped, np.nan)
