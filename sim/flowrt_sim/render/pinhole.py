"""A pinhole camera above a flat ground, with the exact homography between picture and ground.

Invariants: the ground is the plane z = 0, there is no lens distortion, and `matrix` (3x4) is the whole camera: a point
X of the world lies at `matrix @ [X, 1]`, and the last component is its depth in metres (Hartley and Zisserman, Multiple
View Geometry, chapter 6).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

NEAR_M = 1.0
"""Nothing nearer to the camera than this is drawn or projected."""


@dataclass(frozen=True)
class Camera:
    """Position, direction and field of view of a camera.

    `position_m` is (x, y, z); `yaw_rad` the direction looked at, from east anticlockwise; `pitch_rad` positive upwards;
    `roll_rad` positive when the picture's right side sinks; `fov_rad` the horizontal field of view.
    """

    position_m: tuple[float, float, float]
    yaw_rad: float
    pitch_rad: float
    fov_rad: float
    size_px: tuple[int, int] = (1280, 720)
    roll_rad: float = 0.0

    @cached_property
    def focal_px(self) -> float:
        """Focal length in pixels, equal in both directions (square pixels)."""
        return self.size_px[0] / 2 / float(np.tan(self.fov_rad / 2))

    @cached_property
    def rotation(self) -> Array:
        """World to camera rotation (3, 3): rows are the camera's right, down and forward directions."""
        cy, sy, cp, sp = (f(a) for a in (self.yaw_rad, self.pitch_rad) for f in (np.cos, np.sin))
        forward = np.array([cy * cp, sy * cp, sp])
        right = np.array([sy, -cy, 0.0])
        down = np.cross(forward, right)
        c, s = np.cos(self.roll_rad), np.sin(self.roll_rad)
        return np.stack([c * right - s * down, s * right + c * down, forward])

    @cached_property
    def matrix(self) -> Array:
        """Projection matrix (3, 4) in pixels."""
        width, height = self.size_px
        inner = np.array([[self.focal_px, 0, width / 2], [0, self.focal_px, height / 2], [0, 0, 1.0]])
        shift = -self.rotation @ np.array(self.position_m)
        return np.asarray(inner @ np.column_stack([self.rotation, shift]))

    def project(self, points_m: npt.ArrayLike) -> tuple[Array, Array]:
        """Pixels (N, 2) and depths in metres (N,) of world points (N, 3). Pixels of points at depth <= 0 mean nothing."""
        points = np.asarray(points_m, dtype=np.float64)
        found = points @ self.matrix[:, :3].T + self.matrix[:, 3]
        depth = found[:, 2]
        safe = np.where(np.abs(depth) < 1e-9, 1e-9, depth)
        return found[:, :2] / safe[:, None], depth

    @cached_property
    def ground_to_image(self) -> Array:
        """Homography (3, 3) from ground metres (x, y, 1) to pixels."""
        return self.matrix[:, [0, 1, 3]]

    @cached_property
    def image_to_ground(self) -> Array:
        """Homography (3, 3) from pixels to ground metres."""
        return np.asarray(np.linalg.inv(self.ground_to_image), dtype=np.float64)

    def ground_px(self, ground_m: npt.ArrayLike) -> Array:
        """Pixels (N, 2) of ground points (N, 2)."""
        ground = np.asarray(ground_m, dtype=np.float64)
        return self.project(np.column_stack([ground, np.zeros(len(ground))]))[0]

    def ground_of(self, image_px: npt.ArrayLike) -> Array:
        """Ground points in metres (N, 2) seen at pixels (N, 2); meaningless above the horizon."""
        pixels = np.asarray(image_px, dtype=np.float64)
        found = np.column_stack([pixels, np.ones(len(pixels))]) @ self.image_to_ground.T
        return found[:, :2] / found[:, 2:]

    def clip_ground(self, polygon_m: npt.ArrayLike) -> Array:
        """The part of a ground polygon (N, 2) in front of the camera, as pixels (M, 2); M is 0 when nothing is."""
        ground = np.asarray(polygon_m, dtype=np.float64)
        points = np.column_stack([ground, np.zeros(len(ground))])
        pixels, depth = self.project(points)
        if depth.min() >= NEAR_M:
            return pixels
        kept: list[Array] = []
        for i in range(len(points)):
            j = (i + 1) % len(points)
            if depth[i] >= NEAR_M:
                kept.append(points[i])
            if (depth[i] >= NEAR_M) != (depth[j] >= NEAR_M):
                share = (NEAR_M - depth[i]) / (depth[j] - depth[i])
                kept.append(points[i] + share * (points[j] - points[i]))
        return self.project(np.array(kept))[0] if len(kept) >= 3 else np.zeros((0, 2))
