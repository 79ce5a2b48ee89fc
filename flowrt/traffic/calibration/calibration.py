"""How good a homography is: residuals, held-out errors, the camera that it implies, and how uncertain its scale is where.

Up to five points are fitted by the normalised direct linear transform; from six on, RANSAC (M. Fischler, R. Bolles, 1981) tells the
outliers, and the fit is refined on the others. It goes from the ground to the image, so that its threshold is pixels.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from flowrt.diagnostics import Diagnostic
from flowrt.traffic.calibration import plane
from flowrt.traffic.calibration.plane import Array, Mask
from flowrt.traffic.calibration.points import NoCalibration, check_points
from flowrt.traffic.calibration.pose import ImpliedCamera, horizon, implied_camera

CLICK_PX = 1.0
"""Standard deviation of a click, aside and down."""
OUTLIER_PX, REFUSED_PX = 3.0, 10.0
"""From so far off the others' fit a point is an outlier, which the fit leaves out; from so far, the homography is refused."""
DRAWN_ON_PX = 1280
"""Pixels in these limits are those of a picture of at most this width: a wider one is not drawn more exactly on a screen."""
AGREEING = 5
"""So many points at least must agree where there are six: any four do."""
_DRAWS, _SEED = 256, 20
_DIRECTIONS = 8


@dataclass(frozen=True, eq=False)
class Calibration:
    """A fitted homography and how good it is. Pixels are those of a picture of `picture_px`.

    image_px, ground_m: (N, 2), the points. used: (N,), False for outliers, which the fit leaves out.
    to_image, to_ground: (3, 3), ground metres to pixels and back; positive for what is in front of the camera.
    click_px: the standard deviation of a click, as assumed or, where the residuals say that it is more, as they say.
    limit_px: from how many pixels a point is an outlier.
    """

    image_px: Array
    ground_m: Array
    picture_px: tuple[float, float] | None
    used: Mask
    to_image: Array
    to_ground: Array
    click_px: float
    limit_px: float

    @property
    def outliers(self) -> tuple[int, ...]:
        """Indices of the points that the fit leaves out."""
        return tuple(np.flatnonzero(~self.used).tolist())

    @property
    def exact(self) -> bool:
        """Whether the fit goes through its points by construction, so that residuals are zero and say nothing: with four."""
        return int(self.used.sum()) == plane.LEAST

    @cached_property
    def residual_px(self) -> Array:
        """(N, 2): from each picture point to where the fit puts its ground point. NaN behind the camera."""
        return np.asarray(plane.applied(self.to_image, self.ground_m) - self.image_px)

    @cached_property
    def residual_m(self) -> Array:
        """(N, 2): from each ground point to where the fit puts its picture point. NaN beyond the horizon."""
        return np.asarray(plane.applied(self.to_ground, self.image_px) - self.ground_m)

    @property
    def rms_px(self) -> float:
        """Root mean square distance of the points in use."""
        return _rms(self.residual_px[self.used])

    @property
    def rms_m(self) -> float:
        """The same on the ground."""
        return _rms(self.residual_m[self.used])

    @property
    def max_px(self) -> float:
        """The largest distance of a point in use."""
        return float(np.hypot(*self.residual_px[self.used].T).max())

    @property
    def max_m(self) -> float:
        """The same on the ground."""
        return float(np.hypot(*self.residual_m[self.used].T).max())

    @cached_property
    def held_out(self) -> tuple[Array, Array]:
        """(N,) twice, leave-one-out: how far a fit without the point puts it off, in pixels and in metres.

        NaN with four points, where the others alone do not determine the plane, and for outliers.
        """
        off_px, off_m = np.full(len(self.used), np.nan), np.full(len(self.used), np.nan)
        for i in np.flatnonzero(self.used) if not self.exact else ():
            others = self.used.copy()
            others[i] = False
            try:
                to_image = _fit(self.ground_m[others], self.image_px[others])
            except ValueError:
                continue
            to_ground = plane.inverse(to_image, self.ground_m[others])
            off_px[i] = np.hypot(*(plane.applied(to_image, self.ground_m[i])[0] - self.image_px[i]))
            off_m[i] = np.hypot(*(plane.applied(to_ground, self.image_px[i])[0] - self.ground_m[i]))
        return off_px, off_m

    @cached_property
    def samples(self) -> Array:
        """(M, 3, 3), ground to image: what the fit might as well be, by clicks disturbed at random, the same ones each time."""
        used = self.used
        return plane.drawn(self.to_image, self.ground_m[used], self.image_px[used], self.click_px, _DRAWS, _SEED)

    @cached_property
    def _drawn_to_ground(self) -> Array:
        return plane.inverse(self.samples, self.ground_m[self.used])

    @cached_property
    def camera(self) -> ImpliedCamera | None:
        """The camera that the points imply; None where they imply none, or without `picture_px`."""
        return None if self.picture_px is None else implied_camera(self.to_image, self.samples, self.picture_px)

    @property
    def horizon(self) -> tuple[float, float, float]:
        """(a, b, c): a x + b y + c is a pixel's distance from the horizon, positive on the road's side."""
        return horizon(self.to_image)

    @cached_property
    def hull_px(self) -> Array:
        """(K, 2): the convex hull of the picture points in use; beyond it the homography extrapolates."""
        return plane.hull(self.image_px[self.used])

    def beyond_hull_px(self, points_px: ArrayLike) -> Array:
        """(K,): how far picture points (K, 2) lie outside of the hull; 0 inside."""
        return plane.beyond(self.hull_px, points_px)

    def scale_covariance(self, points_px: ArrayLike) -> Array:
        """(K, 3, 3): how uncertain lengths are at picture points (K, 2), as shares of them, for `relative_sigma`.

        A length in the direction (c, s) on the ground is wrong by the share w · e with w = (c², c s, s²), where e comes from the derivative
        J of each draw's homography: E = J_drawn J⁻¹ - 1, e = (E11, E12 + E21, E22). This is the covariance of e.
        """
        points = np.asarray(points_px, np.float64).reshape(-1, 2)
        here = plane.jacobians(self.to_ground, points)
        known = np.isfinite(here).all(axis=(1, 2))
        here[~known] = np.eye(2)
        off = plane.jacobians(self._drawn_to_ground, points) @ np.linalg.inv(here) - np.eye(2)
        shares = np.stack([off[..., 0, 0], off[..., 0, 1] + off[..., 1, 0], off[..., 1, 1]], axis=-1)
        shares = np.clip(np.nan_to_num(shares, nan=1.0), -1.0, 1.0)  # at the horizon of a draw: wrong by all of it
        shares -= shares.mean(axis=0)
        by_point = shares.transpose(1, 2, 0)
        covariance = by_point @ by_point.transpose(0, 2, 1) / len(shares)
        covariance[~known] = np.inf
        return np.asarray(covariance)

    def scale_sigma(self, points_px: ArrayLike, directions_px: ArrayLike | None = None) -> Array:
        """(K,): standard deviation of lengths, and so of speeds, at picture points (K, 2), as a share of them.

        directions_px: (K, 2), which way it is measured in the picture; without them, the least certain way. Infinite beyond the horizon.
        """
        points = np.asarray(points_px, np.float64).reshape(-1, 2)
        covariance = self.scale_covariance(points)
        if directions_px is not None:
            given = np.asarray(directions_px, np.float64).reshape(-1, 2, 1)
            return relative_sigma(covariance, (plane.jacobians(self.to_ground, points) @ given)[..., 0])
        angles = np.arange(_DIRECTIONS) * np.pi / _DIRECTIONS
        ways = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        return np.asarray(relative_sigma(covariance[:, None], ways).max(axis=-1))

    def scaled(self, x: float, y: float) -> Calibration:
        """The same for a picture that is so many times as wide and as high."""
        zoom, mean = np.diag([x, y, 1.0]), (x * y) ** 0.5
        return dataclasses.replace(
            self,
            image_px=self.image_px * (x, y),
            picture_px=self.picture_px and (self.picture_px[0] * x, self.picture_px[1] * y),
            to_image=zoom @ self.to_image,
            to_ground=self.to_ground @ np.linalg.inv(zoom),
            click_px=self.click_px * mean,
            limit_px=self.limit_px * mean,
        )


def calibrate(
    image_px: Sequence[Sequence[float]] | Array,
    ground_m: Sequence[Sequence[float]] | Array,
    picture_px: tuple[int, int] | None = None,
) -> Calibration:
    """Fit a homography to points of the picture (N, 2) and the same points on the ground (N, 2) in metres.

    Raises NoCalibration where they determine none: too few, the same twice, three of four on one line, or in crossed order.
    What else is wrong with a fit, `calibration_diagnostics` says.
    """
    image, ground = np.asarray(image_px, np.float64), np.asarray(ground_m, np.float64)
    check_points(image, ground)
    finer = max(1.0, picture_px[0] / DRAWN_ON_PX) if picture_px else 1.0
    limit = OUTLIER_PX * finer
    try:
        used = _inliers(ground, image, limit) if len(image) >= plane.ROBUST_FROM else np.ones(len(image), bool)
        to_image = _fit(ground[used], image[used])
    except ValueError:
        hint = "give at least 4 points, spread over the road, no three on one line"
        raise NoCalibration(
            Diagnostic(message="the points are degenerate: all but one lie on one line", hint=hint)
        ) from None
    _check_order(to_image, ground, image, used)
    to_ground = plane.inverse(to_image, ground[used])
    freedom = 2 * int(used.sum()) - 8
    off = plane.applied(to_image, ground[used]) - image[used]
    click = max(CLICK_PX * finer, float(np.sqrt((off**2).sum() / freedom)) if freedom else 0.0)
    return Calibration(image, ground, picture_px, used, to_image, to_ground, click, limit)


def relative_sigma(covariance: Array, directions_m: Array) -> Array:
    """(...,): the standard deviation of a length in directions (..., 2) on the ground, as a share of it; see `scale_covariance`.
    Infinite where unknown."""
    with np.errstate(invalid="ignore", divide="ignore"):  # beyond the horizon, and without a direction
        way = directions_m / np.linalg.norm(directions_m, axis=-1, keepdims=True)
        weights = np.stack([way[..., 0] ** 2, way[..., 0] * way[..., 1], way[..., 1] ** 2], axis=-1)
        variance = np.einsum("...i,...ij,...j->...", weights, covariance, weights)
        return np.asarray(np.sqrt(np.nan_to_num(variance, nan=np.inf, posinf=np.inf)))


def swaps_that_fit(image_px: Array, ground_m: Array, limit_px: float) -> list[tuple[int, int]]:
    """Pairs of points (i, j) whose ground points, exchanged, make all points fit within the limit, in front of the camera."""
    found = []
    for i in range(len(image_px)):
        for j in range(i + 1, len(image_px)):
            swapped = ground_m.copy()
            swapped[[i, j]] = swapped[[j, i]]
            try:
                off = np.hypot(*(plane.applied(_fit(swapped, image_px), swapped) - image_px).T)
            except ValueError:
                continue
            if (off <= limit_px).all():
                found.append((i, j))
    return found


def _fit(ground_m: Array, image_px: Array) -> Array:
    """(3, 3), ground to image. Raises ValueError where the points are degenerate."""
    try:
        return plane.fitted(ground_m, image_px)
    except np.linalg.LinAlgError:
        raise ValueError("the points do not determine the plane") from None


def _inliers(ground_m: Array, image_px: Array, limit_px: float) -> Mask:
    """(N,): points whose common fit is within the limit for each of them; everything where that is so, or where no five agree."""
    everything = np.ones(len(image_px), bool)
    if _off_px(ground_m, image_px, everything).max() <= limit_px:
        return everything
    import cv2  # heavy, and needed for outliers only

    _, mask = cv2.findHomography(ground_m, image_px, cv2.RANSAC, limit_px)
    used = everything if mask is None else np.asarray(mask[:, 0] > 0)
    off = _off_px(ground_m, image_px, used)
    while (
        used.sum() > AGREEING and off[used].max() > limit_px
    ):  # RANSAC's model is one of four points, the fit one of all
        used[np.flatnonzero(used)[off[used].argmax()]] = False
        off = _off_px(ground_m, image_px, used)
    for i in np.argsort(off):  # the model of four points also shuts out some that agree with all
        more = used.copy()
        more[i] = True
        if not used[i] and _off_px(ground_m, image_px, more)[more].max() <= limit_px:
            used = more
    return used if used.sum() >= AGREEING and _off_px(ground_m, image_px, used)[used].max() <= limit_px else everything


def _off_px(ground_m: Array, image_px: Array, used: Mask) -> Array:
    """(N,): how far all points are off the fit of those in use; infinite where it puts them behind the camera."""
    off = np.hypot(*(plane.applied(_fit(ground_m[used], image_px[used]), ground_m) - image_px).T)
    return np.asarray(np.nan_to_num(off, nan=np.inf))


def _check_order(to_image: Array, ground_m: Array, image_px: Array, used: Mask) -> None:
    """All points lie on one side of the horizon, that is in front of the camera; crossed pairs do not."""
    depth = ground_m[used] @ to_image[2, :2] + to_image[2, 2]
    if np.isfinite(to_image).all() and (depth > 0).all():
        return
    swaps = swaps_that_fit(image_px[used], ground_m[used], OUTLIER_PX)
    indices = np.flatnonzero(used)
    names = [f"{indices[i] + 1} and {indices[j] + 1}" for i, j in swaps[:2]]
    hint = "give ground_m in the order of image_px"
    if names:
        hint += ": the ground points " + ", or ".join(names) + " seem to be exchanged"
    at = int(indices[swaps[0][1]]) if swaps else int(np.flatnonzero(used)[np.argmin(np.nan_to_num(depth))])
    message = "the points are in crossed order: the horizon would run between them"
    raise NoCalibration(Diagnostic(("ground_m", at), message, hint))


def _rms(vectors: Array) -> float:
    return float(np.sqrt((vectors**2).sum(axis=1).mean()))
