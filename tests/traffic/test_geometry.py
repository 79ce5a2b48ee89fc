"""Plane geometry against shapely, and footprints against the camera they were seen by."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from traffic.street import CAMERA, PICTURE_PX, box

from flowrt.traffic.calibration import applied, jacobians
from flowrt.traffic.geometry.footprint import Viewpoint
from flowrt.traffic.geometry.plane import LineSet, PolygonSet

shapely = pytest.importorskip("shapely")

COORDINATE = st.floats(-1000, 1000, allow_nan=False, width=32)
POINT = st.tuples(COORDINATE, COORDINATE)


@st.composite
def simple_polygon(draw: st.DrawFn) -> list[tuple[float, float]]:
    """A star-shaped, and so simple, polygon; often not convex."""
    corners = draw(st.integers(3, 12))
    x, y = draw(POINT)
    radii = draw(st.lists(st.floats(5, 300), min_size=corners, max_size=corners))
    angles = 2 * np.pi * np.arange(corners) / corners + draw(st.floats(0, 1))
    return [(x + r * float(np.cos(a)), y + r * float(np.sin(a))) for r, a in zip(radii, angles, strict=True)]


@settings(max_examples=150, deadline=None)
@given(st.lists(simple_polygon(), min_size=1, max_size=4), st.lists(POINT, max_size=20))
def test_points_in_polygons_as_shapely_says(polygons: list, points: list) -> None:
    known = [shapely.Polygon(polygon) for polygon in polygons]
    near = [(x + dx, y + dy) for polygon in polygons for x, y in polygon[:2] for dx, dy in ((1, 2), (-3, 1))]
    asked = np.array([*points, *near, (0.0, 0.0)])
    ours = PolygonSet(polygons)
    inside, depth = ours.contains(asked), ours.depth(asked)
    for i, point in enumerate(asked):
        for z, polygon in enumerate(known):
            distance = polygon.exterior.distance(shapely.Point(point))
            if distance > 1e-3:  # on the border, either answer is right
                assert inside[i, z] == polygon.contains(shapely.Point(point))
            assert abs(depth[i, z]) == pytest.approx(distance, abs=1e-3)


@settings(max_examples=100, deadline=None)
@given(POINT, POINT, POINT, POINT)
def test_crossings_as_shapely_says(a: tuple, b: tuple, start: tuple, end: tuple) -> None:
    line, way = shapely.LineString([start, end]), shapely.LineString([a, b])
    if line.length < 1 or way.length < 1 or min(shapely.Point(p).distance(line) for p in (a, b)) < 1e-2:
        return
    if min(shapely.Point(p).distance(way) for p in (start, end)) < 1e-2:
        return
    crossed, when = LineSet([[start, end]]).crossings([a], [b])
    assert bool(crossed[0, 0]) == line.intersects(way)
    if crossed[0, 0]:
        where = np.array(a) + when[0, 0] * (np.array(b) - np.array(a))
        assert line.distance(shapely.Point(where)) < 1e-2


def test_forward_is_from_left_to_right() -> None:
    """Seen along the line in the picture, where y points down."""
    upwards = LineSet([[(100, 200), (100, 100)]])  # its left is the picture's left
    assert upwards.crossings([(90, 150)], [(110, 150)])[0][0, 0] == 1
    assert upwards.crossings([(110, 150)], [(90, 150)])[0][0, 0] == -1
    assert upwards.crossings([(90, 250)], [(110, 250)])[0][0, 0] == 0
    assert upwards.crossings([(np.nan, np.nan)], [(110, 150)])[0][0, 0] == 0


def test_neighbours_share_no_point() -> None:
    left, right = [(0, 0), (10, 0), (10, 10), (0, 10)], [(10, 0), (20, 0), (20, 10), (10, 10)]
    points = [(10.0, y) for y in np.linspace(0.5, 9.5, 19)]
    assert (PolygonSet([left, right]).contains(points).sum(axis=1) == 1).all()


def test_nothing_is_nowhere() -> None:
    assert PolygonSet([]).contains(np.zeros((3, 2))).shape == (3, 0)
    assert PolygonSet([[(0, 0), (1, 0), (0, 1)]]).contains(np.zeros((0, 2))).shape == (0, 1)
    assert LineSet([]).crossings(np.zeros((2, 2)), np.ones((2, 2)))[0].shape == (2, 0)


def test_share_of_a_box() -> None:
    half = PolygonSet([[(0, 0), (50, 0), (50, 100), (0, 100)]])
    assert half.share([[0, 0, 100, 100]], samples=10)[0, 0] == pytest.approx(0.5)
    assert half.share([[60, 0, 100, 100]])[0, 0] == 0


def test_jacobian_is_the_derivative() -> None:
    matrix = np.array([[1.2, 0.1, 3], [0.2, 0.9, -4], [0.0003, 0.0011, 1]])
    points = np.array([[100.0, 200], [640, 360]])
    for axis in (0, 1):
        step = np.zeros(2)
        step[axis] = 1e-4
        slope = (applied(matrix, points + step) - applied(matrix, points - step)) / 2e-4
        assert jacobians(matrix, points)[:, :, axis] == pytest.approx(slope, rel=1e-4)


GROUND_TO_PICTURE = CAMERA[:, [0, 1, 3]]
CAR_M = (4.45, 1.8, 1.5)


@pytest.mark.parametrize("scale", [1.0, -3.0, 0.01])
def test_the_camera_is_recovered_from_its_homography(scale: float) -> None:
    view = Viewpoint(scale * np.linalg.inv(GROUND_TO_PICTURE), PICTURE_PX)
    assert view.upright
    assert view.projection / view.projection[2, 3] == pytest.approx(CAMERA / CAMERA[2, 3], rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("axes", [[[1, 0], [0, 1]], [[1, 0], [0, -1]], [[0, 1], [1, 0]], [[0.8, -0.6], [0.6, 0.8]]])
def test_footprints_are_found_whatever_the_axes(axes: list) -> None:
    """Also in left-handed and turned ground coordinates."""
    turn = np.eye(3)
    turn[:2, :2] = axes
    view = Viewpoint(turn @ np.linalg.inv(GROUND_TO_PICTURE), PICTURE_PX)
    for x, y, degrees in ((-3, 5, -90), (2, 30, 90), (0, 15, 30), (4, 50, 200)):
        heading = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
        seen = box(x, y, (heading[0], heading[1]), CAR_M, CAMERA)
        found, (_, ratio) = view.fit_footprints([seen], (np.array(axes) @ heading)[None], np.array([CAR_M]), steps=6)
        assert found[0] == pytest.approx(np.array(axes) @ [x, y], abs=0.03)
        assert ratio[0] == pytest.approx(1.0, abs=0.02)


def test_a_plan_view_has_no_upright() -> None:
    """Seen from straight above, the homography is a similarity: heights can't be told, bottom centres are used."""
    view = Viewpoint(np.diag([0.05, 0.05, 1.0]), PICTURE_PX)
    assert not view.upright
    found, _ = view.fit_footprints([[100, 100, 140, 200]], np.array([[0.0, 1.0]]), np.array([CAR_M]))
    assert found[0] == pytest.approx([6.0, 10.0])
