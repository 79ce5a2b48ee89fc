"""Where a road user stands on the ground, from the box around it in the picture.

A box's bottom centre is not the middle of a vehicle: it is its front when it drives towards the camera, its rear when it
drives away, and a corner when it turns. With a homography, a usual size of the class and the heading, the cuboid whose
picture has the same bottom and the same horizontal middle as the box is found; its base is the footprint.

The camera is recovered from the homography of the ground plane, assuming square pixels and a principal point in the middle
of the picture (Hartley and Zisserman, Multiple View Geometry, 2nd edition, section 8.5: calibration from a scene plane).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike

from flowrt import PEDESTRIANS, Tracks
from flowrt_nodes._geometry import Array, jacobian, mapped
from flowrt_nodes._once import once

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

UNKNOWN_M = (1.0, 1.0, 1.5)
CORNERS = np.array([(x, y, z) for x in (-0.5, 0.5) for y in (-0.5, 0.5) for z in (0.0, 1.0)])


@once
def sizes_m(tracks: Tracks) -> Array:
    """(N, 3): usual length, width and height of each track's class."""
    return np.asarray(_sizes_of(tracks.labels).take(tracks.class_id, axis=0))


@lru_cache(maxsize=64)
def _sizes_of(labels: tuple[str, ...]) -> Array:
    """(K, 3): of the classes of a model."""
    return np.array([SIZES_M.get(label, UNKNOWN_M) for label in labels] or [UNKNOWN_M])


class Viewpoint:
    """A camera above the ground plane. `upright` is False where the homography does not tell which way is up."""

    def __init__(self, to_ground: Array, picture_px: tuple[int, int]) -> None:
        """to_ground: (3, 3), picture to ground metres."""
        self.to_ground = to_ground
        self.to_picture: Array = np.asarray(np.linalg.inv(to_ground), np.float64)
        bottom = np.array([picture_px[0] / 2, picture_px[1], 1.0])
        ground = to_ground @ bottom
        if (self.to_picture @ (ground / ground[2]))[2] < 0:
            self.to_picture = -self.to_picture  # depth is positive in front of the camera
        up = _up_column(self.to_picture, picture_px)
        self.upright = up is not None
        third = np.zeros(3) if up is None else up
        self.projection = np.column_stack((self.to_picture[:, 0], self.to_picture[:, 1], third, self.to_picture[:, 2]))

    def ground(self, points_px: ArrayLike) -> Array:
        """Ground metres (N, 2) of picture points (N, 2)."""
        return mapped(self.to_ground, points_px)

    def picture(self, points_m: ArrayLike) -> Array:
        """Picture points (N, 2) of ground points (N, 2)."""
        return mapped(self.to_picture, points_m)

    def boxes(self, centre_m: Array, heading: Array, size_m: Array) -> Array:
        """(N, 4): the boxes around cuboids that stand on the ground.

        centre_m: (N, 2), middle of the base. heading: (N, 2), unit vectors. size_m: (N, 3), length, width, height.
        """
        corners = CORNERS * size_m[:, None, :]
        x = centre_m[:, :1] + corners[..., 0] * heading[:, :1] - corners[..., 1] * heading[:, 1:]
        y = centre_m[:, 1:] + corners[..., 0] * heading[:, 1:] + corners[..., 1] * heading[:, :1]
        z = corners[..., 2]
        p = self.projection
        u, v, w = (p[i, 0] * x + p[i, 1] * y + p[i, 2] * z + p[i, 3] for i in range(3))
        w = np.maximum(w, 1e-9)
        u, v = u / w, v / w
        return np.column_stack((u.min(axis=1), v.min(axis=1), u.max(axis=1), v.max(axis=1)))

    def stand(
        self, boxes_px: Array, heading: Array, size_m: Array, guess_m: Array | None = None, steps: int = 3
    ) -> tuple[Array, Array]:
        """Middle of each footprint (N, 2) in metres, and (N,) the height of the box over that of the fitted cuboid's.

        heading: (N, 2), unit vectors on the ground; both senses of a heading give the same footprint.
        guess_m: (N, 2), where known: from the bottom centre's ground point to the middle; then one step is enough.
        A height ratio well below 1 means that a part of the object is hidden. NaN beyond the horizon.
        """
        boxes = np.asarray(boxes_px, float)
        seen = np.column_stack(((boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]))
        centre = self.ground(seen)
        if guess_m is not None:
            centre = centre + np.nan_to_num(guess_m)
        fitted = boxes
        if self.upright:
            for _ in range(steps):
                fitted = self.boxes(centre, heading, size_m)
                missing = seen - np.column_stack(((fitted[:, 0] + fitted[:, 2]) / 2, fitted[:, 3]))
                step = np.einsum("nij,nj->ni", jacobian(self.to_ground, self.picture(centre)), missing)
                length = np.hypot(step[:, 0], step[:, 1])
                most = np.maximum(
                    size_m[:, 0], 1.0
                )  # far away a pixel is metres: no wilder step than a vehicle's length
                centre = centre + step * np.minimum(1.0, most / np.maximum(length, 1e-9))[:, None]
        height = fitted[:, 3] - fitted[:, 1]
        return centre, (boxes[:, 3] - boxes[:, 1]) / np.maximum(height, 1e-9)


def _up_column(to_picture: Array, picture_px: tuple[int, int]) -> Array | None:
    """The column of the projection that belongs to the height above ground; None where it can't be told.

    With K = diag(f, f, 1) and centred pixels, the first two columns of the homography are K r1 and K r2 with r1, r2
    orthogonal and of equal length. Both conditions are linear in 1 / f², and are solved together by least squares.
    """
    centred = np.array([[1, 0, -picture_px[0] / 2], [0, 1, -picture_px[1] / 2], [0, 0, 1.0]]) @ to_picture
    a, b = centred[:, 0], centred[:, 1]
    flat = np.array([2 * (a[0] * b[0] + a[1] * b[1]), a[0] ** 2 + a[1] ** 2 - b[0] ** 2 - b[1] ** 2])
    deep = np.array([2 * a[2] * b[2], a[2] ** 2 - b[2] ** 2])
    inverse_f2 = -float(flat @ deep) / max(float(flat @ flat), 1e-18)
    if not 1e-9 < inverse_f2 < 1e-3:  # focal lengths from 30 to 30,000 pixels
        return None
    focal = inverse_f2**-0.5
    scale = np.array([1 / focal, 1 / focal, 1.0])
    r1, r2, shift = a * scale, b * scale, centred[:, 2] * scale
    length = float(np.sqrt(np.linalg.norm(r1) * np.linalg.norm(r2)))
    up = np.cross(r1, r2) / length
    if float(up @ shift) > 0:  # the camera stands above the ground: -R^T t has a positive height
        up = -up
    back = np.array([[1, 0, picture_px[0] / 2], [0, 1, picture_px[1] / 2], [0, 0, 1.0]])
    return np.asarray(back @ (up / scale), np.float64)
