"""Random rendered pictures with exact boxes, for training and testing a detector.

Geometry (lanes, widths, camera pose and lens), light, weather, wear, traffic and what the sensor does are all drawn from
the seed. Eight consecutive seeds share one place and light but not their traffic, because painting a place costs more than
filling it; so seeds of training and test sets should come from distant ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from flowrt_sim import CLASSES
from flowrt_sim.bodies.colours import colours_of
from flowrt_sim.bodies.shapes import VARIANTS, Body, body
from flowrt_sim.camera.sensor import Sensor
from flowrt_sim.render.backdrop import draw_street_lamps, render_backdrop
from flowrt_sim.render.furniture import draw_lamps, furniture
from flowrt_sim.render.ground import Look, paint_ground
from flowrt_sim.render.light import LIGHTS, WEATHERS, Light, make_light
from flowrt_sim.render.paint import Figure, Seen, paint_figures
from flowrt_sim.render.pinhole import Camera
from flowrt_sim.street.layout import LEGS, Layout

HIDDEN = 0.92
"""Objects hidden by more than this share are left out; users of the pictures may set a stricter limit."""
SMALLEST_PX = 4.0
"""Objects lower than this in a 720 pixel high picture are left out."""
SHARING = 8
"""Number of consecutive seeds that share a place."""


@dataclass(frozen=True)
class Sample:
    """One picture and its truth: BGR (H, W, 3), boxes (N, 4) px, class ids (N,), hidden share (N,), footprints (N, 4) px.

    Hidden is what something nearer covers and what lies outside the picture. A footprint is the middle of the footprint and the
    middle of its front edge, x, y, x, y; both may lie outside the picture.
    """

    image_bgr: npt.NDArray[np.uint8]
    boxes_xyxy_px: npt.NDArray[np.float32]
    class_ids: npt.NDArray[np.int64]
    occlusion: npt.NDArray[np.float32]
    footprints_px: npt.NDArray[np.float32]


Put = Callable[[str, npt.NDArray[np.float64], float], None]
"""Puts a road user of a class at a place, with a heading."""


@dataclass(frozen=True)
class _Place:
    layout: Layout
    camera: Camera
    light: Light
    backdrop: npt.NDArray[np.uint8]
    furniture: tuple[Figure, ...]
    sensor: Sensor


def sample(
    seed: int, *, size: tuple[int, int] = (1280, 720), weather: str | None = None, light: str | None = None
) -> Sample:
    """A random picture; the same arguments give the same picture.

    `weather` is one of clear, overcast, rain and `light` one of day, dusk, night; None draws them. Raises ValueError for
    any other name.
    """
    if weather is not None and weather not in WEATHERS:
        raise ValueError(f"weather: expected one of {', '.join(WEATHERS)}, found {weather!r}")
    if light is not None and light not in LIGHTS:
        raise ValueError(f"light: expected one of {', '.join(LIGHTS)}, found {light!r}")
    place = _place(seed // SHARING, size, weather, light)
    rng = np.random.default_rng((seed, 11))
    picture = place.backdrop.copy()
    figures = [*place.furniture, *_traffic(rng, place.layout)]
    seen = paint_figures(picture, place.camera, figures, place.light)
    lit = {leg: str(rng.choice(["red", "amber", "green"], p=[0.5, 0.1, 0.4])) for leg in LEGS}
    draw_lamps(picture, place.camera, place.layout, lit, place.light)
    draw_street_lamps(picture, place.camera, place.layout, place.light)
    place.sensor.jpeg = int(rng.integers(45, 96)) if rng.random() < 0.5 else 0
    place.sensor.blur_px = float(rng.uniform(0.3, 1.1))
    picture = place.sensor.expose(picture, seed)
    visible, unseen = [], []
    for item in seen:
        x1, y1, x2, y2 = item.box_px
        full = (item.full_px[2] - item.full_px[0]) * (item.full_px[3] - item.full_px[1])
        seen_share = item.visible * min(1.0, (x2 - x1) * (y2 - y1) / max(full, 1e-6))
        if seen_share >= 1 - HIDDEN and y2 - y1 >= SMALLEST_PX * size[1] / 720:
            visible.append(item)
            unseen.append(1 - seen_share)
    boxes = np.array([s.box_px for s in visible], np.float32).reshape(-1, 4)
    ids = np.array([CLASSES.index(s.kind) for s in visible], np.int64)
    return Sample(picture, boxes, ids, np.array(unseen, np.float32), _footprints(place.camera, figures, visible))


def _footprints(camera: Camera, figures: list[Figure], seen: list[Seen]) -> npt.NDArray[np.float32]:
    """(N, 4): middle and front of the footprint of each, x, y, x, y in pixels."""
    road_users = {figure.actor: figure for figure in figures if figure.actor >= 0}
    them = [road_users[item.actor] for item in seen]
    middle = np.array([(f.x_m, f.y_m) for f in them]).reshape(-1, 2)
    half = np.array([(np.cos(f.heading_rad), np.sin(f.heading_rad)) for f in them]).reshape(-1, 2)
    half *= np.array([f.body.length_m / 2 for f in them])[:, None]
    return np.hstack((camera.ground_px(middle), camera.ground_px(middle + half))).astype(np.float32)


@lru_cache(maxsize=2)
def _place(number: int, size: tuple[int, int], weather: str | None, light: str | None) -> _Place:
    rng = np.random.default_rng((number, 10))
    light = light or str(rng.choice(LIGHTS, p=[0.5, 0.22, 0.28]))
    weather = weather or str(rng.choice(WEATHERS, p=[0.5, 0.22, 0.28]))
    shine = make_light(light, weather, rng)
    layout = _layout(rng)
    camera = _camera(rng, layout, size)
    tone = rng.uniform(70, 130)
    look = Look(
        asphalt=tuple(tone + rng.uniform(-5, 5, 3)),
        sidewalk=tuple(rng.uniform(125, 175) + rng.uniform(-8, 8, 3)),
        grass=(rng.uniform(45, 80), rng.uniform(80, 118), rng.uniform(60, 110)),
        wear=float(rng.uniform(0.05, 0.55)),
        zebra=bool(rng.random() < 0.7),
    )
    plan = paint_ground(layout, look, number, half_m=90.0, size=1440)
    backdrop = render_backdrop(camera, plan, layout, shine, number)
    eye = camera.position_m
    away = tuple(f for f in furniture(layout) if np.hypot(f.x_m - eye[0], f.y_m - eye[1]) > 9)
    return _Place(layout, camera, shine, backdrop, away, Sensor(size, shine, number))


def _layout(rng: np.random.Generator) -> Layout:
    lanes_in, lanes_out = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    width = float(rng.uniform(2.9, 3.8))
    corner = float(rng.uniform(3.5, 8.0))
    near = max(lanes_in, lanes_out) * width + rng.uniform(1.5, corner)
    far = near + rng.uniform(2.8, 4.5)
    return Layout(
        lanes_in, lanes_out, width, (near, far), far + rng.uniform(1.0, 3.0), float(rng.uniform(2.0, 4.5)), corner
    )


def _camera(rng: np.random.Generator, layout: Layout, size: tuple[int, int]) -> Camera:
    """A pole somewhere near a corner or over a leg, looking over the intersection."""
    leg = LEGS[int(rng.integers(4))]
    out = rng.uniform(layout.crosswalk_m[0] - 2, layout.crosswalk_m[1] + 28)
    side = rng.uniform(layout.out_edge_m - 4, layout.in_edge_m + 4)
    eye = layout.world(leg, [(out, side)])[0]
    height = float(rng.uniform(5.5, 15.0))
    aim = layout.world(leg, [(rng.uniform(-35, min(out - 8, 5)), rng.uniform(-12, 12))])[0]
    towards = aim - eye
    fov = float(np.radians(rng.uniform(42, 88)))
    pitch = -float(np.arctan2(height * rng.uniform(0.75, 1.15), np.hypot(*towards))) - fov * 0.03
    yaw = float(np.arctan2(towards[1], towards[0]))
    roll = float(np.radians(rng.normal(0, 1.0)))
    return Camera((float(eye[0]), float(eye[1]), height), yaw, pitch, fov, size, roll)


def _traffic(rng: np.random.Generator, layout: Layout) -> list[Figure]:
    """Road users where they would be, without overlaps."""
    taken: list[tuple[float, float, float]] = []
    figures: list[Figure] = []
    dense = rng.uniform(0.15, 1.0)
    reach = 75.0

    def put(kind: str, where: npt.NDArray[np.float64], heading: float) -> None:
        shape = body(kind, int(rng.integers(VARIANTS[kind])))
        if not _free(taken, where, shape, heading):
            return
        paint, second, skin = colours_of(kind, rng)
        braking = bool(rng.random() < 0.3)
        stride = float(rng.uniform(0, 2 * np.pi))
        number = len(figures)
        figures.append(
            Figure(shape, float(where[0]), float(where[1]), heading, paint, second, skin, number, braking, stride)
        )

    vehicles = ("car", "van", "truck", "bus", "motorcycle", "bicycle")
    for leg in LEGS:
        inward = float(np.arctan2(*(-layout.world(leg, [(1.0, 0.0)])[0])[::-1]))
        for inbound, count in ((True, layout.lanes_in), (False, layout.lanes_out)):
            for lane in range(1, count + 1):
                out = layout.stop_line_m + 3 + rng.exponential(6.0)
                while out < reach:
                    if rng.random() < dense:
                        kind = str(rng.choice(vehicles, p=[0.40, 0.13, 0.12, 0.10, 0.13, 0.12]))
                        side = layout.lane_side_m(lane, inbound) + rng.normal(
                            0, 0.3 if kind not in ("motorcycle", "bicycle") else 0.9
                        )
                        turn = 0.0 if inbound else np.pi
                        put(kind, layout.world(leg, [(out, side)])[0], inward + turn + rng.normal(0, 0.04))
                    out += rng.uniform(6.5, 15.0)
    inner = layout.crosswalk_m[0]
    for _ in range(int(rng.integers(0, 9))):
        kind = str(rng.choice(vehicles, p=[0.36, 0.14, 0.12, 0.12, 0.13, 0.13]))
        put(kind, rng.uniform(-inner, inner, 2), float(rng.uniform(0, 2 * np.pi)))
    for _ in range(int(rng.integers(3, 26))):
        _pedestrian(rng, layout, put)
    return figures


def _pedestrian(rng: np.random.Generator, layout: Layout, put: Put) -> None:
    leg = LEGS[int(rng.integers(4))]
    heading = float(rng.uniform(0, 2 * np.pi))
    spot = rng.random()
    if spot < 0.45:
        out, side = rng.uniform(*layout.crosswalk_m), rng.uniform(layout.out_edge_m, layout.in_edge_m)
    elif spot < 0.9:
        out = rng.uniform(layout.crosswalk_m[0] - 1, 55)
        inbound = rng.random() < 0.5
        edge = layout.in_edge_m if inbound else layout.out_edge_m - (layout.bay_width_m if 18 < out < 50 else 0)
        side = edge + (1 if inbound else -1) * rng.uniform(0.3, layout.sidewalk_width_m)
    else:
        out, side = rng.uniform(0, 50), rng.uniform(layout.out_edge_m, layout.in_edge_m)
    put("pedestrian", layout.world(leg, [(out, side)])[0], heading)


def _free(taken: list[tuple[float, float, float]], where: npt.NDArray[np.float64], shape: Body, heading: float) -> bool:
    """Claim the ground below a body as a row of discs; False when another body stands there."""
    radius = shape.width_m / 2 + 0.15
    count = max(int(np.ceil(shape.length_m / (2 * radius))), 1)
    offsets = np.linspace(-1, 1, count) * max(shape.length_m / 2 - radius, 0) if count > 1 else np.zeros(1)
    discs = [(float(where[0] + o * np.cos(heading)), float(where[1] + o * np.sin(heading)), radius) for o in offsets]
    if any((x - a) ** 2 + (y - b) ** 2 < (r + c) ** 2 for x, y, r in discs for a, b, c in taken):
        return False
    taken.extend(discs)
    return True
