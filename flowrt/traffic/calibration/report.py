"""A calibration in words, and as plain data for JSON and the live page."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowrt.traffic.calibration import plane
from flowrt.traffic.calibration.calibration import Calibration

_ZERO = "residuals of four points are zero by construction and say nothing: give six or more"


def lines(calibration: Calibration) -> list[str]:
    """What `flowrt check` prints of a homography: a summary, the residual of each point, and what each is off when left out."""
    count, out = len(calibration.used), len(calibration.outliers)
    summary = f"homography of {count} points" + (f", {out} of them left out" if out else "")
    camera = calibration.camera
    if camera is not None:
        summary += (
            f"; it implies a camera {camera.height_m:.1f} ± {camera.height_sigma_m:.1f} m above the road, "
            f"focal length {camera.focal_px:.0f} ± {camera.focal_sigma_px:.0f} px"
        )
    if calibration.exact:
        return [summary, _ZERO]
    off_px, off_m = (np.hypot(*vectors.T) for vectors in (calibration.residual_px, calibration.residual_m))
    summary += f"; residuals {calibration.rms_px:.1f} px RMS, at most {calibration.max_px:.1f} px and {calibration.max_m:.2f} m"
    return [
        summary,
        "residual of each point: " + _each(off_px, off_m),
        "leave-one-out of each point: " + _each(*calibration.held_out),
    ]


def facts(calibration: Calibration) -> dict[str, Any]:
    """Everything that a calibration says, as plain data; None stands for what is not known."""
    camera, held_px, held_m = calibration.camera, *calibration.held_out
    places = plane.applied(calibration.to_image, calibration.ground_m)
    return {
        "points": [
            {
                "image_px": calibration.image_px[i].tolist(),
                "ground_m": calibration.ground_m[i].tolist(),
                "fitted_px": _known(places[i]),
                "used": bool(calibration.used[i]),
                "residual_px": _length(calibration.residual_px[i]),
                "residual_m": _length(calibration.residual_m[i]),
                "held_out_px": _number(held_px[i]),
                "held_out_m": _number(held_m[i]),
            }
            for i in range(len(calibration.used))
        ],
        "exact": calibration.exact,
        "outliers": list(calibration.outliers),
        "rms_px": _number(calibration.rms_px),
        "rms_m": _number(calibration.rms_m),
        "max_px": _number(calibration.max_px),
        "max_m": _number(calibration.max_m),
        "click_px": _number(calibration.click_px),
        "to_ground": calibration.to_ground.tolist(),
        "hull_px": calibration.hull_px.tolist(),
        "horizon": list(calibration.horizon),
        "camera": camera and {name: _number(value) for name, value in vars(camera).items()},
    }


def _each(off_px: NDArray[np.float64], off_m: NDArray[np.float64]) -> str:
    pairs = zip(off_px.tolist(), off_m.tolist(), strict=True)
    return ", ".join("-" if math.isnan(px) else f"{px:.1f} px {m:.2f} m" for px, m in pairs)


def _length(vector: NDArray[np.float64]) -> float | None:
    return _number(float(np.hypot(*vector)))


def _number(value: float) -> float | None:
    return round(float(value), 4) if math.isfinite(value) else None


def _known(point: NDArray[np.float64]) -> list[float] | None:
    return [round(float(value), 2) for value in point] if np.isfinite(point).all() else None
