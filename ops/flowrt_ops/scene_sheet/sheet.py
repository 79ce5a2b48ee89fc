"""The sheet: the scene drawn over a still, and beside it the road from above, with the same 5 m grid on both."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flowrt.message import Image
from flowrt.traffic.calibration import Calibration, applied
from flowrt.traffic.scene import Scene, Zone
from flowrt_ops.scene_sheet.canvas import DARK, FONT, WHITE, Canvas, Colour

HEIGHT = 900
"""Height of the sheet's pictures in pixels, without the lines below."""
GRID_M = 5.0
MAGNIFIED = 10
"""Residuals of points in use are a few pixels at most: they are drawn so many times as long."""
_REACH_M, _MOST_ABOVE = 150.0, 1.4
"""The view from above ends so far beyond the points, and is at most so many times as wide as high."""

GRID: Colour = (150, 190, 150)
POINT: Colour = (66, 228, 240)
OUTLIER: Colour = (60, 20, 235)
HORIZON: Colour = (255, 200, 90)
ZONES: dict[str, Colour] = {"lane": (233, 180, 86), "crosswalk": (66, 228, 240), "sidewalk": (115, 158, 0)}
OTHER_ZONE: Colour = (200, 140, 220)
LINES: dict[str, Colour] = {"stop_line": (60, 100, 240), "count": (240, 200, 120)}
OTHER_LINE: Colour = (0, 159, 230)

Points = NDArray[np.float64]


class _Above(NamedTuple):
    """The view from above: a similarity (3, 3) from ground metres to its pixels, its size, and the bounds in metres (low, high)."""

    matrix: Points
    size: tuple[int, int]
    low: Points
    high: Points


def sheet(scene: Scene, calibration: Calibration | None, still: Image | None, caption: str) -> Image:
    """The whole sheet (H, W, 3). still: a picture of the scene's proportions, blank where None."""
    zoom = HEIGHT / scene.picture_px[1]
    size = round(scene.picture_px[0] * zoom), HEIGHT
    picture = np.full((size[1], size[0], 3), 70, np.uint8) if still is None else cv2.resize(still, size)
    picture = cv2.addWeighted(picture, 0.75, np.zeros_like(picture), 0.0, 0.0)
    views = [_from_the_camera(scene, calibration, np.asarray(picture, np.uint8), zoom)]
    if calibration is not None and (above := _above(scene, calibration)) is not None:
        views.append(_from_above(scene, calibration, still, above))
    gap = np.full((HEIGHT, 6, 3), 255, np.uint8)
    parts = [part for view in views for part in (view, gap)][:-1]
    body = np.concatenate(parts, axis=1)
    return np.concatenate([body, _footer(body.shape[1], caption, calibration)], axis=0)


def _from_the_camera(scene: Scene, calibration: Calibration | None, picture: Image, zoom: float) -> Image:
    canvas = Canvas(picture)
    if calibration is not None:
        area = _bounds(scene, calibration)
        if area is not None:
            for line in _grid(*area):
                canvas.path(_visible(applied(calibration.to_image, line) * zoom, canvas.size), GRID)
        a, b, c = calibration.horizon
        ends = np.array([(x, -(a * x + c) / b) for x in (0.0, scene.picture_px[0])]) * zoom if abs(b) > 1e-6 else None
        if ends is not None and (ends[:, 1] > 0).any():
            canvas.dashes(ends, HORIZON)
            canvas.label(ends.mean(axis=0), "horizon", HORIZON)
        canvas.dashes(np.vstack([calibration.hull_px, calibration.hull_px[:1]]) * zoom, POINT, 6.0)
    for zone in scene.zones.values():
        colour = ZONES.get(zone.kind, OTHER_ZONE)
        canvas.path(zone.polygon * zoom, colour, 2, closed=True, keep=1)
        middle = _inner_point(zone.polygon * zoom)
        if zone.heading is not None:
            ahead = np.asarray(zone.heading) / max(float(np.hypot(*zone.heading)), 1e-9)
            canvas.arrow(middle - ahead * 14, middle + ahead * 18, colour)
        canvas.label(middle, _zone_text(zone, calibration), colour)
    for each in scene.lines.values():
        colour = LINES.get(each.kind, OTHER_LINE)
        canvas.path(np.asarray(each.points) * zoom, colour, 3, keep=1)
        canvas.label(np.mean(each.points, axis=0) * zoom, each.name, colour)
    for name, lamp in scene.lamps.items():
        for x, y, radius in (lens for lens in (lamp.red, lamp.amber, lamp.green) if lens is not None):
            canvas.circle((x * zoom, y * zoom), radius * zoom, WHITE)
        canvas.label((lamp.red[0] * zoom, lamp.red[1] * zoom), f"lamp {name}", WHITE)
    if calibration is not None:
        _draw_points(canvas, calibration, calibration.image_px * zoom, calibration.residual_px * zoom)
    canvas.place_labels()
    return canvas.picture


def _from_above(scene: Scene, calibration: Calibration, still: Image | None, above: _Above) -> Image:
    picture = np.full((above.size[1], above.size[0], 3), 70, np.uint8)
    if still is not None:
        scale = still.shape[1] / scene.picture_px[0]
        to_top = above.matrix @ calibration.to_ground @ np.diag([1 / scale, 1 / scale, 1.0])
        warped = cv2.warpPerspective(still, to_top, above.size, borderValue=(93, 93, 93))
        seen = _in_front(calibration, above)
        picture[seen] = (warped[seen] * 0.75).astype(np.uint8)
    canvas = Canvas(picture)
    for line in _grid(above.low, above.high):
        canvas.path(_mapped(above.matrix, line), GRID)
    for i, value in enumerate(above.low):
        for at in np.arange(np.ceil(value / (4 * GRID_M)) * 4 * GRID_M, above.high[i] + 0.1, 4 * GRID_M):
            place = np.array([at, above.low[1]]) if i == 0 else np.array([above.low[0], at])
            canvas.label(_mapped(above.matrix, place[None])[0], f"{'xy'[i]} {at + 0.0:g} m", GRID)
    for zone in scene.zones.values():
        colour = ZONES.get(zone.kind, OTHER_ZONE)
        points = _mapped(above.matrix, applied(calibration.to_ground, _dense(zone.polygon.astype(float))))
        canvas.path(points, colour, 2, closed=True, keep=1)
        if np.isfinite(points).all():
            canvas.label(_inner_point(np.clip(points, -50, 4 * HEIGHT)), zone.name, colour)
    for each in scene.lines.values():
        points = _mapped(above.matrix, applied(calibration.to_ground, each.points))
        canvas.path(points, LINES.get(each.kind, OTHER_LINE), 3, keep=1)
    there = _mapped(above.matrix, calibration.ground_m)
    _draw_points(
        canvas, calibration, there, _mapped(above.matrix, calibration.ground_m + calibration.residual_m) - there
    )
    canvas.place_labels()
    return canvas.picture


def _draw_points(canvas: Canvas, calibration: Calibration, places: Points, residuals: Points) -> None:
    """Points with their numbers, and arrows to where the fit puts them: magnified, but for outliers."""
    for i, (place, residual) in enumerate(zip(places, residuals, strict=True)):
        used = bool(calibration.used[i])
        colour = POINT if used else OUTLIER
        end = place + residual * (MAGNIFIED if used else 1)
        if np.isfinite(end).all() and np.hypot(*(end - place)) > 2:
            canvas.arrow(place, end, colour)
        canvas.cross(place, colour)
        canvas.label(place, str(i + 1) if used else f"{i + 1}: outlier", colour)


def _zone_text(zone: Zone, calibration: Calibration | None) -> str:
    """The name, and for lanes how uncertain speeds are in them."""
    if zone.kind != "lane" or calibration is None:
        return zone.name
    corners = zone.polygon.astype(float)
    directions = None if zone.heading is None else np.broadcast_to(zone.heading, corners.shape)
    sigma = calibration.scale_sigma(corners, directions)
    return f"{zone.name} +-{100 * sigma.min():.0f} to {100 * min(sigma.max(), 1.0):.0f} %"


def _bounds(scene: Scene, calibration: Calibration) -> tuple[Points, Points] | None:
    """Lowest and highest ground coordinates of everything drawn, on whole grid lines, without what lies far beyond the points."""
    drawn = [zone.polygon for zone in scene.zones.values()] + [np.asarray(line.points) for line in scene.lines.values()]
    ground = [applied(calibration.to_ground, points.astype(float)) for points in drawn]
    points = np.vstack([calibration.ground_m[calibration.used], *ground])
    points = points[np.isfinite(points).all(axis=1)]
    core = calibration.ground_m[calibration.used]
    low, high = core.min(axis=0) - _REACH_M, core.max(axis=0) + _REACH_M
    points = np.clip(points, low, high)
    least, most = points.min(axis=0) - GRID_M, points.max(axis=0) + GRID_M
    return np.floor(least / GRID_M) * GRID_M, np.ceil(most / GRID_M) * GRID_M


def _grid(low: Points, high: Points) -> list[Points]:
    """The lines of the grid between two corners, each as points (K, 2) a metre apart."""
    lines = []
    for axis in (0, 1):
        along = np.arange(low[1 - axis], high[1 - axis] + 0.5, 1.0)
        for at in np.arange(low[axis], high[axis] + 0.1, GRID_M):
            fixed = np.full_like(along, at)
            lines.append(np.column_stack([fixed, along] if axis == 0 else [along, fixed]))
    return lines


def _above(scene: Scene, calibration: Calibration) -> _Above | None:
    """The view from above in which away from the camera is up and its right is right."""
    area = _bounds(scene, calibration)
    if area is None:
        return None
    low, high = area
    middle = calibration.hull_px.mean(axis=0)
    here, up, right = applied(calibration.to_ground, [middle, middle - np.array([0, 1]), middle + np.array([1, 0])])
    forward = (up - here) / np.hypot(*(up - here))
    side = np.array([-forward[1], forward[0]])
    side = side if float(side @ (right - here)) > 0 else -side
    turn = np.stack([side, -forward])
    corners = np.array([(x, y) for x in (low[0], high[0]) for y in (low[1], high[1])]) @ turn.T
    least, most = corners.min(axis=0), corners.max(axis=0)
    scale = min(HEIGHT / (most[1] - least[1]), HEIGHT * _MOST_ABOVE / (most[0] - least[0]))
    matrix = np.eye(3)
    matrix[:2, :2] = turn * scale
    width = max(round((most[0] - least[0]) * scale), 260)
    spare = np.array([width, HEIGHT]) - (most - least) * scale
    matrix[:2, 2] = spare / 2 - least * scale
    return _Above(matrix, (width, HEIGHT), low, high)


def _in_front(calibration: Calibration, above: _Above) -> NDArray[np.bool_]:
    """(H, W): pixels of the view from above whose ground the camera could see."""
    x, y = np.meshgrid(np.arange(above.size[0]), np.arange(above.size[1]))
    depth = calibration.to_image @ np.linalg.inv(above.matrix)
    return np.asarray(depth[2, 0] * x + depth[2, 1] * y + depth[2, 2] > 0.02)


def _mapped(matrix: Points, points: ArrayLike) -> Points:
    return np.asarray(np.asarray(points, np.float64) @ matrix[:2, :2].T + matrix[:2, 2])


def _dense(polygon: Points) -> Points:
    """A polygon with points all along its sides, which a homography maps to straight lines but a horizon cuts."""
    ends = np.roll(polygon, -1, axis=0)
    shares = np.arange(8)[:, None, None] / 8
    return np.asarray((polygon + (ends - polygon) * shares).transpose(1, 0, 2).reshape(-1, 2))


def _visible(points: Points, size: tuple[int, int]) -> Points:
    """Points far outside of the picture become NaN."""
    near = np.abs(points).max(axis=1, keepdims=True) <= 4 * max(size)
    return np.where(near, points, np.nan)


def _inner_point(polygon: NDArray[np.floating]) -> Points:
    """The point of a polygon farthest from its border."""
    least = polygon.min(axis=0)
    shrink = max(float(np.ptp(polygon, axis=0).max()) / 400.0, 1.0)
    local = (polygon - least) / shrink + 1
    wide, high = np.ceil(local.max(axis=0)).astype(int) + 2
    mask = np.zeros((high, wide), np.uint8)
    cv2.fillPoly(mask, [local.round().astype(np.int32)], 255)
    place = cv2.minMaxLoc(cv2.distanceTransform(mask, cv2.DIST_L2, 3))[3]
    return np.asarray((np.array(place) - 1) * shrink + least, np.float64)


def _footer(width: int, caption: str, calibration: Calibration | None) -> Image:
    lines = [caption]
    if calibration is not None:
        lines.append(
            f"grid {GRID_M:g} m; crosses are points, dashes their hull; arrows lead to where the fit puts them, "
            f"x{MAGNIFIED}, red ones of outliers true to scale"
        )
    footer = np.full((10 + 22 * len(lines), width, 3), DARK, np.uint8)
    for i, line in enumerate(lines):
        cv2.putText(footer, line, (8, 20 + 22 * i), FONT, 0.5, WHITE, 1, cv2.LINE_AA)
    return footer
