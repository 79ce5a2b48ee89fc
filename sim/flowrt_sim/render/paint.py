"""Draws figures (vehicles, pedestrians, poles) into a picture in painter's order and measures how much of each is visible.

Invariants: pixel (0, 0) reaches from 0 to 1, so its middle is at 0.5, as in the camera's projection; figures are drawn far to
near; a figure's box is the extent of its projected vertices, exactly what is filled; `visible` is counted in a picture of ids
of half size, so it agrees with the drawing order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_sim.bodies.mesh import DARK, GLASS, HEADLAMP, METAL, PAINT, PLATE, SECOND, SIGNAL, SKIN, TAILLAMP
from flowrt_sim.bodies.shapes import Body
from flowrt_sim.render.light import Light
from flowrt_sim.render.pinhole import NEAR_M, Camera

Picture = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]
Colour = tuple[float, float, float]

Polygons = list[tuple[npt.NDArray[np.int32], list[float]]]

SHIFT = 4
ONE = 1 << SHIFT
WIDEST_M = 9.0
"""No figure reaches further from its middle."""


def to_fixed(pixels: Array) -> npt.NDArray[np.int32]:
    """Pixels (N, 2) as OpenCV's drawing wants them: in fixed point, whole numbers at the middles of pixels."""
    return np.rint((pixels - 0.5) * ONE).astype(np.int32)


@dataclass(frozen=True)
class Figure:
    """One thing to draw: its body, where it stands (metres, radians), its colours (BGR) and its lamps.

    `stride` is the phase of the gait in radians; `actor` an id for the truth, or -1 for furniture.
    """

    body: Body
    x_m: float
    y_m: float
    heading_rad: float
    paint: Colour = (128, 128, 128)
    second: Colour = (90, 90, 90)
    skin: Colour = (130, 160, 205)
    actor: int = -1
    braking: bool = False
    stride: float = 0.0
    z_m: float = 0.0


@dataclass(frozen=True)
class Seen:
    """What a picture shows of one figure: box (x1, y1, x2, y2) px clipped to the picture, its unclipped box, share visible."""

    actor: int
    kind: str
    box_px: tuple[float, float, float, float]
    full_px: tuple[float, float, float, float]
    visible: float
    distance_m: float


@dataclass
class Cast:
    """A projected figure: world vertices (V, 3), pixels (V, 2), box, distance in metres, outline in half-size fixed point."""

    figure: Figure
    world: Array
    px: Array
    box: Array
    distance: float
    hull: npt.NDArray[np.int32]
    polygons: Polygons | None = None


def palette(figure: Figure, light: Light) -> Array:
    """Unlit colours of the palette slots (10, 3)."""
    table = np.zeros((10, 3))
    table[PAINT], table[SECOND], table[SKIN] = figure.paint, figure.second, figure.skin
    table[GLASS] = np.array([62, 54, 46]) + 0.10 * np.array(light.sky_top)
    table[DARK], table[METAL], table[PLATE], table[SIGNAL] = (
        (34, 33, 32),
        (125, 125, 124),
        (205, 215, 220),
        (28, 30, 28),
    )
    table[HEADLAMP], table[TAILLAMP] = (225, 228, 228), (36, 30, 150)
    return table


def cast(figure: Figure, camera: Camera) -> Cast | None:
    """Project a figure; None when it is behind the camera or outside the picture."""
    if _surely_outside(figure, camera):
        return None
    mesh = figure.body.mesh
    c, s = np.cos(figure.heading_rad), np.sin(figure.heading_rad)
    local = mesh.vertices_m
    x = local[:, 0] + mesh.swing_m * np.sin(figure.stride) if figure.stride else local[:, 0]
    y = local[:, 1]
    world = np.empty_like(local)
    world[:, 0] = figure.x_m + c * x - s * y
    world[:, 1] = figure.y_m + s * x + c * y
    world[:, 2] = local[:, 2] + figure.z_m
    px, depth = camera.project(world)
    if depth.min() < NEAR_M:
        return None
    low, high = px.min(axis=0), px.max(axis=0)
    if high[0] <= 0 or high[1] <= 0 or low[0] >= camera.size_px[0] or low[1] >= camera.size_px[1]:
        return None
    away = np.hypot(figure.x_m - camera.position_m[0], figure.y_m - camera.position_m[1])
    hull = np.asarray(cv2.convexHull(np.rint(px * (ONE / 2)).astype(np.int32)), np.int32)
    return Cast(figure, world, px, np.concatenate([low, high]), float(away), hull)


def _surely_outside(figure: Figure, camera: Camera) -> bool:
    """Whether a figure is too far behind or beside the camera to be in the picture, whatever its shape."""
    matrix = camera.matrix
    depth = matrix[2, 0] * figure.x_m + matrix[2, 1] * figure.y_m + matrix[2, 3]
    if depth < NEAR_M:
        return True
    column = (matrix[0, 0] * figure.x_m + matrix[0, 1] * figure.y_m + matrix[0, 3]) / depth
    reach = camera.focal_px * WIDEST_M / depth
    return bool(column < -reach or column > camera.size_px[0] + reach)


def still_life(figures: Sequence[Figure], camera: Camera, light: Light) -> list[Cast]:
    """Projected and shaded figures that never move, to be passed to `paint_figures` again and again."""
    casts = [each for each in (cast(figure, camera) for figure in figures) if each is not None]
    for item in casts:
        item.polygons = _polygons(camera, item, light)
    return casts


def paint_shadows(picture: Picture, camera: Camera, casts: Sequence[Cast], light: Light) -> None:
    """Draw the shadows of figures on the ground."""
    if light.shadow > 0.03:
        for item in casts:
            _shadow(picture, camera, item, light)


def paint_figures(
    picture: Picture, camera: Camera, figures: Sequence[Figure], light: Light, still: Sequence[Cast] = ()
) -> list[Seen]:
    """Draw figures with their shadows and lamps into `picture` (H, W, 3) and return what is visible of each.

    `still` are figures prepared by `still_life`, whose shadows are already in the picture.
    """
    moving = [each for each in (cast(figure, camera) for figure in figures) if each is not None]
    paint_shadows(picture, camera, moving, light)
    if light.lamps_on:
        for item in moving:
            _beam(picture, camera, item, light)
    casts = sorted([*moving, *still], key=lambda c: -c.distance)
    for item in casts:
        for points, shade in item.polygons or _polygons(camera, item, light):
            cv2.fillConvexPoly(picture, points, shade, cv2.LINE_AA, SHIFT)
        if light.lamps_on:
            _glow(picture, camera, item, light)
    return seen_only(casts, camera)


def seen_only(casts: Sequence[Cast], camera: Camera) -> list[Seen]:
    """What is seen of each actor among projected figures, without drawing them."""
    casts = sorted(casts, key=lambda c: -c.distance)
    width, height = camera.size_px
    ids = np.zeros((height // 2, width // 2), np.uint16)
    alone = np.zeros((height // 2, width // 2), np.uint8)
    areas = []
    for number, item in enumerate(casts, 1):
        if item.figure.actor < 0:
            _fill_parts(ids, item, number)
            areas.append(1)
            continue
        cv2.fillConvexPoly(ids, item.hull, number, cv2.LINE_8, SHIFT)
        x1, y1, x2, y2 = _region(item.box / 2, width // 2, height // 2, 2)
        view = alone[y1:y2, x1:x2]
        view[:] = 0
        cv2.fillConvexPoly(alone, item.hull, 1, cv2.LINE_8, SHIFT)
        inside = cv2.countNonZero(view)
        view[:] = 0
        areas.append(inside)
    counts = np.bincount(ids.ravel(), minlength=len(casts) + 1)
    found = []
    for number, item in enumerate(casts, 1):
        if item.figure.actor < 0:
            continue
        x1, y1, x2, y2 = item.box
        clipped = (max(x1, 0.0), max(y1, 0.0), min(x2, float(width)), min(y2, float(height)))
        share = float(counts[number]) / max(areas[number - 1], 1)
        box = (float(clipped[0]), float(clipped[1]), float(clipped[2]), float(clipped[3]))
        full = (float(x1), float(y1), float(x2), float(y2))
        found.append(Seen(item.figure.actor, item.figure.body.kind, box, full, min(share, 1.0), item.distance))
    return found


def _fill_parts(ids: npt.NDArray[np.uint16], item: Cast, number: int) -> None:
    """Mark what furniture hides, part by part, because a pole with its arm is far from convex."""
    fixed = np.rint(item.px * (ONE / 2)).astype(np.int32)
    mesh = item.figure.body.mesh
    for part in mesh.parts:
        corners = np.concatenate([mesh.faces[i] for i in range(part.first, part.last)])
        cv2.fillConvexPoly(ids, cv2.convexHull(fixed[corners]), number, cv2.LINE_8, SHIFT)


def _region(box: Array, width: int, height: int, pad: int) -> tuple[int, int, int, int]:
    x1, y1 = max(int(box[0]) - pad, 0), max(int(box[1]) - pad, 0)
    x2, y2 = min(int(box[2]) + pad + 1, width), min(int(box[3]) + pad + 1, height)
    return x1, y1, max(x2, x1), max(y2, y1)


def _polygons(camera: Camera, item: Cast, light: Light) -> Polygons:
    """The faces turned to the camera in drawing order, each with its lit colour."""
    figure, mesh = item.figure, item.figure.body.mesh
    c, s = np.cos(figure.heading_rad), np.sin(figure.heading_rad)
    normals = np.empty_like(mesh.normals)
    normals[:, 0] = c * mesh.normals[:, 0] - s * mesh.normals[:, 1]
    normals[:, 1] = s * mesh.normals[:, 0] + c * mesh.normals[:, 1]
    normals[:, 2] = mesh.normals[:, 2]
    eye = np.array(camera.position_m) - np.array([figure.x_m, figure.y_m, figure.z_m])
    eye = np.array([c * eye[0] + s * eye[1], -s * eye[0] + c * eye[1], eye[2]])
    facing = ((eye - mesh.middles_m) * mesh.normals).sum(axis=1) > 0
    colours = palette(figure, light)[mesh.slots] * light.shade(normals)
    _lamp_colours(colours, mesh.slots, figure, light)
    haze = 1 - np.exp(-item.distance / light.haze_m)
    colours = np.clip(colours * (1 - haze) + haze * np.array(light.haze), 0, 255)
    fixed = to_fixed(item.px)
    shades = colours.tolist()
    order = mesh.parts
    if len(order) > 1:
        order = tuple(sorted(order, key=lambda p: (p.level, -float(((p.middle_m - eye) ** 2).sum()))))
    return [(fixed[mesh.faces[i]], shades[i]) for part in order for i in range(part.first, part.last) if facing[i]]


def _lamp_colours(colours: Array, slots: npt.NDArray[np.intp], figure: Figure, light: Light) -> None:
    if figure.braking:
        colours[slots == TAILLAMP] = (60, 50, 255)
    elif light.lamps_on:
        colours[slots == TAILLAMP] = (30, 24, 190)
    if light.lamps_on:
        colours[slots == HEADLAMP] = (250, 255, 255)


def _shadow(picture: Picture, camera: Camera, item: Cast, light: Light) -> None:
    body, figure = item.figure.body, item.figure
    if figure.z_m > 0.5:
        return
    low = max(light.sun[2], 0.2)
    reach = min(body.height_m, 4.0) * 0.92 / low
    c, s = np.cos(figure.heading_rad), np.sin(figure.heading_rad)
    half = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * (body.length_m / 2, body.width_m / 2)
    foot = np.column_stack([figure.x_m + c * half[:, 0] - s * half[:, 1], figure.y_m + s * half[:, 0] + c * half[:, 1]])
    moved = foot - reach * np.array(light.sun[:2])
    outline = camera.clip_ground(cv2.convexHull(np.concatenate([foot, moved]).astype(np.float32))[:, 0])
    if len(outline):
        soft = 3 if light.direct[1] > 0.3 else 9
        darken(picture, outline, light.shadow, soft)


def darken(picture: Picture, outline: Array, share: float, soft: int) -> None:
    """Take `share` of the light from the convex polygon `outline` (N, 2) px, with edges blurred over `soft` pixels (odd)."""
    box = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
    x1, y1, x2, y2 = _region(box, picture.shape[1], picture.shape[0], soft)
    if x2 - x1 < 2 or y2 - y1 < 2:
        return
    mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
    cv2.fillConvexPoly(mask, to_fixed(outline - (x1, y1)), int(255 * share), cv2.LINE_8, SHIFT)
    mask = np.asarray(255 - cv2.blur(mask, (soft, soft)), np.uint8)
    view = picture[y1:y2, x1:x2]
    cv2.multiply(view, cv2.merge((mask, mask, mask)), dst=view, scale=1 / 255)


def _glow_sprite() -> Picture:
    axis = np.linspace(-1, 1, 65)
    away = np.hypot(axis[:, None], axis[None, :])
    return np.asarray(255 * np.clip(1 - away, 0, 1) ** 2.2).astype(np.uint8)


_SPRITE = _glow_sprite()


def add_glow(picture: Picture, middle: Array, radius_px: float, colour: Colour, strength: float = 1.0) -> None:
    """Add a round glow of light around a pixel."""
    radius = int(max(radius_px, 2))
    x, y = int(middle[0]), int(middle[1])
    x1, y1, x2, y2 = (
        max(x - radius, 0),
        max(y - radius, 0),
        min(x + radius, picture.shape[1]),
        min(y + radius, picture.shape[0]),
    )
    if x2 <= x1 or y2 <= y1:
        return
    sprite = cv2.resize(_SPRITE, (2 * radius, 2 * radius), interpolation=cv2.INTER_AREA)
    sprite = sprite[y1 - y + radius : y2 - y + radius, x1 - x + radius : x2 - x + radius]
    layer = cv2.merge([cv2.convertScaleAbs(sprite, alpha=strength * c / 255) for c in colour])
    view = picture[y1:y2, x1:x2]
    cv2.add(view, layer, dst=view)


def _ends(item: Cast, front: bool) -> Array:
    figure, body = item.figure, item.figure.body
    c, s = np.cos(figure.heading_rad), np.sin(figure.heading_rad)
    x = body.length_m / 2 * (1 if front else -1)
    offsets = [0.0] if body.width_m < 1.2 else [-0.38 * body.width_m, 0.38 * body.width_m]
    return np.array([[figure.x_m + c * x - s * y, figure.y_m + s * x + c * y, 0.75] for y in offsets])


def _beam(picture: Picture, camera: Camera, item: Cast, light: Light) -> None:
    figure, body = item.figure, item.figure.body
    if body.kind in ("pedestrian", "pole", "signal", "bicycle") or light.ambient[1] > 0.4:
        return
    c, s = np.cos(figure.heading_rad), np.sin(figure.heading_rad)
    x, w = body.length_m / 2, body.width_m / 2
    local = np.array([[x, -w], [x + 11, -w - 1.4], [x + 14, 0], [x + 11, w + 1.4], [x, w]])
    ground = np.column_stack(
        [figure.x_m + c * local[:, 0] - s * local[:, 1], figure.y_m + s * local[:, 0] + c * local[:, 1]]
    )
    outline = camera.clip_ground(ground)
    if len(outline) < 3:
        return
    box = np.concatenate([outline.min(axis=0), outline.max(axis=0)])
    x1, y1, x2, y2 = _region(box, picture.shape[1], picture.shape[0], 24)
    if x2 - x1 < 4 or y2 - y1 < 4:
        return
    mask = np.zeros((y2 - y1, x2 - x1), np.uint8)
    cv2.fillConvexPoly(mask, to_fixed(outline - (x1, y1)), 70, cv2.LINE_8, SHIFT)
    size = max(min((x2 - x1) // 4, 41), 3) | 1
    mask = np.asarray(cv2.blur(mask, (size, size), borderType=cv2.BORDER_CONSTANT), np.uint8)
    view = picture[y1:y2, x1:x2]
    cv2.add(view, cv2.merge([cv2.convertScaleAbs(mask, alpha=a) for a in (0.62, 0.7, 0.74)]), dst=view)


def _glow(picture: Picture, camera: Camera, item: Cast, light: Light) -> None:
    figure, body = item.figure, item.figure.body
    if body.kind in ("pedestrian", "pole", "signal"):
        return
    towards = np.array([camera.position_m[0] - figure.x_m, camera.position_m[1] - figure.y_m])
    ahead = float(towards @ np.array([np.cos(figure.heading_rad), np.sin(figure.heading_rad)]))
    front = ahead > 0
    if abs(ahead) < 0.25 * float(np.hypot(*towards)):
        return
    pixels, depth = camera.project(_ends(item, front))
    dark = light.ambient[1] < 0.25
    for middle, away in zip(pixels, depth, strict=True):
        radius = camera.focal_px * ((0.55 if dark else 0.3) if front else (0.28 if figure.braking else 0.2)) / away
        colour = (235.0, 250.0, 255.0) if front else (40.0, 30.0, 255.0)
        add_glow(
            picture, middle, radius + 1, colour, (0.9 if dark else 0.5) if front else (0.9 if figure.braking else 0.5)
        )
