"""The still part of a camera's picture: ground, sky, buildings, trees, rendered once per camera and light."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_sim.render.ground import Plan
from flowrt_sim.render.light import Light
from flowrt_sim.render.paint import add_glow, to_fixed
from flowrt_sim.render.pinhole import Camera
from flowrt_sim.street.layout import LEGS, Layout

Picture = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]

SHARP_M, MIDDLE_M = 40.0, 75.0
"""Beyond these distances the ground is sampled from smaller copies of the plan, against shimmer."""


def render_backdrop(camera: Camera, plan: Plan, layout: Layout, light: Light, seed: int) -> Picture:
    """The empty scene (H, W, 3) as the camera sees it."""
    rng = np.random.default_rng(seed)
    picture = _sky(camera, light)
    ground, seen, distance = _ground(camera, plan, light)
    lamps = _street_light(camera, layout, light)
    haze = (1 - np.exp(-distance / light.haze_m))[..., None].astype(np.float32)
    up = light.shade(np.array([[0.0, 0.0, 1.0]]))[0].astype(np.float32)
    lit = ground.astype(np.float32) * (up + lamps[..., None] * np.array([0.5, 0.72, 0.8], np.float32))
    if light.wet:
        lit = _wet(lit, light)
    lit = lit * (1 - haze) + haze * np.array(light.haze, np.float32)
    picture[seen] = np.clip(lit, 0, 255).astype(np.uint8)[seen]
    _buildings(picture, camera, layout, light, rng)
    _trees(picture, camera, layout, light, rng)
    return picture


def _sky(camera: Camera, light: Light) -> Picture:
    width, height = camera.size_px
    rows = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] * 3.0
    share = np.clip(rows, 0, 1)
    colours = np.array(light.sky_top, np.float32) * (1 - share) + np.array(light.haze, np.float32) * share
    return np.ascontiguousarray(np.broadcast_to(colours, (height, width, 3)).astype(np.uint8))


def _ground(camera: Camera, plan: Plan, light: Light) -> tuple[Picture, npt.NDArray[np.bool_], npt.NDArray[np.float32]]:
    """The ground seen through every pixel, where there is any, and its distance in metres."""
    width, height = camera.size_px
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([columns, rows, np.ones_like(rows)], axis=-1) @ camera.image_to_ground.T
    middle = camera.project(np.array([[0.0, 0.0, 0.0]]))[0][0]
    sign = np.sign((camera.image_to_ground @ np.array([middle[0], middle[1], 1.0]))[2])
    scale = rays[..., 2] * sign
    safe = np.where(scale > 1e-9, scale, np.inf)
    x, y = rays[..., 0] * sign / safe, rays[..., 1] * sign / safe
    distance = np.hypot(x - camera.position_m[0], y - camera.position_m[1]).astype(np.float32)
    half = plan.image.shape[0] / plan.pixels_per_m / 2
    seen = (scale > 1e-9) & (distance < 3 * half)
    inside = np.clip(np.stack([x, y], -1), -half + 0.2, half - 0.2)
    result = np.zeros((height, width, 3), np.uint8)
    image, pixels = plan.image, plan.pixels_per_m
    for near, far in ((0.0, SHARP_M), (SHARP_M, MIDDLE_M), (MIDDLE_M, 1e9)):
        map_x = ((inside[..., 0] - plan.left_m) * pixels - 0.5).astype(np.float32)
        map_y = ((plan.top_m - inside[..., 1]) * pixels - 0.5).astype(np.float32)
        level = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        where = (distance >= near) & (distance < far)
        result[where] = level[where]
        image = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        pixels /= 2
    return result, seen, distance


def street_lamps(layout: Layout) -> list[tuple[str, float, float]]:
    """Leg, out and side in metres of every street lamp."""
    side = layout.in_edge_m + 1.0
    return [(leg, out, s) for leg in LEGS for out, s in ((24.0, side), (54.0, side), (84.0, side), (114.0, side))]


def _street_light(camera: Camera, layout: Layout, light: Light) -> npt.NDArray[np.float32]:
    """How much lamp light falls on the ground at every pixel."""
    width, height = camera.size_px
    if light.street_lamps <= 0:
        return np.zeros((height, width), np.float32)
    size, half = 200, 130.0
    axis = (np.arange(size) + 0.5) / size * 2 * half - half
    x, y = np.meshgrid(axis, -axis)
    total = np.zeros((size, size), np.float32)
    for leg, out, side in street_lamps(layout):
        px, py = layout.world(leg, [(out, side - 3.0)])[0]
        total += (1.0 / (1.0 + ((x - px) ** 2 + (y - py) ** 2) / 80.0) ** 1.5).astype(np.float32)
    scale = size / (2 * half)
    matrix = np.array([[scale, 0, size / 2], [0, -scale, size / 2], [0, 0, 1.0]]) @ camera.image_to_ground
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    seen = cv2.warpPerspective(total, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(seen * light.street_lamps, np.float32)


def _wet(ground: npt.NDArray[np.float32], light: Light) -> npt.NDArray[np.float32]:
    """Wet ground: darker, and mirroring a smear of the sky."""
    smear = cv2.blur(ground, (3, 61))
    shine = np.array(light.haze, np.float32) * 0.16
    return np.asarray(0.50 * ground + 0.22 * smear + shine, np.float32)


def _quad(picture: Picture, camera: Camera, corners_m: Array, colour: Array) -> bool:
    px, depth = camera.project(corners_m)
    if depth.min() < 2.0:
        return False
    fixed = to_fixed(np.clip(px, -4000, 6000))
    cv2.fillConvexPoly(picture, fixed, [float(c) for c in np.clip(colour, 0, 255)], cv2.LINE_AA, 4)
    return True


def _buildings(picture: Picture, camera: Camera, layout: Layout, light: Light, rng: np.random.Generator) -> None:
    """Rows of houses along the legs, behind the sidewalks, far to near."""
    blocks: list[tuple[Array, float, Array]] = []
    setback = layout.sidewalk_width_m + 6.5
    for leg in LEGS:
        for side in (1, -1):
            out = (layout.in_edge_m + setback + 2) if side > 0 else (-layout.out_edge_m + setback + 2)
            edge = layout.in_edge_m + setback if side > 0 else layout.out_edge_m - setback
            while out < 170:
                length, depth, height = rng.uniform(10, 24), rng.uniform(9, 14), rng.uniform(6, 19)
                sides = (edge, edge + side * depth)
                corners = layout.rectangle(leg, (out, out + length), sides)
                hue = np.array([rng.uniform(110, 190), rng.uniform(120, 190), rng.uniform(130, 205)])
                blocks.append((corners, height, hue))
                out += length + rng.choice([0.3, 0.5, 5.0])
    eye = np.array(camera.position_m[:2])
    blocks.sort(key=lambda b: -float(np.hypot(*(b[0].mean(axis=0) - eye))))
    for corners, height, hue in blocks:
        if any(_hides_road(camera, layout, corner, height) for corner in (*corners, corners.mean(axis=0))):
            continue
        _building(picture, camera, light, corners, height, hue, rng)


def _building(
    picture: Picture, camera: Camera, light: Light, corners: Array, height: float, hue: Array, rng: np.random.Generator
) -> None:
    middle = corners.mean(axis=0)
    eye = np.array(camera.position_m)
    distance = float(np.hypot(*(middle - eye[:2])))
    haze = 1 - np.exp(-distance / light.haze_m)
    lit_share = 0.35 if light.name == "night" else 0.2 if light.name == "dusk" else 0.0
    for i in range(4):
        a, b = corners[i], corners[(i + 1) % 4]
        normal = np.array([b[1] - a[1], a[0] - b[0], 0.0])
        normal /= np.linalg.norm(normal)
        if normal[:2] @ (a - middle) < 0:
            normal = -normal
        if (eye - np.append(a, 0)) @ normal <= 0:
            continue
        shade = light.shade(normal[None])[0]
        wall = hue * shade * (1 - haze) + haze * np.array(light.haze)
        corners_m = np.array([[*a, 0], [*b, 0], [*b, height], [*a, height]])
        if not _quad(picture, camera, corners_m, wall):
            continue
        length = float(np.hypot(*(b - a)))
        columns, floors = max(int(length / 2.6), 1), max(int(height / 3.0), 1)
        glass = np.array([85, 75, 62]) * shade * (1 - haze) + haze * np.array(light.haze)
        for floor in range(floors):
            for column in range(columns):
                start, end = (column + 0.25) / columns, (column + 0.75) / columns
                low = floor * height / floors + 0.9
                p, q = a + (b - a) * start, a + (b - a) * end
                window = np.array([[*p, low], [*q, low], [*q, low + 1.5], [*p, low + 1.5]])
                glowing = rng.random() < lit_share
                colour = np.array([120, 190, 225]) * rng.uniform(0.6, 1) if glowing else glass * rng.uniform(0.8, 1.2)
                _quad(picture, camera, window, colour)


def _trees(picture: Picture, camera: Camera, layout: Layout, light: Light, rng: np.random.Generator) -> None:
    """Trees behind the sidewalks; only where no road lies behind them."""
    spots = []
    for leg in LEGS:
        for side in (1, -1):
            edge = layout.in_edge_m if side > 0 else -layout.out_edge_m + layout.bay_width_m
            for out in np.arange(edge + 10, 130, 11.0):
                where = (out + rng.uniform(-3, 3), side * (edge + layout.sidewalk_width_m + rng.uniform(1.6, 3.0)))
                spots.append((layout.world(leg, [where])[0], rng.uniform(4.2, 7.5), rng.uniform(0.8, 1.2)))
    eye = np.array(camera.position_m[:2])
    spots.sort(key=lambda s: -float(np.hypot(*(s[0] - eye))))
    for where, height, shade in spots:
        if _hides_road(camera, layout, where, height):
            continue
        _tree(picture, camera, light, where, height, shade, rng)


def _hides_road(camera: Camera, layout: Layout, where: Array, height: float) -> bool:
    """Whether the ray over a tree's top to the ground passes over the road behind it."""
    eye = np.array(camera.position_m)
    away = where - eye[:2]
    reach = min(height / max(eye[2] - height, 0.5), 75 / max(float(np.hypot(*away)), 1.0))
    behind = where + away * np.linspace(0.0, reach, 24)[:, None]
    wide = max(layout.in_edge_m, -layout.out_edge_m) + layout.sidewalk_width_m
    return bool((np.abs(behind).min(axis=1) < wide).any())


def _tree(
    picture: Picture, camera: Camera, light: Light, where: Array, height: float, shade: float, rng: np.random.Generator
) -> None:
    px, depth = camera.project(np.array([[*where, 0.0], [*where, height * 0.5], [*where, height * 0.68]]))
    if depth.min() < 4 or not (-200 < px[2, 0] < camera.size_px[0] + 200):
        return
    scale = camera.focal_px / depth[2]
    haze = 1 - np.exp(-float(depth[2]) / light.haze_m)
    bright = light.shade(np.array([[0.0, 0.0, 1.0]]))[0]

    def tone(colour: Array) -> list[float]:
        return [float(c) for c in np.clip(colour * bright * (1 - haze) + haze * np.array(light.haze), 0, 255)]

    trunk = tone(np.array([48.0, 62.0, 78.0]))
    cv2.line(picture, _dot(px[0]), _dot(px[1]), trunk, max(int(0.25 * scale), 1), cv2.LINE_AA)
    crown = height * 0.30
    for ring in range(3):
        for _ in range(14):
            offset = rng.normal(0, 0.5, 2) * crown * (1 - 0.15 * ring)
            blob = px[2] + np.array([offset[0], offset[1] * 0.8 - 0.22 * crown * ring]) * scale
            green = np.array([38.0, 92.0, 66.0]) * shade * (0.62 + 0.22 * ring + rng.uniform(-0.08, 0.08))
            cv2.circle(
                picture, _dot(blob), max(int(rng.uniform(0.28, 0.5) * crown * scale), 1), tone(green), -1, cv2.LINE_AA
            )


def _dot(pixel: Array) -> tuple[int, int]:
    return int(np.clip(pixel[0], -4000, 6000)), int(np.clip(pixel[1], -4000, 6000))


def draw_street_lamps(picture: Picture, camera: Camera, layout: Layout, light: Light) -> None:
    """The glowing heads of the street lamps, after dusk."""
    if light.street_lamps <= 0:
        return
    heads = np.array([[*layout.world(leg, [(out, side - 2.2)])[0], 8.2] for leg, out, side in street_lamps(layout)])
    pixels, depth = camera.project(heads)
    for middle, away in zip(pixels, depth, strict=True):
        if away > 4:
            add_glow(picture, middle, 1.1 * camera.focal_px / away + 2, (150.0, 215.0, 255.0), 1.0)
