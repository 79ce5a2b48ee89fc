"""The four pole cameras of the intersection and the scene block that describes each one to a flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from flowrt_sim import CAMERAS
from flowrt_sim.render.furniture import LAMP_DROP_M, LAMP_RADIUS_M, heads
from flowrt_sim.render.pinhole import Camera
from flowrt_sim.street.layout import LANE_END_M, Layout, exit_leg
from flowrt_sim.street.signals import CROSSWALK_GROUPS, VEHICLE_GROUPS

Array = npt.NDArray[np.float64]

POLE_M = (-26.0, -9.2, 10.0)
"""(out, side, height) of a camera on the leg opposite the one that it watches, seen from the watched leg's frame."""
TURN_DEG, PITCH_DEG, FOV_DEG = 14.0, -15.0, 70.0


def pole_camera(name: str, layout: Layout | None = None, size_px: tuple[int, int] = (1280, 720)) -> Camera:
    """The camera that watches leg `name` from across the intersection. Raises KeyError for an unknown name."""
    layout = layout or Layout()
    if name not in CAMERAS:
        raise KeyError(name)
    out, side, height = POLE_M
    x, y = layout.world(name, [(out, -side)])[0]
    ahead = layout.world(name, [(1.0, 0.0)])[0]
    yaw = float(np.arctan2(ahead[1], ahead[0]) - np.radians(TURN_DEG))
    return Camera((float(x), float(y), height), yaw, float(np.radians(PITCH_DEG)), float(np.radians(FOV_DEG)), size_px)


def scene(layout: Layout, name: str, size_px: tuple[int, int] = (1280, 720)) -> dict[str, Any]:
    """The `scene:` entry of a camera: lines, zones, lamps in pixels, and the exact homography.

    Zones are cut at the picture's edge; headings are unit vectors in picture pixels along the lane's direction.
    """
    camera = pole_camera(name, layout, size_px)
    signal = VEHICLE_GROUPS[name]
    zones: dict[str, Any] = {}
    for lane in range(1, layout.lanes_in + 1):
        corners = layout.lane(name, lane, True, (layout.stop_line_m, LANE_END_M))
        zones[f"in_{lane}"] = {
            "zone": _zone(camera, corners), "kind": "lane", "heading": _heading(camera, layout, name, lane, True),
            "limit_kmh": layout.limit_kmh, "signal": signal, "direction": "inbound",
        }  # fmt: skip
    for lane in range(1, layout.lanes_out + 1):
        corners = layout.lane(name, lane, False, (layout.stop_line_m, LANE_END_M))
        zones[f"out_{lane}"] = {
            "zone": _zone(camera, corners), "kind": "lane", "heading": _heading(camera, layout, name, lane, False),
            "limit_kmh": layout.limit_kmh, "direction": "outbound",
        }  # fmt: skip
    walk = CROSSWALK_GROUPS[name]
    into, out = (_heading(camera, layout, name, 1, inbound, layout.crosswalk_m) for inbound in (True, False))
    plain: list[tuple[str, str, Array, dict[str, Any]]] = [
        ("crosswalk", "crosswalk", layout.crosswalk(name), {"signal": walk, "direction": name}),
        ("conflict_in", "conflict", layout.conflict(name, True), {"heading": into, "direction": name}),
        ("conflict_out", "conflict", layout.conflict(name, False), {"heading": out, "direction": name}),
        ("carriageway", "carriageway", _carriageway(layout, name), {"direction": name}),
        ("no_stopping", "no_stopping", layout.bay(name), {"direction": name}),
        ("box", "box", layout.box(), {}),
        ("sidewalk_in", "sidewalk", _sidewalk(layout, name, True), {"direction": name}),
        ("sidewalk_out", "sidewalk", _sidewalk(layout, name, False), {"direction": name}),
    ]
    for zone, kind, corners, more in plain:
        outline = _zone(camera, corners)
        if len(outline) >= 3:
            zones[zone] = {"zone": outline, "kind": kind, **more}
    lines: dict[str, Any] = {
        "stop_line": {
            "line": _line(camera, layout.stop_line(name)), "kind": "stop_line", "signal": signal, "approach": name,
        }
    }  # fmt: skip
    for turn in ("left", "through", "right", "u_turn"):
        leaving = exit_leg(name, turn)
        way_out = _line(camera, _exit_line(layout, name, leaving))
        lines[f"exit_{leaving}"] = {"line": way_out, "kind": "exit", "approach": leaving}
    return {
        "picture_px": list(size_px),
        "position": name,
        "simulated": True,
        "homography": _homography(camera, layout, name),
        "lines": lines,
        "zones": zones,
        "lamps": lamps(layout, name, size_px),
    }


def _round(points: Array) -> list[list[float]]:
    return [[round(float(x), 2), round(float(y), 2)] for x, y in points]


def _zone(camera: Camera, corners_m: Array) -> list[list[float]]:
    """A ground polygon in pixels, cut at the picture's edge."""
    outline = camera.clip_ground(corners_m)
    width, height = camera.size_px
    frame = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    if len(outline) < 3:
        return []
    area, cut = cv2.intersectConvexConvex(frame, outline.astype(np.float32))
    return _round(cut[:, 0].astype(np.float64)) if area > 20 and cut is not None else []


def _line(camera: Camera, ends_m: Array) -> list[list[float]]:
    """A ground line in pixels, cut at the picture's edge along its own direction."""
    ends = camera.ground_px(ends_m)
    width, height = camera.size_px
    shares = np.linspace(0, 1, 401)[:, None]
    points = camera.ground_px(ends_m[0] + shares * (ends_m[1] - ends_m[0]))
    inside = (points >= -0.01).all(axis=1) & (points[:, 0] <= width) & (points[:, 1] <= height)
    if inside.all() or not inside.any():
        return _round(ends)
    return _round(points[inside][[0, -1]])


def _exit_line(layout: Layout, name: str, leaving: str) -> Array:
    """The line over which vehicles leave by a leg: behind its crosswalk, or well before it where the picture ends there.

    Long vehicles reach the border of the picture before their middle reaches the crosswalk below the camera.
    """
    if leaving == name:
        return layout.exit_line(leaving)
    out = layout.crosswalk_m[0] - 2.3
    return layout.world(leaving, [(out, 0.5), (out, layout.out_edge_m - 0.5)])


def _carriageway(layout: Layout, name: str) -> Array:
    return layout.rectangle(name, (layout.crosswalk_m[0], LANE_END_M), (layout.out_edge_m, layout.in_edge_m))


def _sidewalk(layout: Layout, name: str, inbound: bool) -> Array:
    wide = layout.sidewalk_width_m
    if inbound:
        return layout.rectangle(name, (layout.crosswalk_m[0], LANE_END_M), (layout.in_edge_m, layout.in_edge_m + wide))
    return layout.rectangle(
        name, (layout.crosswalk_m[0], layout.bay_m[0] - 3), (layout.out_edge_m, layout.out_edge_m - wide)
    )


def _heading(
    camera: Camera, layout: Layout, name: str, lane: int, inbound: bool, between_m: tuple[float, float] = (20.0, 35.0)
) -> list[float]:
    side, (near_m, far_m) = layout.lane_side_m(lane, inbound), between_m
    ends = camera.ground_px(layout.world(name, [(far_m, side), (near_m, side)]))
    ahead = (ends[1] - ends[0]) if inbound else (ends[0] - ends[1])
    ahead = ahead / np.hypot(*ahead)
    return [round(float(ahead[0]), 4), round(float(ahead[1]), 4)]


def _homography(camera: Camera, layout: Layout, name: str) -> dict[str, Any]:
    """Exact point pairs spread over the picture (rounded to a millimetre and a thousandth of a pixel)."""
    points = layout.world(name, [(60, 7), (60, -7), (16, 7), (16, -7), (-8, 7), (-4, -7), (35, 0), (2, 0)])
    pixels = camera.ground_px(points)
    width, height = camera.size_px
    inside = (pixels >= 0).all(axis=1) & (pixels[:, 0] <= width) & (pixels[:, 1] <= height)
    return {
        "image_px": [[round(float(x), 3), round(float(y), 3)] for x, y in pixels[inside]],
        "ground_m": [[round(float(x), 3), round(float(y), 3)] for x, y in points[inside]],
    }


def lamps(layout: Layout, name: str, size_px: tuple[int, int] = (1280, 720)) -> dict[str, dict[str, list[float]]]:
    """Lamp circles [x, y, radius] per signal group and colour, of the best head in the picture of each group."""
    camera = pole_camera(name, layout, size_px)
    width, height = camera.size_px
    best: dict[str, tuple[float, dict[str, list[float]]]] = {}
    for head in heads(layout):
        towards = np.array([camera.position_m[0] - head.x_m, camera.position_m[1] - head.y_m])
        facing = float(towards @ np.array([np.cos(head.facing_rad), np.sin(head.facing_rad)])) / float(
            np.hypot(*towards)
        )
        pixels, depth = camera.project(np.array([head.lamp_m(lamp) for lamp in LAMP_DROP_M]))
        inside = depth.min() > 3 and (pixels > 4).all() and (pixels < (width - 4, height - 4)).all()
        radius = LAMP_RADIUS_M * camera.focal_px / float(depth.mean())
        if facing < 0.35 or not inside:
            continue
        group = VEHICLE_GROUPS[head.leg]
        circles = {
            lamp: [round(float(p[0]), 1), round(float(p[1]), 1), round(max(radius, 1.5), 1)]
            for lamp, p in zip(LAMP_DROP_M, pixels, strict=True)
        }
        if group not in best or best[group][0] < radius * facing:
            best[group] = (radius * facing, circles)
    return {group: circles for group, (_, circles) in sorted(best.items())}


def scenes(layout: Layout, names: Sequence[str] = CAMERAS, size_px: tuple[int, int] = (1280, 720)) -> dict[str, Any]:
    """Scene entries of several cameras, by name."""
    return {name: scene(layout, name, size_px) for name in names}
