"""The camera that a homography of the road plane implies: its focal length, its height and tilt, and the horizon.

Square pixels and a principal point in the middle of the picture are assumed, which a cropped picture breaks (R. Hartley, A. Zisserman,
Multiple View Geometry, 2nd edition, section 8.5: calibration from a scene plane). With K = diag(f, f, 1) and pixels from the middle,
the first two columns of the homography are K r1 and K r2, where r1 and r2 are orthogonal and of equal length. Both conditions are
linear in 1 / f² and solved together by least squares.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flowrt.traffic.calibration.plane import Array

FOCAL_PX = 30.0, 30_000.0
"""Focal lengths outside of these are none: the conditions contradict each other."""


@dataclass(frozen=True)
class ImpliedCamera:
    """Where the camera must stand for the points to be right. The sigmas are what clicks make of it (standard deviation).

    focal_px: focal length in pixels. height_m: above the road plane. tilt_deg: how far its axis looks down. roll_deg: how far the
    horizon is turned clockwise. field_of_view_deg: from the left to the right border of the picture.
    """

    focal_px: float
    focal_sigma_px: float
    height_m: float
    height_sigma_m: float
    tilt_deg: float
    roll_deg: float
    field_of_view_deg: float


def focals_and_heights(to_image: Array, picture_px: tuple[float, float]) -> tuple[Array, Array]:
    """(...,) twice, of homographies (..., 3, 3) from ground to image: focal length in pixels and height in metres; NaN where it
    can't be told."""
    focal, up, length, shift = _recovered(to_image, picture_px)
    return focal, np.abs((up * shift).sum(axis=-1)) / length


def up_column(to_image: Array, picture_px: tuple[float, float]) -> Array | None:
    """(3,): what the projection has for the height above the ground, where a homography (3, 3) has the rest of it: a point h above
    (x, y) is seen at to_image @ (x, y, 1) + up_column * h. None where it can't be told."""
    focal, up, length, shift = _recovered(to_image, picture_px)
    if not np.isfinite(focal):
        return None
    if float(up @ shift) > 0:  # the camera stands above the ground: -R^T t has a positive height
        up = -up
    seen = up * length * np.array([float(focal), float(focal), 1.0])
    return np.asarray(seen + seen[2] * np.array([picture_px[0] / 2, picture_px[1] / 2, 0.0]))


def _recovered(to_image: Array, picture_px: tuple[float, float]) -> tuple[Array, Array, Array, Array]:
    """Of homographies (..., 3, 3): focal length (...,), the unit vector up (..., 3) in the camera's axes, in either sense, the
    homography's length of a metre (...,), and its third column (..., 3) without the focal length."""
    shift = np.array([[1, 0, -picture_px[0] / 2], [0, 1, -picture_px[1] / 2], [0, 0, 1.0]])
    centred = shift @ to_image
    a, b = centred[..., :, 0], centred[..., :, 1]
    flat = np.stack(
        [
            2 * (a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1]),
            a[..., 0] ** 2 + a[..., 1] ** 2 - b[..., 0] ** 2 - b[..., 1] ** 2,
        ],
        axis=-1,
    )
    deep = np.stack([2 * a[..., 2] * b[..., 2], a[..., 2] ** 2 - b[..., 2] ** 2], axis=-1)
    inverse_f2 = -(flat * deep).sum(axis=-1) / np.maximum((flat**2).sum(axis=-1), 1e-18)
    known = (inverse_f2 > FOCAL_PX[1] ** -2.0) & (inverse_f2 < FOCAL_PX[0] ** -2.0)
    focal = np.where(known, inverse_f2, np.nan) ** -0.5
    unscaled = centred / np.stack([focal, focal, np.ones_like(focal)], axis=-1)[..., None]
    r1, r2, third = (unscaled[..., :, i] for i in range(3))
    length = np.sqrt(np.linalg.norm(r1, axis=-1) * np.linalg.norm(r2, axis=-1))
    return focal, np.cross(r1, r2) / length[..., None] ** 2, length, third


def implied_camera(to_image: Array, samples: Array, picture_px: tuple[float, float]) -> ImpliedCamera | None:
    """The camera behind a homography (3, 3), ground to image, with sigmas from disturbed ones (M, 3, 3); None where it can't be told:
    where the homography itself, or more than a tenth of the disturbed ones, implies none."""
    focal, height = (float(value) for value in focals_and_heights(to_image, picture_px))
    focals, heights = focals_and_heights(samples, picture_px)
    if not np.isfinite(focal) or np.isfinite(focals).mean() < 0.9:
        return None
    along, down, offset = horizon(to_image)
    middle = along * picture_px[0] / 2 + down * picture_px[1] / 2 + offset
    return ImpliedCamera(
        focal_px=focal,
        focal_sigma_px=_sigma(focals),
        height_m=height,
        height_sigma_m=_sigma(heights),
        tilt_deg=float(np.degrees(np.arctan2(middle, focal))),
        roll_deg=float(np.degrees(np.arctan2(-along, down))),
        field_of_view_deg=float(2 * np.degrees(np.arctan(picture_px[0] / 2 / focal))),
    )


def horizon(to_image: Array) -> tuple[float, float, float]:
    """(a, b, c): a x + b y + c is a pixel's distance from the horizon, positive on the road's side.

    to_image: (3, 3), positive for what lies in front of the camera. The distance is huge where the camera looks straight down.
    """
    line = np.linalg.inv(to_image)[2]
    line = line / max(float(np.hypot(line[0], line[1])), 1e-15)
    return float(line[0]), float(line[1]), float(line[2])


def _sigma(values: Array) -> float:
    """Half the distance of the 16th and the 84th percentile: the standard deviation of normal values, and little moved by a few wild
    ones. NaN is left out."""
    ordered = np.sort(values[np.isfinite(values)])
    low, high = ordered[[round(0.1587 * (len(ordered) - 1)), round(0.8413 * (len(ordered) - 1))]]
    return float(high - low) / 2
