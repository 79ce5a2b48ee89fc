"""What the homography of a scene says of itself and of the zones: contradicting points, lanes too wide, scales too uncertain.

docs/scene.md states the limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from flowrt.config.report import Report, place
from flowrt.config.yaml import Mapping, join
from flowrt.diagnostics import Diagnostic
from flowrt.traffic.scene import Scene, Zone

if TYPE_CHECKING:
    from flowrt.traffic.calibration import Calibration

WIDTH_M, LENGTH_M = (1.2, 8.0), 300.0
"""A lane narrower, wider or longer than this is unlikely; the width is its area over its length."""
SCALE_LIMIT = 0.10
"""A lane may reach beyond the points as long as a speed there is less uncertain than this, by clicks alone (standard deviation)."""

Locations = dict[tuple[str, str], tuple[str, ...]]


def check_metres(scene: Scene, node: Mapping, locations: Locations, path: str, report: Report) -> None:
    """Report everything wrong with a scene's homography, and with its lanes in metres."""
    from flowrt.traffic.calibration import NoCalibration, calibration_diagnostics  # numpy, for flows with metres only

    try:
        calibration = scene.calibration
    except NoCalibration as refused:
        for found in refused.diagnostics:
            _add(found, f"no homography: {found.message}", ("homography",), node, path, report)
        return
    if calibration is None:
        return
    diagnostics = calibration_diagnostics(calibration)
    for found in diagnostics:
        _add(found, found.message, ("homography",), node, path, report)
    if any(found.severity == "error" for found in diagnostics):
        return  # what metres say of the lanes follows from it
    for lane in scene.zones_of("lane"):
        for found in _lane_diagnostics(lane, calibration):
            _add(found, found.message, locations["zone", lane.name], node, path, report)


def _add(found: Diagnostic, message: str, steps: tuple[str, ...], node: Mapping, path: str, report: Report) -> None:
    keys = (*steps, *found.keys)
    below = path
    for key in keys:
        below = join(below, key)
    mark = node.key(steps[0]) if keys == ("homography",) else place(node, keys, node.mark)
    report.add(mark, below, message, found.hint, found.severity)


def _lane_diagnostics(zone: Zone, calibration: Calibration) -> Iterator[Diagnostic]:
    """Warnings about a lane, with keys below its entry."""
    import numpy as np  # as above

    from flowrt.traffic.calibration import applied

    what, corners = f"lane '{zone.name}'", zone.polygon.astype(float)
    ground = applied(calibration.to_ground, corners)
    beyond = np.flatnonzero(~np.isfinite(ground).all(axis=1))
    if len(beyond):
        i = int(beyond[0])
        x, y = zone.points[i]
        message = f"{what} reaches beyond the homography's horizon, at [{x:g}, {y:g}]"
        yield Diagnostic(("zone", i), message, "there is no road: end it below, or check the points", "warning")
        return
    directions = None if zone.heading is None else np.broadcast_to(zone.heading, corners.shape)
    uncertain = calibration.scale_sigma(corners, directions)
    outside = calibration.beyond_hull_px(corners) > 0
    uncertain = np.where(outside, uncertain, 0.0)
    worst = int(uncertain.argmax())
    if uncertain[worst] > SCALE_LIMIT:
        share = "100 % and more" if uncertain[worst] >= 1 else f"{100 * uncertain[worst]:.0f} %"
        x, y = zone.points[worst]
        message = f"{what} reaches beyond the homography's points: speeds at [{x:g}, {y:g}] are uncertain by {share}"
        hint = "give points there too, such as corners of markings, or end the lane earlier"
        yield Diagnostic(("zone", worst), message, hint, "warning")
    length, width = lane_size_m(zone, calibration)
    if length > LENGTH_M:
        message, hint = f"{what} is {length:.0f} m long by the homography", f"more than {LENGTH_M:g} m are unlikely"
        yield Diagnostic(("zone",), message, f"{hint}: end it earlier, or check `ground_m`", "warning")
    if not WIDTH_M[0] <= width <= WIDTH_M[1]:
        message = f"{what} is {width:.1f} m wide by the homography"
        hint = f"likely are {WIDTH_M[0]:g} to {WIDTH_M[1]:g} m: draw a zone for each lane, or check `ground_m`"
        yield Diagnostic(("zone",), message, hint, "warning")


def lane_size_m(zone: Zone, calibration: Calibration) -> tuple[float, float]:
    """Of a lane, in metres: how far it reaches along its heading, or its longest extent, and its area over that. NaN where a part of it
    lies beyond the horizon."""
    import numpy as np  # as above

    from flowrt.traffic.calibration import applied

    corners = zone.polygon.astype(float)
    ground = applied(calibration.to_ground, corners)
    if not np.isfinite(ground).all():
        return np.nan, np.nan
    centred = ground - ground.mean(axis=0)
    along = np.linalg.svd(centred)[2][0]
    if zone.heading is not None:
        middle = corners.mean(axis=0)
        heading = np.asarray(zone.heading) / np.hypot(*zone.heading)
        here, ahead = applied(calibration.to_ground, np.stack([middle, middle + heading]))
        along = (ahead - here) / np.hypot(*(ahead - here))
    length = float(np.ptp(centred @ along))
    x, y = centred.T
    area = abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())) / 2
    return length, area / max(length, 1e-9)
