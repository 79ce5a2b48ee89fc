"""The bodies of the seven classes, each in a few variants, with realistic sizes and tell-tale parts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from flowrt_sim import CLASSES
from flowrt_sim.bodies.mesh import (
    DARK,
    GLASS,
    HEADLAMP,
    METAL,
    PAINT,
    PLATE,
    SECOND,
    SIGNAL,
    SKIN,
    TAILLAMP,
    Builder,
    Mesh,
)

VARIANTS = {"car": 4, "van": 2, "truck": 3, "bus": 2, "motorcycle": 2, "bicycle": 1, "pedestrian": 3}
"""How many body variants each class has."""

CAR_SIZES_M = ((4.45, 1.80, 1.46), (4.05, 1.75, 1.50), (4.65, 1.88, 1.70), (4.75, 1.84, 1.48))
VAN_SIZES_M = ((5.4, 2.05, 2.52), (4.9, 2.05, 2.25))
TRUCK_SIZES_M = ((7.6, 2.45, 3.3), (9.2, 2.5, 3.6), (6.6, 2.3, 2.9))
BUS_SIZES_M = ((11.9, 2.55, 3.15), (10.4, 2.5, 3.05))
CYCLE_SIZES_M = {"motorcycle": ((2.15, 0.86, 1.50), (1.9, 0.80, 1.52)), "bicycle": ((1.75, 0.6, 1.80),)}
PEDESTRIAN_SIZES_M = ((0.5, 0.55, 1.75), (0.46, 0.52, 1.63), (0.48, 0.56, 1.84))


@dataclass(frozen=True)
class Body:
    """A shape: class name, length, width and height in metres, and its mesh."""

    kind: str
    length_m: float
    width_m: float
    height_m: float
    mesh: Mesh


@cache
def body(kind: str, variant: int) -> Body:
    """The body of a class in one of its variants (taken modulo their number). Raises KeyError for an unknown class."""
    variant %= VARIANTS[kind]
    makers = {"car": _car, "van": _van, "truck": _truck, "bus": _bus, "pedestrian": _pedestrian}
    if kind in makers:
        return makers[kind](variant)
    return _motorcycle(variant) if kind == "motorcycle" else _bicycle(variant)


def class_id(kind: str) -> int:
    """The number of a class name."""
    return CLASSES.index(kind)


def _lamps(builder: Builder, half_l: float, half_w: float, low: float, high: float, *, width: float = 0.42) -> None:
    for side in (-1, 1):
        inner, outer = side * (half_w - width), side * (half_w - 0.06)
        ys = (min(inner, outer), max(inner, outer))
        builder.end_quad(half_l + 0.012, ys, (low, high), HEADLAMP)
        builder.end_quad(-half_l - 0.012, ys, (low + 0.05, high + 0.1), TAILLAMP)


def _car(variant: int) -> Body:
    length, width, height = CAR_SIZES_M[variant]
    half, w = length / 2, width / 2
    waist = 0.60 * height if variant != 2 else 0.62 * height
    b = Builder()
    first = b.begin()
    nose = waist - 0.16
    profile = [
        (-half, 0.22),
        (-half + 0.25, 0.12),
        (half - 0.25, 0.12),
        (half, 0.2),
        (half, nose - 0.1),
        (half - 0.12, nose),
    ]
    profile += [(half - 1.15, waist), (-half + 0.1, waist), (-half, waist - 0.12)]
    slots = [DARK, DARK, DARK, PAINT, PAINT, PAINT, PAINT, PAINT, PAINT]
    b.extrude(profile, [w * 0.97] * 4 + [w * 0.96] * 2 + [w * 0.97] * 3, PAINT, slots)
    wheel = 0.32 if variant != 2 else 0.36
    b.wheels((-half + 0.82, half - 0.85), w * 0.97, wheel, 0.16)
    _lamps(b, half, w, nose - 0.32, nose - 0.16)
    b.end_quad(half + 0.011, (-w * 0.5, w * 0.5), (0.28, 0.5), DARK)
    b.end_quad(half + 0.013, (-0.26, 0.26), (0.38, 0.48), PLATE)
    b.end_quad(-half - 0.013, (-0.26, 0.26), (0.5, 0.61), PLATE)
    b.side_quad((-0.03, 0.0), w * 0.975, (0.3, waist - 0.05), DARK)
    b.end(first, 0)
    first = b.begin()
    tail = {0: -half + 0.55, 1: -half + 0.06, 2: -half + 0.08, 3: -half + 0.12}[variant]
    lean = {0: 0.65, 1: 0.45, 2: 0.35, 3: 0.5}[variant]
    front = half - 1.1
    cabin = [(tail, waist), (front, waist), (front - 0.72, height), (tail + lean, height)]
    b.extrude(cabin, [w * 0.93, w * 0.93, w * 0.76, w * 0.76], GLASS, [DARK, GLASS, PAINT, GLASS])
    mid = (tail + lean + front - 0.72) / 2
    for side in (-1, 1):
        low_y, high_y = side * (w * 0.93 + 0.006), side * (w * 0.76 + 0.006)
        for x in (tail + lean * 0.75, mid, front - 0.5):
            top = np.clip(x, tail + lean, front - 0.78)
            pillar = [(x - 0.05, low_y, waist), (x + 0.05, low_y, waist)]
            pillar += [(top + 0.05, high_y, height), (top - 0.05, high_y, height)]
            b.face(pillar if side < 0 else pillar[::-1], PAINT)
    b.end(first, 1)
    return Body("car", length, width, height, b.build())


def _van(variant: int) -> Body:
    length, width, height = VAN_SIZES_M[variant]
    half, w = length / 2, width / 2
    b = Builder()
    first = b.begin()
    hood = 1.12
    profile = [
        (-half, 0.25),
        (-half + 0.2, 0.16),
        (half - 0.2, 0.16),
        (half, 0.25),
        (half, hood - 0.2),
        (half - 0.75, hood + 0.08),
    ]
    profile += [(half - 1.45, height - 0.08), (half - 1.9, height), (-half + 0.1, height), (-half, height - 0.2)]
    widths = [w, w, w, w * 0.96, w * 0.96, w * 0.95, w * 0.88, w * 0.9, w * 0.9, w * 0.92]
    b.extrude(profile, widths, PAINT, [DARK, DARK, DARK, PAINT, PAINT, GLASS, PAINT, PAINT, PAINT, PAINT])
    b.wheels((-half + 1.0, half - 0.95), w, 0.35, 0.2)
    _lamps(b, half, w, 0.62, 0.86, width=0.4)
    b.end_quad(half + 0.011, (-w * 0.5, w * 0.5), (0.35, 0.62), DARK)
    b.end_quad(half + 0.013, (-0.26, 0.26), (0.4, 0.5), PLATE)
    b.end_quad(-half - 0.02, (-w * 0.75, -0.05), (1.35, height - 0.45), GLASS)
    b.end_quad(-half - 0.02, (0.05, w * 0.75), (1.35, height - 0.45), GLASS)
    b.side_quad((half - 2.35, half - 1.35), w * 0.985, (hood + 0.1, height - 0.45), GLASS)
    if variant == 1:
        b.side_quad((-half + 0.35, half - 2.5), w * 0.985, (hood + 0.1, height - 0.4), GLASS)
    b.side_quad((half - 2.43, half - 2.39), w * 1.003, (0.4, hood + 0.05), DARK)
    b.end(first, 0)
    return Body("van", length, width, height, b.build())


def _truck(variant: int) -> Body:
    length, width, height = TRUCK_SIZES_M[variant]
    half, w = length / 2, width / 2
    cab_l, cab_h = 1.9, min(2.75, height - 0.4)
    b = Builder()
    first = b.begin()
    b.box((-half, half - 0.1), w * 0.85, (0.45, 0.95), DARK)
    b.wheels((-half + 1.4, half - 1.3) if variant != 1 else (-half + 1.2, -half + 2.4, half - 1.3), w * 0.95, 0.48, 0.5)
    b.end_quad(-half - 0.012, (-w * 0.8, -w * 0.5), (0.6, 0.8), TAILLAMP)
    b.end_quad(-half - 0.012, (w * 0.5, w * 0.8), (0.6, 0.8), TAILLAMP)
    b.end(first, 0)
    first = b.begin()
    cab = [(half - cab_l, 0.35), (half, 0.28), (half, 1.45), (half - 0.28, cab_h), (half - cab_l, cab_h)]
    b.extrude(cab, w * 0.94, PAINT, [DARK, PAINT, GLASS, PAINT, PAINT])
    b.side_quad((half - 1.35, half - 0.32), w * 0.95, (1.45, cab_h - 0.3), GLASS)
    _lamps(b, half, w * 0.94, 0.5, 0.72, width=0.4)
    b.end_quad(half + 0.011, (-w * 0.55, w * 0.55), (0.85, 1.25), DARK)
    b.end_quad(half + 0.013, (-0.26, 0.26), (0.4, 0.52), PLATE)
    b.end(first, 1)
    first = b.begin()
    if variant == 2:
        bed = [(-half, 0.95), (half - cab_l - 0.15, 0.95), (half - cab_l - 0.15, 1.65), (-half, 1.65)]
        b.extrude(bed, w, SECOND)
        load = [(-half + 0.3, 1.65), (half - cab_l - 0.5, 1.65), (half - cab_l - 1.1, 2.2), (-half + 1.0, 2.3)]
        b.end(first, 1)
        first = b.begin()
        b.extrude(load, [w * 0.9, w * 0.9, w * 0.3, w * 0.3], METAL)
        b.end(first, 2)
    else:
        b.box((-half, half - cab_l - 0.15), w, (0.95, height), SECOND)
        b.side_quad((-half + 1.2, half - cab_l - 1.2), w + 0.012, (height * 0.55, height * 0.8), PAINT)
        b.end_quad(-half - 0.012, (-0.03, 0.03), (1.0, height - 0.1), DARK)
        b.end_quad(-half - 0.014, (-w * 0.95, w * 0.95), (0.97, 1.07), PLATE)
        b.end(first, 1)
    return Body("truck", length, width, height, b.build())


def _bus(variant: int) -> Body:
    length, width, height = BUS_SIZES_M[variant]
    half, w = length / 2, width / 2
    b = Builder()
    first = b.begin()
    profile = [
        (-half, 0.28),
        (half - 0.1, 0.26),
        (half, 0.6),
        (half, 1.15),
        (half - 0.1, height - 0.45),
        (half - 0.25, height),
    ]
    profile += [(-half + 0.1, height), (-half, height - 0.3)]
    b.extrude(profile, w, PAINT, [DARK, PAINT, PAINT, GLASS, PAINT, PAINT, PAINT, PAINT])
    b.wheels((-half + 2.6, half - 2.6), w, 0.48, 0.32)
    b.side_quad((-half + 0.35, half - 0.25), w + 0.012, (1.35, height - 0.55), GLASS)
    for x in np.arange(-half + 1.7, half - 1.0, 1.45):
        b.side_quad((x, x + 0.1), w + 0.02, (1.35, height - 0.55), PAINT)
    b.side_quad((-half + 0.1, half - 0.1), w + 0.012, (0.5, 0.85), SECOND)
    b.end_quad(-half - 0.02, (-w * 0.75, w * 0.75), (1.6, height - 0.6), GLASS)
    b.end_quad(half + 0.0, (-w * 0.8, w * 0.8), (height - 0.46, height - 0.08), DARK)
    b.end_quad(half + 0.012, (-w * 0.6, w * 0.6), (height - 0.38, height - 0.16), PLATE)
    _lamps(b, half, w, 0.7, 0.92, width=0.45)
    b.end(first, 0)
    first = b.begin()
    b.box((-half * 0.5, half * 0.2), w * 0.6, (height, height + 0.22), METAL)
    b.end(first, 1)
    return Body("bus", length, width, height + 0.22, b.build())


@dataclass(frozen=True)
class _Seat:
    """How a rider sits: where the hip is, how far the shoulders are ahead of it, how high the head reaches, all in metres."""

    hip_x_m: float
    hip_z_m: float
    lean_m: float
    top_z_m: float


def _rider(b: Builder, seat: _Seat, level: int, *, jacket: int, helmet: int, head_m: float) -> None:
    """A seated rider: thighs, leaning torso with arms, head. `jacket` and `helmet` are palette slots."""
    hip_x, hip_z, top_z = seat.hip_x_m, seat.hip_z_m, seat.top_z_m
    first = b.begin()
    shoulder_z = top_z - 0.3
    b.extrude([(hip_x - 0.05, hip_z - 0.1), (hip_x + 0.45, hip_z - 0.12), (hip_x + 0.42, hip_z + 0.08), (hip_x, hip_z + 0.12)],
              0.2, SECOND)  # fmt: skip
    for side in (-1, 1):
        b.box((hip_x + 0.25, hip_x + 0.42), 0.07, (max(hip_z - 0.6, 0.25), hip_z), SECOND, middle_y=side * 0.15)
    b.end(first, level)
    first = b.begin()
    top = hip_x + seat.lean_m
    torso = [(hip_x - 0.14, hip_z), (hip_x + 0.14, hip_z), (top + 0.14, shoulder_z), (top - 0.16, shoulder_z)]
    b.extrude(torso, [0.17, 0.17, 0.24, 0.24], jacket)
    b.end(first, level + 1)
    first = b.begin()
    for side in (-1, 1):
        arm = [
            (top + 0.05, shoulder_z - 0.2),
            (top + 0.45, hip_z + 0.18),
            (top + 0.45, hip_z + 0.28),
            (top + 0.05, shoulder_z),
        ]
        b.extrude(arm, 0.05, jacket, middle_y=side * 0.25)
    b.end(first, level + 1)
    first = b.begin()
    _head(b, top + 0.07, top_z - head_m * 1.15, head_m, helmet)
    b.end(first, level + 2)


def _head(b: Builder, x: float, z: float, radius: float, slot: int) -> None:
    ring = [(x + radius * np.cos(a), z + radius * 1.15 * np.sin(a)) for a in np.arange(8) * np.pi / 4 + np.pi / 8]
    b.extrude(ring, radius * 0.85, slot)


def _thin_wheel(b: Builder, x: float, radius: float, half_width: float) -> None:
    first = b.begin()
    ring = [(x + radius * np.cos(a), radius + radius * np.sin(a)) for a in np.arange(12) * np.pi / 6 - np.pi / 2]
    b.extrude(ring, half_width, DARK)
    b.end(first, 0)


def _motorcycle(variant: int) -> Body:
    length, width, height = CYCLE_SIZES_M["motorcycle"][variant]
    half = length / 2
    b = Builder()
    for x in (-half + 0.31, half - 0.31):
        _thin_wheel(b, x, 0.31, 0.09)
    first = b.begin()
    frame = [(-half + 0.25, 0.5), (-0.1, 0.22), (0.35, 0.25), (half - 0.45, 0.85), (0.2, 0.98), (-half + 0.05, 0.88)]
    b.extrude(frame, 0.21 if variant == 0 else 0.25, PAINT)
    b.end_quad(-half + 0.04, (-0.13, 0.13), (0.62, 0.78), TAILLAMP)
    b.end_quad(-half + 0.05, (-0.1, 0.1), (0.42, 0.56), PLATE)
    b.end(first, 1)
    first = b.begin()
    fairing = [(half - 0.75, 0.6), (half - 0.38, 0.55), (half - 0.36, 0.95), (half - 0.62, 1.2), (half - 0.8, 1.05)]
    b.extrude(fairing, [0.2, 0.2, 0.26, 0.2, 0.26], PAINT, [DARK, PAINT, GLASS, PAINT, PAINT])
    b.end_quad(half - 0.35, (-0.16, 0.16), (0.7, 0.93), HEADLAMP)
    b.end(first, 2)
    first = b.begin()
    b.box((half - 0.76, half - 0.66), width / 2, (1.0, 1.06), DARK)
    b.end(first, 2)
    for side in (-1, 1):
        first = b.begin()
        b.box((half - 0.74, half - 0.68), 0.08, (1.12, 1.24), DARK, middle_y=side * (width / 2 - 0.08))
        b.end(first, 2)
    seat = _Seat(hip_x_m=-0.25, hip_z_m=0.82, lean_m=0.22, top_z_m=height)
    _rider(b, seat, 3, jacket=SECOND, helmet=PAINT, head_m=0.165)
    return Body("motorcycle", length, width, height, b.build())


def _bicycle(variant: int) -> Body:
    length, width, height = CYCLE_SIZES_M["bicycle"][variant]
    half = length / 2
    b = Builder()
    for x in (-half + 0.34, half - 0.34):
        _thin_wheel(b, x, 0.34, 0.025)
    first = b.begin()
    b.extrude([(-half + 0.34, 0.32), (0.0, 0.28), (half - 0.42, 0.85), (-0.2, 0.85)], 0.02, METAL)
    b.end(first, 1)
    first = b.begin()
    b.box((half - 0.5, half - 0.42), width / 2, (0.98, 1.03), DARK)
    b.end_quad(half - 0.34, (-0.04, 0.04), (0.72, 0.8), HEADLAMP)
    b.end_quad(-half + 0.3, (-0.04, 0.04), (0.6, 0.68), TAILLAMP)
    b.end(first, 1)
    seat = _Seat(hip_x_m=-0.22, hip_z_m=0.98, lean_m=0.32, top_z_m=height)
    _rider(b, seat, 2, jacket=PAINT, helmet=SKIN, head_m=0.12)
    return Body("bicycle", length, width, height, b.build())


def _pedestrian(variant: int) -> Body:
    length, width, height = PEDESTRIAN_SIZES_M[variant]
    hip, shoulder = 0.48 * height, 0.84 * height
    b = Builder()
    for side in (-1, 1):
        first = b.begin()
        start = len(b.vertices)
        b.box((-0.09, 0.09), 0.075, (0.0, hip), SECOND, middle_y=side * 0.1)
        for i in range(start, len(b.vertices)):
            b.swings[i] = side * 0.26 * (1 - b.vertices[i][2] / hip)
        b.end(first, 0)
    first = b.begin()
    torso = [(-0.12, hip - 0.05), (0.12, hip - 0.05), (0.13, shoulder), (-0.13, shoulder)]
    if variant == 1:
        torso[0], torso[1] = (-0.17, hip * 0.62), (0.17, hip * 0.62)
    b.extrude(torso, [0.16, 0.16, 0.22, 0.22], PAINT)
    b.end(first, 1)
    for side in (-1, 1):
        first = b.begin()
        start = len(b.vertices)
        b.box((-0.055, 0.055), 0.05, (hip - 0.02, shoulder - 0.03), PAINT, middle_y=side * 0.24)
        for i in range(start, len(b.vertices)):
            b.swings[i] = -side * 0.2 * (shoulder - b.vertices[i][2]) / (shoulder - hip)
        b.end(first, 1)
    first = b.begin()
    _head(b, 0.02, height - 0.12, 0.105, SKIN)
    b.face([(-0.09, -0.09, height + 0.002), (0.1, -0.09, height + 0.002), (0.1, 0.09, height + 0.002), (-0.09, 0.09, height + 0.002)],
           DARK if variant != 2 else METAL)  # fmt: skip
    b.end(first, 2)
    return Body("pedestrian", length, width, height, b.build())


@cache
def pole(height_m: float, arm_m: float) -> Body:
    """A signal or lamp pole with a horizontal arm along local +x."""
    b = Builder()
    first = b.begin()
    b.box((-0.1, 0.1), 0.1, (0.0, height_m), METAL)
    b.end(first, 0)
    if arm_m > 0:
        first = b.begin()
        b.box((0.0, arm_m), 0.06, (height_m - 0.25, height_m - 0.1), METAL)
        b.end(first, 1)
    return Body("pole", 0.2, 0.2, height_m, b.build())


@cache
def signal_head() -> Body:
    """A three-lamp signal head facing local +x, hanging from z = 0 downwards; lamps are drawn by the painter."""
    b = Builder()
    first = b.begin()
    b.box((-0.15, 0.12), 0.42, (-1.45, 0.0), SIGNAL)
    b.end(first, 0)
    return Body("signal", 0.3, 0.84, 1.45, b.build())
