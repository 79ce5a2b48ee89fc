"""What a scene says in figures: as plain data for `--json`, and as tables for a terminal."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowrt.diagnostics import Diagnostic
from flowrt.traffic.calibration import Calibration, NoCalibration, facts
from flowrt.traffic.checks.metres import lane_size_m
from flowrt.traffic.scene import Scene, Zone

_PIPED = 160
"""Columns where the output is no terminal."""


def calibration_of(scene: Scene) -> Calibration | None:
    """The scene's calibration; None also where its points determine none."""
    try:
        return scene.calibration
    except NoCalibration:
        return None


def scene_facts(scene: Scene, camera: str, problems: list[Diagnostic]) -> dict[str, Any]:
    """Everything about a scene, ready for JSON."""
    calibration = calibration_of(scene)
    return {
        "scene": scene.name,
        "camera": camera,
        "picture_px": list(scene.picture_px),
        "calibration": calibration and facts(calibration),
        "lanes": [_lane_facts(lane, calibration) for lane in scene.zones_of("lane")],
        "problems": [
            {
                "severity": each.severity,
                "message": each.message,
                "hint": each.hint,
                "path": each.path,
                "line": each.line,
            }
            for each in problems
        ],
    }


def _lane_facts(lane: Zone, calibration: Calibration | None) -> dict[str, Any]:
    told: dict[str, Any] = {"lane": lane.name, "heading": lane.heading, "limit_kmh": lane.limit_kmh}
    if calibration is None:
        return told
    corners = lane.polygon.astype(float)
    directions = None if lane.heading is None else np.broadcast_to(lane.heading, corners.shape)
    sigma = calibration.scale_sigma(corners, directions)
    length, width = lane_size_m(lane, calibration)
    return told | {
        "length_m": _rounded(length),
        "width_m": _rounded(width),
        "scale_sigma": [_rounded(float(value), 4) for value in (sigma.min(), sigma.max())],
        "beyond_points_px": _rounded(float(calibration.beyond_hull_px(corners).max()), 0),
    }


def _rounded(value: float, digits: int = 1) -> float | None:
    return round(value, digits) if np.isfinite(value) else None


def print_tables(told: dict[str, Any]) -> None:
    """The facts of `scene_facts` as tables, coloured on a terminal."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=_PIPED)
    console.print(_title(told), style="bold")
    fit = told["calibration"]
    if fit is not None:
        table = Table(box=None, pad_edge=False)
        for title in ("point", "picture px", "ground m", "residual px", "m", "left out: px", "m", ""):
            table.add_column(title, justify="left" if title in ("", "picture px", "ground m") else "right")
        for number, point in enumerate(fit["points"], 1):
            table.add_row(
                str(number), _pair(point["image_px"]), _pair(point["ground_m"]), _text(point["residual_px"], 1),
                _text(point["residual_m"], 2), _text(point["held_out_px"], 1), _text(point["held_out_m"], 2),
                "" if point["used"] else "outlier, not in the fit", style="" if point["used"] else "red",
            )  # fmt: skip
        console.print(table)
        if fit["exact"]:
            console.print("residuals of four points are zero by construction and say nothing: give six or more")
        camera = fit["camera"]
        if camera is not None:
            console.print(
                f"implied camera: {camera['height_m']:.1f} ± {camera['height_sigma_m']:.1f} m above the road, focal length "
                f"{camera['focal_px']:.0f} ± {camera['focal_sigma_px']:.0f} px ({camera['field_of_view_deg']:.0f} degrees across), "
                f"{camera['tilt_deg']:.0f} degrees down"
            )
    if told["lanes"]:
        table = Table(box=None, pad_edge=False)
        for title in ("lane", "heading", "limit km/h", "length m", "width m", "speeds ±", "beyond the points px"):
            table.add_column(title, justify="left" if title in ("lane", "heading") else "right")
        for lane in told["lanes"]:
            table.add_row(
                lane["lane"], _pair(lane["heading"]) if lane["heading"] else "-", _text(lane["limit_kmh"], 0),
                _text(lane.get("length_m"), 0), _text(lane.get("width_m"), 1), _percent(lane.get("scale_sigma")),
                _text(lane.get("beyond_points_px"), 0),
            )  # fmt: skip
        console.print(table)
    for each in told["problems"]:
        style = "red" if each["severity"] == "error" else "yellow"
        console.print(f"{each['severity']}: {each['message']} ({each['hint']})", style=style, markup=False)


def _title(told: dict[str, Any]) -> str:
    camera = f", camera {told['camera']}" if told["camera"] else ", no camera"
    homography = "" if told["calibration"] else ", no homography: no metres"
    return f"scene {told['scene']}{camera}, {told['picture_px'][0]} x {told['picture_px'][1]} px{homography}"


def _pair(values: list[float] | tuple[float, float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _text(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _percent(ends: list[float | None] | None) -> str:
    if ends is None:
        return "-"
    low, high = ("?" if end is None else f"{100 * end:.1f}" for end in ends)
    return f"{low} to {high} %" if ends[1] is not None else f"{low} % and more"
