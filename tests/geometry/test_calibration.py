"""The fit of a homography, and what it says about itself, against exact cameras."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flowrt.traffic.calibration import Calibration, NoCalibration, applied, calibrate, calibration_diagnostics

from .pinhole import Array, Pinhole

CAMERA = Pinhole()
CORNERS = np.array([(-4.0, 15.0), (4.0, 15.0), (4.0, 55.0), (-4.0, 55.0)])
EIGHT = np.array(
    [(-7.0, 60.0), (7.0, 60.0), (-7.0, 24.0), (7.0, 24.0), (-6.0, 12.0), (6.0, 13.0), (0.5, 40.0), (-0.5, 18.0)]
)


def fit(ground: Array, camera: Pinhole = CAMERA, noise_px: float = 0.0, seed: int = 1) -> Calibration:
    pixels = camera.pixels(ground)
    errors = np.random.default_rng(seed).normal(0, noise_px, pixels.shape)
    return calibrate(pixels + errors, ground, camera.picture_px)


def said(calibration: Calibration) -> list[tuple[str, str, tuple[str | int, ...]]]:
    return [(one.severity, one.message, one.keys) for one in calibration_diagnostics(calibration)]


@st.composite
def views(draw: st.DrawFn) -> tuple[Pinhole, Array]:
    """A camera, and four to ten points of the road that it sees, none three of which lie nearly on one line."""
    tilt = draw(st.floats(8, 55))
    camera = Pinhole(
        draw(st.floats(3, 30)), tilt, draw(st.floats(500, 3000)), draw(st.floats(-8, 8)), draw(st.sampled_from([(1280, 720), (640, 480)]))
    )  # fmt: skip
    count = draw(st.integers(4, 10))
    width, height = camera.picture_px
    horizon = height / 2 - camera.focal_px * np.tan(np.radians(tilt))
    top = max(horizon + 0.25 * abs(height - horizon), 0.0) + 20 + width * np.tan(np.radians(8)) * 0.5
    assume(top < height - 100)
    seeds = draw(st.integers(0, 2**32 - 1))
    spread = np.random.default_rng(seeds).uniform((0, top), (width, height), (count, 2))
    around = [(0.1, 0.1), (0.9, 0.05), (0.85, 0.95), (0.05, 0.9)]
    spread[:4] = [(x * width, top + y * (height - top)) for x, y in around]
    back = np.linalg.inv(camera.to_image)
    ground = np.column_stack([spread, np.ones(count)]) @ back.T
    return camera, np.asarray(ground[:, :2] / ground[:, 2:])


@settings(max_examples=60, deadline=None)
@given(views())
def test_exact_points_give_the_camera_back(view: tuple[Pinhole, Array]) -> None:
    camera, ground = view
    calibration = fit(ground, camera)
    assert calibration.max_px < 1e-5
    assert calibration.outliers == ()
    assert applied(calibration.to_image, ground) == pytest.approx(camera.pixels(ground), abs=1e-5)
    assert applied(calibration.to_ground, camera.pixels(ground)) == pytest.approx(ground, abs=1e-4)
    implied = calibration.camera
    if implied is not None:  # with few points a click may leave it open
        assert implied.height_m == pytest.approx(camera.height_m, rel=1e-3)
        assert implied.focal_px == pytest.approx(camera.focal_px, rel=1e-3)
        assert implied.tilt_deg == pytest.approx(camera.tilt_deg, abs=0.1)
        assert implied.roll_deg == pytest.approx(-camera.roll_deg, abs=0.1)
    along, down, offset = calibration.horizon
    far = camera.pixels([(0.0, 1e7)])[0]
    assert along * far[0] + down * far[1] + offset == pytest.approx(0, abs=0.1)
    assert (camera.pixels(ground) @ (along, down) + offset > 0).all()


@settings(max_examples=40, deadline=None)
@given(views(), st.floats(0, 360), st.booleans())
def test_the_ground_axes_may_lie_as_they_like(view: tuple[Pinhole, Array], angle: float, mirrored: bool) -> None:
    camera, ground = view
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    turned = ground @ np.array([[c, s], [-s, c]]).T * ((-1, 1) if mirrored else (1, 1)) + (500.0, -300.0)
    usual, other = fit(ground, camera), calibrate(camera.pixels(ground), turned, camera.picture_px)
    assert other.max_px < 1e-4
    points = camera.pixels(ground[:2])
    assert other.scale_sigma(points, [(0, 1), (0, 1)]) == pytest.approx(
        usual.scale_sigma(points, [(0, 1), (0, 1)]), rel=0.05
    )


def test_four_points_have_no_residual_by_construction() -> None:
    calibration = fit(CORNERS, noise_px=5.0)
    assert calibration.exact
    assert calibration.max_px < 1e-6
    assert np.isnan(calibration.held_out).all()


def test_residuals_are_those_of_a_fit_by_another_route() -> None:
    """OpenCV refines by Levenberg-Marquardt; the least squares are the same."""
    import cv2

    calibration = fit(EIGHT, noise_px=0.8)
    assert calibration.outliers == ()
    other, _ = cv2.findHomography(EIGHT, calibration.image_px, 0)
    off = applied(other / other[2, 2], EIGHT) - calibration.image_px
    assert np.hypot(*off.T) == pytest.approx(np.hypot(*calibration.residual_px.T), abs=0.02)
    assert 0.2 < calibration.rms_px < 1.2
    assert calibration.max_px >= calibration.rms_px
    assert calibration.max_m >= calibration.rms_m > 0


@pytest.mark.parametrize("point", range(8))
def test_an_outlier_is_named_left_out_and_said(point: int) -> None:
    wrong = EIGHT.copy()
    wrong[point, 1] += 25.0
    calibration = calibrate(CAMERA.pixels(EIGHT), wrong, CAMERA.picture_px)
    assert calibration.outliers == (point,)
    assert applied(calibration.to_image, EIGHT) == pytest.approx(CAMERA.pixels(EIGHT), abs=1e-4)
    (found,) = calibration_diagnostics(calibration)
    assert found.severity == "error"
    assert found.keys == ("ground_m", point)
    assert f"point {point + 1} " in found.message
    assert "25.0 m" in found.message
    assert f"[{EIGHT[point, 0]:.1f}, {EIGHT[point, 1]:.1f}]" in found.hint


def test_a_small_outlier_is_a_warning() -> None:
    pixels = CAMERA.pixels(EIGHT)
    pixels[6, 0] += 7.0
    calibration = calibrate(pixels, EIGHT, CAMERA.picture_px)
    ((severity, message, keys),) = said(calibration)
    assert (severity, keys) == ("warning", ("ground_m", 6))
    assert "left out of the fit" in message


def test_points_within_the_limit_are_all_used() -> None:
    """RANSAC's models are of four points; what it shuts out though all fit together stays in."""
    for seed in range(20):
        calibration = fit(EIGHT, noise_px=1.0, seed=seed)
        if calibration.max_px < 3 and not calibration.outliers:
            assert calibration.used.all()
        for i in calibration.outliers:
            assert np.hypot(*calibration.residual_px[i]) > 3


def test_exchanged_points_are_named() -> None:
    wrong = EIGHT.copy()
    wrong[[2, 6]] = wrong[[6, 2]]
    calibration = calibrate(CAMERA.pixels(EIGHT), wrong, CAMERA.picture_px)
    assert calibration.outliers == (2, 6)
    assert all("points 3 and 7 seem to be exchanged" in one.hint for one in calibration_diagnostics(calibration))


@pytest.mark.parametrize("pair", [(0, 1), (1, 2), (2, 3), (0, 3)])
def test_a_bow_tie_is_refused_with_the_exchange_that_mends_it(pair: tuple[int, int]) -> None:
    wrong = CORNERS.copy()
    wrong[list(pair)] = wrong[list(reversed(pair))]
    with pytest.raises(NoCalibration) as refused:
        calibrate(CAMERA.pixels(CORNERS), wrong, CAMERA.picture_px)
    (found,) = refused.value.diagnostics
    assert "crossed order" in found.message
    assert f"{pair[0] + 1} and {pair[1] + 1}" in found.hint


def test_five_points_that_contradict_each_other() -> None:
    five = np.vstack([CORNERS, [(0.0, 25.0)]])
    wrong = five.copy()
    wrong[4, 1] += 10
    calibration = calibrate(CAMERA.pixels(five), wrong, CAMERA.picture_px)
    ((severity, message, _),) = said(calibration)
    assert severity == "error"
    assert "contradict" in message
    wrong = five.copy()
    wrong[[0, 4]] = wrong[[4, 0]]
    with pytest.raises(NoCalibration) as refused:
        calibrate(CAMERA.pixels(five), wrong, CAMERA.picture_px)
    assert "1 and 5 seem to be exchanged" in refused.value.diagnostics[0].hint


def test_six_points_of_which_no_five_agree() -> None:
    pixels = CAMERA.pixels(EIGHT[:6])
    pixels += np.random.default_rng(3).uniform(-60, 60, pixels.shape)
    calibration = calibrate(pixels, EIGHT[:6], CAMERA.picture_px)
    assert calibration.outliers == ()
    assert any("contradict" in message and severity == "error" for severity, message, _ in said(calibration))


@pytest.mark.parametrize(
    ("image", "ground", "keys", "words"),
    [
        ([(0, 0), (9, 9)], [(0, 0)], (), "2 picture points, but 1 ground points"),
        ([(0, 0), (90, 9), (90, 90)], [(0, 0), (9, 0), (9, 9)], (), "3 points, at least 4"),
        ([(100, 100), (200, 200), (300, 301), (900, 100)], CORNERS, ("image_px", 2), "points 1, 2 and 3 lie on one line in the picture"),
        ([(100, 100), (900, 100), (900, 700), (100, 700)], [(0, 0), (4, 0), (4, 9), (4, 20)], ("ground_m", 3), "points 2, 3 and 4 lie on one line on the ground"),
        ([(100, 100), (900, 100), (900, 700), (100, 100)], CORNERS, ("image_px", 3), "points 1 and 4 are the same point in the picture"),
        ([(100, 100), (900, 100), (900, 700), (100, 700)], [(0, 0), (4, 0), (4, 0), (0, 20)], ("ground_m", 2), "points 2 and 3 are the same point on the ground"),
        ([(100, 100), (900, 100), (900, 700), (100, float("nan"))], CORNERS, ("image_px", 3), "point 4 is not finite"),
    ],
)  # fmt: skip
def test_points_without_a_fit_are_refused_by_name(
    image: list[tuple[float, float]], ground: Array, keys: tuple[str | int, ...], words: str
) -> None:
    with pytest.raises(NoCalibration) as refused:
        calibrate(image, ground, (1280, 720))
    assert [(one.keys, one.severity) for one in refused.value.diagnostics] == [(keys, "error")]
    assert words in refused.value.diagnostics[0].message
    assert refused.value.diagnostics[0].hint


def test_all_but_one_on_a_line_are_refused() -> None:
    ground = np.array([(0.0, 10.0), (0.0, 20.0), (0.0, 30.0), (0.0, 40.0), (0.0, 50.0), (3.0, 20.0)])
    with pytest.raises(NoCalibration, match="all but one"):
        calibrate(CAMERA.pixels(ground), ground, CAMERA.picture_px)


def test_leave_one_out_is_what_the_others_say() -> None:
    pixels = CAMERA.pixels(EIGHT)
    pixels[3] += (2.0, -1.0)
    calibration = calibrate(pixels, EIGHT, CAMERA.picture_px)
    assert calibration.outliers == ()
    off_px, off_m = calibration.held_out
    assert off_px[3] == pytest.approx(5**0.5, abs=1e-3)
    assert off_m[3] == pytest.approx(
        np.hypot(*(applied(np.linalg.inv(CAMERA.to_image), pixels[3]) - EIGHT[3])[0]), abs=1e-3
    )
    assert (off_px[[0, 1, 2, 4, 5]] > 0.01).all()


def test_a_point_that_the_others_need_has_no_leave_one_out() -> None:
    ground = np.array([(0.0, 12.0), (0.0, 20.0), (0.0, 30.0), (0.0, 45.0), (4.0, 14.0), (4.0, 40.0)])
    off_px, _ = fit(ground).held_out
    assert np.isfinite(off_px[:4]).all()
    assert np.isnan(off_px[4:]).all()


def test_the_sigma_of_the_scale_is_that_of_many_refits() -> None:
    """Against speeds measured with fits to freshly disturbed clicks."""
    exact = fit(CORNERS)
    place, ahead = np.array([(-1.0, 35.0)]), np.array([(-1.0, 36.0)])
    pixels = CAMERA.pixels(np.vstack([place, ahead]))
    lengths = []
    for seed in range(400):
        disturbed = fit(CORNERS, noise_px=1.0, seed=seed)
        a, b = applied(disturbed.to_ground, pixels)
        lengths.append(float(np.hypot(*(b - a))))
    told = exact.scale_sigma(pixels[:1], [pixels[1] - pixels[0]])[0]
    assert told == pytest.approx(np.std(lengths), rel=0.15)
    assert exact.scale_sigma(pixels[:1])[0] >= told * 0.999


def test_more_points_make_the_scale_more_certain() -> None:
    place = CAMERA.pixels([(0.0, 16.0), (0.0, 35.0)])
    assert (fit(EIGHT).scale_sigma(place) < fit(CORNERS).scale_sigma(place)).all()


def test_bad_residuals_make_the_scale_less_certain() -> None:
    place = CAMERA.pixels([(0.0, 20.0)])
    careful, careless = fit(EIGHT, noise_px=0.2), fit(EIGHT, noise_px=1.6, seed=3)
    assert careless.outliers == ()
    assert careless.click_px > 1.2 > careful.click_px
    assert careless.scale_sigma(place)[0] > 1.2 * careful.scale_sigma(place)[0]


def test_nothing_is_certain_beyond_the_horizon() -> None:
    assert fit(CORNERS).scale_sigma([(640.0, -200.0)])[0] == np.inf
    assert fit(CORNERS).scale_sigma([(640.0, -200.0)], [(0.0, 1.0)])[0] == np.inf


def test_the_sigma_is_the_same_every_time() -> None:
    assert (fit(CORNERS).samples == fit(CORNERS).samples).all()


def test_the_hull_tells_extrapolation() -> None:
    calibration = fit(CORNERS)
    inside, outside = CAMERA.pixels([(0.0, 30.0)]), CAMERA.pixels(CORNERS[:1]) - np.array([10.0, 0.0])
    assert calibration.beyond_hull_px(inside)[0] == 0
    assert 0 < calibration.beyond_hull_px(outside)[0] <= 10


def test_a_scaled_calibration_is_the_same_road() -> None:
    calibration = fit(EIGHT, noise_px=0.5)
    half = calibration.scaled(0.5, 0.5)
    assert applied(half.to_ground, calibration.image_px / 2) == pytest.approx(
        applied(calibration.to_ground, calibration.image_px)
    )
    assert half.max_px == pytest.approx(calibration.max_px / 2)
    assert half.max_m == pytest.approx(calibration.max_m)
    place = CAMERA.pixels([(0.0, 30.0)])
    assert half.scale_sigma(place / 2) == pytest.approx(calibration.scale_sigma(place), rel=1e-6)
    assert half.camera is not None
    assert calibration.camera is not None
    assert half.camera.height_m == pytest.approx(calibration.camera.height_m)


@pytest.mark.parametrize(
    ("factor", "severity", "words"),
    [
        (0.1, "warning", "0.7 m above"),
        (0.01, "error", "0.07 m above"),
        (40, "warning", "280 m above"),
        (304.8, "error", "2.13e+03 m"),
    ],
)
def test_an_unlikely_camera_is_said(factor: float, severity: str, words: str) -> None:
    calibration = calibrate(CAMERA.pixels(CORNERS), CORNERS * factor, CAMERA.picture_px)
    ((found, message, keys),) = said(calibration)
    assert (found, keys) == (severity, ("ground_m",))
    assert words in message


def test_proportions_that_no_camera_has_are_said() -> None:
    calibration = calibrate(CAMERA.pixels(CORNERS), CORNERS * (1.0, 0.02), CAMERA.picture_px)
    ((severity, message, _),) = said(calibration)
    assert severity == "warning"
    assert "no camera" in message or "focal length" in message


def test_a_likely_camera_needs_no_words() -> None:
    for camera in (CAMERA, Pinhole(3, 12, 700), Pinhole(60, 50, 1500), Pinhole(10, 15, 3000, picture_px=(3840, 2160))):
        ground = CORNERS + np.array([0, 20]) if camera.height_m > 20 else CORNERS
        assert said(fit(ground, camera)) == []
