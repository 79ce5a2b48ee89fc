"""What can be wrong with the drawing of a scene: crossing polygons, points outside of the picture, lines off the road.

What its homography says is in `metres.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from flowrt.config.report import Report, place
from flowrt.config.yaml import Mapping, join
from flowrt.diagnostics import Mark
from flowrt.traffic.checks.metres import check_metres
from flowrt.traffic.scene import Line, Point, Scene, Zone

MAX_CORNERS = 500
SHARE_MARGIN = 0.5
"""Shares of a box that reaches over the edge of the picture are slightly below 0 or above 1."""
LEAST_PX = 9.0
"""A zone of a smaller area, in square pixels, holds no road user."""


def check_scene(
    scene: Scene, node: Mapping, path: str, locations: dict[tuple[str, str], tuple[str, ...]], report: Report
) -> None:
    """Report everything wrong with a scene. locations: ("zone" or "line", name) to the keys below the scene's node."""
    _check_units(scene, node, locations, path, report)
    for zone in scene.zones.values():
        _check_zone(zone, scene, node, locations["zone", zone.name], path, report)
    for line in scene.lines.values():
        _check_line(line, scene, node, locations["line", line.name], path, report)
    _check_lamps(scene, node, path, report)
    _check_count_lines(scene, node, locations, path, report)
    if scene.homography is not None:
        check_metres(scene, node, locations, path, report)


def _check_units(
    scene: Scene, node: Mapping, locations: dict[tuple[str, str], tuple[str, ...]], path: str, report: Report
) -> None:
    """Points between 0 and 1, or slightly outside, as other tools write them: shares of the picture, which would all lie in its first pixels."""
    drawn = [(("zone", zone.name), "zone", zone.points) for zone in scene.zones.values()]
    drawn += [(("line", line.name), "line", line.points) for line in scene.lines.values()]
    width, height = scene.picture_px
    for where, key, points in drawn:
        if _as_shares(points):
            steps = (*locations[where], key)
            most = max(edge for point in points for edge in point)
            within = "a single pixel" if most <= 1 else "two pixels"
            message = f"{where[0]} '{where[1]}' lies within {within}: its points look like shares of the picture"
            hint = f"points are pixels: [0.5, 0.5] is [{width / 2:g}, {height / 2:g}]"
            report.add(place(node, steps, node.mark), _path(path, steps), message, hint)


def _as_shares(points: Sequence[Point]) -> bool:
    return len(set(points)) > 1 and all(-SHARE_MARGIN <= edge <= 1 + SHARE_MARGIN for point in points for edge in point)


def _area(points: Sequence[Point]) -> float:
    around = zip(points, [*points[1:], points[0]], strict=True)
    return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in around)) / 2


def _check_count_lines(
    scene: Scene, node: Mapping, locations: dict[tuple[str, str], tuple[str, ...]], path: str, report: Report
) -> None:
    """Lines that no lane crosses count no vehicle; one across a crosswalk or a sidewalk is there for pedestrians."""
    lanes, ways = scene.zones_of("lane"), scene.zones_of("crosswalk", "sidewalk")
    for line in scene.lines_of("count") if lanes else ():
        if line.points[0] == line.points[1] or any(touches(line.points, zone.points) for zone in [*lanes, *ways]):
            continue
        steps = (*locations["line", line.name], "line")
        message = (
            f"the count line '{line.name}' touches none of the lanes ({', '.join(zone.name for zone in lanes[:6])})"
        )
        hint = "draw it across the lanes that it counts: `traffic_flow` counts lanes, not lines alone"
        report.add(place(node, steps, node.mark), _path(path, steps), message, hint, severity="warning")


def _check_zone(zone: Zone, scene: Scene, node: Mapping, steps: tuple[str, ...], path: str, report: Report) -> None:
    outline = place(node, (*steps, "zone"), node.mark)
    below = join(_path(path, steps), "zone")
    what = f"zone '{zone.name}'"
    for i, point in enumerate(zone.points):
        _inside(point, scene, place(node, (*steps, "zone", i), outline), join(below, i), what, report)
    if len(zone.points) > MAX_CORNERS:
        report.add(outline, below, f"{what} has {len(zone.points)} corners", f"at most {MAX_CORNERS}")
    elif repeated := _repeated(zone.points):
        message = f"{what}: corner {repeated + 1} repeats the one before it"
        if zone.points[0] == zone.points[repeated] and repeated == len(zone.points) - 1:
            message = f"{what}: the last corner repeats the first"
        hint = "remove it: a zone closes by itself"
        report.add(place(node, (*steps, "zone", repeated), outline), join(below, repeated), message, hint)
    elif all(_turn(zone.points[0], zone.points[1], point) == 0 for point in zone.points[2:]):
        report.add(outline, below, f"{what} has no area", "its corners lie on one line")
    elif crossing := crossing_sides(zone.points):
        first, second = crossing
        hint = "list the corners in order around the zone"
        message = f"{what} crosses itself: side {first + 1} and side {second + 1} cross"
        report.add(place(node, (*steps, "zone", second), outline), below, message, hint)
    elif _area(zone.points) < LEAST_PX and not _as_shares(zone.points):
        message = f"{what} covers only {_area(zone.points):.3g} square pixels"
        report.add(outline, below, message, f"points are pixels; at least {LEAST_PX:g} square pixels")
    if zone.heading == (0.0, 0.0):
        mark = place(node, (*steps, "heading"), outline)
        hint = "give a direction in the picture: [0, 1] is straight down"
        report.add(mark, join(_path(path, steps), "heading"), f"{what} has the heading [0, 0]", hint)


def _repeated(points: Sequence[Point]) -> int:
    """The index of a corner that stands where its neighbour stands; 0 where there is none."""
    if points[-1] == points[0]:
        return len(points) - 1
    return next((i for i in range(1, len(points)) if points[i] == points[i - 1]), 0)


def _check_line(line: Line, scene: Scene, node: Mapping, steps: tuple[str, ...], path: str, report: Report) -> None:
    outline = place(node, (*steps, "line"), node.mark)
    below = join(_path(path, steps), "line")
    what = f"line '{line.name}'"
    for i, point in enumerate(line.points):
        _inside(point, scene, place(node, (*steps, "line", i), outline), join(below, i), what, report)
    if line.points[0] == line.points[1]:
        report.add(outline, below, f"{what} has no length", "give two different points")
        return
    lanes = scene.zones_of("lane")
    if line.kind == "stop_line" and lanes and not any(touches(line.points, lane.points) for lane in lanes):
        names = ", ".join(lane.name for lane in lanes[:6])
        report.add(
            outline, below, f"the stop line crosses none of the lanes ({names})", "draw it across the lanes it governs"
        )


def _check_lamps(scene: Scene, node: Mapping, path: str, report: Report) -> None:
    for name, lamp in scene.lamps.items():
        for colour in ("red", "amber", "green"):
            lens = getattr(lamp, colour)
            if lens is None:
                continue
            mark = place(node, ("lamps", name, colour), node.mark)
            below = join(_path(path, ("lamps", name)), colour)
            _inside((lens[0], lens[1]), scene, mark, below, f"lamp '{name}'", report)
            if lens[2] <= 0:
                report.add(mark, below, f"lamp '{name}': the {colour} lens has radius {lens[2]:g}", "above 0")


def _inside(point: Point, scene: Scene, mark: Mark, path: str, what: str, report: Report) -> None:
    width, height = scene.picture_px
    if not (0 <= point[0] <= width and 0 <= point[1] <= height):
        message = f"{what}: the point [{point[0]:g}, {point[1]:g}] lies outside of the picture"
        report.add(mark, path, message, f"the picture has {width} x {height} pixels")


def _path(path: str, steps: Sequence[str]) -> str:
    for step in steps:
        path = join(path, step)
    return path


def crossing_sides(points: Sequence[Point]) -> tuple[int, int] | None:
    """The first two sides of a closed polygon that cross; None for a simple polygon.

    Neighbouring sides share a corner; they are at fault only when one folds back over the other.
    """
    n = len(points)
    sides = [(points[i], points[(i + 1) % n]) for i in range(n)]
    for i in range(n):
        for j in range(i + 1, n):
            if j == i + 1 or (i == 0 and j == n - 1):
                first, second = (sides[i], sides[j]) if j == i + 1 else (sides[j], sides[i])
                if _folds_back(first[0], first[1], second[1]):
                    return i, j
            elif segments_meet(*sides[i], *sides[j]):
                return i, j
    return None


def _folds_back(a: Point, b: Point, c: Point) -> bool:
    """Whether the way a-b-c turns back over itself at b."""
    forward = (b[0] - a[0]) * (c[0] - b[0]) + (b[1] - a[1]) * (c[1] - b[1])
    return _turn(a, b, c) == 0 and forward < 0


def segments_meet(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments a-b and c-d have a point in common."""
    abc, abd, cda, cdb = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if abc * abd < 0 and cda * cdb < 0:
        return True
    return any(
        turn == 0 and _within(p, q, r)
        for turn, p, q, r in ((abc, a, b, c), (abd, a, b, d), (cda, c, d, a), (cdb, c, d, b))
    )


def _turn(a: Point, b: Point, c: Point) -> float:
    """Above 0 where a-b-c turns one way, below 0 the other, 0 on a line."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def _within(a: Point, b: Point, c: Point) -> bool:
    """Whether c, on the line through a and b, lies between them."""
    return min(a[0], b[0]) <= c[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= c[1] <= max(a[1], b[1])


def touches(line: tuple[Point, Point], polygon: Sequence[Point]) -> bool:
    """Whether a segment crosses a polygon or lies in it."""
    around = zip(polygon, [*polygon[1:], polygon[0]], strict=True)
    return any(segments_meet(*line, a, b) for a, b in around) or contains(polygon, line[0])


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """Whether a point lies in a polygon, by counting crossings of a ray to the right."""
    x, y = point
    inside = False
    for (x1, y1), (x2, y2) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        if (y1 > y) != (y2 > y) and x < (x2 - x1) * (y - y1) / (y2 - y1) + x1:
            inside = not inside
    return inside
