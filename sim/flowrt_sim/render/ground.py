"""Paints the ground of an intersection from above: asphalt, markings, sidewalks, grass, wear.

The result is a plan picture (north up) that a camera's homography warps into its view. Everything is drawn from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_sim.street.layout import LEGS, Layout

Picture = npt.NDArray[np.uint8]
Array = npt.NDArray[np.float64]

SHIFT = 4


@dataclass(frozen=True)
class Look:
    """Colours (BGR) and wear of the ground."""

    asphalt: tuple[float, float, float] = (98, 96, 94)
    sidewalk: tuple[float, float, float] = (150, 156, 160)
    grass: tuple[float, float, float] = (62, 98, 82)
    paint: tuple[float, float, float] = (222, 226, 226)
    wear: float = 0.25
    zebra: bool = True


@dataclass(frozen=True)
class Plan:
    """A ground picture: `pixels_per_m`, and the metres at its left and top edge."""

    image: Picture
    pixels_per_m: float
    left_m: float
    top_m: float

    @property
    def from_ground(self) -> Array:
        """Homography (3, 3) from ground metres to pixels of the plan."""
        p = self.pixels_per_m
        return np.array([[p, 0, -p * self.left_m], [0, -p, p * self.top_m], [0, 0, 1.0]])


def noise(rng: np.random.Generator, size: int, cells: int) -> npt.NDArray[np.float32]:
    """Smooth random field (size, size) in about -1..1 with blobs of size / cells pixels."""
    field = rng.standard_normal((cells + 1, cells + 1)).astype(np.float32)
    return np.asarray(cv2.resize(field, (size, size), interpolation=cv2.INTER_CUBIC), np.float32)


class Painter:
    """Fills world polygons into a plan picture."""

    def __init__(self, size: int, half_m: float) -> None:
        self.plan = Plan(np.zeros((size, size, 3), np.uint8), size / (2 * half_m), -half_m, half_m)

    def fixed(self, points_m: Array) -> npt.NDArray[np.int32]:
        """Plan pixels in fixed point of world points (N, 2)."""
        plan = self.plan
        px = np.column_stack([points_m[:, 0] - plan.left_m, plan.top_m - points_m[:, 1]]) * plan.pixels_per_m
        return np.rint((px - 0.5) * (1 << SHIFT)).astype(np.int32)

    def fill(self, points_m: Array, colour: Sequence[float] | Array, target: Picture | None = None) -> None:
        """Fill a polygon, convex or not."""
        image = self.plan.image if target is None else target
        cv2.fillPoly(image, [self.fixed(points_m)], [float(c) for c in colour], cv2.LINE_AA, SHIFT)


def paint_ground(layout: Layout, look: Look, seed: int, *, half_m: float = 100.0, size: int = 2000) -> Plan:
    """The ground plan (size, size, 3) covering `half_m` metres around the middle."""
    rng = np.random.default_rng(seed)
    painter = Painter(size, half_m)
    plan = painter.plan
    fine = rng.standard_normal((512, 512)).astype(np.float32)
    fine = np.tile(fine, (-(-size // 512), -(-size // 512)))[:size, :size]
    broad = noise(rng, size, 14) + 0.6 * noise(rng, size, 90)
    tint = np.array([0.8, 1.0, 0.9])
    for band in _bands(size):  # whole pictures of float64 would take 100 MB each
        shade = (9 * fine[band] + 9 * broad[band])[..., None] * tint
        plan.image[band] = np.clip(np.array(look.grass) + shade, 0, 255)
    road = np.zeros((size, size), np.uint8)
    walk = np.zeros((size, size), np.uint8)
    _areas(painter, layout, half_m, road, walk)
    slabs = _slabs(size, plan.pixels_per_m)
    _blend(plan.image, look.sidewalk, 4 * fine + 5 * broad - 10 * slabs, walk)
    kerb = np.asarray(cv2.dilate(road, np.ones((3, 3), np.uint8)), np.uint8) & ~road
    plan.image[kerb > 127] = np.array(look.sidewalk) * 1.12
    tracks = _tracks(painter, layout, half_m, size)
    _blend(plan.image, look.asphalt, 4.5 * fine + 4 * broad - 7 * tracks, road)
    _patches(painter, layout, look, rng, half_m)
    _markings(painter, layout, look, half_m, np.clip(0.86 - look.wear * (0.5 + 0.5 * broad + 0.35 * fine), 0.15, 0.95))
    return plan


def _blend(image: Picture, colour: Sequence[float], shade: npt.NDArray[np.float32], mask: Picture) -> None:
    """Paint a colour, made lighter and darker by `shade`, where the mask is set."""
    for band in _bands(len(image)):
        where = mask[band] > 127
        colours = np.array(colour) + shade[band][where][:, None]
        image[band][where] = np.clip(colours, 0, 255).astype(np.uint8)


def _bands(size: int) -> list[slice]:
    """Rows of a picture, some at a time."""
    return [slice(first, first + 250) for first in range(0, size, 250)]


def _areas(painter: Painter, layout: Layout, half_m: float, road: Picture, walk: Picture) -> None:
    wide = layout.sidewalk_width_m
    for mask, extra in ((walk, wide), (road, 0.0)):
        for leg in LEGS:
            sides = (layout.out_edge_m - extra, layout.in_edge_m + extra)
            painter.fill(layout.rectangle(leg, (0.0, half_m * 1.5), sides), (255,), mask)
            corner = layout.corner_curve(leg, extra)
            painter.fill(np.concatenate([corner, [[0.0, 0.0]]]), (255,), mask)
        if extra:
            continue
        for leg in LEGS:
            near, far = layout.bay_m
            edge, width = layout.out_edge_m + 0.05, layout.bay_width_m
            bay = [(near - 3, edge), (near, edge - width), (far, edge - width), (far + 3, edge)]
            painter.fill(layout.world(leg, bay), (255,), mask)
            back = edge - width - layout.sidewalk_width_m
            painter.fill(layout.rectangle(leg, (near - 4, far + 4), (edge, back)), (255,), walk)


def _slabs(size: int, pixels_per_m: float) -> npt.NDArray[np.float32]:
    step = max(round(1.6 * pixels_per_m), 4)
    lines = np.zeros((size, size), np.float32)
    lines[::step], lines[:, ::step] = 1.0, 1.0
    return lines


def _tracks(painter: Painter, layout: Layout, half_m: float, size: int) -> npt.NDArray[np.float32]:
    """Dark wheel tracks along the lanes, 0..1."""
    mask = np.zeros((size, size), np.uint8)
    for leg in LEGS:
        for inbound, count in ((True, layout.lanes_in), (False, layout.lanes_out)):
            for lane in range(1, count + 1):
                middle = layout.lane_side_m(lane, inbound)
                for wheel in (-0.8, 0.8):
                    sides = (middle + wheel - 0.25, middle + wheel + 0.25)
                    painter.fill(layout.rectangle(leg, (0.0, half_m * 1.5), sides), (255,), mask)
                if inbound:
                    oil = (layout.stop_line_m, layout.stop_line_m + 18)
                    painter.fill(layout.rectangle(leg, oil, (middle - 0.5, middle + 0.5)), (230,), mask)
    wide = int(0.9 * painter.plan.pixels_per_m) | 1
    return np.asarray(cv2.blur(mask, (wide, wide)), np.float32) / np.float32(255)


def _patches(painter: Painter, layout: Layout, look: Look, rng: np.random.Generator, half_m: float) -> None:
    """Repairs, cracks and manhole covers."""
    reach = min(half_m, 60.0)
    for _ in range(14):
        leg = LEGS[int(rng.integers(4))]
        out, side = rng.uniform(2, reach), rng.uniform(layout.out_edge_m + 1, layout.in_edge_m - 1)
        shade = np.array(look.asphalt) * rng.uniform(0.78, 1.12)
        size = rng.uniform(0.6, 4.0), rng.uniform(0.4, 1.2)
        painter.fill(layout.rectangle(leg, (out, out + size[0]), (side, side + size[1])), shade)
    for _ in range(10):
        leg = LEGS[int(rng.integers(4))]
        middle = layout.world(leg, [(rng.uniform(0, reach), rng.uniform(layout.out_edge_m + 1, layout.in_edge_m - 1))])
        ring = middle + 0.36 * np.array([(np.cos(a), np.sin(a)) for a in np.arange(12) * np.pi / 6])
        painter.fill(ring, np.array(look.asphalt) * 0.6)
    for _ in range(18):
        leg = LEGS[int(rng.integers(4))]
        start = layout.world(leg, [(rng.uniform(0, reach), rng.uniform(layout.out_edge_m, layout.in_edge_m))])
        crack = start + np.cumsum(rng.normal(0, 0.5, (9, 2)), axis=0)
        colour = [float(c) * 0.72 for c in look.asphalt]
        cv2.polylines(painter.plan.image, [painter.fixed(crack)], False, colour, 1, cv2.LINE_AA, SHIFT)


def _markings(painter: Painter, layout: Layout, look: Look, half_m: float, opacity: npt.NDArray[np.floating]) -> None:
    mask = np.zeros(painter.plan.image.shape[:2], np.uint8)

    def stripe(leg: str, out: tuple[float, float], side: tuple[float, float]) -> None:
        painter.fill(layout.rectangle(leg, out, side), (255,), mask)

    far = half_m * 1.5
    stop = layout.stop_line_m
    for leg in LEGS:
        stripe(leg, (stop, stop + 0.45), (0.15, layout.in_edge_m - 0.1))
        for offset in (-0.17, 0.17):
            stripe(leg, (stop, far), (offset - 0.07, offset + 0.07))
        for inbound, count in ((True, layout.lanes_in), (False, layout.lanes_out)):
            for lane in range(1, count):
                side = lane * layout.lane_width_m * (1 if inbound else -1)
                solid = stop + 22 if inbound else stop
                if inbound:
                    stripe(leg, (stop, solid), (side - 0.07, side + 0.07))
                for out in np.arange(solid + 2, far, 7.5):
                    stripe(leg, (out, out + 3.0), (side - 0.07, side + 0.07))
        for side in (layout.in_edge_m - 0.25, layout.out_edge_m + 0.25):
            stripe(leg, (stop + 6, far), (side - 0.06, side + 0.06))
        near, end = layout.crosswalk_m
        if look.zebra:
            for side in np.arange(layout.out_edge_m + 0.5, layout.in_edge_m - 0.4, 1.0):
                stripe(leg, (near, end), (float(side), float(side) + 0.5))
        else:
            for out in (near, end - 0.2):
                stripe(leg, (out, out + 0.25), (layout.out_edge_m, layout.in_edge_m))
        for lane in range(1, layout.lanes_in + 1):
            _arrow(painter, layout, leg, lane, mask)
        edge, width = layout.out_edge_m, layout.bay_width_m
        for out in np.arange(layout.bay_m[0], layout.bay_m[1], 1.2):
            stripe(leg, (float(out), float(out) + 0.6), (edge - 0.06, edge + 0.06))
        for out in np.arange(layout.bay_m[0] + 1, layout.bay_m[1] - 4, 6.0):
            cross = [
                (out, edge - width + 0.3),
                (out + 0.2, edge - width + 0.2),
                (out + 3.2, edge - 0.3),
                (out + 3.0, edge - 0.2),
            ]
            painter.fill(layout.world(leg, cross), (200,), mask)
    share = (mask.astype(np.float32) / 255 * opacity.astype(np.float32))[..., None]
    plan = painter.plan.image
    plan[:] = (plan * (1 - share) + np.array(look.paint, np.float32) * share).astype(np.uint8)


def _arrow(painter: Painter, layout: Layout, leg: str, lane: int, mask: Picture) -> None:
    middle = layout.lane_side_m(lane, True)
    for out in (layout.stop_line_m + 6, layout.stop_line_m + 26):
        shaft = [
            (out + 3.4, middle - 0.08),
            (out + 1.4, middle - 0.08),
            (out + 1.4, middle + 0.08),
            (out + 3.4, middle + 0.08),
        ]
        head = [(out + 1.5, middle - 0.32), (out, middle), (out + 1.5, middle + 0.32)]
        painter.fill(layout.world(leg, shaft), (255,), mask)
        painter.fill(layout.world(leg, head), (255,), mask)
        if lane in (1, layout.lanes_in):
            sign = -1 if lane == 1 and layout.lanes_in > 1 else 1
            bend = [
                (out + 2.9, middle),
                (out + 2.7, middle),
                (out + 1.9, middle + sign * 0.55),
                (out + 2.1, middle + sign * 0.65),
            ]
            tip = [
                (out + 2.3, middle + sign * 0.4),
                (out + 1.5, middle + sign * 0.85),
                (out + 2.4, middle + sign * 0.95),
            ]
            painter.fill(layout.world(leg, bend), (255,), mask)
            painter.fill(layout.world(leg, tip), (255,), mask)
