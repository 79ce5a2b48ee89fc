"""Homographies between the road plane and a picture, from points seen in both: fitted, refined, and disturbed at random.

A homography maps homogeneous points; it is known up to a factor. `to_image` maps ground metres to pixels, and is scaled so that the
third coordinate is positive for what lies in front of the camera. Errors of clicks are pixels, so that every fit minimises pixels.

Sources: R. Hartley, A. Zisserman, Multiple View Geometry, 2nd edition: algorithm 4.2 (normalised direct linear transform),
section 4.5 (the error in one image), appendix 6 (Gauss-Newton).
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 4
"""A homography has eight unknowns, and a point gives two equations."""
ROBUST_FROM = 6
"""From so many points an outlier can be told from the others."""
LINE_PX, LINE_SHARE = 2.0, 0.005
"""Three points lie on one line where the middle one is no further off it: pixels; share of the distance of the outer ones."""
_STEPS, _DRAW_STEPS = 12, 3
_EDGE = 1e-9


def applied(matrix: Array, points: ArrayLike) -> Array:
    """Points (N, 2) through homographies (..., 3, 3): (..., N, 2). NaN at the horizon and beyond, where the third coordinate is not
    positive."""
    x, y = np.asarray(points, np.float64).reshape(-1, 2).T
    rows = matrix[..., :, 0:1] * x + matrix[..., :, 1:2] * y + matrix[..., :, 2:3]
    depth = np.where(rows[..., 2:, :] > _EDGE, rows[..., 2:, :], np.nan)
    return np.asarray(np.swapaxes(rows[..., :2, :] / depth, -1, -2))


def jacobians(matrix: Array, points: ArrayLike) -> Array:
    """(..., N, 2, 2): how a small step at each point (N, 2) goes through homographies (..., 3, 3)."""
    given = np.asarray(points, np.float64).reshape(-1, 2)
    depth = (given @ matrix[..., 2, :2, None])[..., 0] + matrix[..., 2, 2, None]
    depth = np.where(depth > _EDGE, depth, np.nan)
    target = applied(matrix, given)
    rows = matrix[..., None, :2, :2] - target[..., :, None] * matrix[..., None, 2:, :2]
    return np.asarray(rows / depth[..., None, None])


def inverse(matrix: Array, points: ArrayLike) -> Array:
    """The inverse of homographies (..., 3, 3), positive for the mean of what `points` (N, 2) become."""
    back: Array = np.linalg.inv(matrix).astype(np.float64)
    return facing(back, applied(matrix, np.mean(np.asarray(points, np.float64), axis=0))[..., 0, :])


def facing(matrix: Array, point: Array) -> Array:
    """Homographies (..., 3, 3) with a positive third coordinate for a point (..., 2), and |·| = 1 there."""
    depth = (matrix[..., 2, :2] * point).sum(axis=-1) + matrix[..., 2, 2]
    depth = np.where(np.abs(depth) < _EDGE, np.nan, depth)
    return np.asarray(matrix / depth[..., None, None])


def fitted(ground_m: Array, image_px: Array) -> Array:
    """(3, 3), ground to image, through points (N, 2) of both: the normalised direct linear transform, from five points refined so
    that the squared distances in pixels are least. Raises ValueError where the points do not determine it."""
    from_ground, ground = _normalised(ground_m)
    from_image, image = _normalised(image_px)
    rows = np.zeros((len(ground), 2, 9))
    for i, ((x, y), (u, v)) in enumerate(zip(ground, image, strict=True)):
        rows[i, 0] = [-x, -y, -1, 0, 0, 0, u * x, u * y, u]
        rows[i, 1] = [0, 0, 0, -x, -y, -1, v * x, v * y, v]
    _, singular, vh = np.linalg.svd(rows.reshape(-1, 9))
    if singular[7] < 1e-6 * singular[0] or abs(np.linalg.det(vh[8].reshape(3, 3))) < 1e-12:
        raise ValueError("the points do not determine the plane")
    plane = vh[8].reshape(3, 3)
    if len(ground) > LEAST:
        plane = _refined(plane, ground, image, _STEPS)
    return facing(np.linalg.inv(from_image) @ plane @ from_ground, ground_m.mean(axis=0))


def drawn(to_image: Array, ground_m: Array, image_px: Array, sigma_px: float, draws: int, seed: int) -> Array:
    """(draws, 3, 3), ground to image: fits to the clicked points, each moved by a normal error of `sigma_px` aside and down.

    The fits begin at `to_image`, the fit without the errors. The same seed gives the same errors.
    """
    errors = np.random.default_rng(seed).normal(0.0, sigma_px, (draws, *image_px.shape))
    from_ground, ground = _normalised(ground_m)
    from_image, _ = _normalised(image_px)
    clicked = applied(from_image, (image_px + errors).reshape(-1, 2)).reshape(errors.shape)
    plane = _refined(from_image @ to_image @ np.linalg.inv(from_ground), ground, clicked, _DRAW_STEPS)
    return facing(np.linalg.inv(from_image) @ plane @ from_ground, ground_m.mean(axis=0))


def _refined(plane: Array, ground: Array, image: Array, steps: int) -> Array:
    """(..., 3, 3): Gauss-Newton steps that lessen the squared distances between `image` (..., N, 2) and what becomes of `ground` (N, 2).

    Both are normalised, so that the middle of the ground points has the third coordinate 1.
    """
    h = np.broadcast_to((plane / plane[2, 2]).reshape(9)[:8], (*image.shape[:-2], 8)).copy()
    x, y = ground.T
    one, nothing = np.ones_like(x), np.zeros_like(x)
    ridge = 1e-12 * np.eye(8)
    for _ in range(steps):
        depth = h[..., 6:7] * x + h[..., 7:8] * y + 1.0
        depth = np.where(np.abs(depth) < 1e-6, 1e-6, depth)
        u = (h[..., 0:1] * x + h[..., 1:2] * y + h[..., 2:3]) / depth
        v = (h[..., 3:4] * x + h[..., 4:5] * y + h[..., 5:6]) / depth
        blank, direct = np.broadcast_to(nothing, u.shape), [x / depth, y / depth, one / depth]
        along = np.stack([*direct, blank, blank, blank, -u * x / depth, -u * y / depth], axis=-1)
        down = np.stack([blank, blank, blank, *direct, -v * x / depth, -v * y / depth], axis=-1)
        slope = np.concatenate([along, down], axis=-2)
        missing = np.concatenate([image[..., 0] - u, image[..., 1] - v], axis=-1)[..., None]
        turned = np.swapaxes(slope, -1, -2)
        h += np.linalg.solve(turned @ slope + ridge, turned @ missing)[..., 0]
    return np.concatenate([h, np.ones((*h.shape[:-1], 1))], axis=-1).reshape(*h.shape[:-1], 3, 3)


def _normalised(points: Array) -> tuple[Array, Array]:
    """(3, 3), a similarity that moves the points' centroid to 0 and their mean distance to sqrt 2; and the moved points."""
    centre = points.mean(axis=0)
    mean = float(np.linalg.norm(points - centre, axis=1).mean())
    if mean == 0:
        raise ValueError("all points are the same")
    scale = np.sqrt(2) / mean
    matrix = np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])
    return matrix, (points - centre) * scale


def on_one_line(points: Array, least: float = 0.0) -> list[tuple[int, int, int]]:
    """Every three of the points (N, 2) that lie on one line: closer to it than `least`, or than LINE_SHARE of their distance."""
    triples = np.array(list(itertools.combinations(range(len(points)), 3)))
    if not len(triples):
        return []
    a, b, c = (points[triples[:, i]] for i in range(3))
    area = np.abs((b[:, 0] - a[:, 0]) * (c[:, 1] - a[:, 1]) - (b[:, 1] - a[:, 1]) * (c[:, 0] - a[:, 0]))
    longest = np.max([np.hypot(*(p - q).T) for p, q in ((a, b), (b, c), (c, a))], axis=0)
    height = area / np.maximum(longest, 1e-12)
    return [(int(i), int(j), int(k)) for i, j, k in triples[height <= np.maximum(least, LINE_SHARE * longest)]]


def hull(points: Array) -> Array:
    """(K, 2): the corners of the convex hull of points (N, 2), in order (A. Andrew's monotone chain, 1979)."""
    ordered = sorted(map(tuple, points.tolist()))

    def half(line: list[tuple[float, ...]]) -> list[tuple[float, ...]]:
        kept: list[tuple[float, ...]] = []
        for p in line:
            while len(kept) > 1 and _turn(kept[-2], kept[-1], p) <= 0:
                kept.pop()
            kept.append(p)
        return kept[:-1]

    return np.array([*half(ordered), *half(ordered[::-1])])


def beyond(corners: Array, points: ArrayLike) -> Array:
    """(N,): how far points (N, 2) lie outside of a convex polygon (K, 2); 0 inside."""
    given = np.asarray(points, np.float64).reshape(-1, 2)
    ends = np.roll(corners, -1, axis=0)
    side = ends - corners
    offset = given[:, None] - corners
    turns = side[:, 0] * offset[..., 1] - side[:, 1] * offset[..., 0]
    inside = (turns >= 0).all(axis=1) | (turns <= 0).all(axis=1)
    share = np.clip((offset * side).sum(axis=-1) / np.maximum((side**2).sum(axis=-1), 1e-12), 0.0, 1.0)
    nearest = np.linalg.norm(offset - share[..., None] * side, axis=-1).min(axis=1)
    return np.where(inside, 0.0, nearest)


def _turn(a: tuple[float, ...], b: tuple[float, ...], c: tuple[float, ...]) -> float:
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
