"""What can be wrong with the points of a homography before any fit: their number, the same one twice, three on one line."""

from __future__ import annotations

import numpy as np

from flowrt.diagnostics import Diagnostic
from flowrt.traffic.calibration import plane
from flowrt.traffic.calibration.plane import Array

SAME_PX, SAME_M = 0.5, 0.01
"""Points nearer to each other than this are the same."""


class NoCalibration(ValueError):
    """The points determine no homography; `diagnostics` say why, with keys such as ("image_px", 3) below `homography`."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        self.diagnostics = diagnostics
        super().__init__("; ".join(diagnostic.message for diagnostic in diagnostics))


def check_points(image_px: Array, ground_m: Array) -> None:
    """Raises NoCalibration where points (N, 2) of the picture and of the ground can't be fitted."""
    _check_form(image_px, ground_m)
    _check_distinct(image_px, ground_m)
    if len(image_px) == plane.LEAST:
        _check_lines(image_px, ground_m)


def _check_form(image_px: Array, ground_m: Array) -> None:
    if len(image_px) != len(ground_m):
        raise NoCalibration(
            Diagnostic(
                message=f"{len(image_px)} picture points, but {len(ground_m)} ground points",
                hint="give each picture point its ground point",
            )
        )
    if len(image_px) < plane.LEAST:
        raise NoCalibration(
            Diagnostic(message=f"{len(image_px)} points, at least 4 are needed", hint="6 or more tell an outlier")
        )
    for key, points in (("image_px", image_px), ("ground_m", ground_m)):
        if not np.isfinite(points).all():
            bad = int(np.flatnonzero(~np.isfinite(points).all(axis=1))[0])
            raise NoCalibration(Diagnostic((key, bad), f"point {bad + 1} is not finite", "give two numbers"))


def _check_distinct(image_px: Array, ground_m: Array) -> None:
    problems = []
    for key, points, least, where in (
        ("image_px", image_px, SAME_PX, "in the picture"),
        ("ground_m", ground_m, SAME_M, "on the ground"),
    ):
        apart = np.hypot(*(points[:, None] - points[None]).transpose(2, 0, 1))
        for i, j in zip(*np.nonzero(np.triu(apart < least, 1)), strict=True):
            message = f"points {i + 1} and {j + 1} are the same point {where}"
            problems.append(Diagnostic((key, int(j)), message, "give each point once, and its own place"))
    if problems:
        raise NoCalibration(*problems)


def _check_lines(image_px: Array, ground_m: Array) -> None:
    problems = []
    for key, points, least, where in (
        ("image_px", image_px, plane.LINE_PX, "in the picture"),
        ("ground_m", ground_m, 0.0, "on the ground"),
    ):
        for i, j, k in plane.on_one_line(points, least)[:1]:
            message = f"points {i + 1}, {j + 1} and {k + 1} lie on one line {where}"
            problems.append(
                Diagnostic((key, k), message, "of four points no three may lie on one line: move one or add others")
            )
    if problems:
        raise NoCalibration(*problems)
