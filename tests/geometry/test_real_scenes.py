"""Scenes that were drawn by hand on real clips: `flowrt check` takes the honest ones, and names the point that is 25 m off."""

from __future__ import annotations

import pytest
from harness import data_file

from flowrt.config import parts, read
from flowrt.diagnostics import Diagnostic
from flowrt.traffic.calibration import calibrate

HONEST = ["crossing", "freeway", "intersection-crash", "motorway", "road-four-lanes", "road-four-lanes-8-points", "signal-night", "signal-two-wheelers"]  # fmt: skip


def about_scenes(name: str) -> list[Diagnostic]:
    return [each for each in read(data_file(f"real/flows/{name}.yaml"))[1] if each.path.startswith("scene.")]


@pytest.mark.parametrize("name", HONEST)
def test_honest_scenes_are_valid(name: str) -> None:
    assert [str(each) for each in about_scenes(name) if each.severity == "error"] == []


def test_a_point_25_m_off_is_named_at_its_place() -> None:
    [found] = about_scenes("road-four-lanes-bad-point")
    assert (found.severity, found.path, found.line, found.column) == ("error", "scene.s.homography.ground_m[3]", 19, 45)
    assert "point 4 " in found.message
    assert "25.4 m" in found.message
    assert "[0.0, 19.6]" in found.hint, "it is 20 m by the dashes"


def test_without_that_point_the_fit_is_that_of_the_honest_file() -> None:
    bad, good = (
        parts(data_file(f"real/flows/road-four-lanes-{name}.yaml")).entries["scene"]["s"]
        for name in ("bad-point", "8-points")
    )
    fit = bad.calibration
    assert fit.outliers == (3,)
    points = [i for i in range(8) if i != 3]
    other = calibrate(
        [good.homography.image_px[i] for i in points], [good.homography.ground_m[i] for i in points], good.picture_px
    )
    assert fit.to_ground == pytest.approx(other.to_ground, rel=1e-6, abs=1e-9)
