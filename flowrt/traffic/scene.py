"""Scenes: the geometry of one camera's picture, declared once and referred to by name.

All coordinates are pixels of a picture of `picture_px` (width, height), origin at the top left, x to the right, y down.
Ground coordinates are metres on the road plane. A node asks for a scene that fits its picture with `Scene.scaled`.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec

from flowrt.node import BadInput, CheckView, Context, SideInput, reference, setting

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from flowrt.traffic.calibration import Calibration

SAME_SHAPE = 0.025
"""A scene fits pictures whose ratio of width to height differs by at most this share, as where an encoder rounds to 32 pixels."""

SceneName = Annotated[str, reference("scene", inherited=True)]
SignalSource = Annotated[SideInput, setting("The node that reports the signal phases.", inherited=True)]
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


class WrongShape(BadInput):
    """A picture of other proportions than the scene was drawn on."""

    def __init__(self, scene: Scene, picture_px: tuple[int, int], camera: str = "") -> None:
        self.scene, self.picture_px = scene, picture_px
        whose = f"camera '{camera}' gives pictures" if camera else "the pictures are"
        drawn, given = ("{} x {}".format(*size) for size in (scene.picture_px, picture_px))
        super().__init__(
            f"{whose} of {given}, but scene '{scene.name}' was drawn on one of {drawn}, which has other proportions: "
            f"draw the scene on a picture of the camera, or set the camera to {drawn}"
        )


class Scene(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The geometry of one camera. `position` is the approach it watches (north, east, south, west).

    simulated: it is the simulator's own, and fits no real camera.
    """

    what: ClassVar[str] = "geometry"

    name: str
    picture_px: tuple[int, int]
    lines: dict[str, Line] = {}
    zones: dict[str, Zone] = {}
    lamps: dict[str, Lamp] = {}
    homography: Homography | None = None
    position: str = ""
    simulated: bool = False

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
    def calibration(self) -> Calibration | None:
        """The homography's fit and what it is worth; None without one. Raises NoCalibration where the points determine none."""
        if self.homography is None:
            return None
        from flowrt.traffic.calibration import calibrate  # brings numpy; a flow without metres need not wait for it

        return calibrate(self.homography.image_px, self.homography.ground_m, self.picture_px)

    @property
    def to_ground(self) -> NDArray[np.float64] | None:
        """(3, 3), picture to ground; None without a homography."""
        return self.calibration.to_ground if self.calibration is not None else None

    def scaled(self, picture_px: tuple[int, int], camera: str = "") -> Scene:
        """The same scene for a picture of another size; camera: whose, for errors.

        Raises WrongShape where the picture has other proportions, by more than SAME_SHAPE: scaled points would lie elsewhere on the road.
        """
        if picture_px == self.picture_px:
            return self
        sx, sy = picture_px[0] / self.picture_px[0], picture_px[1] / self.picture_px[1]
        if not 1 / (1 + SAME_SHAPE) <= sx / sy <= 1 + SAME_SHAPE:
            raise WrongShape(self, picture_px, camera)
        s = (sx * sy) ** 0.5

        def move(points: tuple[Point, ...]) -> tuple[Point, ...]:
            return tuple((x * sx, y * sy) for x, y in points)

        def lens(circle: tuple[float, float, float]) -> tuple[float, float, float]:
            return circle[0] * sx, circle[1] * sy, circle[2] * s

        replace = msgspec.structs.replace
        scaled = Scene(
            name=self.name,
            picture_px=picture_px,
            position=self.position,
            simulated=self.simulated,
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
        if self.calibration is not None:  # its limits are pixels of the picture that it was drawn on
            scaled.__dict__["calibration"] = self.calibration.scaled(sx, sy)
        return scaled


def scene_of(context: Context) -> Scene | None:
    """The scene that a node's `scene` setting names."""
    scene: Scene | None = context.entries.get("scene")
    return scene


def scene_in(view: CheckView, name: str) -> Scene | None:
    """The scene of that name in the flow file, while the file is checked."""
    scene: Scene | None = view.entry("scene", name)
    return scene
