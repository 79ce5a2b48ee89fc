"""What a page may do to a scene, as edits of its YAML: points, shapes and their properties, nothing else.

A shape is named by its group and, in groups of several, its name: ("lanes", "in_1"), ("stop_line", "").
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec

from flowrt_web.editing.splice import Edit, Insert, Remove, Rename, Set
from flowrt_web.editing.tree import Path, Refused

SINGLES = frozenset({"stop_line", "crosswalk"})
GROUPS = {
    "lines": "line", "stop_line": "line", "lanes": "zone", "crosswalks": "zone", "crosswalk": "zone", "zones": "zone",
    "lamps": "",
}  # fmt: skip
"""Group to the key under which its points are."""
PROPERTIES = {
    "lines": {"kind", "signal", "approach"},
    "stop_line": {"signal", "approach"},
    "lanes": {"heading", "limit_kmh", "signal", "direction"},
    "crosswalk": {"heading", "limit_kmh", "signal", "direction"},
    "crosswalks": {"heading", "limit_kmh", "signal", "direction"},
    "zones": {"kind", "heading", "limit_kmh", "signal", "direction"},
    "lamps": {"signal", "red", "amber", "green"},
}
DIGITS = 1
"""Points are kept to a tenth of a pixel."""
NAME = re.compile(r"[\w][\w .-]{0,63}")

Pixel = Annotated[float, msgspec.Meta(ge=-16384, le=32768)]
Point = tuple[Pixel, Pixel]
Value = str | float | list[Pixel] | None


class Shape(msgspec.Struct, frozen=True):
    """Which shape. name: empty for those there is one of."""

    group: str
    name: str = ""

    def path(self, scene: str) -> Path:
        """Where it is in the file. Raises Refused for a group that there is not."""
        if self.group not in GROUPS:
            raise Refused(f"a scene has no {self.group}")
        return ("scene", scene, self.group) if self.group in SINGLES else ("scene", scene, self.group, self.name)

    def points(self, scene: str) -> Path:
        """Where its points are."""
        if not GROUPS[self.group]:
            raise Refused("a lamp has lenses, and no points")
        return (*self.path(scene), GROUPS[self.group])


class MovePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="move"):
    """Move a point."""

    shape: Shape
    index: int
    to: Point


class AddPoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="add_point"):
    """Put a point in before the one that has that index."""

    shape: Shape
    index: int
    at: Point


class RemovePoint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="remove_point"):
    """Take a point out."""

    shape: Shape
    index: int


class AddShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="add"):
    """Draw a new shape. points: of lines and zones; properties: of any, lenses of lamps."""

    shape: Shape
    points: Annotated[list[Point], msgspec.Meta(max_length=500)] = []
    properties: dict[str, Value] = {}


class RemoveShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="remove"):
    """Remove a shape."""

    shape: Shape


class RenameShape(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="rename"):
    """Give a shape another name."""

    shape: Shape
    name: str


class SetProperty(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="set"):
    """Set a property, or remove it by null."""

    shape: Shape
    key: str
    value: Value


class SetHomography(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="do", tag="homography"):
    """Set the pairs of points that the scene is calibrated by."""

    image_px: Annotated[list[Point], msgspec.Meta(min_length=4, max_length=200)]
    ground_m: Annotated[list[tuple[float, float]], msgspec.Meta(min_length=4, max_length=200)]


Operation = MovePoint | AddPoint | RemovePoint | AddShape | RemoveShape | RenameShape | SetProperty | SetHomography


def edits_of(scene: str, operation: Operation, data: Any) -> list[Edit]:
    """The edits of the file that an operation is. data: the file's, before it. Raises Refused."""
    if isinstance(operation, SetHomography):
        return _homography(scene, operation, data["scene"][scene])
    shape = operation.shape
    path = shape.path(scene)
    if isinstance(operation, MovePoint):
        x, y = _rounded(operation.to)
        return [Set((*shape.points(scene), operation.index), [x, y])]
    if isinstance(operation, AddPoint):
        return [Insert(shape.points(scene), operation.index, _rounded(operation.at))]
    if isinstance(operation, RemovePoint):
        return [Remove((*shape.points(scene), operation.index))]
    if isinstance(operation, RemoveShape):
        return [Remove(path)]
    if isinstance(operation, RenameShape):
        if shape.group in SINGLES:
            raise Refused(f"the {shape.group} has no name of its own")
        return [Rename(path, _name(operation.name))]
    if isinstance(operation, AddShape):
        return _add(scene, operation, data)
    value = _property(shape.group, operation.key, operation.value)
    return [Remove((*path, operation.key)) if value is None else Set((*path, operation.key), value)]


def _homography(scene: str, operation: SetHomography, block: Any) -> list[Edit]:
    """What is the same stays as it is written."""
    pairs = {
        "image_px": list(map(_rounded, operation.image_px)),
        "ground_m": [[round(x, 3), round(y, 3)] for x, y in operation.ground_m],
    }
    before = block.get("homography")
    if not isinstance(before, dict):
        return [Set(("scene", scene, "homography"), pairs)]
    path = ("scene", scene, "homography")
    return [Set((*path, key), points) for key, points in pairs.items() if before.get(key) != points]


def _add(scene: str, operation: AddShape, data: Any) -> list[Edit]:
    shape = operation.shape
    points = GROUPS[shape.group]
    value: dict[str, Any] = {points: list(map(_rounded, operation.points))} if points else {}
    for key, each in operation.properties.items():
        if (kept := _property(shape.group, key, each)) is not None:
            value[key] = kept
    block = data["scene"][scene]
    if shape.group in SINGLES:
        if shape.group in block:
            raise Refused(f"there is a {shape.group} already")
        return [Set(shape.path(scene), value)]
    name = _name(shape.name)
    if name in (block.get(shape.group) or {}):
        raise Refused(f"the name {name} is taken")
    if shape.group not in block:
        return [Set(("scene", scene, shape.group), {name: value})]
    return [Set(shape.path(scene), value)]


def _property(group: str, key: str, value: Value) -> Value:
    if key not in PROPERTIES[group]:
        raise Refused(f"a shape of {group} has no {key}")
    if isinstance(value, list):
        return [round(number, 3) for number in value]
    if isinstance(value, str) and "${" in value:
        raise Refused(f"{key}: a value that is filled in from outside (${{…}}) is written in the file only")
    return round(value, 3) if isinstance(value, float) else value


def _rounded(point: Point) -> list[float]:
    return [round(value, DIGITS) for value in point]


def _name(name: str) -> str:
    if not NAME.fullmatch(name):
        raise Refused("a name has letters, digits, '_', '-' and '.', at most 64 of them")
    return name
