"""speed: where tracks are on the ground, in metres, and how fast they go."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

import numpy as np

from flowrt import PEDESTRIANS, CheckView, Complaint, Context, SceneName, Tracks, Transform, setting
from flowrt_nodes._footprint import Viewpoint, sizes_m
from flowrt_nodes._geometry import Array, Mask, jacobian
from flowrt_nodes._tracktable import TrackTable
from flowrt_nodes._view import View, Views, homography_complaints

STILL_M_S = 1.0
"""Below this speed a movement tells no heading."""
OUTLIER = 9.0
"""Squared Mahalanobis distance (2 degrees of freedom, about 1 in 90) from which a measurement counts less."""


class Speed(Transform):
    """Fill in ground position, velocity, speed with its uncertainty, and heading.

    Needs a scene with a homography. Each track is followed on the ground by a Kalman filter with constant velocity, whose
    measurements are the middles of footprints (see `_footprint`) and whose measurement noise is that of the box's edges, as
    the homography enlarges it: far away, where a pixel is metres, it trusts the past more. Boxes cut off by the picture's
    border don't count, half hidden ones count less. Times are capture times, so that lost and irregular pictures do no harm.
    Speed is NaN until `min_pictures` pictures showed the track.
    """

    scene: SceneName
    footprint: Annotated[
        bool,
        setting("Follow the middle of the footprint; else the bottom centre of the box, which needs no usual sizes."),
    ] = True
    box_noise_px: Annotated[float, setting("Standard deviation of a box's edge.", gt=0, le=50)] = 1.0
    box_noise: Annotated[float, setting("The same, as a share of the box's size; both add up.", ge=0, le=1)] = 0.015
    agility: Annotated[
        float, setting("How quickly vehicles change their velocity: spectral density in m²/s³.", gt=0, le=100)
    ] = 2.5
    pedestrian_agility: Annotated[float, setting("The same for people on foot.", gt=0, le=100)] = 0.3
    scale_error: Annotated[
        float, setting("Relative error of the homography's scale, part of the published uncertainty.", ge=0, le=1)
    ] = 0.02
    min_pictures: Annotated[int, setting("Pictures of a track before its speed is given.", ge=2, le=100)] = 3
    forget_after_s: Annotated[float, setting("Memory about a track that is not seen any more.", gt=0, le=600)] = 5.0

    provides: ClassVar[frozenset[str]] = frozenset({"speed"})
    example: ClassVar[str] = """\
speeds: {type: speed, from: tracks, scene: north}
"""

    def check(self, view: CheckView) -> Iterable[Complaint]:
        return homography_complaints(view.scene(self.scene))

    def open(self, context: Context) -> None:
        self._views = Views(context.scene)
        self._table = TrackTable(
            self.forget_after_s,
            state=(np.float64, (4,), 0.0),
            spread=(np.float64, (4, 4), 0.0),
            heading=(np.float64, (2,), np.nan),
            offset_m=(np.float64, (2,), np.nan),
            at_s=(np.float64, (), np.nan),
            pictures=(np.int64, (), 0),
        )

    def reconfigured(self, changed: frozenset[str]) -> None:
        self._table.forget_after_s = self.forget_after_s
        if "scene" in changed:
            self._views = Views(self.context.scene)

    def process(self, tracks: Tracks) -> Tracks:
        view, fresh = self._views.fit(tracks)
        if view.viewpoint is None:
            return tracks
        if fresh:
            self._prepare(view)
        if not len(tracks):
            return tracks
        table = self._table
        rows, _ = table.rows(tracks)
        heading = self._headings(view.viewpoint, tracks, table["heading"][rows])
        seen_m, noise = self._measure(view.viewpoint, tracks, rows, heading)
        state, spread = self._follow(tracks, rows, seen_m, noise, heading)
        velocity = state[:, 2:]
        pace = np.hypot(velocity[:, 0], velocity[:, 1])
        direction = velocity / np.maximum(pace, 1e-6)[:, None]
        variance = np.einsum("ni,nij,nj->n", direction, spread[:, 2:, 2:], direction)
        moving = (pace > STILL_M_S) & (pace > 2 * np.sqrt(variance))
        table["heading"][rows] = heading = np.where(moving[:, None], direction, table["heading"][rows])
        sigma = np.sqrt(variance + (self.scale_error * pace) ** 2) * 3.6
        known = table["pictures"][rows] >= self.min_pictures
        return tracks.replace(
            ground_m=state[:, :2].astype(np.float32),
            velocity_m_s=velocity.astype(np.float32),
            speed_kmh=np.where(known, pace * 3.6, np.nan).astype(np.float32),
            speed_sigma_kmh=np.where(known, sigma, np.nan).astype(np.float32),
            heading_deg=np.degrees(np.arctan2(heading[:, 1], heading[:, 0])).astype(np.float32),
        )

    def export_state(self) -> Any:
        return self._table.export()

    def import_state(self, state: Any) -> None:
        self._table.take_over(state)

    def status(self) -> dict[str, Any]:
        return {"tracks": len(self._table)}

    def _prepare(self, view: View) -> None:
        lanes = [zone for zone in view.scene.zones.values() if zone.kind == "lane" and zone.heading is not None]
        self._lanes = view.polygons(zone.name for zone in lanes)
        self._lane_heading = np.array([view.heading_m(zone) for zone in lanes]).reshape(-1, 2)

    def _headings(self, camera: Viewpoint, tracks: Tracks, remembered: Array) -> Array:
        """(N, 2): unit vectors along the tracks' length: as it moved, as it moves in the picture, or as its lane leads."""
        unknown = np.isnan(remembered[:, 0])
        if not unknown.any():
            return remembered
        some = tracks[unknown]
        points = some.ground_px
        velocity = np.einsum("nij,nj->ni", jacobian(camera.to_ground, points), some.velocity_px_s)
        pace = np.hypot(velocity[:, 0], velocity[:, 1])
        found = velocity / np.maximum(pace, 1e-9)[:, None]
        driving = np.asarray(pace > 2 * STILL_M_S, bool).reshape(-1, 1)
        away = jacobian(camera.to_ground, points)[:, :, 1]  # one pixel down the picture
        along = away / np.maximum(np.hypot(away[:, 0], away[:, 1]), 1e-12)[:, None]
        if len(self._lanes):
            inside = self._lanes.contains(points)
            along = np.where(
                np.asarray(inside.any(axis=1)).reshape(-1, 1), self._lane_heading[inside.argmax(axis=1)], along
            )
        headings = remembered.copy()
        headings[unknown] = np.where(driving, found, along)
        return headings

    def _measure(self, camera: Viewpoint, tracks: Tracks, rows: Any, heading: Array) -> tuple[Array, Array]:
        """(N, 2) positions in metres, and (N, 2, 2) their covariances."""
        boxes = np.asarray(tracks.boxes_px, np.float64)
        width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
        bottom = np.asarray(tracks.ground_px, np.float64)
        hidden = np.ones(len(boxes))
        if self.footprint:
            offset = self._table["offset_m"][rows]
            steps = 3 if np.isnan(offset).any() else 1
            seen_m, hidden = camera.stand(boxes, heading, sizes_m(tracks), offset, steps)
            self._table["offset_m"][rows] = seen_m - camera.ground(bottom)
        else:
            seen_m = camera.ground(bottom)
        # A box that is too low for its class hides its feet, or its roof; both make its middle uncertain.
        doubt = 1.0 + (np.maximum(0.0, 0.85 - hidden) / 0.1) ** 2
        across_px = np.hypot(self.box_noise_px, self.box_noise * width)
        down_px = np.hypot(self.box_noise_px, self.box_noise * height) * doubt
        cut_off = (
            (boxes[:, 0] <= 1.5)
            | (boxes[:, 2] >= tracks.picture_px[0] - 1.5)
            | (boxes[:, 3] >= tracks.picture_px[1] - 1.5)
        )
        seen_m = np.where(cut_off[:, None], np.nan, seen_m)  # its middle lies somewhere beyond the border
        enlarged = jacobian(camera.to_ground, bottom) * np.stack((across_px, down_px), axis=1)[:, None, :]
        return seen_m, enlarged @ enlarged.transpose(0, 2, 1) + 1e-4 * np.eye(2)

    def _follow(self, tracks: Tracks, rows: Any, seen_m: Array, noise: Array, heading: Array) -> tuple[Array, Array]:
        """One step of the filter: (N, 4) position and velocity, (N, 4, 4) their covariance.

        Source: Y. Bar-Shalom, X. R. Li, T. Kirubarajan, Estimation with Applications to Tracking and Navigation, section 6.2:
        continuous white noise acceleration.
        """
        table = self._table
        state, spread = table["state"][rows], table["spread"][rows]
        usable = np.isfinite(seen_m).all(axis=1) & np.isfinite(noise).all(axis=(1, 2))
        first = table["pictures"][rows] == 0
        self._begin(tracks, first & usable, seen_m, noise, state, spread)
        again = ~first
        dt = np.where(again, np.maximum(tracks.time_s - table["at_s"][rows], 0.0), 0.0)
        agility = np.where(tracks.of_class(PEDESTRIANS), self.pedestrian_agility, self.agility)
        state[:, :2] += dt[:, None] * state[:, 2:]
        forward = np.tile(np.eye(4), (len(rows), 1, 1))
        forward[:, 0, 2] = forward[:, 1, 3] = dt
        spread = forward @ spread @ forward.transpose(0, 2, 1)
        for axis in (0, 1):
            spread[:, axis, axis] += agility * dt**3 / 3
            spread[:, axis, axis + 2] += agility * dt**2 / 2
            spread[:, axis + 2, axis] += agility * dt**2 / 2
            spread[:, axis + 2, axis + 2] += agility * dt
        measured = again & usable
        off = np.where(measured[:, None], seen_m - state[:, :2], 0.0)
        noise = np.where(measured[:, None, None], noise, np.eye(2))
        far = np.einsum("ni,nij,nj->n", off, np.linalg.inv(spread[:, :2, :2] + noise), off)
        noise = noise * np.maximum(far / OUTLIER, 1.0)[:, None, None]
        gain = spread[:, :, :2] @ np.linalg.inv(spread[:, :2, :2] + noise) * measured[:, None, None]
        state += np.einsum("nij,nj->ni", gain, off)
        spread = spread - gain @ spread[:, :2, :]
        table["state"][rows], table["spread"][rows] = state, spread
        table["at_s"][rows] = tracks.time_s
        table["pictures"][rows] += usable
        unknown = ~(usable | again)
        state[unknown] = np.nan
        return state, spread

    def _begin(self, tracks: Tracks, first: Mask, seen_m: Array, noise: Array, state: Array, spread: Array) -> None:
        """Start with the movement in the picture, which the tracker knows roughly."""
        if not first.any():
            return
        camera = self._views.fit(tracks)[0].viewpoint
        assert camera is not None
        velocity = np.einsum("nij,nj->ni", jacobian(camera.to_ground, tracks.ground_px), tracks.velocity_px_s)
        pace = np.hypot(velocity[:, 0], velocity[:, 1])
        velocity = np.where((pace < 40)[:, None], np.nan_to_num(velocity), 0.0)
        state[first, :2], state[first, 2:] = seen_m[first], velocity[first]
        spread[first] = 0.0
        spread[first, :2, :2] = noise[first]
        slow = np.where(tracks.of_class(PEDESTRIANS), 1.5, 6.0)[first]
        spread[first, 2, 2] = spread[first, 3, 3] = slow**2
