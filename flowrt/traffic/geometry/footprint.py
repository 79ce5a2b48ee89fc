"""A road user's footprint on the ground, from the box around it in the picture.

A box's bottom centre is not the middle of a vehicle: it is its front when it drives towards the camera, its rear when it
drives away, and a corner when it turns. With a homography, a usual size of the class and the heading, the cuboid whose
picture has the same bottom and the same horizontal middle as the box is found; its base is the footprint.

The camera is recovered from the homography of the ground plane, assuming square pixels and a principal point in the middle
of the picture (Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 8.5: calibration from a scene plane).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from flowrt.traffic.calibration import applied, up_column
from flowrt.traffic.geometry.per_frame import per_frame
from flowrt.traffic.geometry.plane import Array, Mask
from flowrt.traffic.kinds import PEDESTRIANS
from flowrt.traffic.objects import Tracks

SIZES_M = {
    "car": (4.45, 1.80, 1.50),
    "vehicle": (4.45, 1.80, 1.50),
    "van": (5.2, 2.0, 2.2),
    "truck": (7.8, 2.45, 3.3),
    "bus": (11.2, 2.55, 3.1),
    "train": (25.0, 2.8, 3.5),
    "motorcycle": (2.05, 0.78, 1.55),
    "bicycle": (1.75, 0.6, 1.75),
    **dict.fromkeys(PEDESTRIANS, (0.48, 0.55, 1.72)),
}
"""Usual length, width and height of each class, in metres."""

TWO_WHEELERS = frozenset({"motorcycle", "bicycle"})
CYCLES = frozenset({"bicycle"})
HEAVY_VEHICLES = frozenset({"truck", "bus"})
LENGTH_SPREAD, LENGTH_KNOWN = 0.08, 0.025
"""Lengths of one class vary by the first share of the usual one (standard deviation); a length counts as known when its standard
deviation is less than the second."""
UNKNOWN_M = (1.0, 1.0, 1.5)
UNDER = 0.09
"""How high the lower edge of a vehicle's body lies, as a share of its height."""
WHEELS = 0.63
"""Where its wheels touch the ground, from its middle, as a share of half its length: bumpers overhang, so they are not what a
box's bottom rests on."""
_CORNERS = np.array(
    [
        (1.0, x * out, y, z)
        for x in (-1.0, 1.0)
        for y in (-1.0, 1.0)
        for out, z in ((WHEELS, 0.0), (1.0, UNDER), (1.0, 1.0))
    ]
)
_PARTS = np.array([[2.0], [2.0], [1.0]])
"""Of a cuboid's length, width and height, from the middle of its base to its faces."""


@per_frame
def sizes_m(tracks: Tracks) -> Array:
    """(N, 3): usual length, width and height of each track's class, and where `speed` upstream learned the length, that one."""
    sizes = _sizes_of(tracks.labels).take(tracks.class_id, axis=0)
    learned = np.isfinite(tracks.length_m)
    sizes[learned, 0] = tracks.length_m[learned]
    return sizes


@per_frame
def usual_lengths_m(tracks: Tracks) -> Array:
    """(N,): the usual length of each track's class."""
    return _sizes_of(tracks.labels)[:, 0].take(tracks.class_id)


@per_frame
def length_known(tracks: Tracks) -> Mask:
    """(N,): tracks whose length is known, and not just taken from the class."""
    return np.asarray(tracks.length_sigma_m < LENGTH_KNOWN * usual_lengths_m(tracks))


@lru_cache(maxsize=64)
def _sizes_of(labels: tuple[str, ...]) -> Array:
    """(K, 3): of the classes of a model."""
    return np.array([SIZES_M.get(label, UNKNOWN_M) for label in labels] or [UNKNOWN_M])


class MeasuredFootprints(NamedTuple):
    """Footprints on the ground as a detector measured them in the picture; N last. NaN beyond the horizon.

    middle_m: (2, N) of the footprint, in metres. noise: (2, 2, N) its covariance. axis: (2, N) unit vectors along the length, in
    either sense. axis_variance: (N,) in radians squared. half_length_m: (N,) from the middle to an end.
    """

    middle_m: Array
    noise: Array
    axis: Array
    axis_variance: Array
    half_length_m: Array


class Viewpoint:
    """A camera above the ground plane. `upright` is False where the homography does not tell which way is up."""

    def __init__(self, to_ground: Array, picture_px: tuple[int, int]) -> None:
        """to_ground: (3, 3), picture to ground metres."""
        bottom = np.array([picture_px[0] / 2, picture_px[1], 1.0])
        self.to_ground: Array = to_ground / (to_ground[2] @ bottom)  # positive in front of the camera
        self.to_picture: Array = np.asarray(np.linalg.inv(self.to_ground), np.float64)
        up = up_column(self.to_picture, picture_px)
        self.upright = up is not None
        third = np.zeros(3) if up is None else up
        self.projection = np.column_stack((self.to_picture[:, 0], self.to_picture[:, 1], third, self.to_picture[:, 2]))

    def ground(self, points_px: ArrayLike) -> Array:
        """Ground metres (N, 2) of picture points (N, 2); NaN beyond the horizon."""
        return applied(self.to_ground, points_px)

    def picture(self, points_m: ArrayLike) -> Array:
        """Picture points (N, 2) of ground points (N, 2); NaN behind the camera."""
        return applied(self.to_picture, points_m)

    def ground_and_slope(self, points_px: Array) -> tuple[Array, Array]:
        """Ground metres (2, N) of picture points (2, N), and (2, 2, N) their derivative by the point: `applied` and `jacobians`
        in one, components first."""
        on_ground = self.to_ground[:, :2] @ points_px + self.to_ground[:, 2:]
        depth = np.where(on_ground[2] > 1e-9, on_ground[2], np.nan)
        target = on_ground[:2] / depth
        return target, (self.to_ground[:2, :2, None] - target[:, None] * self.to_ground[2, :2, None]) / depth

    def measured(self, footprints_px: ArrayLike, least_sigma_px: float) -> MeasuredFootprints:
        """Footprints (N, 6) of a picture, see `Objects.footprints_px`, on the ground; none is more certain than `least_sigma_px`.

        A detector learns axes with their angle doubled, so that an end is half as uncertain across the axis as along it.
        """
        x, y, along, down, sigma_px, end_sigma_px = np.asarray(footprints_px, np.float64).T
        middle_m, slope = self.ground_and_slope(np.stack((x, y)))
        noise = noise_m(slope * np.maximum(sigma_px, least_sigma_px))
        axis = slope[:, 0] * along + slope[:, 1] * down
        aside = (
            slope[:, 1] * along - slope[:, 0] * down
        )  # as long as the axis in the picture, and at right angles to it
        length = np.maximum(np.hypot(axis[0], axis[1]), 1e-6)
        pixels = np.maximum(np.hypot(along, down), 1e-6)
        across = (axis[0] * aside[1] - axis[1] * aside[0]) / length  # metres that the end moves across the axis
        return MeasuredFootprints(
            middle_m, noise, axis / length, (across * end_sigma_px / (2 * pixels * length)) ** 2, length
        )

    def lengths(self, footprints_px: ArrayLike, measured: MeasuredFootprints, heading: Array) -> tuple[Array, Array]:
        """(N,) twice: lengths in metres of footprints (N, 6), and their standard deviations.

        heading: (2, N), unit vectors on the ground. A footprint's end is the front: in the picture the other half has another
        length.
        """
        feet = np.asarray(footprints_px, np.float64).T
        ahead = np.where((measured.axis * heading).sum(axis=0) < 0, -1.0, 1.0)
        front, slope = self.ground_and_slope(feet[:2] + feet[2:4] * ahead)
        reach = front - measured.middle_m
        half = np.maximum(np.hypot(reach[0], reach[1]), 1e-6)
        moves = np.hypot(*((reach / half)[:, None] * slope).sum(axis=0))
        return 2 * half, 2 * moves * feet[5]

    def fit_footprints(
        self, boxes_px: ArrayLike, heading: Array, size_m: Array, guess_m: Array | None = None, steps: int = 3
    ) -> tuple[Array, Array]:
        """Middle of each footprint (N, 2) in metres, and (2, N) width and height of the box over those of the fitted cuboid's.

        heading: (N, 2), unit vectors on the ground; both senses of a heading give the same footprint.
        guess_m: (N, 2), about where it is; without it the bottom centre's ground point. With a good one, one step is enough.
        A ratio well below 1 means that a part of the object is hidden. NaN beyond the horizon.
        """
        boxes = np.asarray(boxes_px, float).T
        seen = feet(boxes)
        centre = self.ground(seen.T).T if guess_m is None else guess_m.T
        sides = boxes[2:] - boxes[:2]
        if not self.upright:
            return centre.T, np.ones_like(sides)
        # The cuboid's axes in homogeneous coordinates of the picture: half its length, half its width, its height.
        turn = self.projection[:, :2] @ heading.T
        aside = self.projection[:, 1:2] * heading[:, 0] - self.projection[:, :1] * heading[:, 1]
        size = size_m.T / _PARTS
        axes = np.empty((4, 3, sides.shape[1]))
        axes[1], axes[2], axes[3] = turn * size[0], aside * size[1], self.projection[:, 2:3] * size[2]
        most = np.maximum(size_m[:, 0], 1.0)  # far away a pixel is metres: no wilder step than a vehicle's length
        fitted = boxes
        for _ in range(steps):
            axes[0] = self.projection[:, :2] @ centre + self.projection[:, 3:]
            fitted = _around(axes)
            there = axes[0, :2] / axes[0, 2]
            step = self._ground_step(there, centre, seen - feet(fitted))
            length = np.hypot(step[0], step[1])
            centre = centre + step * np.minimum(1.0, most / np.maximum(length, 1e-9))
        return centre.T, sides / np.maximum(fitted[2:] - fitted[:2], 1e-9)

    def _ground_step(self, point_px: Array, point_m: Array, step_px: Array) -> Array:
        """(2, N): what small steps from points of the picture are on the ground; point_m: (2, N), the same points there."""
        depth = self.to_ground[2, :2] @ point_px + self.to_ground[2, 2]
        moved = self.to_ground[:, :2] @ step_px
        return np.asarray((moved[:2] - point_m * moved[2]) / depth, np.float64)


def noise_m(moves: Array) -> Array:
    """(2, 2, N): covariance on the ground, where one standard deviation aside and one down in the picture are `moves` (2, 2, N)."""
    noise: Array = moves[:, None, 0] * moves[None, :, 0] + moves[:, None, 1] * moves[None, :, 1]
    noise[0, 0] += 1e-4
    noise[1, 1] += 1e-4
    return noise


def feet(boxes: Array) -> Array:
    """(2, N): bottom centres of boxes (4, N)."""
    points: Array = np.empty((2, boxes.shape[1]))
    points[0], points[1] = (boxes[0] + boxes[2]) / 2, boxes[3]
    return points


def _around(axes: Array) -> Array:
    """(4, N): the boxes around cuboids seen in the picture. axes: (4, 3, N), middle of the base and axes, homogeneous."""
    corners = (_CORNERS @ axes.reshape(4, -1)).reshape(len(_CORNERS), 3, -1)
    points = corners[:, :2] / np.maximum(corners[:, 2:], 1e-9)
    return np.concatenate((points.min(axis=0), points.max(axis=0)))
