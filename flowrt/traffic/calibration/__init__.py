"""From picture to road plane, and how good that is: `calibrate` fits a homography to points, `Calibration` says what it is worth.

Pure functions of points, without files or flows, for `flowrt check`, `flowrt scene`, the live page and whatever else calibrates a camera.
"""

from flowrt.traffic.calibration.calibration import (
    CLICK_PX,
    OUTLIER_PX,
    REFUSED_PX,
    Calibration,
    calibrate,
    relative_sigma,
)
from flowrt.traffic.calibration.faults import FIELD_OF_VIEW_DEG, HEIGHT_M, calibration_diagnostics
from flowrt.traffic.calibration.plane import applied, jacobians
from flowrt.traffic.calibration.points import NoCalibration
from flowrt.traffic.calibration.pose import ImpliedCamera, up_column
from flowrt.traffic.calibration.report import facts, lines

__all__ = [
    "CLICK_PX",
    "FIELD_OF_VIEW_DEG",
    "HEIGHT_M",
    "OUTLIER_PX",
    "REFUSED_PX",
    "Calibration",
    "ImpliedCamera",
    "NoCalibration",
    "applied",
    "calibrate",
    "calibration_diagnostics",
    "facts",
    "jacobians",
    "lines",
    "relative_sigma",
    "up_column",
]
