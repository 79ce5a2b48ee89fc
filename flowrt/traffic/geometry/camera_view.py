"""A scene as one camera's pictures show it: scaled to their size, with the positions and velocities that nodes derive from it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from flowrt.diagnostics import Diagnostic
from flowrt.traffic.calibration import jacobians
from flowrt.traffic.geometry.footprint import Viewpoint, sizes_m
from flowrt.traffic.geometry.per_frame import per_frame
from flowrt.traffic.geometry.plane import Array, Mask, PolygonSet
from flowrt.traffic.geometry.scale_map import ScaleMap
from flowrt.traffic.objects import Objects, Tracks
from flowrt.traffic.scene import Scene, Zone

CheckPath = tuple[str | int, ...]

UNRELIABLE_KMH = 8.0
"""With a speed less certain than this (standard deviation), the position is a guess too."""


class CameraView:
    """Scene geometry in the pixels of `picture_px`, and in metres where the scene has a homography. It never changes."""

    def __init__(self, scene: Scene, picture_px: tuple[int, int], camera: str = "") -> None:
        """Raises WrongShape, which names the camera, where the scene does not fit such pictures."""
        self.scene = scene.scaled(picture_px, camera)
        self.picture_px = picture_px

    @staticmethod
    def of(scene: Scene, picture_px: tuple[int, int], camera: str = "") -> CameraView:
        """The view that all nodes with this scene share, and with it what they derive from a picture's tracks."""
        views: dict[tuple[int, int], CameraView] = scene.__dict__.setdefault("views", {})
        return views.get(picture_px) or views.setdefault(picture_px, CameraView(scene, picture_px, camera))

    @cached_property
    def viewpoint(self) -> Viewpoint | None:
        """None without a homography."""
        to_ground = self.scene.to_ground
        return None if to_ground is None else Viewpoint(to_ground, self.picture_px)

    @cached_property
    def scale_map(self) -> ScaleMap | None:
        """How uncertain the homography's scale is where; None without one."""
        calibration = self.scene.calibration
        return None if calibration is None else ScaleMap(calibration, self.picture_px)

    @property
    def metric(self) -> bool:
        """Whether distances are known in metres."""
        return self.viewpoint is not None

    @per_frame
    def position_px(self, tracks: Tracks) -> Array:
        """(N, 2): position in the picture: the middle of the footprint where `speed` found it, else the bottom centre."""
        bottom = tracks.ground_px
        if self.viewpoint is None:
            return np.asarray(bottom, np.float64)
        middle = self.viewpoint.picture(tracks.ground_m)
        return np.where(np.isfinite(middle), middle, bottom)

    @per_frame
    def ground_m(self, tracks: Tracks) -> Array:
        """(N, 2): the same in metres; NaN without a homography."""
        if self.viewpoint is None:
            return np.full((len(tracks), 2), np.nan)
        known = np.asarray(tracks.ground_m, np.float64)
        missing = np.isnan(known[:, 0])
        if missing.any():
            known = np.where(missing[:, None], self.viewpoint.ground(tracks.ground_px), known)
        return known

    @per_frame
    def velocity_m_s(self, tracks: Tracks) -> Array:
        """(N, 2): velocity on the ground: as `speed` found it, else that of the bottom centre in the picture, mapped.

        Without a homography that of the picture, scaled by the box's height over the usual height of the class, which is too
        little for movement along the line of sight.
        """
        known = np.asarray(tracks.velocity_m_s, np.float64)
        missing = np.isnan(known[:, 0])
        if not missing.any():
            return known
        seen = np.asarray(tracks.velocity_px_s, np.float64)
        if self.viewpoint is None:
            height = np.maximum(tracks.boxes_px[:, 3] - tracks.boxes_px[:, 1], 1.0)
            rough = seen * (sizes_m(tracks)[:, 2] / height)[:, None]
        else:
            rough = np.einsum("nij,nj->ni", jacobians(self.viewpoint.to_ground, tracks.ground_px), seen)
        return np.where(missing[:, None], rough, known)

    @per_frame
    def speed_m_s(self, tracks: Tracks) -> Array:
        """(N,): the length of `velocity_m_s`."""
        velocity = self.velocity_m_s(tracks)
        return np.hypot(velocity[:, 0], velocity[:, 1])

    @per_frame
    def reliable(self, tracks: Tracks) -> Mask:
        """(N,): whose position and velocity `speed` upstream is certain about; all of them without such a node."""
        if not np.isfinite(tracks.ground_m).any():
            return np.ones(len(tracks), bool)
        return np.asarray(tracks.speed_sigma_kmh < UNRELIABLE_KMH)

    @per_frame
    def restarted(self, tracks: Tracks) -> Mask:
        """(N,): whose speed `speed` upstream does not know yet, or no longer: whatever was seen of them before is void."""
        return np.asarray(np.isnan(tracks.speed_kmh) & np.isfinite(tracks.ground_m).any())

    def metres(self, points_px: Iterable[tuple[float, float]]) -> Array:
        """(K, 2): ground points of picture points. Needs a homography."""
        assert self.viewpoint is not None  # callers ask for metres where the view is `metric`
        return self.viewpoint.ground(list(points_px))

    def polygons(self, names: Iterable[str]) -> PolygonSet:
        """The named zones, in pixels."""
        return PolygonSet([self.scene.zones[name].points for name in names])

    def ground_polygons(self, names: Iterable[str]) -> PolygonSet:
        """The named zones, in metres. Needs a homography."""
        return PolygonSet([self.metres(self.scene.zones[name].points) for name in names])

    def heading_px(self, zone: Zone) -> Array:
        """(2,): unit vector of a lane's lawful direction in the picture. The zone must have a heading."""
        assert zone.heading is not None  # callers choose zones with one
        heading = np.asarray(zone.heading, float)
        return heading / max(float(np.hypot(*heading)), 1e-9)

    def heading_m(self, zone: Zone) -> Array:
        """(2,): unit vector of a lane's lawful direction on the ground, taken at the middle of the zone."""
        middle = zone.polygon.mean(axis=0).astype(float)
        ahead = middle + self.heading_px(zone)
        a, b = self.metres([tuple(middle), tuple(ahead)])
        return np.asarray((b - a) / max(float(np.hypot(*(b - a))), 1e-12), np.float64)

    def in_zones(self, tracks: Tracks, names: list[str], polygons: PolygonSet) -> Mask:
        """(N, Z): which are in which named zone: by `roi` upstream where it has these zones, else by `polygons`."""
        columns = _columns(tracks.zones, tuple(names))
        if columns is not None:
            return tracks.in_zone.take(columns, axis=1)
        return polygons.contains(self.position_px(tracks))

    def front_m(self, tracks: Tracks, heading_m: Array) -> Array:
        """(N, 2): the middle of each object's front on the ground: half a length ahead of its middle."""
        return np.asarray(self.ground_m(tracks) + 0.5 * sizes_m(tracks)[:, :1] * heading_m)


@lru_cache(maxsize=256)
def _columns(zones: tuple[str, ...], names: tuple[str, ...]) -> NDArray[np.int64] | None:
    """Columns of the named zones; None without names, or where one of them is missing."""
    if not names or not set(names) <= set(zones):
        return None
    return np.array([zones.index(name) for name in names])


class CameraViews:
    """The view that fits the picture at hand, made anew when the picture size or the scene changes."""

    def __init__(self, scene: Scene | None) -> None:
        self.scene = scene
        self._view: CameraView | None = None

    def fit(self, objects: Objects) -> tuple[CameraView, bool]:
        """The view for the picture of these objects, and whether it is a new one."""
        if self._view is not None and self._view.picture_px == objects.picture_px:
            return self._view, False
        scene = self.scene or Scene(name="", picture_px=objects.picture_px)
        self._view = CameraView.of(scene, objects.picture_px, objects.camera_id)
        return self._view, True


@per_frame
def cut_off(tracks: Tracks) -> Mask:
    """(N,): whose box touches the picture's left, right or lower border, so that a part of it is hidden."""
    box, (width, height) = tracks.boxes_px, tracks.picture_px
    return np.asarray((box[:, 0] <= 1.5) | (box[:, 2] >= width - 1.5) | (box[:, 3] >= height - 1.5))


@per_frame
def heading_vectors(tracks: Tracks) -> Array:
    """(N, 2): unit vectors of `heading_deg`; NaN where unknown."""
    angle = np.radians(np.asarray(tracks.heading_deg, np.float64))
    return np.column_stack((np.cos(angle), np.sin(angle)))


def homography_diagnostics(scene: Scene | None) -> Iterable[Diagnostic]:
    """What is wrong with a scene without a usable homography, for nodes that need metres."""
    if scene is None:
        return
    if scene.homography is None:
        yield Diagnostic(
            ("scene",),
            f"scene '{scene.name}' has no homography, so there are no metres",
            "add `homography: {image_px: [4 points], ground_m: [the same points in metres]}` to the scene",
        )
