"""Scenes: the geometry of one camera's picture, declared once and referred to by name.

All coordinates are pixels of a picture of `picture_px` (width, height), origin at the top left, x to the right, y down.
Ground coordinates are metres on the road plane. A node asks for a scene that fits its picture with `Scene.scaled`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec

from flowrt.node import CheckView, Context, reference

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SceneName = Annotated[str, reference("scene")]
ZoneName = Annotated[str, reference("zone")]
LineName = Annotated[str, reference("line")]
SignalName = Annotated[str, reference("signal")]

Point = tuple[float, float]

ZoneKind = Literal[
    "lane", "crosswalk", "sidewalk", "carriageway", "box", "conflict", "no_stopping", "intersection", "other"
]
LineKind = Literal["stop_line", "entry", "exit", "count"]


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """A directed line. Crossing from its left to its right side, seen from the first point to the second, is `forward`.

    signal: the signal group that governs it (stop lines). name_of_movement: approach name, for entry and exit lines.
    """

    name: str
    points: tuple[Point, Point]
    kind: LineKind = "count"
    signal: str = ""
    approach: str = ""


class Zone(msgspec.Struct, frozen=True, kw_only=True):
    """A simple polygon. heading: the lawful direction of travel in the picture (dx, dy), for lanes."""

    name: str
    points: tuple[Point, ...]
    kind: ZoneKind = "other"
    heading: Point | None = None
    limit_kmh: float | None = None
    signal: str = ""
    direction: str = ""

    @property
    def polygon(self) -> NDArray[np.float32]:
        """float32 (K, 2)."""
        import numpy as np  # a flow without scenes need not wait for it

        return np.asarray(self.points, np.float32)


class Lamp(msgspec.Struct, frozen=True, kw_only=True):
    """Where the lenses of a signal head are in the picture: x, y, radius in pixels."""

    signal: str
    red: tuple[float, float, float]
    green: tuple[float, float, float]
    amber: tuple[float, float, float] | None = None


class Homography(msgspec.Struct, frozen=True, kw_only=True):
    """At least four points of the picture and the same points on the ground, in metres."""

    image_px: tuple[Point, ...]
    ground_m: tuple[Point, ...]

    def matrix(self) -> NDArray[np.float64]:
        """(3, 3), picture to ground, by the normalised direct linear transform.

        Source: R. Hartley, A. Zisserman, Multiple View Geometry, 2nd edition, algorithm 4.2.
        Raises ValueError where the points are degenerate (three on a line, or too few).
        """
        import numpy as np

        image = np.asarray(self.image_px, float)
        ground = np.asarray(self.ground_m, float)
        if len(image) != len(ground):
            raise ValueError(f"{len(image)} picture points but {len(ground)} ground points")
        if len(image) < 4:
            raise ValueError(f"{len(image)} points, at least 4 are needed")
        from_image, image_n = _normalised(image)
        from_ground, ground_n = _normalised(ground)
        rows = []
        for (x, y), (u, v) in zip(image_n, ground_n, strict=True):
            rows.append([-x, -y, -1, 0, 0, 0, u * x, u * y, u])
            rows.append([0, 0, 0, -x, -y, -1, v * x, v * y, v])
        _, singular, vh = np.linalg.svd(np.asarray(rows))
        if singular[7] < 1e-6 * singular[0]:
            raise ValueError("the points are degenerate: no three of four may lie on one line")
        matrix = np.linalg.inv(from_ground) @ vh[8].reshape(3, 3) @ from_image
        if abs(matrix[2, 2]) > 1e-12:
            matrix = matrix / matrix[2, 2]
        if abs(np.linalg.det(matrix)) < 1e-12:
            raise ValueError("the points are degenerate: the plane collapses to a line")
        return np.asarray(matrix, np.float64)


def _normalised(points: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A similarity that moves the points' centroid to 0 and their mean distance to sqrt 2, and the moved points."""
    import numpy as np

    centre = points.mean(axis=0)
    spread = float(np.linalg.norm(points - centre, axis=1).mean())
    if spread == 0:
        raise ValueError("all points are the same")
    scale = np.sqrt(2) / spread
    matrix = np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1]])
    return matrix, (points - centre) * scale


class Scene(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The geometry of one camera. `position` is the approach it watches (north, east, south, west)."""

    what: ClassVar[str] = "geometry"

    name: str
    picture_px: tuple[int, int]
    lines: dict[str, Line] = {}
    zones: dict[str, Zone] = {}
    lamps: dict[str, Lamp] = {}
    homography: Homography | None = None
    position: str = ""

    def zones_of(self, *kinds: str) -> list[Zone]:
        """The zones of the given kinds, in the order of the file."""
        return [zone for zone in self.zones.values() if zone.kind in kinds]

    def lines_of(self, *kinds: str) -> list[Line]:
        """The lines of the given kinds, in the order of the file."""
        return [line for line in self.lines.values() if line.kind in kinds]

    @property
    def signals(self) -> frozenset[str]:
        """Every signal group the scene refers to."""
        named = {line.signal for line in self.lines.values()}
        named |= {zone.signal for zone in self.zones.values()} | {lamp.signal for lamp in self.lamps.values()}
        return frozenset(named - {""})

    @cached_property
    def to_ground(self) -> NDArray[np.float64] | None:
        """(3, 3), picture to ground; None without a homography."""
        return self.homography.matrix() if self.homography else None

    def scaled(self, picture_px: tuple[int, int]) -> Scene:
        """The same scene for a picture of another size."""
        if picture_px == self.picture_px:
            return self
        sx, sy = picture_px[0] / self.picture_px[0], picture_px[1] / self.picture_px[1]
        s = (sx * sy) ** 0.5

        def move(points: tuple[Point, ...]) -> tuple[Point, ...]:
            return tuple((x * sx, y * sy) for x, y in points)

        def lens(circle: tuple[float, float, float]) -> tuple[float, float, float]:
            return circle[0] * sx, circle[1] * sy, circle[2] * s

        replace = msgspec.structs.replace
        return Scene(
            name=self.name,
            picture_px=picture_px,
            position=self.position,
            lines={n: replace(line, points=move(line.points)) for n, line in self.lines.items()},
            zones={
                n: replace(
                    zone,
                    points=move(zone.points),
                    heading=None if zone.heading is None else (zone.heading[0] * sx, zone.heading[1] * sy),
                )
                for n, zone in self.zones.items()
            },
            lamps={
                n: replace(
                    lamp, red=lens(lamp.red), green=lens(lamp.green), amber=lens(lamp.amber) if lamp.amber else None
                )
                for n, lamp in self.lamps.items()
            },
            homography=replace(self.homography, image_px=move(self.homography.image_px)) if self.homography else None,
        )


def scene_of(context: Context) -> Scene | None:
    """The scene that a node's `scene` setting names."""
    scene: Scene | None = context.entries.get("scene")
    return scene


def scene_in(view: CheckView, name: str) -> Scene | None:
    """The scene of that name in the flow file, while the file is checked."""
    scene: Scene | None = view.entry("scene", name)
    return scene
