"""Lanes of a scene: which objects are in which, and how fast they move in its lawful direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from flowrt import CameraView, Scene, Tracks, Zone
from flowrt.traffic.geometry.per_frame import per_frame
from flowrt.traffic.geometry.plane import Array, Mask


class Lanes:
    """The named lanes, or every zone of kind `lane`, for one view. They never change."""

    def __init__(self, view: CameraView, names: Sequence[str], *, with_heading: bool = False) -> None:
        self.view = view
        self.zones = lanes_of(view.scene, names, with_heading=with_heading)
        self.names = [zone.name for zone in self.zones]
        self._polygons = view.polygons(self.names)
        with_direction = [zone for zone in self.zones if zone.heading is not None]
        self.headings_px = np.array([view.heading_px(zone) for zone in with_direction]).reshape(-1, 2)
        metric = with_direction if view.metric else []
        self.headings_m = np.array([view.heading_m(zone) for zone in metric]).reshape(-1, 2)

    @staticmethod
    def of(view: CameraView, names: Sequence[str], *, with_heading: bool = False) -> Lanes:
        """The lanes that all nodes with this view and these names share."""
        shared: dict[Any, Lanes] = view.__dict__.setdefault("lanes", {})
        key = (*names, with_heading)
        return shared.get(key) or shared.setdefault(key, Lanes(view, names, with_heading=with_heading))

    def __len__(self) -> int:
        return len(self.zones)

    @per_frame
    def inside(self, tracks: Tracks) -> Mask:
        """(N, Z): which are in which lane."""
        return self.view.in_zones(tracks, self.names, self._polygons)

    def at(self, points_px: Array) -> Mask:
        """(N, Z): which points of the picture are in which lane."""
        return self._polygons.contains(points_px)

    @per_frame
    def somewhere(self, tracks: Tracks) -> Mask:
        """(N,): which are in any of the lanes."""
        return np.asarray(self.inside(tracks).any(axis=1))

    @per_frame
    def along_m_s(self, tracks: Tracks) -> Array:
        """(N, Z): how fast each moves in each lane's direction, negative against it. Every lane must have a heading."""
        headings = self.headings_m if self.view.metric else self.headings_px
        return np.asarray(self.view.velocity_m_s(tracks) @ headings.T, np.float64)


def lanes_of(scene: Scene, names: Sequence[str], *, with_heading: bool = False) -> list[Zone]:
    """The named zones, or all lanes; with_heading: only those with a direction."""
    zones = [scene.zones[name] for name in names if name in scene.zones] if names else scene.zones_of("lane")
    return [zone for zone in zones if zone.heading is not None] if with_heading else zones
