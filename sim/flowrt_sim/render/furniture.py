"""Signal poles with their heads: where they stand and where their lamps are in a picture.

Each leg has a far-side head over the lanes of its drivers, on an arm across the intersection, and a near-side head at
the kerb by its stop line. A camera that watches a leg from across the intersection sees the far-side heads of the
opposite leg, which show the same phase.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_sim.bodies.shapes import pole, signal_head
from flowrt_sim.render.light import Light
from flowrt_sim.render.paint import Figure, Picture, add_glow
from flowrt_sim.render.pinhole import Camera
from flowrt_sim.street.layout import LEGS, OPPOSITE, Layout

LAMP_RADIUS_M = 0.15
LAMP_DROP_M = {"red": 0.28, "amber": 0.72, "green": 1.17}
"""How far below the top of a head each lamp's middle is."""

ARM_HEIGHT_M = 6.3
METAL_GREY = (120.0, 122.0, 122.0)


@dataclass(frozen=True)
class Head:
    """A signal head for the drivers (or pedestrians) of `leg`: its top and the direction that it faces."""

    leg: str
    x_m: float
    y_m: float
    top_m: float
    facing_rad: float

    def lamp_m(self, lamp: str) -> npt.NDArray[np.float64]:
        """Middle of a lamp in world metres (3,)."""
        x = self.x_m + 0.14 * np.cos(self.facing_rad)
        y = self.y_m + 0.14 * np.sin(self.facing_rad)
        return np.array([x, y, self.top_m - LAMP_DROP_M[lamp]])


def _facing(layout: Layout, leg: str) -> float:
    """The direction from which the drivers of a leg come."""
    x, y = layout.world(leg, [(1.0, 0.0)])[0]
    return float(np.arctan2(y, x))


def heads(layout: Layout) -> list[Head]:
    """Every vehicle signal head; for each leg first the far-side one on the arm, then the near-side one."""
    poles = []
    for leg in LEGS:
        facing = _facing(layout, leg)
        far = layout.world(OPPOSITE[leg], [(layout.stop_line_m + 0.5, layout.out_edge_m * 0.5)])[0]
        poles.append(Head(leg, float(far[0]), float(far[1]), ARM_HEIGHT_M - 0.1, facing))
        near = layout.world(leg, [(layout.stop_line_m - 0.8, layout.in_edge_m + 0.9)])[0]
        poles.append(Head(leg, float(near[0]), float(near[1]), 3.6, facing))
    return poles


def furniture(layout: Layout) -> list[Figure]:
    """The poles, arms and heads as figures."""
    figures = []
    for leg in LEGS:
        facing = _facing(layout, leg)
        foot = layout.world(OPPOSITE[leg], [(layout.stop_line_m + 0.5, layout.out_edge_m - 0.9)])[0]
        arm = -layout.out_edge_m * 0.5 + 1.2
        inward = layout.world(OPPOSITE[leg], [(0.0, 1.0)])[0]
        along = float(np.arctan2(inward[1], inward[0]))
        figures.append(Figure(pole(ARM_HEIGHT_M, arm), float(foot[0]), float(foot[1]), along, METAL_GREY))
        near = layout.world(leg, [(layout.stop_line_m - 0.8, layout.in_edge_m + 0.9)])[0]
        figures.append(Figure(pole(3.7, 0.0), float(near[0]), float(near[1]), facing, METAL_GREY))
    for head in heads(layout):
        figures.append(Figure(signal_head(), head.x_m, head.y_m, head.facing_rad, METAL_GREY, z_m=head.top_m))
    return figures


LIT = {"red": (40.0, 40.0, 255.0), "amber": (30.0, 185.0, 255.0), "green": (150.0, 235.0, 60.0)}
UNLIT = {"red": (22.0, 20.0, 58.0), "amber": (18.0, 48.0, 62.0), "green": (36.0, 52.0, 24.0)}


def draw_lamps(picture: Picture, camera: Camera, layout: Layout, lit: Mapping[str, str], light: Light) -> None:
    """Draw the lamps of every head that faces the camera; `lit` says which one (red, amber, green) burns per leg."""
    for head in heads(layout):
        towards = np.array([camera.position_m[0] - head.x_m, camera.position_m[1] - head.y_m])
        if towards @ np.array([np.cos(head.facing_rad), np.sin(head.facing_rad)]) <= 0.2 * np.hypot(*towards):
            continue
        pixels, depth = camera.project(np.array([head.lamp_m(lamp) for lamp in LAMP_DROP_M]))
        if depth.min() < 2:
            continue
        for lamp, middle, away in zip(LAMP_DROP_M, pixels, depth, strict=True):
            radius = LAMP_RADIUS_M * camera.focal_px / away
            burning = lit.get(head.leg) == lamp
            centre = np.rint((np.clip(middle, -500, 5000) - 0.5) * 16).astype(int)
            colour = LIT[lamp] if burning else UNLIT[lamp]
            size = max(int(radius * 16), 16)
            cv2.circle(picture, (int(centre[0]), int(centre[1])), size, colour, -1, cv2.LINE_AA, 4)
            if burning:
                add_glow(
                    picture, middle, radius * (5 if light.lamps_on else 2.5), colour, 0.6 if light.lamps_on else 0.3
                )
