"""What is wrong with a fitted homography, by limits that docs/scene.md states: outliers, contradicting points, an unlikely camera."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flowrt.diagnostics import Diagnostic
from flowrt.traffic.calibration import plane
from flowrt.traffic.calibration.calibration import OUTLIER_PX, REFUSED_PX, Calibration, swaps_that_fit
from flowrt.traffic.calibration.pose import focals_and_heights

HEIGHT_M, IMPOSSIBLE_HEIGHT_M = (1.5, 150.0), (0.3, 500.0)
"""A camera lower or higher than the first pair is unlikely, than the second there is none: the points are not metres."""
FIELD_OF_VIEW_DEG = 5.0, 130.0
_SIGMAS = 2.0
"""An implied camera is judged by what of its range, this many standard deviations to both sides, comes nearest to the likely."""
_MOST_SWAPPED = 12


def calibration_diagnostics(calibration: Calibration) -> list[Diagnostic]:
    """Errors and warnings about a fit, with keys such as ("ground_m", 3) below `homography`."""
    return [*_outliers(calibration), *_contradictions(calibration), *_camera(calibration)]


def _outliers(fit: Calibration) -> Iterator[Diagnostic]:
    off_px, off_m = np.hypot(*fit.residual_px.T), np.hypot(*fit.residual_m.T)
    places = plane.applied(fit.to_ground, fit.image_px)
    for i in fit.outliers:
        refused = not off_px[i] <= fit.limit_px * REFUSED_PX / OUTLIER_PX
        off = f"{off_m[i]:.1f} m" if np.isfinite(off_m[i]) else "beyond the horizon"
        if np.isfinite(off_px[i]):
            off += f", {off_px[i]:.0f} px"
        message = f"point {i + 1} of the homography does not fit the others: it is {off} off"
        if not refused:
            message += ", and left out of the fit"
        x, y = fit.image_px[i]
        hint = f"check it in the picture and on the ground: the others put [{x:g}, {y:g}] "
        hint += f"at [{places[i, 0]:.1f}, {places[i, 1]:.1f}]" if np.isfinite(places[i]).all() else "beyond the horizon"
        for j in fit.outliers:
            there = plane.applied(fit.to_image, fit.ground_m[j])[0]
            if j != i and np.hypot(*(there - fit.image_px[i])) <= fit.limit_px:
                hint = f"the ground points {min(i, j) + 1} and {max(i, j) + 1} seem to be exchanged"
        yield Diagnostic(("ground_m", i), message, hint, "error" if refused else "warning")


def _contradictions(fit: Calibration) -> Iterator[Diagnostic]:
    """Five points that do not fit one plane, or more of which no five agree: something is wrong, and nothing says which."""
    if fit.exact or not fit.max_px > fit.limit_px:
        return
    worst = int(np.hypot(*fit.residual_px.T).argmax())
    message = (
        f"the points of the homography contradict each other: they are up to {fit.max_px:.0f} px, {fit.max_m:.1f} m off"
    )
    swaps = swaps_that_fit(fit.image_px, fit.ground_m, fit.limit_px) if len(fit.used) <= _MOST_SWAPPED else []
    if swaps:
        hint = (
            "the ground points " + ", or ".join(f"{i + 1} and {j + 1}" for i, j in swaps[:2]) + " seem to be exchanged"
        )
    elif len(fit.used) < plane.ROBUST_FROM:
        hint = "at least one is wrong; with six or more it could be said which"
    else:
        hint = "several are wrong: no five of them agree"
    refused = fit.max_px > fit.limit_px * REFUSED_PX / OUTLIER_PX
    yield Diagnostic(("ground_m", worst), message, hint, "error" if refused else "warning")


def _camera(fit: Calibration) -> Iterator[Diagnostic]:
    if fit.picture_px is None or fit.outliers or (not fit.exact and fit.max_px > fit.limit_px):
        return  # said already, and the rest follows from it
    camera = fit.camera
    if camera is None:
        if np.isfinite(focals_and_heights(fit.samples, fit.picture_px)[0]).mean() < 0.1:
            hint = "check the points and `picture_px`; a cropped picture has its middle elsewhere"
            yield Diagnostic((), "no camera sees the points of the homography like this", hint, "warning")
        return
    low, high = _range(camera.height_m, camera.height_sigma_m)
    if high < HEIGHT_M[0] or low > HEIGHT_M[1]:
        impossible = high < IMPOSSIBLE_HEIGHT_M[0] or low > IMPOSSIBLE_HEIGHT_M[1]
        message = f"the homography implies a camera {camera.height_m:.3g} m above the road"
        hint = f"`ground_m` is metres; likely are {HEIGHT_M[0]:g} to {HEIGHT_M[1]:g} m"
        yield Diagnostic(("ground_m",), message, hint, "error" if impossible else "warning")
    low, high = (2 * float(np.degrees(np.arctan(fit.picture_px[0] / 2 / max(focal, 1e-9)))) for focal in
                 reversed(_range(camera.focal_px, camera.focal_sigma_px)))  # fmt: skip
    if high < FIELD_OF_VIEW_DEG[0] or low > FIELD_OF_VIEW_DEG[1]:
        message = (
            f"the homography implies a focal length of {camera.focal_px:.0f} px, "
            f"a field of view of {camera.field_of_view_deg:.0f} degrees"
        )
        hint = f"check the proportions of `ground_m` and `picture_px`; likely are {FIELD_OF_VIEW_DEG[0]:g} to {FIELD_OF_VIEW_DEG[1]:g} degrees"
        yield Diagnostic(("ground_m",), message, hint, "warning")


def _range(value: float, sigma: float) -> tuple[float, float]:
    return value - _SIGMAS * sigma, value + _SIGMAS * sigma
