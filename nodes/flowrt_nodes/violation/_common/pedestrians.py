"""People on foot: whether they are on the road, on a crosswalk, and against which signal they stepped onto it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from flowrt import PEDESTRIANS, Tracks
from flowrt_nodes._lib.camera_view import CameraView
from flowrt_nodes._lib.footprint import sizes_m
from flowrt_nodes._lib.geometry import Array, Mask, PolygonSet
from flowrt_nodes._lib.track_table import Column, TrackTable

OFF_S = 1.0
"""Who is seen beside a crosswalk this long after he was on it has left it."""
ROADS = ("carriageway", "lane", "box", "intersection", "conflict")


class PedestrianAreas:
    """The roads and crosswalks of a scene, in metres, or in pixels where there is no homography.

    Without one, the height of a person's box serves as scale.
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
        """What it remembers of each track: when it stepped onto each crosswalk, and when it was last seen on it."""
        count = (len(self.crosswalks),)
        return {
            "stepped_s": (np.float64, count, np.nan),
            "on_s": (np.float64, count, np.nan),
            "known": (bool, (), False),
        }

    def places(self, tracks: Tracks) -> tuple[Array, Array]:
        """(N, 2) where each object stands, and (N,) how many units of that plane a metre is there."""
        if self.view.metric:
            return self.view.ground_m(tracks), np.ones(len(tracks))
        height = np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0)
        return np.asarray(tracks.ground_px, np.float64), height / sizes_m(tracks)[:, 2]

    def on_road(self, places: Array, scale: Array, margin_m: float) -> Mask:
        """(N,): who is on the union of the roads, at least `margin_m` away from its border."""
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

        Who is hidden on it has not left it, nor has who comes to its border; and who stands there has not stepped onto it yet:
        boxes tremble. kerb_m: as near to the crosswalk's border as this is neither on it yet nor off it again.
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
        fresh = np.where((first[:, None] | stands) & (depth_m > 1.0), -np.inf, fresh)
        stepped = np.where(on & np.isnan(stepped), fresh, stepped)
        table["stepped_s"][rows] = stepped
        table["on_s"][rows] = np.where(on | (near & (time_s - last < OFF_S)), time_s, last)
        return np.where(on, stepped, np.nan)


def on_foot(tracks: Tracks) -> Mask:
    """(N,): who is a pedestrian."""
    return tracks.of_class(PEDESTRIANS)
